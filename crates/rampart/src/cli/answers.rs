//! How models are sampled, and a local model's answers to prompts as samples.

#[cfg(feature = "torch")]
use super::terminal;
use anyhow::{Result, ensure};
use writer::Parameters;
#[cfg(feature = "torch")]
use {
    lexicon::{Prompt, Sample},
    models::{Model, SamplingParams},
    std::time::Instant,
};

/// Of the LPO paper, as the other defaults; an endpoint of others may refuse the setting.
const USUAL_TOP_K: usize = 50;

/// How a model is sampled; the defaults are those of the LPO paper (section 6).
#[derive(clap::Args, Debug)]
pub(crate) struct Sampling {
    /// New tokens at most.
    #[arg(long, default_value_t = 288)]
    pub(crate) max_new_tokens: usize,
    /// 0 is greedy.
    #[arg(long, default_value_t = 0.4)]
    pub(crate) temperature: f64,
    /// Keeps the smallest set of tokens with this share of the probability.
    #[arg(long, default_value_t = 0.95)]
    pub(crate) top_p: f64,
    /// Keeps this many tokens; 0 is off. 50 for a local model; an endpoint is told only what is given.
    #[arg(long)]
    pub(crate) top_k: Option<usize>,
    /// Seed of sampling.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Text that every answer must hold; a model of this machine alone can be held to it. May be given several times.
    #[arg(long, value_name = "TEXT")]
    pub(crate) require: Vec<String>,
    /// Text that no answer may hold, likewise.
    #[arg(long, value_name = "TEXT")]
    pub(crate) forbid: Vec<String>,
}

impl Sampling {
    /// What a local model keeps.
    pub(crate) fn top_k(&self) -> usize {
        self.top_k.unwrap_or(USUAL_TOP_K)
    }

    /// What an endpoint is asked with; answers end at these texts.
    ///
    /// # Errors
    /// Settings that mean nothing, before anything is asked.
    pub(crate) fn parameters(&self, stop: Vec<String>) -> Result<Parameters> {
        let t = self.temperature;
        ensure!(t.is_finite() && t >= 0.0, "temperature {t} is not a number from 0 up");
        ensure!(self.top_p > 0.0 && self.top_p <= 1.0, "top-p {} is not in (0, 1]", self.top_p);
        ensure!(self.max_new_tokens > 0, "--max-new-tokens must be at least 1");
        ensure!(
            self.require.is_empty() && self.forbid.is_empty(),
            "--require and --forbid hold a model of this machine to phrases, not an endpoint, nor one that critics have \
             write again"
        );
        Ok(Parameters {
            max_tokens: self.max_new_tokens,
            temperature: t,
            top_p: self.top_p,
            top_k: self.top_k.unwrap_or(0),
            stop,
            seed: self.seed,
        })
    }
}

#[cfg(feature = "torch")]
impl Sampling {
    /// Parameters for so many samples of each prompt, which end at these texts.
    pub(crate) fn params(&self, samples: usize, stop: Vec<String>) -> SamplingParams {
        SamplingParams {
            samples,
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            top_k: self.top_k(),
            top_p: self.top_p,
            stop,
            seed: self.seed,
            require: self.require.clone(),
            forbid: self.forbid.clone(),
            ..SamplingParams::default()
        }
    }
}

/// Samples answers and takes the code out of each; `what` stands before the progress bar.
///
/// Returns the samples, ordered by prompt and index, and the number of new tokens.
#[cfg(feature = "torch")]
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
