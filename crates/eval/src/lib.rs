//! A suite, a model's answers and their verdicts in; a report out.
//!
//! 1. [`suites`]: what is asked, one folder a suite, all of them in [`suites::ALL`].
//! 2. [`asking`]: tasks to prompts, and answers to code; [`task`]: code to the judge.
//! 3. [`score()`], with [`outcome`], [`facts`], [`estimators`] and [`intervals`]: verdicts to figures with 95 % intervals;
//!    [`paper`]: the same samples as the papers count them.
//! 4. [`compare`] and [`gates`]: two runs on the same prompts, and whether one may replace the other.
//! 5. [`run`]: a run's folder; [`report`]: figures to `report.json`, `report.html` and a table for the terminal.
//!
//! Invariants: the denominator is every requested sample, so an answer that is missing or does not parse counts as failed
//! and insecure; the same answers give the same figures to the last bit; nothing here samples, runs or judges code, and
//! nothing a model wrote reaches the page unescaped.

pub mod asking;
pub mod compare;
pub mod estimators;
pub mod facts;
pub mod gates;
pub mod intervals;
pub mod outcome;
pub mod paper;
pub mod report;
pub mod run;
pub mod score;
pub mod suites;
pub mod task;
pub mod weakness;

mod error;
mod extract;

pub use asking::{Asking, prompts};
pub use error::Error;
pub use outcome::Outcome;
pub use score::{Request, score};
pub use task::{Task, codes, judged};

/// Result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;
