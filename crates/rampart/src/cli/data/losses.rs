//! A model's loss of every pair, for `rampart data audit --model`.

use crate::cli::terminal;
use anyhow::{Context, Result, ensure};
use corpus::audit::losses::Loss;
use lexicon::{Pair, jsonl};
use models::{Compute, DeviceKind, Model, Precision};
use std::path::{Path, PathBuf};
use train::{Config, Example, Sequence, examples, step};

/// Tokens that go through the model at once.
const TOKENS: usize = 4096;

/// The loss of each pair; none where a pair does not fit, or its sides do not differ for the model.
///
/// # Errors
/// A model, adapter or template that cannot be used; no pair that fits.
pub(super) fn of(pairs: &[Pair], model: &Path, adapters: &[PathBuf], template: &str) -> Result<Vec<Option<Loss>>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (rows, file) = (folder.path().join("pairs.jsonl"), folder.path().join("audit.toml"));
    // Ids may repeat; places do not.
    let numbered: Vec<Pair> = pairs.iter().enumerate().map(|(i, p)| Pair { id: i.to_string(), ..p.clone() }).collect();
    jsonl::write(&rows, &numbered)?;
    let path = model.canonicalize().with_context(|| format!("cannot read {}", model.display()))?;
    let text = |path: &Path| serde_json::to_string(&path.to_string_lossy());
    // What a JSON string is, TOML reads as well.
    let config = format!(
        "format = 1\noutput = {}\n[model]\npath = {}\nadapter = {{ kind = \"lora\" }}\n[data]\ntrain = [{}]\ntemplate = {}\n\
         [objective]\nkind = \"lpo\"\n[optim]\nlearning-rate = 1e-5\nbatch = 1\nsteps = 1\n",
        text(folder.path())?,
        text(&path)?,
        text(&rows)?,
        serde_json::to_string(template)?
    );
    lexicon::atomic::write(&file, config.as_bytes())?;
    let config = Config::read(&file, &[]).with_context(|| format!("--template {template:?}"))?;
    let mut model = Model::load(&path, Compute::choose(DeviceKind::Auto, Precision::Auto)?)?;
    for adapter in adapters {
        model.decoder.merge_folder(adapter)?;
    }
    let (all, accounts) = examples::load("the pairs", &[rows], &config, &model.tokenizer)?;
    terminal::say(&accounts.summary());
    let mut losses = vec![None; pairs.len()];
    let every: Vec<&Example> = all.iter().collect();
    let bar = terminal::bar(every.len(), "pairs");
    for range in step::split(&every, TOKENS) {
        let part = &every[range];
        for (example, logp) in part.iter().zip(step::reference(&model.decoder, part)?) {
            let Example::Pair { id, chosen, rejected } = example else { continue };
            let place: usize = id.parse().context("a pair without its place")?;
            let [secure, insecure] = [&logp[0], &logp[1]];
            losses[place] = loss(chosen, secure, rejected, insecure);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    ensure!(losses.iter().any(Option::is_some), "the model can look at no pair");
    Ok(losses)
}

/// Means over the tokens that change; over the whole answers where a side only adds or only drops.
fn loss(chosen: &Sequence, secure: &[f64], rejected: &Sequence, insecure: &[f64]) -> Option<Loss> {
    let mean = |weights: &dyn Fn(usize) -> f64, logp: &[f64]| {
        let total: f64 = (1..=logp.len()).map(weights).sum();
        (total > 0.0).then(|| -(1..=logp.len()).map(|t| weights(t) * logp[t - 1]).sum::<f64>() / total)
    };
    let focus = |s: &Sequence, logp: &[f64]| mean(&|t| s.focus[t] * s.response[t], logp);
    let whole = |s: &Sequence, logp: &[f64]| mean(&|t| s.response[t], logp);
    let of = |of: &dyn Fn(&Sequence, &[f64]) -> Option<f64>| {
        Some(Loss { secure: of(chosen, secure)?, insecure: of(rejected, insecure)? })
    };
    of(&focus).or_else(|| of(&whole))
}
