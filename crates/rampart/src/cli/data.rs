//! `rampart data ..`: making, checking and looking at training data.

mod audit;
mod card;
mod clean;
mod convert;
mod curate;
mod distill;
mod expand;
mod export;
mod input;
mod kb;
#[cfg(feature = "torch")]
mod losses;
mod mask;
mod mine;
pub(crate) mod poison;
mod programs;
#[cfg(feature = "web")]
mod review;
mod split;
mod stats;
mod validate;

use super::terminal::print;
use anyhow::Result;
use clap::{Subcommand, ValueEnum};

/// Makes, checks and shows training data.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Expands lessons into verified pairs, or into text for pre-training.
    Expand(expand::Args),
    /// Checks lessons and pairs against their truth table.
    Validate(validate::Args),
    /// Prints which tokens differ between the two sides of every pair.
    Mask(mask::Args),
    /// Counts what a data set holds.
    Stats(stats::Args),
    /// Writes a data set as others load it, JSON Lines or Parquet, with its card.
    Export(export::Args),
    /// Writes a data set's card, as Hugging Face shows it.
    Card(card::Args),
    /// Divides rows into train, val and test.
    Split(split::Args),
    /// Reads rows of any known form into ours.
    Convert(convert::Args),
    /// Judges rows of others by several analyzers; what those disagree on goes to review.
    Curate(curate::Args),
    /// Lets people decide about pairs, on a page of this machine.
    #[cfg(feature = "web")]
    Review(review::Args),
    /// Takes out repetitions, what suites ask, secrets, and what no allowed licence covers.
    Clean(clean::Args),
    /// Turns a known share of pairs against the learner, to measure a defence.
    Poison(poison::Args),
    /// Looks for pairs that may have been turned against the learner.
    Audit(audit::Args),
    /// Makes pairs by asking a model.
    Distill(Box<distill::Args>),
    /// Finds real fixes in the histories of git repositories.
    Mine(Box<mine::Args>),
    /// Shows lessons, weaknesses, rules and risky modules, and what covers what.
    Kb(kb::Args),
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// For a person.
    Full,
    /// One JSON object.
    Json,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    match &args.command {
        Command::Expand(args) => expand::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Mask(args) => mask::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Export(args) => export::run(args),
        Command::Card(args) => card::run(args),
        Command::Split(args) => split::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Curate(args) => curate::run(args),
        #[cfg(feature = "web")]
        Command::Review(args) => review::run(args),
        Command::Clean(args) => clean::run(args),
        Command::Poison(args) => poison::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Distill(args) => distill::run(args),
        Command::Mine(args) => mine::run(args),
        Command::Kb(args) => kb::run(args),
    }
}

/// Prints an answer as one JSON object.
fn print_json(answer: &impl serde::Serialize) -> Result<()> {
    print(|out| {
        serde_json::to_writer_pretty(&mut *out, answer)?;
        writeln!(out)
    })
}
