//! `rampart data mine` and `rampart data kb` as a user meets them: a history that git itself made and packed, and wrong arguments.
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test, and git")]

use serde_json::Value;
use std::{fs, path::Path, process::Command};

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
