//! `rampart generate`.

use super::{
    answers::{self, Sampling},
    exit, terminal,
};
use anyhow::{Context, Result};
use lexicon::{Prompt, jsonl};
use models::{Compute, DeviceKind, Model, Precision, SamplingParams};
use std::path::PathBuf;

/// Samples answers to prompts.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart generate --model models/tiny --prompts prompts.jsonl --samples 5 --temperature 0.4 --out samples.jsonl")]
pub(crate) struct Args {
    /// Hugging Face folder.
    #[arg(long)]
    model: PathBuf,
    /// PEFT folder on top of it.
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Prompts, JSON Lines: {"format":1,"id","prompt"}.
    #[arg(long)]
    prompts: PathBuf,
    /// Samples of each prompt.
    #[arg(long, default_value_t = 1)]
    samples: usize,
    /// File to write, JSON Lines.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    sampling: Sampling,
    /// Text that ends an answer; may be given several times.
    #[arg(long)]
    stop: Vec<String>,
    /// Kind of matrix products: auto, f32 or bf16; nf4 keeps the weights in four bits.
    #[arg(long, default_value = "auto", value_parser = precision)]
    dtype: Precision,
    /// Goes on past the end-of-sequence token.
    #[arg(long)]
    ignore_eos: bool,
}

/// Reads a precision.
pub(crate) fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "auto" => Ok(Precision::Auto),
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        "nf4" => Ok(Precision::Nf4),
        other => Err(format!("{other:?} is not auto, f32, bf16 or nf4")),
    }
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let prompts: Vec<Prompt> = jsonl::read(&args.prompts)?;
    anyhow::ensure!(!prompts.is_empty(), "{}: no prompt in it", args.prompts.display());
    let compute = Compute::choose(DeviceKind::Auto, args.dtype)?;
    let mut model = Model::load(&args.model, compute)?;
    if let Some(adapter) = &args.adapter {
        model.decoder.attach_folder(adapter, Some(0.0))?;
        model.decoder.merge_adapter();
    }
    let params =
        SamplingParams { ignore_eos: args.ignore_eos, ..args.sampling.params(args.samples, args.stop.clone()) };
    let started = std::time::Instant::now();
    let (samples, tokens) = answers::sample(&model, &prompts, &params, "")?;
    jsonl::write(&args.out, &samples).context("samples")?;
    terminal::say(&format!(
        "{} samples, {tokens} tokens, {:.0} tokens/s",
        samples.len(),
        tokens as f64 / started.elapsed().as_secs_f64()
    ));
    terminal::answer(args.out.display())?;
    Ok(exit::CLEAN)
}
