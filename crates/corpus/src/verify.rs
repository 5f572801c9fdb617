//! Expanded variants that hold: pairs come in, those that pass the truth table go out with what verified them.

use crate::{
    Lesson, Variant,
    validate::{Reason, Runner, against, lesson::runs_of},
};
use lexicon::Pair;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashSet};

/// A pair with the lesson and variant it was made from.
#[derive(Clone, Debug)]
pub struct Made<'l> {
    /// Lesson.
    pub lesson: &'l Lesson,
    /// Variant.
    pub variant: Variant,
    /// Pair.
    pub pair: Pair,
}

/// Pairs that hold, and why the others do not.
#[derive(Debug, Default)]
pub struct Verified {
    /// Pairs in their order, `origin.verified` filled.
    pub pairs: Vec<Pair>,
    /// How many were refused for each reason.
    pub refused: BTreeMap<Reason, usize>,
    /// An id for each reason, so that a person can look.
    pub example: BTreeMap<Reason, String>,
    /// Programs that could not be run, with the reason; their pairs are kept without `tests` or `exploit`.
    pub not_run: BTreeMap<String, usize>,
}

impl Verified {
    /// Number of pairs refused.
    #[must_use]
    pub fn refusals(&self) -> usize {
        self.refused.values().sum()
    }
}

/// Keeps the pairs whose sides parse and differ and that the rules tell apart, on all processors; with a runner also
/// those whose tests and exploit end as they should. `done` is called once a pair, from any thread.
///
/// Of pairs with the same code only the first is kept.
pub fn verify(made: Vec<Made<'_>>, runner: Option<&dyn Runner>, done: impl Fn() + Sync) -> Verified {
    let outcomes: Vec<_> = made
        .into_par_iter()
        .map(|made| {
            let outcome = one(&made, runner);
            done();
            (made.pair, outcome)
        })
        .collect();
    let mut out = Verified::default();
    let mut seen: HashSet<[String; 2]> = HashSet::new();
    for (mut pair, outcome) in outcomes {
        let outcome = outcome.and_then(|held| {
            let fresh = seen.insert([pair.secure.clone(), pair.insecure.clone()]);
            if fresh { Ok(held) } else { Err(Reason::Duplicate) }
        });
        match outcome {
            Ok(held) => {
                pair.origin.verified = held.by;
                for reason in held.not_run {
                    *out.not_run.entry(reason).or_default() += 1;
                }
                out.pairs.push(pair);
            }
            Err(reason) => {
                *out.refused.entry(reason).or_default() += 1;
                out.example.entry(reason).or_insert(pair.id);
            }
        }
    }
    out
}

struct Held {
    by: Vec<String>,
    not_run: Vec<String>,
}

fn one(made: &Made<'_>, runner: Option<&dyn Runner>) -> Result<Held, Reason> {
    if let Some(reason) = against(&made.pair) {
        return Err(reason);
    }
    let mut held = Held { by: vec!["parse".into(), "native".into()], not_run: Vec::new() };
    let Some(runner) = runner else { return Ok(held) };
    let runs = runs_of(made.lesson, &made.variant, runner);
    for (section, name, reason) in [("Tests", "tests", Reason::Tests), ("Exploit", "exploit", Reason::Exploit)] {
        let of_section: Vec<_> = runs.iter().filter(|r| r.section == section).collect();
        if let Some(Err(text)) = of_section.iter().map(|r| &r.outcome).find(|o| o.is_err()) {
            held.not_run.push(text.clone());
        } else if of_section.iter().any(|r| !r.good) {
            return Err(reason);
        } else if !of_section.is_empty() {
            held.by.push(name.into());
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lexicon::TestOutcome;

    /// Ends as the table asks, or says that a package is missing.
    struct Fake {
        missing: bool,
        tests_pass: bool,
    }

    impl Runner for Fake {
        fn run(&self, solution: &str, script: &str, _: &[String]) -> Result<TestOutcome, String> {
            if self.missing {
                return Err("no sandbox".into());
            }
            let attack = script.contains("works");
            let passes = if attack { !solution.contains("literal_eval") } else { self.tests_pass };
            Ok(if passes { TestOutcome::Passed } else { TestOutcome::Failed("AssertionError".into()) })
        }
    }

    fn lesson() -> Result<Lesson, crate::lesson::Error> {
        let text = include_str!("../tests/lesson.md");
        Lesson::parse("lesson.md", &text.replace("## References", "## Exploit\n```python\nworks\n```\n\n## References"))
    }

    fn made(lesson: &Lesson) -> Vec<Made<'_>> {
        let variants = (0..lesson.variants()).map(|n| lesson.variant(n));
        variants.filter_map(|v| Some(Made { lesson, pair: lesson.pair(&v)?, variant: v })).collect()
    }

    #[test]
    fn the_same_code_is_kept_once_and_says_who_verified_it() -> Result<(), crate::lesson::Error> {
        let lesson = lesson()?;
        let verified = verify(made(&lesson), None, || {});
        // Six variants, three functions: the table's name stands in the instruction alone.
        assert_eq!((verified.pairs.len(), verified.refused[&Reason::Duplicate]), (3, 3));
        assert!(verified.pairs.iter().all(|p| p.origin.verified == ["parse", "native"]));
        Ok(())
    }

    #[test]
    fn programs_decide_where_they_run() -> Result<(), crate::lesson::Error> {
        let lesson = lesson()?;
        let by = |missing, tests_pass| verify(made(&lesson), Some(&Fake { missing, tests_pass }), || {});
        assert_eq!(by(false, true).pairs[0].origin.verified, ["parse", "native", "tests", "exploit"]);
        assert_eq!(by(false, false).refused[&Reason::Tests], 6);
        let unrun = by(true, true);
        assert_eq!((unrun.pairs.len(), unrun.not_run["no sandbox"]), (3, 6));
        assert_eq!(unrun.pairs[0].origin.verified, ["parse", "native"]);
        Ok(())
    }

    #[test]
    fn a_pair_that_is_not_told_apart_is_refused() -> Result<(), crate::lesson::Error> {
        let lesson = lesson()?;
        let mut wrong = made(&lesson);
        wrong[0].pair.secure = wrong[0].pair.insecure.replace("x", "y");
        wrong[1].pair.insecure = "def f(:".into();
        let verified = verify(wrong, None, || {});
        assert_eq!((verified.refused[&Reason::Fires], verified.refused[&Reason::InsecureInvalid]), (1, 1));
        assert_eq!(verified.example[&Reason::Fires], "lesson/0");
        Ok(())
    }
}
