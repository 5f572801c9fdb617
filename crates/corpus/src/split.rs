//! Which lessons and variants training may see.
//!
//! A variant's part depends on nothing but the seed, the lesson's id and its own number: adding a lesson moves no other.

use crate::Lesson;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Part of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Training may see it.
    Train,
    /// A variant held out of a lesson that training sees.
    Variants,
    /// A variant held out of a lesson that alignment never sees.
    Lessons,
    /// The remaining variants of a held-out lesson: in no alignment set and in no evaluation.
    Withheld,
}

/// Shares of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Seed.
    pub seed: u64,
    /// One lesson in this many is held out whole.
    pub lessons: u64,
    /// One variant in this many is held out.
    pub variants: u64,
}

impl Default for Split {
    /// The split of the built-in suite, the demo and `models/tiny`.
    fn default() -> Self {
        Self { seed: 0, lessons: 7, variants: 8 }
    }
}

/// First eight bytes of SHA-256 over the parts, each ended by a zero byte: the same on every machine.
#[must_use]
pub fn mix(parts: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    u64::from_le_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}

impl Split {
    /// Whether a whole lesson is held out.
    #[must_use]
    pub fn holds_out(&self, lesson: &str) -> bool {
        mix(&[&self.seed.to_string(), "lesson", lesson]).is_multiple_of(self.lessons)
    }

    /// Part of one variant.
    #[must_use]
    pub fn part(&self, lesson: &str, variant: u64) -> Part {
        let held =
            mix(&[&self.seed.to_string(), "variant", lesson, &variant.to_string()]).is_multiple_of(self.variants);
        match (self.holds_out(lesson), held) {
            (false, false) => Part::Train,
            (false, true) => Part::Variants,
            (true, true) => Part::Lessons,
            (true, false) => Part::Withheld,
        }
    }

    /// Code that an evaluation part asks of any of these lessons. It is kept out of every training set, whichever lesson it
    /// would come from: two lessons may have the same answer.
    #[must_use]
    pub fn evaluated_code<'a>(&self, lessons: impl IntoIterator<Item = &'a Lesson>) -> BTreeSet<String> {
        let evaluated = |lesson: &'a Lesson| {
            (0..lesson.variants())
                .filter(|&n| matches!(self.part(&lesson.id, n), Part::Variants | Part::Lessons))
                .map(|n| lesson.variant(n).secure)
        };
        lessons.into_iter().flat_map(evaluated).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_stable_and_shares_hold() {
        let split = Split::default();
        assert_eq!(mix(&["a", "b"]), mix(&["a", "b"]));
        assert_ne!(mix(&["a", "b"]), mix(&["ab", ""]));
        let held = (0..700).filter(|i| split.holds_out(&format!("lesson-{i}"))).count();
        assert!((70..130).contains(&held), "{held} of 700 lessons");
        for i in 0..50 {
            let id = format!("lesson-{i}");
            for n in 0..50 {
                let part = split.part(&id, n);
                assert_eq!(split.holds_out(&id), matches!(part, Part::Lessons | Part::Withheld));
            }
        }
    }

    /// Lessons that share code share what is kept out of training.
    #[test]
    fn code_of_another_lessons_task_is_evaluated_code() -> Result<(), crate::library::Error> {
        let (split, lessons) = (Split::default(), crate::library::embedded()?);
        let all = split.evaluated_code(&lessons);
        let trains = |lesson: &&Lesson, n| split.part(&lesson.id, n) == Part::Train;
        let shared = lessons.iter().any(|lesson| {
            let own = split.evaluated_code([lesson]);
            let mut codes = (0..lesson.variants()).filter(|&n| trains(&lesson, n)).map(|n| lesson.variant(n).secure);
            codes.any(|code| all.contains(&code) && !own.contains(&code))
        });
        assert!(shared, "no lesson would train on another's task: this test has lost its subject");
        Ok(())
    }
}
