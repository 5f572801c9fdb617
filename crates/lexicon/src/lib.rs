//! Words in, the same words out: the types that every other crate speaks and the form they take on disk.
//!
//! 1. [`language`], [`cwe`], [`span`]: what code is written in, what is wrong with it, and where.
//! 2. [`finding`], [`verdict`]: what an analyzer says, and what the judge concludes.
//! 3. [`pair`], [`prompt`], [`sample`]: what training and generation read and write.
//! 4. [`report`]: what `demo` and `eval` conclude.
//! 5. [`jsonl`], [`atomic`]: how all of it is read and written.
//!
//! Invariants: nothing here computes a verdict, opens a socket or knows a tensor. Every record on disk carries
//! `format`; every reading error names its file and line; every write is whole or absent.

pub mod atomic;
pub mod cwe;
pub mod finding;
pub mod jsonl;
pub mod language;
pub mod pair;
pub mod prompt;
pub mod report;
pub mod sample;
pub mod span;
pub mod verdict;

pub use cwe::Cwe;
pub use finding::{Confidence, Finding, Severity};
pub use language::Language;
pub use pair::{Origin, Pair};
pub use prompt::Prompt;
pub use report::{Figure, Metrics, NamedFigure, Report, Stage, SuiteResult};
pub use sample::{FinishReason, Sample};
pub use span::{LineIndex, Position, Span};
pub use verdict::{TestOutcome, Verdict};

/// Version of every record format in this crate.
pub const FORMAT: u32 = 1;

/// serde default for the `format` member: a record without one is of the first format.
#[must_use]
pub const fn format_one() -> u32 {
    FORMAT
}
