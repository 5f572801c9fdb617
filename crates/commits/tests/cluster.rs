//! One scheduler and two executors, processes on this machine: they say what one process says, also where an executor is killed
//! midway and what it has done is lost.
#![expect(clippy::disallowed_methods, reason = "this test waits for files of other processes")]

#[path = "parts/mod.rs"]
mod parts;
#[path = "synthetic/mod.rs"]
mod synthetic;

use commits::{Place, Reader, Table};
use corpus::mine::{
    Heuristics,
    tables::{Failed, Found},
};
use parts::Running;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};
use synthetic::{Outcome, write};

/// Tables of a run, and their rows: enough tasks that one is under way when an executor dies.
const TABLES: u64 = 10;
const ROWS: usize = 3_000;
/// What brings this program to be a part.
const ARGUMENTS: [&str; 3] = ["--exact", "part", "--nocapture"];

/// A part of a cluster, where this program was started as one; nothing otherwise.
#[test]
fn part() -> Outcome {
    parts::be().map(drop)
}

/// Whether a folder holds a file, however deep.
fn holds_file(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|e| if e.path().is_dir() { holds_file(&e.path()) } else { true })
}

/// Everything that is told of tables, in one order. As `data mine` does, it asks again where a machine was lost.
fn told(tables: &[Table], place: Place) -> Outcome<Vec<Found>> {
    let (words, stop) = (Heuristics::built_in()?, AtomicBool::new(false));
    let reader = Reader::new(tables, &words, place, &stop)?;
    for attempt in 1.. {
        let mut all = Vec::new();
        match reader.read(0..tables.len(), &mut |found| {
            all.push(found);
            Ok(())
        }) {
            Ok(()) => {
                all.sort_by(|a, b| (a.table, &a.commit).cmp(&(b.table, &b.commit)));
                println!("{} rows told at attempt {attempt}", all.len());
                return Ok(all);
            }
            Err(Failed::Lost(why)) if attempt < 3 => println!("attempt {attempt}: {why}"),
            Err(why) => return Err(format!("{why:?}").into()),
        }
    }
    Err("never told".into())
}

#[test]
fn a_cluster_says_what_one_process_says_and_may_lose_an_executor() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let mut tables = Vec::new();
    for seed in 0..TABLES {
        let file = at.join(format!("{seed:02}.parquet"));
        write(&file, ROWS, seed, 200)?;
        tables.push(Table::open(&file, &[])?);
    }
    let here = told(&tables, Place::Here(2))?;
    let candidates = here.iter().filter(|f| f.outcome.reason.is_none()).count();
    let rows = TABLES as usize * ROWS;
    assert!(candidates > rows / 400 && here.len() > rows / 15, "{candidates} of {}", here.len());

    let (_scheduler, address) = Running::scheduler(&ARGUMENTS)?;
    let url = format!("http://{address}");
    let folders: Vec<PathBuf> = ["first", "second"].iter().map(|name| at.join(name)).collect();
    let start = |folder: &PathBuf| Running::executor(&ARGUMENTS, folder, &address);
    let mut executors = folders.iter().map(start).collect::<Outcome<Vec<_>>>()?;
    let cluster = || Place::Cluster(url.clone());
    assert!(told(&tables, cluster())? == here, "a cluster says something else");
    assert!(folders.iter().all(|f| holds_file(f)), "both had tasks");

    // Once more; an executor is lost with what it has done, while it does more.
    fs::remove_dir_all(&folders[0])?;
    fs::create_dir(&folders[0])?;
    let again = thread::spawn({
        let (tables, place) = (tables.clone(), cluster());
        move || told(&tables, place).map_err(|e| e.to_string())
    });
    let begun = Instant::now();
    while !holds_file(&folders[0]) {
        assert!(begun.elapsed() < Duration::from_secs(60) && !again.is_finished(), "no task ended in time");
        thread::sleep(Duration::from_millis(2));
    }
    drop(executors.remove(0));
    assert!(!again.is_finished(), "the run was still under way");
    fs::remove_dir_all(&folders[0])?;
    let lost = again.join().map_err(|_| "a thread")??;
    assert!(lost == here, "a cluster that lost an executor says something else");
    Ok(())
}
