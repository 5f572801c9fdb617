//! Tables of commits in Parquet come in; which rows may be a fix, with their code, goes out: from this process, or from a cluster.
//!
//! 1. [`columns`]: what a table calls a message, a patch, a file; told before anything is read.
//! 2. [`functions`]: the heuristics and limits of `corpus::mine` as functions of DataFusion; the same code as for repositories.
//! 3. [`screen`]: one plan over all tables, read here on all processors, or by Ballista's executors.
//! 4. [`cluster`]: our own scheduler and executors, which know these functions.
//!
//! Invariants: no heuristic, limit or judgement is here. A row is told of at most once, in no order. A table is read as a stream: memory
//! grows with the size of its row groups and the number of processors, not with its rows. Without a scheduler nothing touches
//! the network. The crate that links DataFusion and Ballista; behind a feature of the binary, which is light without it.

pub mod cluster;
pub mod columns;
pub mod functions;
pub mod screen;

#[doc(hidden)]
pub use datafusion;

pub use columns::Table;
pub use screen::{Place, Reader};

/// Tables cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is no table of commits.
    #[error("{path}: {why}")]
    Table {
        /// The file.
        path: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A name for columns that there is not.
    #[error("{0}")]
    Column(String),
    /// The plan does not run.
    #[error("cannot read the tables: {0}")]
    Plan(String),
    /// The cluster does not answer, or has nobody who works.
    #[error("the scheduler at {url} {why}")]
    Scheduler {
        /// Its address.
        url: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A part of a cluster does not start.
    #[error("cannot start {what}: {why}")]
    Start {
        /// Scheduler or executor.
        what: &'static str,
        /// Why.
        why: String,
    },
}

/// An error of a library, on one line and of bounded length.
fn one_line(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = text.chars().take(600).collect();
    if short.len() < text.len() { format!("{short} ..") } else { short }
}
