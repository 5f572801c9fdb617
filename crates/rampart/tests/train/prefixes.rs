//! Prefixes from training to use: two controls, each an adapter of its own.

use super::bench::{Bench, Outcome, Run};
use std::fs;

#[test]
fn two_prefixes_are_trained_used_and_trained_on() -> Outcome {
    let bench = Bench::new()?;
    let run = Run { steps: 40, objective: "kind = \"sven\"\nkl-weight = 0.0", ..Run::SVEN };
    let config = bench.config(run)?;
    bench.finishes(&["train", &config, "--set=optim.learning-rate=0.3"])?;
    let metrics = bench.metrics("out")?;
    let margin = |at: usize| metrics[at]["margin"].as_f64().ok_or("no margin");
    assert!(margin(0)?.abs() < 1e-6, "both prefixes begin as one");
    assert!(margin(39)? > 0.1, "the right control makes a text likelier than the wrong one: {}", margin(39)?);

    let answer = |name: &str, adapters: &[&str]| -> Outcome<String> {
        let out = format!("{name}.jsonl");
        let given: Vec<&str> = adapters.iter().flat_map(|adapter| ["--adapter", adapter]).collect();
        let asked = [
            "generate",
            "--model",
            "model",
            "--prompts",
            "prompts.jsonl",
            "--max-new-tokens",
            "24",
            "--temperature",
            "0",
        ];
        bench.finishes(&[&asked[..], &["--out", &out], &given].concat())?;
        Ok(fs::read_to_string(bench.path(&out))?)
    };
    let (plain, secure) = (answer("plain", &[])?, answer("secure", &["out/adapter"])?);
    let insecure = answer("insecure", &["out/adapter/insecure"])?;
    assert!(plain != secure && secure != insecure && plain != insecure, "{plain}{secure}{insecure}");

    // Where another run starts from, and what is refused.
    let start = "--set=model.init-adapter=out/adapter";
    let again = bench.config(Run { output: "again", ..run })?;
    bench.finishes(&["train", &again, start, "--set=optim.steps=3"])?;
    let first = bench.metrics("again")?[0]["margin"].as_f64().ok_or("no margin")?;
    assert!(first > 0.05, "what was learnt is still there: {first}");
    let other = bench.config(Run { output: "other", steps: 3, ..Run::LPO })?;
    bench.refuses(&["train", &other, start], &["out/adapter: model.init-adapter holds another kind of adapter"])?;
    let one = ["train", &again, "--set=output=one", "--set=model.init-adapter=out/adapter/insecure"];
    bench.refuses(&one, &["fewer controls than the objective"])?;
    let merge = ["merge", "--model", "model", "--adapter", "out/adapter", "--out", "merged"];
    bench.refuses(&merge, &["a prefix cannot be merged into weights"])
}

#[test]
fn folders_of_prefixes_that_do_not_fit_are_refused() -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run { steps: 2, ..Run::SVEN })?;
    bench.finishes(&["train", &config])?;
    let use_it =
        ["generate", "--model", "model", "--prompts", "prompts.jsonl", "--out", "s.jsonl", "--adapter", "out/adapter"];
    let settings = bench.path("out/adapter/adapter_config.json");
    let whole = fs::read_to_string(&settings)?;
    fs::write(&settings, whole.replace("\"prefix_projection\": false", "\"prefix_projection\": true"))?;
    bench.refuses(&use_it, &["adapter_config.json", "prefix_projection"])?;
    fs::write(&settings, whole.replace("PREFIX_TUNING", "P_TUNING"))?;
    bench.refuses(&use_it, &["P_TUNING", "PREFIX_TUNING"])?;
    fs::write(&settings, &whole)?;
    let tensors = bench.path("out/adapter/adapter_model.safetensors");
    let bytes = fs::read(&tensors)?;
    fs::write(&tensors, &bytes[..bytes.len() - 40])?;
    bench.refuses(&use_it, &["adapter_model.safetensors", "not a whole safetensors file"])?;
    // Another model's: as many values in another shape.
    let at = bytes.windows(7).position(|w| w == b"[3,128]").ok_or("the shape")?;
    let mut other = bytes.clone();
    other[at..at + 7].copy_from_slice(b"[6,64] ");
    fs::write(&tensors, other)?;
    bench.refuses(&use_it, &["prompt_embeddings", "[6, 64]", "[6, 128]"])
}
