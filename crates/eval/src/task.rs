//! What a suite asks, and the way from a task to a prompt and from an answer to the judge.

use crate::{Error, Result};
use corpus::Template;
use judge::Code;
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

/// What the judge is to look at: one code a sample, in the samples' order.
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
                // Findings name the task; analyzers tell files apart by their place, so samples of one prompt may share it.
                path: &sample.prompt_id,
                source: &sample.code,
                tests: task.tests.as_deref(),
                exploit: task.exploit.as_deref(),
                packages: task.packages,
            })
        })
        .collect()
}
