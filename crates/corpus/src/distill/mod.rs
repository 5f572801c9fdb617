//! Distillation: a plan of weaknesses and modules in, verified pairs out, through a writer that is given.
//!
//! plan -> generate -> parse -> judge -> refine -> verify -> split. Each stage is a folder with `rows.jsonl` and
//! `rejects.jsonl`; a stage whose rows are on disk is not made again, and a writer that keeps replies is not asked twice. So a
//! run that is killed goes on where it was, and ends with the files of a run that was not.
//!
//! 1. [`config`]: what is wanted. 2. [`plan`]: which weakness meets which module, covering both evenly.
//! 3. [`stages`]: the way of a draft. 4. [`verify`]: what a pair must be. 5. [`report`]: the published table, and the rejects.

pub mod config;
pub mod plan;
pub mod report;
pub mod stages;
pub mod verify;

pub use config::Config;
pub use report::Report;
pub use stages::{Error, Run, run};
