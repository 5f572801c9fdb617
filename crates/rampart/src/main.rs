//! Arguments in, an answer on stdout out: the one program. Alone in parsing arguments and speaking to a terminal.
//!
//! Exit codes: [`exit::CLEAN`], [`exit::FINDINGS`], [`exit::FAILED`]. stdout is the answer, stderr is progress.

mod cli;
#[cfg(feature = "web")]
mod listen;
mod lsp;
#[cfg(feature = "web")]
mod review;
#[cfg(feature = "torch")]
mod tiny;
#[cfg(feature = "torch")]
mod web;

use std::process::ExitCode;

/// Syntax trees are many small pieces, and an allocator made for those scans a third more files a second (docs/speed.md).
/// libtorch keeps the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
