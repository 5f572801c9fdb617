//! `rampart scan` in a project's daily life: known findings, changed lines, folders' own settings, other programs' reports.
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test, and git")]

use serde_json::Value;
use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Command, Output},
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const WEAK: &str = "import os\n\n\ndef ping(host):\n    os.system(\"ping \" + host)\n";

fn rampart(folder: &Path, arguments: &[&str]) -> Outcome<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_rampart")).args(arguments).current_dir(folder).output()?)
}

/// Rules found in each file, by a scan that must end with this code.
#[track_caller]
fn found(folder: &Path, arguments: &[&str], code: i32) -> Outcome<Vec<String>> {
    let output = rampart(folder, &[&["scan", "--output-format", "json"], arguments].concat())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let findings = report["findings"].as_array().ok_or("no findings member")?;
    let show = |f: &Value| {
        format!("{}:{}:{}", f["path"].as_str().unwrap_or(""), f["start"]["line"], f["rule"].as_str().unwrap_or(""))
    };
    Ok(findings.iter().map(show).collect())
}

fn folder(files: &[(&str, &str)]) -> Outcome<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().ok_or("parent")?)?;
        fs::write(path, text)?;
    }
    Ok(folder)
}

#[test]
fn a_baseline_hides_what_is_known_and_nothing_else() -> Outcome {
    let folder = folder(&[("a.py", WEAK)])?;
    let at = folder.path();
    let output = rampart(at, &["scan", "a.py", "--write-baseline", "known.json"])?;
    assert_eq!(output.status.code(), Some(0));
    assert!(found(at, &["a.py", "--baseline", "known.json"], 0)?.is_empty());
    // Lines above come and go; a second finding on an equal line is new.
    fs::write(
        at.join("a.py"),
        format!("\"\"\"New.\"\"\"\n\n{WEAK}\n\ndef again(host):\n    os.system(\"ping \" + host)\n"),
    )?;
    let new = found(at, &["a.py", "--baseline", "known.json"], 1)?;
    assert_eq!(new, ["a.py:11:command-injection", "a.py:11:unchecked-return-code"]);
    for (text, says) in [("{}", "no baseline"), ("{\"format\": 9, \"findings\": []}", "format 9")] {
        fs::write(at.join("bad.json"), text)?;
        let output = rampart(at, &["scan", "a.py", "--baseline", "bad.json"])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(says), "{said}");
    }
    Ok(())
}

#[test]
fn a_diff_shows_changed_lines_and_new_files() -> Outcome {
    let folder = folder(&[("old.py", WEAK), ("sub/same.py", WEAK)])?;
    let at = folder.path();
    let git = |arguments: &[&str]| -> Outcome<bool> {
        let settings = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
        Ok(Command::new("git").args(settings).args(arguments).current_dir(at).output()?.status.success())
    };
    if !git(&["init", "-q"]).unwrap_or(false) {
        eprintln!("skipped: git is not here");
        return Ok(());
    }
    assert!(git(&["add", "."])? && git(&["commit", "-qm", "first"])?);
    assert!(found(at, &[".", "--diff", "HEAD"], 0)?.is_empty());
    fs::write(at.join("old.py"), format!("{WEAK}\n\ndef run(text):\n    return eval(text)\n"))?;
    fs::write(at.join("sub/new.py"), "def run(text):\n    return eval(text)\n")?;
    let changed = ["./old.py:9:code-injection", "./sub/new.py:2:code-injection"];
    assert_eq!(found(at, &[".", "--diff", "HEAD"], 1)?, changed);
    // From a folder below, too.
    assert_eq!(found(&at.join("sub"), &[".", "--diff", "HEAD"], 1)?, ["./new.py:2:code-injection"]);
    for (base, says) in [("absent", "no revision"), ("-x", "unexpected argument")] {
        let output = rampart(at, &["scan", ".", "--diff", base])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(says), "{said}");
    }
    Ok(())
}

#[test]
fn a_folder_says_what_it_leaves_out() -> Outcome {
    let folder = folder(&[
        (".git/HEAD", ""),
        (".rampart.toml", "ignore = [\"unchecked-return-code\"]\nexclude = [\"gen/\"]\n"),
        ("a.py", WEAK),
        ("gen/b.py", WEAK),
        ("sub/.rampart.toml", "format = 1\nignore = [\"CWE-78\"]\n"),
        ("sub/c.py", WEAK),
        ("sub/d.py", "def f(t):\n    return eval(t)\n"),
    ])?;
    let at = folder.path();
    let expect = ["./a.py:5:command-injection", "./sub/d.py:2:code-injection"];
    assert_eq!(found(at, &["."], 1)?, expect);
    // What is named is looked at.
    assert_eq!(found(at, &["gen/b.py"], 1)?, ["gen/b.py:5:command-injection"]);
    fs::write(at.join("sub/.rampart.toml"), "min-severity = \"critical\"\n")?;
    assert_eq!(found(&at.join("sub"), &["c.py"], 1)?, ["c.py:5:command-injection"]);
    fs::write(at.join("sub/.rampart.toml"), "ignored = []\n")?;
    let output = rampart(at, &["scan", "."])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("did you mean `ignore`?"), "{said}");
    Ok(())
}

#[test]
fn what_an_analyzer_did_not_look_at_is_not_clean() -> Outcome {
    let folder = folder(&[("a.py", "x = 1\n")])?;
    let at = folder.path();
    let options = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(at.join("ruff"));
    std::io::Write::write_all(&mut options?, b"#!/bin/sh\necho no luck >&2\nexit 3\n")?;
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_rampart")).args(arguments).current_dir(at).env("PATH", at).output()
    };
    let output = run(&["scan", "a.py", "--analyzer", "native,ruff", "--output-format", "json"])?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(output.status.code(), Some(2), "{report}");
    assert_eq!((&report["skipped"][0]["analyzer"], &report["skipped"][0]["path"]), (&"ruff".into(), &"a.py".into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ruff left it out"));
    let output = run(&["doctor", "--output-format", "json"])?;
    assert!(output.status.success());
    Ok(())
}

#[test]
fn given_reports_and_python_2_and_explanations() -> Outcome {
    let folder = folder(&[
        ("a.py", "x = 1\n"),
        ("old.py", "def run(text):\n    print \"running\"\n    return eval(text)\n"),
        ("codeql.csv", "\"Code injection\",\"d\",\"error\",\"m\",\"/a.py\",\"1\",\"1\",\"1\",\"1\"\n"),
    ])?;
    let at = folder.path();
    assert_eq!(found(at, &["a.py", "--report", "codeql.csv"], 1)?, ["a.py:1:Code injection"]);
    assert_eq!(found(at, &["old.py"], 1)?, ["old.py:3:code-injection"], "what can be read is read");
    let output = rampart(at, &["scan", "old.py", "--explain", "--output-format", "concise"])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("What to do") && said.contains("B102, B307"), "{said}");
    let output = rampart(at, &["scan", "old.py", "--explain", "--output-format", "json"])?;
    assert_eq!(output.status.code(), Some(2));
    Ok(())
}

const TEAM: &str = "id: no-legacy-call\nlanguage: javascript\nmessage: use modern($X)\nseverity: warning\n\
                    rule: { pattern: legacy($X) }\nmetadata: { cwe: CWE-477 }\n";

/// Other languages are searched for as Python is, and users' rules come from the command line or the folder's settings.
#[test]
fn other_languages_and_rules_of_users() -> Outcome {
    let folder = folder(&[
        ("app/a.ts", "export const f = (db: Db, n: string) => db.query(`SELECT a FROM t WHERE n = '${n}'`);\n"),
        ("app/b.go", "package main\n\nvar c = tls.Config{InsecureSkipVerify: true}\n"),
        ("app/c.js", "legacy(1);\n"),
        ("app/d.rb", "def f(\n"),
        ("team/legacy.yml", TEAM),
    ])?;
    let own = ["app/a.ts:1:sql-string-building", "app/b.go:3:certificate-unchecked"];
    let team = [own[0], own[1], "app/c.js:1:no-legacy-call"];
    // The Ruby file is not valid, and one that is not looked at is not clean.
    assert_eq!(found(folder.path(), &["app"], 1)?, own);
    assert_eq!(found(folder.path(), &["app", "--rules", "team"], 1)?, team);
    fs::write(folder.path().join(".rampart.toml"), "format = 1\nrules = [\"team\"]\n")?;
    assert_eq!(found(folder.path(), &["app"], 1)?, team);
    assert_eq!(found(folder.path(), &["app/c.js"], 1)?, ["app/c.js:1:no-legacy-call"]);
    Ok(())
}

#[test]
fn broken_rules_end_the_scan() -> Outcome {
    let folder =
        folder(&[("a.js", "f();\n"), ("bad/a.yml", "id: x\nlanguage: cobol\nrule: { pattern: a }\n"), ("none/a", "")])?;
    for (rules, expect) in
        [("bad", "unknown language"), ("none", "no .yml"), ("absent", "no such file or folder of rules")]
    {
        let output = rampart(folder.path(), &["scan", "a.js", "--rules", rules])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expect) && output.stdout.is_empty(), "{rules}: {said}");
    }
    Ok(())
}
