//! The command line: one file a command.

mod answers;
#[cfg(feature = "scale")]
mod cluster;
mod compare;
mod critics;
mod data;
pub(crate) mod defects;
#[cfg(feature = "torch")]
mod demo;
mod doctor;
mod endpoint;
mod eval;
#[cfg(feature = "torch")]
mod experiment;
mod explain;
mod generate;
#[cfg(feature = "torch")]
mod merge;
mod scan;
#[cfg(feature = "torch")]
mod serve;
mod stop;
mod suites;
mod surroundings;
pub(crate) mod terminal;
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
    /// Aligns the embedded model from end to end and shows the effect.
    #[cfg(feature = "torch")]
    Demo(demo::Args),
    /// Looks for weaknesses in code of eight languages.
    Scan(scan::Args),
    /// Explains a weakness: why, the habit behind it, and the code that does it right.
    Explain(explain::Args),
    /// Says what this machine has, and what each absence costs.
    Doctor(doctor::Args),
    /// Serves an editor: diagnostics, hovers and fixes by the language server protocol, over stdin and stdout.
    Lsp,
    /// Makes, checks and shows training data.
    Data(data::Args),
    /// Runs a part of a cluster that reads tables of commits for `rampart data mine --scheduler`.
    #[cfg(feature = "scale")]
    Cluster(cluster::Args),
    /// Judges models' answers to suites.
    Eval(eval::Args),
    /// Trains and evaluates the grids of the papers.
    #[cfg(feature = "torch")]
    Experiment(experiment::Args),
    /// Compares two runs on the same prompts, and checks gates.
    Compare(compare::Args),
    /// Shows, checks and fetches suites.
    Suites(suites::Args),
    /// Trains a model by a configuration file.
    #[cfg(feature = "torch")]
    Train(train::Args),
    /// Adds an adapter into a model's weights.
    #[cfg(feature = "torch")]
    Merge(merge::Args),
    /// Samples answers to prompts, from a model here or an endpoint.
    Generate(generate::Args),
    /// Serves a model over HTTP, compatible with OpenAI's clients.
    #[cfg(feature = "torch")]
    Serve(serve::Args),
}

/// Runs the program's arguments.
pub(crate) fn run() -> ExitCode {
    defects::caught(answer)
}

fn answer() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::FAILED } else { exit::CLEAN });
        }
    };
    let outcome = match cli.command {
        #[cfg(feature = "torch")]
        Command::Demo(args) => demo::run(&args),
        Command::Scan(args) => scan::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Lsp => crate::lsp::run(),
        Command::Data(args) => data::run(&args),
        #[cfg(feature = "scale")]
        Command::Cluster(args) => cluster::run(&args),
        Command::Eval(args) => eval::run(&args),
        #[cfg(feature = "torch")]
        Command::Experiment(args) => experiment::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Suites(args) => suites::run(&args),
        #[cfg(feature = "torch")]
        Command::Train(args) => train::run(&args),
        #[cfg(feature = "torch")]
        Command::Merge(args) => merge::run(&args),
        Command::Generate(args) => generate::run(&args),
        #[cfg(feature = "torch")]
        Command::Serve(args) => serve::run(&args),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // One message: what, where, what to do. The chain holds no stack, only causes.
            terminal::say(&format!("rampart: {}", terminal::causes(&error)));
            ExitCode::from(exit::FAILED)
        }
    }
}
