//! The built-in suite: our own lessons, in two parts that training never sees.
//!
//! `variants` asks for held-out variants of lessons that training sees: does the habit carry over to other names, tables
//! and routes. `lessons` asks for lessons held out whole: does it carry over to weaknesses never shown. The split is that of
//! [`corpus::Split::default`], which training data and `models/tiny` keep to as well. Context lessons are left out: they
//! have no insecure form to fall into; so are lessons in other languages than Python, whose tests the sandbox cannot run.

use super::{Case, Input, Loaded, Suite};
use crate::{Result, Task};
use corpus::{Kind, Lesson, Part, Split};
use lexicon::Language;

/// Held-out variants of lessons seen in training.
pub const VARIANTS: Builtin = Builtin {
    name: "variants",
    about: "new variants of lessons seen in training",
    per_lesson: 1,
    part: Part::Variants,
};

/// Lessons never seen in training.
pub const LESSONS: Builtin = Builtin {
    name: "lessons",
    about: "lessons never seen in training",
    // One lesson in seven is here: more tasks of each make up for it.
    per_lesson: 4,
    part: Part::Lessons,
};

/// A part of the lessons.
#[derive(Debug)]
pub struct Builtin {
    name: &'static str,
    about: &'static str,
    per_lesson: usize,
    part: Part,
}

impl Suite for Builtin {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn load(&self, from: &Input<'_>) -> Result<Loaded> {
        let cases = cases(from.lessons, self.part, from.per_lesson.unwrap_or(self.per_lesson), from.seed);
        Ok(Loaded { cases, notes: Vec::new() })
    }
}

/// Tasks of one part, at most `per_lesson` of each lesson, in the lessons' order.
#[must_use]
pub fn tasks(lessons: &[Lesson], part: Part, per_lesson: usize, seed: u64) -> Vec<Task> {
    cases(lessons, part, per_lesson, seed).into_iter().map(|c| c.task).collect()
}

/// [`tasks`] with the lesson's secure form as reference and its insecure form as known-bad answer.
#[must_use]
pub fn cases(lessons: &[Lesson], part: Part, per_lesson: usize, seed: u64) -> Vec<Case> {
    let split = Split::default();
    let python = lessons.iter().filter(|l| l.language == Language::Python);
    let weaknesses = python.filter(|l| l.kind == Kind::Weakness);
    weaknesses
        .flat_map(|lesson| {
            let chosen = lesson.choose(per_lesson, seed, |n| split.part(&lesson.id, n) == part);
            chosen.into_iter().filter_map(|variant| {
                Some(Case {
                    task: Task {
                        id: format!("{}/{}", variant.lesson, variant.number),
                        cwe: Some(*lesson.cwe.first()?),
                        lesson: variant.lesson,
                        instruction: variant.instruction,
                        tests: variant.tests,
                        exploit: variant.exploit,
                        packages: !lesson.packages.is_empty(),
                        ..Task::default()
                    },
                    reference: Some(variant.secure),
                    known_bad: Some(variant.insecure?),
                })
            })
        })
        .collect()
}
