//! `rampart experiment`: a grid is trained and evaluated, gone on with, and put into a page.
#![cfg(feature = "torch")]
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test")]

use serde_json::Value;
use std::{fs, path::Path, process::Command, time::SystemTime};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Two steps a stage and two tokens an answer: what is learnt does not matter here.
fn poison(at: &Path, share: &str) -> Outcome<(Option<i32>, String, String)> {
    let done = Command::new(env!("CARGO_BIN_EXE_rampart"))
        // Where the set-up put Bandit.
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .args(["experiment", "poison", "--cwe", "CWE-89", "--share", share, "--steps", "2", "1", "--suite", "lessons"])
        .args(["--per-lesson", "1", "--pairs-per-lesson", "1", "--max-new-tokens", "2", "--out"])
        .arg(at.join("out"))
        .arg("--page")
        .arg(at.join("results.md"))
        .output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((done.status.code(), text(done.stdout), text(done.stderr)))
}

fn changed(path: &Path) -> Outcome<SystemTime> {
    Ok(fs::metadata(path)?.modified()?)
}

#[test]
fn poisoned_pairs_are_trained_on_before_and_after_an_audit() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let (code, table, said) = poison(at, "0.05")?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("pairs are bad; the audit suspects"), "{said}");
    for row in ["| base |", "| clean |", "| poisoned |", "| audited |", "InS of CWE-89"] {
        assert!(table.contains(row), "{row}: {table}");
    }
    let rows =
        |name: &str| -> Outcome<usize> { Ok(fs::read_to_string(at.join("out/data").join(name))?.lines().count()) };
    assert_eq!(rows("poisoned.jsonl")?, rows("pairs.jsonl")?);
    assert!(rows("audited.jsonl")? < rows("pairs.jsonl")?);
    assert!(fs::read_to_string(at.join("results.md"))?.contains("<!-- experiment poison -->"));
    let results: Value = serde_json::from_str(&fs::read_to_string(at.join("out/results.json"))?)?;
    assert_eq!(results["rows"].as_array().map(Vec::len), Some(4));

    // What is done is not done again, and the answer is the same.
    let model = at.join("out/train/sft-audited/model/model.safetensors");
    let before = changed(&model)?;
    let (code, again, _) = poison(at, "0.05")?;
    assert_eq!((code, again), (Some(0), table));
    assert_eq!(changed(&model)?, before);

    let (code, _, said) = poison(at, "0.9")?;
    assert!(code == Some(2) && said.contains("--share"), "{said}");
    Ok(())
}
