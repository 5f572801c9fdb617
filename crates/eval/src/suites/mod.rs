//! What a model can be asked: a suite is a folder here and a line in [`ALL`].

pub mod builtin;

use crate::{Error, Result, Task};
use corpus::Lesson;

/// A task with answers whose outcome is known: they test the suite, the judge and the scoring together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The task.
    pub task: Task,
    /// An answer that must score 1: it parses, passes and is secure.
    pub reference: String,
    /// An answer that must score 0.
    pub known_bad: String,
}

/// A suite of tasks.
#[derive(Debug)]
pub struct Suite {
    /// Name on the command line and in reports.
    pub name: &'static str,
    /// What it measures, in a phrase for a person.
    pub about: &'static str,
    /// Usual number of tasks of a lesson.
    pub per_lesson: usize,
    /// Its cases from a set of lessons: at most `per_lesson` of each, chosen by the seed alone.
    pub cases: fn(lessons: &[Lesson], per_lesson: usize, seed: u64) -> Vec<Case>,
}

/// Every suite.
pub const ALL: &[Suite] = &[builtin::VARIANTS, builtin::LESSONS];

/// The suite of a name.
///
/// # Errors
/// [`Error::UnknownSuite`], listing the names there are.
pub fn by_name(name: &str) -> Result<&'static Suite> {
    ALL.iter().find(|s| s.name == name).ok_or_else(|| Error::UnknownSuite {
        name: name.to_owned(),
        known: ALL.iter().map(|s| s.name).collect::<Vec<_>>().join(", "),
    })
}

impl Suite {
    /// The suite's tasks, without their reference answers.
    #[must_use]
    pub fn tasks(&self, lessons: &[Lesson], per_lesson: usize, seed: u64) -> Vec<Task> {
        (self.cases)(lessons, per_lesson, seed).into_iter().map(|c| c.task).collect()
    }
}

#[cfg(test)]
mod tests;
