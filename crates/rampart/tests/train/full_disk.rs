//! A disk that fills midway, and outputs that nobody can write to or reads: `ulimit -f` makes writes fail as a full disk
//! does, `/dev/full` is one.

use super::bench::{Bench, Outcome, Run, contents, one_message};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

/// The folder of the last whole checkpoint.
fn last_checkpoint(output: &Path) -> Outcome<PathBuf> {
    let numbers = fs::read_dir(output)?.flatten().filter_map(|entry| {
        let number: usize = entry.file_name().to_str()?.strip_prefix("checkpoint-")?.parse().ok()?;
        entry.path().join("state.json").exists().then_some((number, entry.path()))
    });
    Ok(numbers.max().ok_or("no checkpoint is whole")?.1)
}

/// Trains past a checkpoint, goes on under a limit that no further checkpoint fits, then without it.
fn check_limit(run: Run<'_>) -> Outcome {
    let bench = Bench::new()?;
    let whole = bench.config(Run { output: "whole", ..run })?;
    bench.finishes(&["train", &whole])?;
    let config = bench.config(Run { output: "full", ..run })?;
    let mut running = bench.start(&["train", &config])?;
    running.hear("step 14/")?;
    running.kill()?;
    let saved = last_checkpoint(&bench.path("full"))?;
    let before = contents(&saved)?;
    let size = fs::metadata(saved.join("state.safetensors"))?.len();
    let half = usize::try_from(size / 2048)?;

    let output = bench.limited(half, &["train", &config, "--resume"]).output()?;
    let said = one_message(&output)?;
    assert!(said.contains("rampart: cannot write "), "{said}");
    assert!(said.contains("/state.safetensors: File too large"), "{said}");
    assert!(contents(&saved)? == before, "the earlier checkpoint changed");
    for path in contents(&bench.path("full"))?.into_keys() {
        assert!(!path.to_string_lossy().contains(".partial-"), "{} was left behind", path.display());
    }
    let said = bench.finishes(&["train", &config, "--resume"])?;
    assert!(said.contains("resuming after step "), "{said}");
    bench.same("whole", "full")
}

#[test]
fn a_full_disk_in_a_checkpoint_of_all_weights() -> Outcome {
    check_limit(Run::SFT)
}

#[test]
fn a_full_disk_in_a_checkpoint_of_an_adapter() -> Outcome {
    check_limit(Run::LPO)
}

#[test]
fn a_full_disk_in_the_metrics_and_the_result() -> Outcome {
    let bench = Bench::new()?;
    let run = Run { steps: 20, every: 0, ..Run::SFT };
    bench.finishes(&["train", &bench.config(Run { output: "whole", ..run })?])?;
    let config = bench.config(Run { output: "full", ..run })?;
    // One kilobyte holds a few lines of metrics; the limit falls inside a line.
    let output = bench.limited(1, &["train", &config]).output()?;
    let said = one_message(&output)?;
    assert!(said.contains("full/metrics.jsonl: File too large"), "{said}");
    bench.finishes(&["train", &config, "--resume"])?;
    bench.same("whole", "full")?;

    // Twelve hold all metrics and not the model: an older result stays as it was.
    let before = bench.results("full")?;
    let output = bench.limited(12, &["train", &config]).output()?;
    let said = one_message(&output)?;
    assert!(said.contains("full/best.next/model.safetensors: File too large"), "{said}");
    assert!(!bench.path("full/best.next").exists() && bench.results("full")? == before, "the older weights changed");
    let output = bench.limited(12, &["train", &config, "--set", "evaluation.keep-best=false"]).output()?;
    let said = one_message(&output)?;
    assert!(said.contains("full/model/model.safetensors: File too large"), "{said}");
    assert!(bench.results("full")? == before, "the older model changed");
    bench.same("whole", "full")
}

#[test]
fn outputs_that_cannot_be_written_are_named() -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run { steps: 2, ..Run::LPO })?;
    bench.file("file", "mine")?;
    bench.refuses(&["train", &config, "--set", "output=file"], &["cannot write file: "])?;
    bench.refuses(&["train", &config, "--set", "output=file/below"], &["cannot write file/below: "])?;
    let generate = ["generate", "--model", "model", "--prompts", "prompts.jsonl", "--max-new-tokens", "4", "--out"];
    let ask = |out: &'static str| [&generate[..], &[out]].concat();
    bench.refuses(&ask("file/samples.jsonl"), &["cannot write file/samples.jsonl: "])?;
    bench.refuses(&ask("model"), &["cannot write model: is a directory"])?;
    // Through a link of the test's own: the machine's device is not for a test to lose.
    std::os::unix::fs::symlink("/dev/full", bench.path("full"))?;
    let said = one_message(&bench.run(&ask("full"))?)?;
    assert!(said.contains("cannot write full: No space left on device"), "{said}");
    assert!(fs::symlink_metadata(bench.path("full"))?.is_symlink());
    let output = bench.limited(0, &ask("samples.jsonl")).output()?;
    assert!(one_message(&output)?.contains("cannot write samples.jsonl: File too large"));
    assert!(!bench.path("samples.jsonl").exists());
    bench.finishes(&["train", &config])?;
    let merge = ["merge", "--model", "model", "--adapter", "out/adapter", "--out", "merged"];
    let output = bench.limited(20, &merge).output()?;
    assert!(one_message(&output)?.contains("cannot write merged/model.safetensors: File too large"));
    assert!(contents(&bench.path("merged"))?.is_empty());
    Ok(())
}

#[test]
fn nobody_listening_does_not_end_a_run() -> Outcome {
    let bench = Bench::new()?;
    let run = Run { steps: 20, every: 7, ..Run::SFT };
    bench.finishes(&["train", &bench.config(Run { output: "whole", ..run })?])?;
    // A log on a full disk, and a reader that has gone.
    let config = bench.config(Run { output: "log", ..run })?;
    let full = || fs::OpenOptions::new().write(true).open("/dev/full");
    let status = bench.command(&["train", &config]).stdout(Stdio::null()).stderr(full()?).status()?;
    assert_eq!(status.code(), Some(0));
    bench.same("whole", "log")?;
    let config = bench.config(Run { output: "reader", ..run })?;
    let mut child = bench.command(&["train", &config]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait()?.code(), Some(0));
    bench.same("whole", "reader")?;
    // The answer itself on a full disk is a failure, said once; the result stands.
    let config = bench.config(Run { output: "answer", ..run })?;
    let output = bench.command(&["train", &config]).stdout(full()?).stderr(Stdio::piped()).output()?;
    assert!(one_message(&output)?.contains("cannot write to stdout: No space left on device"));
    bench.same("whole", "answer")
}
