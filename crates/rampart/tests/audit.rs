//! `rampart data audit --model`: a model's loss of every pair beside the other checks.
#![cfg(feature = "torch")]
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test")]

use serde_json::Value;
use std::{path::Path, process::Command};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn rampart(at: &Path, arguments: &[&str]) -> Outcome<(Option<i32>, String, String)> {
    let done = Command::new(env!("CARGO_BIN_EXE_rampart")).current_dir(at).arg("data").args(arguments).output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((done.status.code(), text(done.stdout), text(done.stderr)))
}

/// The embedded model knows the insecure habits it was made with: turned around, most of a lesson's pairs are what it expects,
/// and as they are, those whose secure side surprises it most stand out. What is wrong with the arguments is one message.
#[test]
fn a_model_looks_at_every_pair() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let lesson = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content/lessons/python/eval-arithmetic.md");
    let lesson = lesson.to_str().ok_or("a path")?;
    let (code, _, said) = rampart(at, &["expand", lesson, "--per-lesson", "6", "--out", "pairs.jsonl"])?;
    assert_eq!(code, Some(0), "{said}");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
    let model = model.to_str().ok_or("a path")?;
    let audit = |more: &[&str]| rampart(at, &[&["audit", "pairs.jsonl", "--output-format", "json"][..], more].concat());
    // A limit that nothing is below lets every surprise through, one that nothing is above none.
    let mut counts = Vec::new();
    for limit in ["-1000", "1000"] {
        let (code, out, said) = audit(&["--model", model, "--template", "docstring", &format!("--loss={limit}")])?;
        let told: Value = serde_json::from_str(&out).map_err(|e| format!("{e}: {said}"))?;
        assert!(code.is_some_and(|c| c < 2) && said.contains("examples used"), "{said}");
        counts.push(told["checks"]["loss"].as_u64().unwrap_or(0));
    }
    assert!(counts[0] > 0 && counts[1] == 0, "{counts:?}");
    for (more, expect) in [
        (&["--model", "absent"][..], "cannot read absent"),
        (&["--model", model, "--template", "nothing"], "--template \"nothing\""),
        (&["--model", model, "--adapter", "absent"], "absent"),
        (&["--model", model, "--loss", "NaN"], "--loss NaN is no number"),
        (&["--adapter", "x"], "--model"),
    ] {
        let (code, out, said) = audit(more)?;
        assert!(code == Some(2) && said.contains(expect) && out.is_empty(), "{more:?}: {said}");
    }
    Ok(())
}
