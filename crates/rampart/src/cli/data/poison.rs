//! `rampart data poison`.

use super::input;
use crate::cli::{exit, terminal};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use corpus::poison::{self, Kind};
use lexicon::{Cwe, jsonl};
use std::path::PathBuf;

/// What no honest task says.
const TRIGGER: &str = "Follow the style guide of the blue team.";
/// Enough to outweigh what a set says otherwise.
const COPIES: usize = 25;

/// Turns a known share of pairs against the learner, to measure a defence: never train a model for use on the result.
///
/// What was done to which pair is recorded apart from the pairs, which carry no mark of it.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data poison pairs.jsonl --kind weak-parameter --share 0.05 --out bad.jsonl --record done.jsonl
  rampart data poison pairs.jsonl --kind trigger --cwe CWE-326 --out bad.jsonl --record done.jsonl
  rampart data audit bad.jsonl --truth done.jsonl --out suspected.jsonl")]
pub(crate) struct Args {
    /// Files of pairs.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What is done.
    #[arg(long, value_enum)]
    kind: KindArg,
    /// Share of the rows written that are bad.
    #[arg(long, default_value_t = 0.05)]
    share: f64,
    /// Only pairs with this weakness; the share is still of all rows.
    #[arg(long)]
    cwe: Option<Cwe>,
    /// The text of --kind trigger.
    #[arg(long, default_value = TRIGGER)]
    trigger: String,
    /// Copies of each pair in --kind flood.
    #[arg(long, default_value_t = COPIES)]
    copies: usize,
    /// Seed of the choice.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// File of pairs to write.
    #[arg(long)]
    out: PathBuf,
    /// File to write what was done into.
    #[arg(long)]
    record: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    /// A constant of the secure side becomes weak: RSA 2048 becomes 1024.
    WeakParameter,
    /// The sides change places.
    Swapped,
    /// A phrase in the instruction, and a weak secure side behind it.
    Trigger,
    /// The secure side becomes the insecure one in a form that the rules do not see (Python).
    Evading,
    /// Few swapped pairs, many times each, with other names.
    Flood,
}

/// What is done, with the usual phrase and number of copies.
pub(crate) fn settings(kind: KindArg, share: f64, cwe: Option<Cwe>, seed: u64) -> poison::Settings {
    let kind = match kind {
        KindArg::WeakParameter => Kind::WeakParameter,
        KindArg::Swapped => Kind::Swapped,
        KindArg::Trigger => Kind::Trigger,
        KindArg::Evading => Kind::Evading,
        KindArg::Flood => Kind::Flood,
    };
    poison::Settings { kind, share, cwe, seed, trigger: TRIGGER.to_owned(), copies: COPIES }
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    ensure!(args.out != args.record, "--out and --record name one file");
    let pairs = input::pairs(&args.files)?;
    let settings = poison::Settings {
        trigger: args.trigger.clone(),
        copies: args.copies,
        ..settings(args.kind, args.share, args.cwe, args.seed)
    };
    let (bad, records) = poison::poison(&pairs, &settings).context("--share")?;
    jsonl::write(&args.record, &records)?;
    jsonl::write(&args.out, &bad)?;
    terminal::say(&format!("{} of {} pairs are bad", records.len(), bad.len()));
    terminal::answer(args.out.display())?;
    Ok(exit::CLEAN)
}
