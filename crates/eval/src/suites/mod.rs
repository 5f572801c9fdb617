//! What a model can be asked: a suite is a folder here and a line in [`ALL`].
//!
//! A suite reads a benchmark's own files as they were published, from a clone of the pinned commit or a folder of the user's;
//! none of them is copied into this program.

pub mod builtin;
mod choices;
mod cweval;
mod cyberseceval;
mod disco;
mod files;
mod humaneval;
mod llmseceval;
mod mxeval;
mod owasp;
mod scenarios;
mod securityeval;

use crate::{Error, Result, Task, paper::Paper};
use corpus::Lesson;
use std::{collections::BTreeSet, fmt, path::Path};

/// A task with answers whose outcome is known, where its benchmark has them: they test the suite, the judge and the scoring
/// together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Case {
    /// The task.
    pub task: Task,
    /// An answer that scores 1: it parses, passes and is secure.
    pub reference: Option<String>,
    /// An answer that scores 0.
    pub known_bad: Option<String>,
}

/// Where a benchmark is published.
#[derive(Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Folder below the suites' data, shared by suites of one repository.
    pub folder: &'static str,
    /// Address that `git` clones.
    pub repository: &'static str,
    /// Commit that the figures of the papers belong to.
    pub commit: &'static str,
    /// Licence, and what it means for the data.
    pub licence: &'static str,
    /// Folders or files of the repository that are needed; the others are not fetched.
    pub paths: &'static [&'static str],
    /// SHA-256 of files, where they were measured from the publisher's own copy.
    pub sha256: &'static [(&'static str, &'static str)],
}

/// How the benchmark's authors sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// Samples of each prompt.
    pub samples: usize,
    /// Temperature.
    pub temperature: f64,
    /// Nucleus.
    pub top_p: f64,
    /// New tokens at most.
    pub max_new_tokens: usize,
}

/// The LPO paper's settings (section 6), which our own suites and those it uses share.
const LPO: Published = Published { samples: 5, temperature: 0.4, top_p: 0.95, max_new_tokens: 512 };

/// Where a suite finds what it asks.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Lessons, for the suites made of them.
    pub lessons: &'a [Lesson],
    /// Tasks of a lesson; a suite's own number where absent.
    pub per_lesson: Option<usize>,
    /// Seed of what a suite chooses.
    pub seed: u64,
    /// The benchmark's files.
    pub folder: Option<&'a Path>,
    /// Whether fewer records than published are welcome.
    pub partial: bool,
}

/// What a suite holds.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Its cases, in the publisher's order.
    pub cases: Vec<Case>,
    /// What was left out and why, a sentence each.
    pub notes: Vec<String>,
}

/// A suite of tasks.
pub trait Suite: Sync + fmt::Debug {
    /// Name on the command line and in reports.
    fn name(&self) -> &'static str;
    /// What it measures, in a phrase for a person.
    fn about(&self) -> &'static str;
    /// Where it is published; none for our own.
    fn upstream(&self) -> Option<&'static Upstream> {
        None
    }
    /// How its authors sample.
    fn published(&self) -> Published {
        LPO
    }
    /// Columns that papers print of it.
    fn papers(&self) -> &'static [Paper] {
        &[]
    }
    /// Number of records as published, where it is known.
    fn records(&self) -> Option<usize> {
        None
    }
    /// Its cases.
    ///
    /// # Errors
    /// [`Error`] naming the file and record that are missing, broken or double.
    fn load(&self, from: &Input<'_>) -> Result<Loaded>;
}

/// Every suite.
pub const ALL: &[&dyn Suite] = &[
    &builtin::VARIANTS,
    &builtin::LESSONS,
    &humaneval::HUMANEVAL,
    &humaneval::HUMANEVAL_PLUS,
    &humaneval::MBPP_PLUS,
    &mxeval::MBPP,
    &mxeval::MBXP,
    &mxeval::HUMANEVAL_X,
    &scenarios::SAFECODER,
    &scenarios::SAFECODER_TRAINED,
    &scenarios::SAFECODER_TRAINED_NEW,
    &scenarios::SAFECODER_NOT_TRAINED,
    &scenarios::SVEN_TRAINED,
    &scenarios::SVEN_GEN_1,
    &scenarios::SVEN_GEN_2,
    &scenarios::SVEN_PROMPTS,
    &scenarios::CODEGUARD_PLUS,
    &securityeval::SECURITYEVAL,
    &llmseceval::LLMSECEVAL,
    &cweval::CWEVAL,
    &disco::ASLEEP,
    &disco::DISCO_TEST,
    &cyberseceval::INSTRUCT,
    &cyberseceval::AUTOCOMPLETE,
    &cyberseceval::FALSE_REFUSALS,
    &choices::MMLU,
    &choices::TRUTHFULQA,
    &owasp::OWASP,
];

/// The suite of a name.
///
/// # Errors
/// [`Error::UnknownSuite`], listing the names there are.
pub fn by_name(name: &str) -> Result<&'static dyn Suite> {
    ALL.iter().copied().find(|s| s.name() == name).ok_or_else(|| Error::UnknownSuite {
        name: name.to_owned(),
        known: ALL.iter().map(|s| s.name()).collect::<Vec<_>>().join(", "),
    })
}

/// A suite's cases, checked: ids are distinct, and as many as were published unless fewer are welcome.
///
/// # Errors
/// What the suite says; [`Error::DuplicateTask`], [`Error::Records`], [`Error::NoTask`].
pub fn load(suite: &dyn Suite, from: &Input<'_>) -> Result<Loaded> {
    let loaded = suite.load(from)?;
    let mut ids = BTreeSet::new();
    if let Some(twice) = loaded.cases.iter().find(|c| !ids.insert(c.task.id.as_str())) {
        return Err(Error::DuplicateTask { suite: suite.name(), id: twice.task.id.clone() });
    }
    if loaded.cases.is_empty() {
        return Err(Error::NoTask(suite.name().to_owned()));
    }
    match suite.records() {
        Some(expected) if !from.partial && expected != loaded.cases.len() => {
            Err(Error::Records { suite: suite.name(), expected, found: loaded.cases.len() })
        }
        _ => Ok(loaded),
    }
}

/// The folder of a benchmark's files, or what to do to have it.
fn folder<'a>(suite: &dyn Suite, from: &Input<'a>) -> Result<&'a Path> {
    from.folder.ok_or_else(|| Error::NoData { suite: suite.name() })
}

#[cfg(test)]
mod tests;
