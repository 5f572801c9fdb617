//! Rows a second through the plan, and how time and memory grow with rows.
//!
//! `cargo bench -p commits --bench rows`: reading, filter and screen of a table on one processor, and on all. With `-- --growth
//! [ROWS]` whole runs over tables of 100,000, 1,000,000 .. rows up to so many (10,000,000 where none is said), of which one in 20,000 is a
//! fix: seconds of processor time, rows a second of it, and the most memory so far. That needs some 3 GB of disk. With `-- --cluster`
//! the same tables read here and by a scheduler and an executor a processor, all on this machine. With `-- --write FOLDER [FILES]`
//! the growing run's tables alone, a million rows each, for the program itself to read.

#[path = "../tests/parts/mod.rs"]
mod parts;
#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use commits::{Place, Reader, Table};
use corpus::mine::{self, Desk, Heuristics};
use judge::{
    Judge,
    analyzers::{self, Settings},
};
use parts::Running;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Instant,
};
use synthetic::Outcome;

const ROWS: usize = 200_000;
/// Rows of one file of the growing run.
const FILE: usize = 1_000_000;

fn main() -> Outcome {
    if parts::be()? {
        return Ok(());
    }
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|a| a == "--cluster") {
        return beside_a_cluster();
    }
    if let Some(at) = arguments.iter().position(|a| a == "--write") {
        let folder = Path::new(arguments.get(at + 1).ok_or("--write needs a folder")?);
        let files = arguments.get(at + 2).and_then(|n| n.parse().ok()).unwrap_or(1);
        fs::create_dir_all(folder)?;
        return (0..files)
            .try_for_each(|n| synthetic::write(&folder.join(format!("{n:03}.parquet")), FILE, 1 + n, 20_000));
    }
    match arguments.iter().position(|a| a == "--growth") {
        Some(at) => grow(arguments.get(at + 1).and_then(|n| n.parse().ok()).unwrap_or(10_000_000)),
        None => {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("commits.parquet");
            synthetic::write(&path, ROWS, 1, 200)?;
            speed(&path, 1)?;
            speed(&path, std::thread::available_parallelism()?.get())
        }
    }
}

/// Reads a table five times on so many processors, and prints the quickest and the middle one. Every tenth message speaks of
/// security.
fn speed(table: &Path, processors: usize) -> Outcome {
    let (words, stop) = (Heuristics::built_in()?, AtomicBool::new(false));
    let tables = [Table::open(table, &[])?];
    let reader = Reader::new(&tables, &words, Place::Here(processors), &stop)?;
    let mut rates = Vec::new();
    for _ in 0..5 {
        let (begun, clock, mut heard) = (seconds(), Instant::now(), 0);
        let told = reader.read(0..1, &mut |_| {
            heard += 1;
            Ok(())
        });
        told.map_err(|why| format!("{why:?}"))?;
        assert!(heard > ROWS / 20, "{heard} of {ROWS}");
        rates.push((ROWS as f64 / (seconds() - begun), ROWS as f64 / clock.elapsed().as_secs_f64()));
    }
    rates.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!(
        "rows, {processors} processor(s): {:.0} a second of processor time at best, {:.0} in the middle; {:.0} by the clock",
        rates[0].0, rates[2].0, rates[2].1
    );
    Ok(())
}

/// Seconds that reading takes here and on a cluster of this machine, one after the other three times.
fn beside_a_cluster() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut tables = Vec::new();
    for seed in 0..8 {
        let file = folder.path().join(format!("{seed:02}.parquet"));
        synthetic::write(&file, ROWS, seed, 200)?;
        tables.push(Table::open(&file, &[])?);
    }
    let processors = std::thread::available_parallelism()?.get();
    let (_scheduler, address) = Running::scheduler(&[])?;
    let start = |n: usize| Running::executor(&[], &folder.path().join(format!("executor-{n}")), &address);
    let _executors = (0..processors).map(start).collect::<Outcome<Vec<_>>>()?;
    let (words, stop) = (Heuristics::built_in()?, AtomicBool::new(false));
    println!("{:>10} {:>10} {:>12}", "tables", "here, s", "cluster, s");
    for round in 0..6 {
        // One table shows what a run costs whatever its length.
        let count = if round < 3 { 1 } else { tables.len() };
        let mut taken = Vec::new();
        for place in [Place::Here(processors), Place::Cluster(format!("http://{address}"))] {
            let reader = Reader::new(&tables, &words, place, &stop)?;
            let (clock, mut heard) = (Instant::now(), 0);
            let told = reader.read(0..count, &mut |_| {
                heard += 1;
                Ok(())
            });
            told.map_err(|why| format!("{why:?}"))?;
            taken.push((clock.elapsed().as_secs_f64(), heard));
        }
        assert!(taken[0].1 == taken[1].1, "a cluster says something else");
        println!("{count:>10} {:>10.2} {:>12.2}", taken[0].0, taken[1].0);
    }
    Ok(())
}

/// A field of this process as the kernel tells it, in KiB.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default()
}

/// Seconds of processor time of this process: 100 ticks a second.
fn seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

fn grow(most: usize) -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut files: Vec<PathBuf> = Vec::new();
    println!("{:>10} {:>10} {:>12} {:>12} {:>10}", "rows", "CPU s", "rows/CPU s", "peak MiB", "pairs");
    let mut rows = 100_000;
    while rows <= most {
        let small = folder.path().join("small.parquet");
        let tables: Vec<PathBuf> = if rows < FILE {
            synthetic::write(&small, rows, 0, 20_000)?;
            vec![small]
        } else {
            while files.len() * FILE < rows {
                let file = folder.path().join(format!("{:03}.parquet", files.len()));
                synthetic::write(&file, FILE, 1 + files.len() as u64, 20_000)?;
                files.push(file);
            }
            files.clone()
        };
        let begun = seconds();
        let pairs = run(&tables, &folder.path().join(format!("out-{rows}")))?;
        let taken = seconds() - begun;
        println!("{rows:>10} {taken:>10.1} {:>12.0} {:>12} {pairs:>10}", rows as f64 / taken, memory("VmHWM:") >> 10);
        rows *= if rows * 10 <= most { 10 } else { most.div_ceil(rows).max(2) };
    }
    Ok(())
}

fn run(files: &[PathBuf], out: &Path) -> Outcome<usize> {
    let (heuristics, stop) = (Heuristics::built_in()?, AtomicBool::new(false));
    let judge = Judge::new(analyzers::open(&["native"], &Settings::default())?, None);
    let tables = files.iter().map(|f| Table::open(f, &[])).collect::<Result<Vec<_>, _>>()?;
    let told: Vec<_> = tables.iter().map(|t| t.table.clone()).collect();
    let processors = std::thread::available_parallelism()?.get();
    let reader = Reader::new(&tables, &heuristics, Place::Here(processors), &stop)?;
    let desk = Desk {
        out,
        heuristics: &heuristics,
        judge: &judge,
        analyzers: &[("native".to_owned(), "1".to_owned())],
        author: None,
        allow: &[],
        stop: &stop,
        progress: &mut |_, _, _| (),
    };
    Ok(mine::tables::run(&told, &mut |places, sink| reader.read(places, sink), desk)?.pairs)
}
