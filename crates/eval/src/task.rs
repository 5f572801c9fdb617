//! What a suite asks, and the way from a task to a prompt and from an answer to the judge.

use crate::{Error, Result};
use corpus::Template;
use lexicon::{Cwe, Prompt, Sample};
use std::collections::BTreeMap;

/// One task of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Stable name; the prompt and its samples carry it.
    pub id: String,
    /// The weakness the task tempts to.
    pub cwe: Cwe,
    /// The lesson it comes from: tasks of one lesson are alike, and intervals respect that.
    pub lesson: String,
    /// What is to be written.
    pub instruction: String,
    /// Functional tests, where there are any.
    pub tests: Option<String>,
    /// Program that succeeds where the attack works, where there is one.
    pub exploit: Option<String>,
    /// Whether tests and exploit need packages beyond the standard library.
    pub packages: bool,
}

/// The prompts of tasks, in their order.
#[must_use]
pub fn prompts(tasks: &[Task], template: Template) -> Vec<Prompt> {
    tasks
        .iter()
        .map(|t| Prompt { format: lexicon::FORMAT, id: t.id.clone(), prompt: template.prompt(&t.instruction) })
        .collect()
}

/// One answer as the judge reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code<'a> {
    /// Name of the file in findings: the prompt's id.
    pub path: &'a str,
    /// The code.
    pub source: &'a str,
    /// The task's tests.
    pub tests: Option<&'a str>,
    /// The task's exploit.
    pub exploit: Option<&'a str>,
    /// Whether these need packages.
    pub packages: bool,
}

/// What the judge is to look at: one [`Code`] a sample, in the samples' order.
///
/// # Errors
/// [`Error::UnknownPrompt`].
pub fn codes<'a>(tasks: &'a [Task], samples: &'a [Sample]) -> Result<Vec<Code<'a>>> {
    let by_id: BTreeMap<&str, &Task> = tasks.iter().map(|t| (t.id.as_str(), t)).collect();
    samples
        .iter()
        .map(|sample| {
            let unknown = || Error::UnknownPrompt { prompt: sample.prompt_id.clone(), index: sample.index };
            let task = by_id.get(sample.prompt_id.as_str()).copied().ok_or_else(unknown)?;
            Ok(Code {
                path: &sample.prompt_id,
                source: &sample.code,
                tests: task.tests.as_deref(),
                exploit: task.exploit.as_deref(),
                packages: task.packages,
            })
        })
        .collect()
}
