//! `rampart data mine` and `rampart data kb` as a user meets them: a history that git itself made and packed, and wrong arguments.
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test, and git")]

use serde_json::Value;
use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn git(at: &Path, arguments: &[&str]) -> Outcome {
    let settings = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
    let done = Command::new("git").current_dir(at).args(settings).args(arguments).output()?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned().into()) }
}

fn rampart(at: &Path, arguments: &[&str]) -> Outcome<(Option<i32>, String, String)> {
    let done = Command::new(env!("CARGO_BIN_EXE_rampart")).current_dir(at).arg("data").args(arguments).output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((done.status.code(), text(done.stdout), text(done.stderr)))
}

#[test]
fn fixes_of_a_packed_history() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    git(at, &["init", "-q", "-b", "main", "project"])?;
    let project = at.join("project");
    let commit = |text: &str, said: &str| -> Outcome {
        fs::write(project.join("run.py"), text)?;
        git(&project, &["add", "."])?;
        git(&project, &["commit", "-q", "-m", said])
    };
    commit("import os\n\n\ndef show(name):\n    \"\"\"Shows a file.\"\"\"\n    os.system(\"cat \" + name)\n", "Begin")?;
    commit(
        "import subprocess\n\n\ndef show(name):\n    \"\"\"Shows a file.\"\"\"\n    subprocess.run([\"cat\", name], check=True)\n",
        "Fix command injection",
    )?;
    git(&project, &["remote", "add", "origin", "https://me:secret@example.com/a/project.git"])?;
    git(&project, &["gc", "-q"])?;

    let (code, out, err) = rampart(at, &["mine", "project", "--out", "mined", "--output-format", "json"])?;
    assert_eq!(code, Some(0), "{err}");
    let report: Value = serde_json::from_str(&out)?;
    assert_eq!((report["pairs"].as_u64(), report["cwes"]["CWE-78"].as_u64()), (Some(1), Some(1)), "{report}");
    let row: Value = serde_json::from_str(fs::read_to_string(at.join("mined/rows.jsonl"))?.trim())?;
    assert_eq!(row["origin"]["source"], "https://example.com/a/project.git");
    assert_eq!(
        row["instruction"],
        "Write the Python function `show` with the signature `def show(name)`. Shows a file."
    );
    assert!(!fs::read_to_string(at.join("mined/rows.jsonl"))?.contains("secret"));
    // The other commands take the rows.
    let (code, out, err) = rampart(at, &["stats", "mined/rows.jsonl"])?;
    assert!(code == Some(0) && out.contains("mined"), "{out}{err}");

    // A clone without its past has nothing on one side.
    let from = format!("file://{}", project.display());
    git(at, &["clone", "-q", "--depth", "1", &from, "shallow"])?;
    let (code, out, _) = rampart(at, &["mine", "shallow", "--out", "none", "--output-format", "json"])?;
    let report: Value = serde_json::from_str(&out)?;
    assert_eq!((code, report["rejects"]["shallow"].as_u64()), (Some(0), Some(1)), "{report}");

    let wrong: [(&[&str], &str); 7] = [
        (&["mine", "nowhere", "--out", "x"], "as a git repository"),
        (&["mine", "project", "--out", "x", "--revision", "absent"], "has no revision \"absent\""),
        (&["mine", "project", "project", "--out", "x"], "named twice"),
        (&["mine", "project", "--out", "x", "--analyzer", "nobody"], "unknown analyzer"),
        (&["mine", "project", "--out", "x", "--heuristics", "absent.toml"], "cannot read absent.toml"),
        (&["mine", "project", "--out", "mined", "--limit", "1"], "choose another output"),
        (&["mine", "project"], "--out"),
    ];
    for (arguments, expect) in wrong {
        let (code, out, err) = rampart(at, arguments)?;
        assert!(code == Some(2) && err.contains(expect) && out.is_empty(), "{arguments:?}: {err}");
    }
    let (code, ..) = rampart(at, &["mine", "--write-heuristics", "words.toml"])?;
    assert_eq!(code, Some(0));
    let (code, _, err) = rampart(at, &["mine", "project", "--out", "again", "--heuristics", "words.toml"])?;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(fs::read(at.join("mined/rows.jsonl"))?, fs::read(at.join("again/rows.jsonl"))?);
    Ok(())
}

/// A history of so many commits, every tenth a fix, made by git from one stream.
fn long_history(at: &Path, commits: usize) -> Outcome {
    git(at, &["init", "-q", "-b", "main", "long"])?;
    let mut stream = String::new();
    for i in 0..commits {
        let (name, n) = (format!("part{}/work_{}.py", i / 10 % 7, i / 10), i / 10);
        let (said, text) = match i % 10 {
            0 => (
                format!("Add work {n}"),
                format!("import os\n\n\ndef work_{n}(name):\n    os.system(\"cat -n{n} \" + name)\n"),
            ),
            1 => (
                format!("Fix command injection in work {n}"),
                format!("import subprocess\n\n\ndef work_{n}(name):\n    subprocess.run([\"cat\", \"-n{n}\", name])\n"),
            ),
            k => (
                format!("{} {k}", if k == 2 { "Security: note" } else { "Note" }),
                format!("# Note {k} of {n}\n\n\ndef note():\n    return eval(\"{k}\")\n"),
            ),
        };
        let name = if i % 10 < 2 { name } else { format!("notes_{}.py", i % 10) };
        writeln!(stream, "commit refs/heads/main\ncommitter A <a@example.com> {} +0000", 1_600_000_000 + i)?;
        writeln!(stream, "data {}\n{said}", said.len() + 1)?;
        writeln!(stream, "M 100644 inline {name}\ndata {}\n{text}", text.len())?;
    }
    let mut child = Command::new("git")
        .current_dir(at.join("long"))
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    child.stdin.take().ok_or("stdin")?.write_all(stream.as_bytes())?;
    assert!(child.wait()?.success());
    Ok(())
}

/// Killed twice in its middle, as the system kills a process that takes too much memory, and started again, it ends with the
/// files of a run that nobody disturbed.
#[test]
fn a_killed_run_goes_on_where_it_was() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    long_history(at, 4_100)?;
    let parts = || {
        let folders = fs::read_dir(at.join("killed/parts")).into_iter().flatten().flatten();
        folders
            .flat_map(|f| fs::read_dir(f.path()).into_iter().flatten().flatten())
            .filter(|f| f.file_name().to_string_lossy().ends_with(".json"))
            .count()
    };
    for wanted in [1, 4] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rampart"))
            .current_dir(at)
            .args(["data", "mine", "long", "--out", "killed"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let end = Instant::now() + Duration::from_secs(60);
        while parts() < wanted && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
        let running = child.try_wait()?.is_none();
        child.kill()?;
        child.wait()?;
        let there = parts();
        assert!(running && (wanted..9).contains(&there), "killed with {there} of 9 parts: in its middle");
        assert!(!at.join("killed/rows.jsonl").exists(), "nothing half is left under its name");
    }
    for out in ["killed", "whole"] {
        let (code, _, err) = rampart(at, &["mine", "long", "--out", out])?;
        assert_eq!(code, Some(0), "{err}");
    }
    for file in ["rows.jsonl", "rejects.jsonl", "report.json"] {
        assert!(fs::read(at.join("killed").join(file))? == fs::read(at.join("whole").join(file))?, "{file}");
    }
    let report: Value = serde_json::from_slice(&fs::read(at.join("whole/report.json"))?)?;
    assert_eq!((&report["commits"], &report["pairs"]), (&4_100.into(), &410.into()), "{report}");
    let left = fs::read_dir(at.join("killed"))?.flatten().filter(|f| f.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0, "what was half-written is swept");
    Ok(())
}

#[test]
fn what_is_known() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let json = |arguments: &[&str]| -> Outcome<Value> {
        let (code, out, err) = rampart(at, &[arguments, &["--output-format", "json"]].concat())?;
        assert_eq!(code, Some(0), "{err}");
        Ok(serde_json::from_str(&out)?)
    };
    for language in ["python", "javascript", "java", "go", "ruby", "c"] {
        let known = json(&["kb", "list", "modules", "--language", language])?;
        assert!(known["modules"].as_array().is_some_and(|m| m.len() >= 75), "{language}");
        let table = json(&["kb", "coverage", "--language", language])?;
        assert!(table["totals"][language]["found"].as_u64().is_some_and(|n| n > 0), "{language}");
    }
    let list = "<?xml version=\"1.0\"?><Weakness_Catalog Version=\"9\"><Weaknesses><Weakness ID=\"89\" Name=\"Texts as statements\" \
                Abstraction=\"Base\" Status=\"Stable\"><Description>d</Description></Weakness></Weaknesses></Weakness_Catalog>";
    fs::write(at.join("list.xml"), list)?;
    let known = json(&["kb", "list", "weaknesses", "--catalogue", "list.xml"])?;
    assert_eq!(known["catalogue"]["weaknesses"]["CWE-89"]["name"], "Texts as statements");
    fs::write(at.join("list.xml"), &list[..100])?;
    for (arguments, expect) in [
        (["kb", "list", "--catalogue", "list.xml"], "list.xml, byte"),
        (["kb", "list", "--catalogue", "absent.xml"], "cannot read absent.xml"),
        (["kb", "coverage", "--rules", "list.xml"], "not SARIF"),
    ] {
        let (code, _, err) = rampart(at, &arguments)?;
        assert!(code == Some(2) && err.contains(expect), "{err}");
    }
    let (code, out, _) = rampart(at, &["kb", "coverage", "--cwe", "CWE-89"])?;
    assert!(code == Some(0) && out.contains("python"), "{out}");
    Ok(())
}
