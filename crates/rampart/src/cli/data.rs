//! `rampart data ..`: making, checking and looking at training data.

mod expand;

use anyhow::Result;
use clap::Subcommand;

/// Makes, checks and shows training data.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Expands lessons into pairs, or into text for pre-training.
    Expand(expand::Args),
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    match &args.command {
        Command::Expand(args) => expand::run(args),
    }
}
