//! Tables of commits as a user meets them: read by the program alone, by a cluster of it on this machine, and wrong ones. What
//! becomes of a cluster that loses an executor is a test of the crate `commits`.
#![cfg(feature = "scale")]
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test")]

#[path = "../../commits/tests/synthetic/mod.rs"]
mod synthetic;

use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};
use synthetic::{Outcome, write};

/// Tables of a cluster's run, and their rows.
const TABLES: u64 = 6;
const ROWS: usize = 1_500;

fn command(at: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rampart"));
    command.current_dir(at).args(arguments).stdin(Stdio::null());
    command
}

fn rampart(at: &Path, arguments: &[&str]) -> Outcome<(Option<i32>, String, String)> {
    let done = command(at, arguments).output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((done.status.code(), text(done.stdout), text(done.stderr)))
}

/// A part of a cluster, which ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn scheduler(at: &Path, lost_after: &str) -> Outcome<(Running, String)> {
    let arguments = ["cluster", "scheduler", "--listen", "127.0.0.1:0", "--lost-after", lost_after];
    let mut child = command(at, &arguments).stdout(Stdio::piped()).spawn()?;
    let mut url = String::new();
    BufReader::new(child.stdout.take().ok_or("its output")?).read_line(&mut url)?;
    Ok((Running(child), url.trim().to_owned()))
}

fn executor(at: &Path, url: &str, folder: &str) -> Outcome<Running> {
    let arguments = ["cluster", "executor", "--scheduler", url, "--tasks", "1", "--folder", folder];
    Ok(Running(command(at, &arguments).spawn()?))
}

fn same(at: &Path, one: &str, other: &str) -> Outcome {
    for file in ["rows.jsonl", "rejects.jsonl", "report.json"] {
        let (a, b) = (fs::read(at.join(one).join(file))?, fs::read(at.join(other).join(file))?);
        assert!(a == b, "{file} of {one} and {other}");
    }
    Ok(())
}

#[test]
fn a_cluster_writes_what_one_process_writes() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    fs::create_dir(at.join("tables"))?;
    for seed in 0..TABLES {
        write(&at.join(format!("tables/{seed:02}.parquet")), ROWS, seed, 200)?;
    }
    let mine = ["data", "mine", "--commits", "tables", "--output-format", "json", "--out"];
    let (code, out, err) = rampart(at, &[&mine[..], &["here"]].concat())?;
    assert_eq!(code, Some(0), "{err}");
    let report: Value = serde_json::from_str(&out)?;
    let count = |key: &str| report[key].as_u64().unwrap_or_default();
    let rows = TABLES * ROWS as u64;
    assert_eq!(count("commits"), rows);
    assert!(count("fixes") > rows / 400 && count("keyword") > rows / 15, "{report}");

    let (_scheduler, url) = scheduler(at, "3")?;
    let _first = executor(at, &url, "first")?;
    let _second = executor(at, &url, "second")?;
    let (code, _, err) = rampart(at, &[&mine[..], &["there", "--scheduler", &url]].concat())?;
    assert_eq!(code, Some(0), "{err}");
    same(at, "here", "there")?;
    Ok(())
}

/// What is said of a wrong table or cluster: one line with this in it, exit 2, and no output.
fn check(at: &Path, arguments: &[&str], expect: &str) -> Outcome {
    let (code, out, err) = rampart(at, &[&["data", "mine", "--out", "none"], arguments].concat())?;
    assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
    let lines = err.lines().filter(|l| !l.trim().is_empty()).count();
    assert!(err.contains(expect) && lines == 1, "{arguments:?}: {err:?} should say {expect:?} on one line");
    assert!(!at.join("none/rows.jsonl").exists(), "{arguments:?}");
    let _ = fs::remove_dir_all(at.join("none"));
    Ok(())
}

#[test]
fn wrong_tables_and_clusters_are_told() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    write(&at.join("good.parquet"), 5_000, 1, 200)?;
    let good = fs::read(at.join("good.parquet"))?;
    fs::write(at.join("text.parquet"), "no table")?;
    fs::write(at.join("empty.parquet"), "")?;
    fs::write(at.join("cut.parquet"), &good[..good.len() / 2])?;
    // Its end is whole, and what it says of the rest is not so.
    let mut spoilt = good.clone();
    let middle = 1_000..good.len() / 2;
    spoilt[middle.clone()].iter_mut().for_each(|b| *b = !*b);
    fs::write(at.join("spoilt.parquet"), &spoilt)?;
    fs::create_dir(at.join("nothing"))?;
    check(at, &["--commits", "absent.parquet"], "absent.parquet: No such file")?;
    check(at, &["--commits", "nothing"], "holds no .parquet file")?;
    check(at, &["--commits", "text.parquet"], "text.parquet: not Parquet, or broken")?;
    check(at, &["--commits", "empty.parquet"], "empty.parquet: not Parquet, or broken")?;
    check(at, &["--commits", "cut.parquet"], "cut.parquet: not Parquet, or broken")?;
    check(at, &["--commits", "spoilt.parquet"], "cannot read the tables")?;
    check(at, &["--commits", "good.parquet", "good.parquet"], "named twice")?;
    check(at, &["--commits", "good.parquet", "--column", "patch=absent"], "has no column \"absent\"")?;
    check(at, &["--commits", "good.parquet", "--column", "patch=files"], "is List(")?;
    check(at, &["--commits", "good.parquet", "--column", "nonsense=files"], "no column can be a \"nonsense\"")?;
    check(at, &["--commits", "good.parquet", "--column", "patch"], "is no ROLE=NAME")?;

    // Nobody there; somebody who says nothing; somebody else; a scheduler that nobody works for is waited for longer than a test may.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let silent = format!("http://{}", silent.local_addr()?);
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        format!("http://{}", listener.local_addr()?)
    };
    for url in ["127.0.0.1:50050", "https://127.0.0.1:1", "http://", "http://127.0.0.1:1/path"] {
        check(at, &["--commits", "good.parquet", "--scheduler", url], "http://host:port is needed")?;
    }
    check(at, &["--commits", "good.parquet", "--scheduler", &gone], "cannot be reached")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let other = format!("http://{}", listener.local_addr()?);
    let answer = thread::spawn(move || -> std::io::Result<()> {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept()?;
        let _ = stream.read(&mut [0; 1_024])?;
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    });
    check(at, &["--commits", "good.parquet", "--scheduler", &other], "is no scheduler")?;
    answer.join().map_err(|_| "a server")??;
    check(at, &["--commits", "good.parquet", "--scheduler", &silent], "does not answer within")?;
    // A cluster says of a spoilt table what this process says.
    let (_scheduler, url) = scheduler(at, "20")?;
    let _executor = executor(at, &url, "work")?;
    check(at, &["--commits", "spoilt.parquet", "--scheduler", &url], "cannot read the tables")?;

    // Wrong use.
    for (arguments, expect) in [
        (&["--commits", "good.parquet", "--revision", "main"][..], "--revision"),
        (&["--scheduler", "http://127.0.0.1:1", "x"], "--commits"),
    ] {
        let (code, _, err) = rampart(at, &[&["data", "mine", "--out", "none"], arguments].concat())?;
        assert!(code == Some(2) && err.contains(expect), "{err}");
    }
    let (code, _, err) = rampart(at, &["cluster", "executor", "--scheduler", "nowhere"])?;
    assert!(code == Some(2) && err.contains("http://host:port"), "{err}");
    let (code, _, err) =
        rampart(at, &["cluster", "scheduler", "--listen", url.strip_prefix("http://").ok_or("a url")?])?;
    assert!(code == Some(2) && err.contains("cannot start a scheduler"), "{err}");
    Ok(())
}
