//! The built-in suite: our own lessons, in two parts that training never sees.
//!
//! `variants` asks for held-out variants of lessons that training sees: does the habit carry over to other names, tables
//! and routes. `lessons` asks for lessons held out whole: does it carry over to weaknesses never shown. The split is that of
//! [`corpus::Split::default`], which training data and `models/tiny` keep to as well. Context lessons are left out: they
//! have no insecure form to fall into.

use super::{Case, Suite};
use crate::Task;
use corpus::{Kind, Lesson, Part, Split};

/// Held-out variants of lessons seen in training.
pub const VARIANTS: Suite = Suite {
    name: "variants",
    about: "new variants of lessons seen in training",
    per_lesson: 1,
    cases: |lessons, per_lesson, seed| cases(lessons, Part::Variants, per_lesson, seed),
};

/// Lessons never seen in training.
pub const LESSONS: Suite = Suite {
    name: "lessons",
    about: "lessons never seen in training",
    // One lesson in seven is here: more tasks of each make up for it.
    per_lesson: 4,
    cases: |lessons, per_lesson, seed| cases(lessons, Part::Lessons, per_lesson, seed),
};

/// Tasks of one part, at most `per_lesson` of each lesson, in the lessons' order.
#[must_use]
pub fn tasks(lessons: &[Lesson], part: Part, per_lesson: usize, seed: u64) -> Vec<Task> {
    cases(lessons, part, per_lesson, seed).into_iter().map(|c| c.task).collect()
}

/// [`tasks`] with the lesson's secure form as reference and its insecure form as known-bad answer.
#[must_use]
pub fn cases(lessons: &[Lesson], part: Part, per_lesson: usize, seed: u64) -> Vec<Case> {
    let split = Split::default();
    let weaknesses = lessons.iter().filter(|l| l.kind == Kind::Weakness);
    weaknesses
        .flat_map(|lesson| {
            let chosen = lesson.choose(per_lesson, seed, |n| split.part(&lesson.id, n) == part);
            chosen.into_iter().filter_map(|variant| {
                Some(Case {
                    task: Task {
                        id: format!("{}/{}", variant.lesson, variant.number),
                        cwe: *lesson.cwe.first()?,
                        lesson: variant.lesson,
                        instruction: variant.instruction,
                        tests: variant.tests,
                        exploit: variant.exploit,
                        packages: !lesson.packages.is_empty(),
                    },
                    reference: variant.secure,
                    known_bad: variant.insecure?,
                })
            })
        })
        .collect()
}
