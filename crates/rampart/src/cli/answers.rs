//! A local model's answers to prompts, as samples.

use super::terminal;
use anyhow::Result;
use lexicon::{Prompt, Sample};
use models::{Model, SamplingParams};
use std::time::Instant;

/// Samples answers and takes the code out of each; `what` stands before the progress bar.
///
/// Returns the samples, ordered by prompt and index, and the number of new tokens.
pub(crate) fn sample(
    model: &Model,
    prompts: &[Prompt],
    params: &SamplingParams,
    what: &str,
) -> Result<(Vec<Sample>, usize)> {
    let texts: Vec<String> = prompts.iter().map(|p| p.prompt.clone()).collect();
    let bar = terminal::bar(texts.len() * params.samples, "samples");
    bar.set_prefix(what.to_owned());
    let started = Instant::now();
    let mut tokens = 0;
    let generations = model.generate(&texts, params, &mut |n| {
        tokens += n;
        bar.inc(1);
        bar.set_message(format!("{:.0} tokens/s", tokens as f64 / started.elapsed().as_secs_f64()));
    })?;
    bar.finish_and_clear();
    let samples = generations
        .into_iter()
        .map(|g| Sample {
            format: lexicon::FORMAT,
            prompt_id: prompts[g.prompt].id.clone(),
            index: g.index,
            code: corpus::template::extract(&g.text),
            text: g.text,
            finish_reason: g.finish,
        })
        .collect();
    Ok((samples, tokens))
}
