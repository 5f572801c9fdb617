//! A suite, a model's answers and their verdicts in; a report out.
//!
//! 1. [`suites`]: what is asked, one folder a suite, all of them in [`suites::ALL`].
//! 2. [`task`]: tasks to prompts, answers to code for the judge.
//! 3. [`score()`], with [`outcome`], [`estimators`] and [`intervals`]: verdicts to figures with 95 % intervals.
//! 4. [`report`]: figures to `report.json`, `report.html` and a table for the terminal.
//!
//! Invariants: the denominator is every requested sample, so an answer that is missing or does not parse counts as failed
//! and insecure; the same answers give the same figures to the last bit; nothing here samples, runs or judges code, and
//! nothing a model wrote reaches the page unescaped.

pub mod estimators;
pub mod intervals;
pub mod outcome;
pub mod report;
pub mod score;
pub mod suites;
pub mod task;

mod error;

pub use error::Error;
pub use outcome::Outcome;
pub use score::{Request, judged, score};
pub use task::{Task, codes, prompts};

/// Result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;
