//! `rampart scan`, `explain` and `doctor` as a person meets them: what they print and their exit codes.
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test")]

use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const WEAK: &str = "import os\n\n\ndef ping(host):\n    os.system(\"ping \" + host)\n";
const CLEAN: &str = "import json\n\n\ndef read(text):\n    return json.loads(text)\n";

fn rampart(folder: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    // Without PATH and in a folder without .venv, so that what is installed here makes no difference.
    Command::new(env!("CARGO_BIN_EXE_rampart")).args(arguments).current_dir(folder).env("PATH", "/nonexistent").output()
}

/// A folder with a weak, a clean and an invalid file, and one that is not ours to look at.
fn project() -> std::io::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("app/.venv/lib"))?;
    for (name, text) in [
        ("app/weak.py", WEAK),
        ("app/clean.py", CLEAN),
        ("app/bad.py", "def f(:\n"),
        ("app/.venv/pyvenv.cfg", ""),
        ("app/.venv/lib/x.py", WEAK),
    ] {
        fs::write(folder.path().join(name), text)?;
    }
    Ok(folder)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn exit_codes() -> Outcome {
    let folder = project()?;
    let check = |arguments: &[&str], code: i32, says: &str| -> Outcome {
        let output = rampart(folder.path(), arguments)?;
        let said = text(&output.stderr) + &text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        Ok(())
    };
    check(&["scan", "app/clean.py"], 0, "no findings; 1 file scanned")?;
    check(&["scan", "app/weak.py"], 1, "CWE-78")?;
    check(&["scan", "app/bad.py"], 1, "app/bad.py:1:")?;
    check(&["scan", "absent.py"], 2, "absent.py: no such file or folder")?;
    check(&["scan", "app", "--analyzer", "nativ"], 2, "expected one of native, bandit")?;
    check(&["scan", "app", "--analyzer", "native,bandit", "--bandit", "/nonexistent"], 2, "make setup")?;
    check(&["scan", "app", "--output-format", "yaml"], 2, "expected one of full, concise")?;
    check(&["scan"], 2, "Usage")?;
    check(&["explain", "CWE-89"], 0, "SQL Injection")?;
    check(&["explain", "CWE-999999"], 2, "no lesson or rule")?;
    check(&["explain", "sqlite-select-fstrng"], 2, "did you mean `sqlite-select-fstring`")?;
    check(&["doctor"], 0, "sandbox")
}

#[test]
fn json_lists_files_invalid_and_findings() -> Outcome {
    let folder = project()?;
    let output = rampart(folder.path(), &["scan", "app", "--output-format", "json"])?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((&report["format"], &report["files"]), (&1.into(), &3.into()));
    assert_eq!(report["invalid"][0]["path"], "app/bad.py");
    let findings = report["findings"].as_array().ok_or("findings")?;
    assert!(findings.iter().all(|f| f["path"] == "app/weak.py"), "{findings:?}");
    assert!(findings.iter().any(|f| f["cwe"][0] == "CWE-78"), "{findings:?}");
    Ok(())
}

#[test]
fn standard_input_has_a_name() -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rampart"))
        .args(["scan", "-", "--stdin-filename", "pasted.py", "--output-format", "concise"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("stdin")?.write_all(WEAK.as_bytes())?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("pasted.py:5:5: "), "{}", text(&output.stdout));
    Ok(())
}

#[test]
fn doctor_and_explain_speak_json() -> Outcome {
    let folder = tempfile::tempdir()?;
    let doctor: Value =
        serde_json::from_slice(&rampart(folder.path(), &["doctor", "--output-format", "json"])?.stdout)?;
    let checks = doctor["checks"].as_array().ok_or("checks")?;
    // What is missing says what that costs.
    assert!(checks.iter().all(|c| c["present"] == true || c["cost"].is_string()), "{checks:?}");
    let bandit = checks.iter().find(|c| c["name"] == "bandit").ok_or("bandit")?;
    assert_eq!(bandit["present"], has_setup(), "{bandit}");
    let lesson = rampart(folder.path(), &["explain", "sqlite-select-fstring", "--output-format", "json"])?;
    let lesson: Value = serde_json::from_slice(&lesson.stdout)?;
    assert_eq!((&lesson["kind"], &lesson["cwe"][0]), (&"lesson".into(), &"CWE-89".into()));
    assert!(lesson["secure"].as_str().is_some_and(|code| !code.contains("<<")), "{lesson}");
    Ok(())
}

/// Whether the program finds a `.venv` beside its own checkout.
fn has_setup() -> bool {
    let program = Path::new(env!("CARGO_BIN_EXE_rampart"));
    program.ancestors().nth(3).is_some_and(|checkout| checkout.join(".venv/bin/bandit").is_file())
}
