//! `rampart eval` asks `rampart serve`: the answers and verdicts are those of the model asked directly.

use crate::client::{Outcome, Server, tiny};
use std::{fs, process::Command};

#[test]
fn a_served_model_scores_as_the_same_model_here() -> Outcome {
    let server = Server::start(&tiny(), &["--template", "docstring"], &[])?;
    let folder = tempfile::tempdir()?;
    let there = format!("there=http://{}/v1#tiny", server.address);
    let here = format!("here={}", tiny().display());
    let out = folder.path().join("out");
    let done = Command::new(env!("CARGO_BIN_EXE_rampart"))
        .args(["eval", "owasp", "--model", &here, "--model", &there, "--temperature", "0", "--max-new-tokens", "60"])
        .args(["--samples-per-prompt", "1", "--analyzer", "native", "--no-run", "--out"])
        .arg(&out)
        .env_remove("RAMPART_ENDPOINT_KEY")
        .output()?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for file in ["samples.jsonl", "verdicts.jsonl"] {
        let [here, there] = ["here", "there"].map(|name| fs::read_to_string(out.join(name).join(file)));
        let (here, there) = (here?, there?);
        assert!(here.lines().count() == 10 && here == there, "{file}\n{here}\n{there}");
    }
    Ok(())
}

#[test]
fn a_model_here_is_held_to_phrases() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (prompts, out) = (folder.path().join("prompts.jsonl"), folder.path().join("out.jsonl"));
    fs::write(&prompts, r#"{"format":1,"id":"a","prompt":"def add(a, b):\n"}"#)?;
    let done = Command::new(env!("CARGO_BIN_EXE_rampart"))
        .args(["generate", "--samples", "3", "--max-new-tokens", "40", "--require", "# held", "--forbid", "return"])
        .arg("--model")
        .arg(tiny())
        .args([&"--prompts".into(), &prompts, &"--out".into(), &out])
        .output()?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let samples = fs::read_to_string(&out)?;
    assert!(samples.lines().count() == 3 && samples.lines().all(|l| l.contains("# held") && !l.contains("return")));
    Ok(())
}
