//! Arguments in, an answer on stdout out: the one program. Alone in parsing arguments and speaking to a terminal.
//!
//! Exit codes: [`exit::CLEAN`], [`exit::FINDINGS`], [`exit::FAILED`]. stdout is the answer, stderr is progress.

mod cli;
#[cfg(feature = "torch")]
mod tiny;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
