//! What saves memory: weights in four bits, and blocks that run again.

use super::bench::{Bench, Outcome, Run};

fn losses(bench: &Bench, output: &str, sets: &[&str]) -> Outcome<Vec<f64>> {
    let config = bench.config(Run { output, steps: 60, ..Run::LPO })?;
    let mut arguments = vec!["train", &config];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    bench.finishes(&arguments)?;
    assert!(bench.path(output).join("adapter/adapter_model.safetensors").exists());
    Ok(bench.metrics(output)?.iter().filter_map(|row| row["loss"].as_f64()).collect())
}

/// The adapter learns on a base in four bits, from where the whole base starts.
#[test]
fn an_adapter_learns_on_four_bits() -> Outcome {
    let bench = Bench::new()?;
    let whole = losses(&bench, "whole", &[])?;
    let four = losses(&bench, "four", &["model.dtype=nf4"])?;
    assert!(four != whole && (four[0] - whole[0]).abs() < 0.02 * whole[0], "{} and {}", four[0], whole[0]);
    let mean = |l: &[f64]| l.iter().sum::<f64>() / l.len() as f64;
    assert!(mean(&four[50..]) < mean(&four[..10]), "{four:?}");
    // What it learnt answers on the base as it was.
    let generate = ["generate", "--model", "model", "--adapter", "four/adapter", "--prompts", "prompts.jsonl"];
    for dtype in ["f32", "nf4"] {
        let out = format!("{dtype}.jsonl");
        let rest = ["--max-new-tokens", "8", "--dtype", dtype, "--out", &out];
        bench.finishes(&[&generate[..], &rest].concat())?;
    }
    Ok(())
}

/// Blocks that run again change nothing: with dropout they draw the same.
#[test]
fn blocks_that_run_again_learn_the_same() -> Outcome {
    let bench = Bench::new()?;
    let none = "model.adapter.dropout=0.0";
    let (kept, again) = (losses(&bench, "kept", &[none])?, losses(&bench, "again", &[none, "device.recompute=true"])?);
    assert_eq!(kept, again);
    assert_eq!(bench.results("kept")?, bench.results("again")?);
    Ok(())
}

/// A long run tries its largest step first and forgets it: a short one, which does not, begins with the same digits.
#[test]
fn the_largest_step_is_tried_and_forgotten() -> Outcome {
    let bench = Bench::new()?;
    let run = |output, steps| -> Outcome<_> {
        let config = bench.config(Run { output, steps, ..Run::LPO })?;
        let sets = ["--set", "optim.schedule=constant", "--set", "optim.warmup-ratio=0.0"];
        let said = bench.finishes(&[&["train", &config], &sets[..]].concat())?;
        let mut rows = bench.metrics(output)?;
        rows.iter_mut().filter_map(|row| row.as_object_mut()).for_each(|row| drop(row.remove("seconds")));
        Ok((rows, said.contains("trying the largest step first: number ")))
    };
    let ((long, tried), (short, not)) = (run("long", 60)?, run("short", 30)?);
    assert!(tried && !not);
    assert_eq!(long[..30], short[..]);
    Ok(())
}
