//! The command line: one file a command.

mod data;
#[cfg(feature = "torch")]
mod generate;
mod terminal;
#[cfg(feature = "torch")]
mod train;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit codes, the same for every command.
pub(crate) mod exit {
    /// Nothing found, nothing failed.
    pub(crate) const CLEAN: u8 = 0;
    /// Findings, or a gate or lab that failed.
    pub(crate) const FINDINGS: u8 = 1;
    /// We failed: bad input, a missing file, a full disk.
    pub(crate) const FAILED: u8 = 2;
}

/// Teaches code models to write secure code, and proves that they do.
#[derive(Parser, Debug)]
#[command(name = "rampart", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Makes, checks and shows training data.
    Data(data::Args),
    /// Trains a model by a configuration file.
    #[cfg(feature = "torch")]
    Train(train::Args),
    /// Samples answers to prompts.
    #[cfg(feature = "torch")]
    Generate(generate::Args),
}

/// Runs the program's arguments.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::FAILED } else { exit::CLEAN });
        }
    };
    let outcome = match cli.command {
        Command::Data(args) => data::run(&args),
        #[cfg(feature = "torch")]
        Command::Train(args) => train::run(&args),
        #[cfg(feature = "torch")]
        Command::Generate(args) => generate::run(&args),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // One message: what, where, what to do. The chain holds no stack, only causes.
            eprintln!("rampart: {error:#}");
            ExitCode::from(exit::FAILED)
        }
    }
}
