//! `rampart merge`.

use super::{exit, terminal};
use anyhow::{Result, ensure};
use models::{Compute, DeviceKind, Model, Precision, Stored};
use std::path::PathBuf;

/// Adds an adapter into a model's weights and writes the result as a Hugging Face folder.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart merge --model my-model --adapter runs/sft/adapter --out my-model-sft
  rampart merge --model my-model --adapter runs/sft/adapter --adapter runs/lpo/adapter --dtype bf16 --out aligned")]
pub(crate) struct Args {
    /// Hugging Face folder.
    #[arg(long)]
    model: PathBuf,
    /// PEFT folder; several are merged in the order given.
    #[arg(long, required = true)]
    adapter: Vec<PathBuf>,
    /// Folder to write.
    #[arg(long)]
    out: PathBuf,
    /// Kind of the written weights: f32 or bf16.
    #[arg(long, default_value = "f32", value_parser = ["f32", "bf16"])]
    dtype: String,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    // Compared as folders, not as spellings.
    let same = matches!((args.out.canonicalize(), args.model.canonicalize()), (Ok(out), Ok(model)) if out == model);
    ensure!(!same, "--out is the model itself: its weights would be overwritten; name another folder");
    // Merging is exact arithmetic on the weights: always in f32.
    let mut model = Model::load(&args.model, Compute::choose(DeviceKind::Cpu, Precision::F32)?)?;
    for adapter in &args.adapter {
        model.decoder.merge_folder(adapter)?;
    }
    model.save(&args.out, if args.dtype == "bf16" { Stored::Bf16 } else { Stored::F32 })?;
    terminal::answer(args.out.display())?;
    Ok(exit::CLEAN)
}
