//! Several processes that train as one: the losses of a single process, one end for all, and nothing lost with a rank.

use super::bench::{Bench, Outcome, Run, Running};
use serde_json::Value;
use std::{net::TcpListener, process::Command};

/// The processes of a run, which meet on a free port of this machine.
fn start(bench: &Bench, world: usize, arguments: &[&str]) -> Outcome<Vec<Running>> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let one = |rank: usize| {
        let mut command: Command = bench.command(arguments);
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
        command.env("WORLD_SIZE", world.to_string()).env("RANK", rank.to_string());
        bench.start_as(command)
    };
    (0..world).map(one).collect()
}

/// Every process ends with exit 0, or the first that does not says why.
fn all_finish(running: Vec<Running>) -> Outcome {
    for (rank, process) in running.into_iter().enumerate() {
        let (status, said) = process.ends()?;
        assert_eq!(status.code(), Some(0), "rank {rank}: {said}");
    }
    Ok(())
}

fn close(one: &[Value], other: &[Value]) {
    assert_eq!(one.len(), other.len());
    for (a, b) in one.iter().zip(other) {
        for key in ["loss", "grad-norm", "eval-loss", "margin", "tokens", "unique-tokens", "learning-rate"] {
            let (x, y) = (a[key].as_f64(), b[key].as_f64());
            let near = x.zip(y).is_some_and(|(x, y)| (x - y).abs() < 1e-4 * x.abs().max(1.0));
            assert!(near || x == y, "{key}: {a} and {b}");
        }
    }
}

/// Two and three processes against one, with batches that do not divide evenly, held-out data and a checkpoint.
fn check_losses(run: Run<'_>) -> Outcome {
    let bench = Bench::new()?;
    let run = Run { steps: 20, ..run };
    bench.finishes(&["train", &bench.config(Run { output: "one", ..run })?])?;
    for world in [2, 3] {
        let output = format!("of-{world}");
        let config = bench.config(Run { output: &output, ..run })?;
        all_finish(start(&bench, world, &["train", &config])?)?;
        close(&bench.metrics("one")?, &bench.metrics(&output)?);
        assert!(!bench.results(&output)?.is_empty());
    }
    Ok(())
}

#[test]
fn sft_over_ranks_has_the_losses_of_one_process() -> Outcome {
    check_losses(Run::SFT)
}

#[test]
fn dpo_over_ranks_has_the_losses_of_one_process() -> Outcome {
    check_losses(Run::DPO)
}

#[test]
fn lpo_over_ranks_has_the_losses_of_one_process() -> Outcome {
    // Each rank draws a dropout of its own: without it the sums are the same.
    let adapter = "{ kind = \"lora\", r = 4, alpha = 8, targets = \"all-linear\" }";
    check_losses(Run { adapter, ..Run::LPO })
}

/// A rank that is killed ends the run with one message; the last checkpoint goes on, here in one process.
fn check_lost(lost: usize) -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run::SFT)?;
    let mut running = start(&bench, 2, &["train", &config])?;
    running[0].hear("step 14/")?;
    running.remove(lost).kill()?;
    let (status, said) = running.remove(0).ends()?;
    assert_eq!(status.code(), Some(2), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("rampart: rank ") && last.contains("lost another rank"), "{said}");
    assert!(!said.contains("panicked") && !bench.path("out/model").exists(), "{said}");
    let said = bench.finishes(&["train", &config, "--resume"])?;
    assert!(said.contains("resuming after step 8"), "{said}");
    assert_eq!(bench.metrics("out")?.len(), Run::SFT.steps);
    Ok(())
}

#[test]
fn a_killed_rank_ends_the_run_with_a_good_checkpoint() -> Outcome {
    check_lost(1)
}

#[test]
fn the_first_rank_may_be_killed_as_well() -> Outcome {
    check_lost(0)
}

/// Ctrl-C that reaches one rank stops all of them after the same step.
#[test]
fn ranks_stop_together() -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run { every: 0, ..Run::SFT })?;
    let mut running = start(&bench, 2, &["train", &config])?;
    running[0].hear("step 14/")?;
    running[1].signal("INT")?;
    let ends: Vec<_> = running.into_iter().map(Running::ends).collect::<Outcome<_>>()?;
    for (status, said) in &ends {
        assert_eq!(status.code(), Some(2), "{said}");
    }
    let steps = bench.metrics("out")?.len();
    assert!(ends[0].1.contains(&format!("stopped after step {steps}: saved ")), "{}", ends[0].1);
    let said = bench.finishes(&["train", &config, "--resume"])?;
    assert!(said.contains(&format!("resuming after step {steps}")), "{said}");
    Ok(())
}

#[test]
fn a_meeting_that_cannot_be_is_refused() -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run::SFT)?;
    for (variables, expect) in [
        ([("WORLD_SIZE", "2"), ("RANK", "5")], "ranks are below their number"),
        ([("WORLD_SIZE", "many"), ("RANK", "0")], "expected a number"),
    ] {
        let mut command = bench.command(&["train", &config]);
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", "1").envs(variables);
        bench.refuses_as(command, &[expect])?;
    }
    Ok(())
}
