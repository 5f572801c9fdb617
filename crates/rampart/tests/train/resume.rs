//! A run that was killed or interrupted and then resumed ends as one that was not.

use super::bench::{Bench, Outcome, Run, one_message};
use std::{fs, path::Path};

/// Runs whole, runs again with a SIGKILL past a checkpoint, resumes, and compares.
fn check_kill(run: Run<'_>) -> Outcome {
    let bench = Bench::new()?;
    let whole = bench.config(Run { output: "whole", ..run })?;
    bench.finishes(&["train", &whole])?;
    let config = bench.config(Run { output: "killed", ..run })?;
    let mut running = bench.start(&["train", &config])?;
    // A line is said every seventh step and a checkpoint stands at every eighth: the steps after the last are lost.
    running.hear("step 21/")?;
    running.kill()?;
    assert!(bench.metrics("killed")?.len() >= 21);
    assert!(!bench.path("killed/model").exists() && !bench.path("killed/adapter").exists());
    let said = bench.finishes(&["train", &config, "--resume"])?;
    assert!(said.contains("resuming after step "), "{said}");
    assert!(!said.contains("resuming after step 0"), "{said}");
    bench.same("whole", "killed")?;
    // Once more over a finished run: the same again.
    bench.finishes(&["train", &config, "--resume"])?;
    bench.same("whole", "killed")
}

#[test]
fn sft_goes_on_after_kill_9() -> Outcome {
    check_kill(Run::SFT)
}

#[test]
fn lpo_with_an_adapter_goes_on_after_kill_9() -> Outcome {
    check_kill(Run::LPO)
}

#[test]
fn sven_with_two_prefixes_goes_on_after_kill_9() -> Outcome {
    check_kill(Run::SVEN)
}

#[test]
fn dpo_keeps_its_reference_after_kill_9() -> Outcome {
    check_kill(Run::DPO)
}

/// Ctrl-C: exit 2, since the model that was asked for is not there; a checkpoint of that very step.
fn check_interrupt(run: Run<'_>, signal: &str) -> Outcome {
    let bench = Bench::new()?;
    let whole = bench.config(Run { output: "whole", ..run })?;
    bench.finishes(&["train", &whole])?;
    // No checkpoint but the one that the signal asks for.
    let config = bench.config(Run { output: "stopped", every: 0, ..run })?;
    let mut running = bench.start(&["train", &config])?;
    running.hear("step 14/")?;
    running.signal(signal)?;
    let (status, said) = running.ends()?;
    assert_eq!(status.code(), Some(2), "{said}");
    let steps = bench.metrics("stopped")?.len();
    assert!((14..run.steps).contains(&steps), "{steps} steps: {said}");
    let expect = format!("stopped after step {steps}: saved ");
    assert!(said.contains(&expect) && said.contains("--resume goes on") && !said.contains("panicked"), "{said}");
    assert!(bench.path(&format!("stopped/checkpoint-{steps}/state.json")).exists());
    let said = bench.finishes(&["train", &config, "--resume"])?;
    assert!(said.contains(&format!("resuming after step {steps}")), "{said}");
    bench.same("whole", "stopped")
}

#[test]
fn sft_goes_on_after_ctrl_c() -> Outcome {
    check_interrupt(Run::SFT, "INT")
}

#[test]
fn lpo_with_an_adapter_goes_on_after_sigterm() -> Outcome {
    check_interrupt(Run::LPO, "TERM")
}

/// What is being written when the process is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The tensors, still under a temporary name.
    Tensors,
    /// Tensors are there, the file that makes the checkpoint whole is not.
    Between,
    /// A new checkpoint is whole and the oldest may be half removed.
    Pruning,
}

/// Whether some checkpoint after `step` is at that moment.
fn at(output: &Path, step: usize, moment: Moment) -> bool {
    let checkpoints = fs::read_dir(output).into_iter().flatten().flatten().filter_map(|entry| {
        let number: usize = entry.file_name().to_str()?.strip_prefix("checkpoint-")?.parse().ok()?;
        (number > step).then(|| entry.path())
    });
    checkpoints.into_iter().any(|folder| {
        let has = |name: &str| folder.join(name).exists();
        match moment {
            Moment::Tensors => !has("state.safetensors"),
            Moment::Between => has("state.safetensors") && !has("state.json"),
            Moment::Pruning => has("state.json"),
        }
    })
}

#[test]
fn a_kill_while_a_checkpoint_is_written_costs_nothing() -> Outcome {
    let bench = Bench::new()?;
    let run = Run { steps: 100, every: 1, ..Run::SFT };
    let whole = bench.config(Run { output: "whole", ..run })?;
    bench.finishes(&["train", &whole])?;
    let config = bench.config(Run { output: "killed", ..run })?;
    let output = bench.path("killed");
    let moments = [Moment::Tensors, Moment::Between, Moment::Pruning, Moment::Between, Moment::Tensors];
    for (i, moment) in moments.into_iter().enumerate() {
        let after = 3 + 6 * i;
        let mut running = bench.start(&["train", &config, "--resume"])?;
        assert!(running.until(|| at(&output, after, moment))?, "the run ended before {moment:?} after step {after}");
        running.kill()?;
        let saved = bench.path(&format!("killed/checkpoint-{after}/state.json"));
        assert!(saved.exists() || at(&output, after, Moment::Pruning), "{moment:?}: no whole checkpoint is left");
    }
    let said = bench.finishes(&["train", &config, "--resume"])?;
    assert!(!said.contains("from the beginning"), "{said}");
    bench.same("whole", "killed")
}

#[test]
fn a_forgotten_resume_overwrites_nothing() -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run { steps: 4, every: 2, ..Run::SFT })?;
    bench.finishes(&["train", &config])?;
    bench.refuses(&["train", &config], &["checkpoint-2", "--resume"])?;
    bench.refuses(
        &["train", &config, "--resume", "--set", "seed=6"],
        &["checkpoint-2", "another configuration", "choose another output"],
    )?;
    let pairs = fs::read_to_string(bench.path("pairs.jsonl"))?;
    bench.file("pairs.jsonl", &pairs.replacen("int(", "len(", 1))?;
    bench.refuses(&["train", &config, "--resume"], &["checkpoint-2", "was made with other data", "data.train"])?;
    bench.file("pairs.jsonl", &pairs)?;
    // A damaged checkpoint is named; without it the run starts where one is whole.
    let state = bench.path("out/checkpoint-2/state.safetensors");
    let bytes = fs::read(&state)?;
    fs::write(&state, &bytes[..bytes.len() / 2])?;
    bench.refuses(&["train", &config, "--resume"], &["checkpoint-2", "not a whole safetensors file", "remove this"])?;
    fs::write(&state, bytes)?;
    fs::write(bench.path("out/checkpoint-2/state.json"), "{\"format\":1,")?;
    bench.refuses(&["train", &config, "--resume"], &["checkpoint-2", "state.json", "remove this"])
}

#[test]
fn two_runs_do_not_share_a_folder() -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run { steps: 1_000_000, ..Run::SFT })?;
    let mut running = bench.start(&["train", &config, "--set", "checkpoint.every=0"])?;
    running.hear("1000000 steps")?;
    let output = bench.run(&["train", &config, "--resume"])?;
    assert!(one_message(&output)?.contains("another run is writing here"));
    running.kill()
}

#[test]
fn a_run_does_not_end_on_what_it_started_from() -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run { steps: 2, ..Run::SFT })?;
    bench.refuses(&["train", &config, "--set", "output=."], &["model", "choose another output folder"])?;
    bench.refuses(
        &["merge", "--model", "model", "--adapter", "a", "--out", "./model/"],
        &["--out is the model itself", "name another folder"],
    )
}
