//! Which weakness meets which module: a walk that covers both evenly, not a random draw.

use crate::{Kind, Lesson, knowledge::modules, split::mix};
use lexicon::{Cwe, FORMAT, Language};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Python modules whose common use goes wrong, of the knowledge base.
fn built_in() -> Vec<&'static str> {
    modules::of(Language::Python).map(|m| m.name.as_str()).collect()
}

/// Whether a module's use is known to lead to a weakness.
fn fits(module: &str, cwe: Cwe) -> bool {
    modules::of(Language::Python).any(|m| m.name == module && m.cwe.iter().any(|c| c.kin(cwe)))
}

/// One pair that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Planned {
    /// Record format.
    pub format: u32,
    /// Name of the pair.
    pub id: String,
    /// Language of both sides.
    pub language: Language,
    /// Weakness of the insecure side.
    pub cwe: Cwe,
    /// Its name.
    pub weakness: String,
    /// What is wrong with it.
    pub why: String,
    /// Module the program uses.
    pub module: String,
    /// How often this weakness met this module before.
    pub variant: usize,
}

/// Weaknesses that lessons of a language explain, by number.
#[must_use]
pub fn weaknesses(lessons: &[Lesson], language: Language) -> BTreeMap<Cwe, (String, String)> {
    let mut known = BTreeMap::new();
    for lesson in lessons.iter().filter(|l| l.language == language && l.kind == Kind::Weakness) {
        // The label alone: further numbers of a lesson have names of their own.
        if let Some(&cwe) = lesson.cwe.first() {
            known.entry(cwe).or_insert_with(|| (lesson.weakness.clone(), lesson.why.replace('\n', " ")));
        }
    }
    known
}

/// A plan of so many pairs. Every round takes each weakness once, in an order the seed decides, each with its next module: first
/// those whose use is known to lead to it, then the others. After as many rounds as there are modules every weakness has met
/// every module.
///
/// # Errors
/// The weaknesses of `wanted` that nobody explains.
pub fn plan(
    known: &BTreeMap<Cwe, (String, String)>,
    wanted: &[Cwe],
    modules: &[String],
    pairs: usize,
    seed: u64,
) -> Result<Vec<Planned>, Vec<Cwe>> {
    let unknown: Vec<Cwe> = wanted.iter().copied().filter(|c| !known.contains_key(c)).collect();
    if !unknown.is_empty() || known.is_empty() {
        return Err(unknown);
    }
    let wanted: BTreeSet<Cwe> =
        if wanted.is_empty() { known.keys().copied().collect() } else { wanted.iter().copied().collect() };
    let seed = seed.to_string();
    let mut weaknesses: Vec<Cwe> = wanted.into_iter().collect();
    weaknesses.sort_by_key(|c| mix(&[&seed, "weakness", &c.to_string()]));
    let mut names: Vec<&str> =
        if modules.is_empty() { built_in() } else { modules.iter().map(String::as_str).collect() };
    names.sort_unstable();
    names.dedup();
    names.sort_by_key(|m| mix(&[&seed, "module", m]));
    let (width, height) = (weaknesses.len(), names.len());
    let digits = pairs.to_string().len();
    // Neighbours in a round start apart, so that a round meets many modules.
    let order = |(at, &cwe): (usize, &Cwe)| -> Vec<&str> {
        let mut order: Vec<&str> = (0..height).map(|n| names[(n + at * (height / width).max(1)) % height]).collect();
        order.sort_by_key(|module| !fits(module, cwe));
        order
    };
    let orders: Vec<Vec<&str>> = weaknesses.iter().enumerate().map(order).collect();
    Ok((0..pairs)
        .map(|n| {
            let (round, at) = (n / width, n % width);
            let cwe = weaknesses[at];
            let (weakness, why) = known[&cwe].clone();
            Planned {
                format: FORMAT,
                id: format!("d{n:0digits$}"),
                language: Language::Python,
                cwe,
                weakness,
                why,
                module: orders[at][round % height].to_owned(),
                variant: round / height,
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(n: u32) -> BTreeMap<Cwe, (String, String)> {
        (1..=n).map(|c| (Cwe(c), (format!("w{c}"), String::new()))).collect()
    }

    #[test]
    fn weaknesses_and_modules_are_covered_evenly() {
        for (weaknesses, modules, pairs) in [(5, 3, 15), (3, 7, 21), (4, 4, 40), (7, 2, 9), (1, 1, 3)] {
            let names: Vec<String> = (0..modules).map(|m| format!("m{m}")).collect();
            let plan = plan(&known(weaknesses), &[], &names, pairs, 1).expect("a plan");
            assert_eq!(plan.len(), pairs);
            let mut by_cwe: BTreeMap<Cwe, usize> = BTreeMap::new();
            let mut cells: BTreeSet<(Cwe, &str, usize)> = BTreeSet::new();
            for p in &plan {
                *by_cwe.entry(p.cwe).or_default() += 1;
                assert!(cells.insert((p.cwe, &p.module, p.variant)), "{p:?} is planned twice");
            }
            let (least, most) = (by_cwe.values().min(), by_cwe.values().max());
            assert!(most.zip(least).is_some_and(|(a, b)| a - b <= 1), "{by_cwe:?}");
            if pairs == weaknesses as usize * modules {
                assert!(plan.iter().all(|p| p.variant == 0), "every cell once before any twice");
            }
        }
    }

    #[test]
    fn the_seed_decides_and_the_unknown_is_refused() {
        let modules: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let order = |seed| -> Vec<u32> {
            plan(&known(9), &[], &modules, 9, seed).expect("a plan").iter().map(|p| p.cwe.0).collect()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert_eq!(plan(&known(3), &[Cwe(2), Cwe(8)], &modules, 1, 0), Err(vec![Cwe(8)]));
        let lessons = crate::library::embedded().expect("lessons");
        let known = weaknesses(&lessons, Language::Python);
        assert!(
            known.len() >= 30 && built_in().len() >= 75,
            "{} weaknesses, {} modules",
            known.len(),
            built_in().len()
        );
        // What fits comes first.
        let first = plan(&known, &[Cwe(89)], &[], 3, 0).expect("a plan");
        assert!(first.iter().all(|p| fits(&p.module, Cwe(89))), "{first:?}");
        assert!(known.contains_key(&Cwe(89)) && known.values().all(|(name, why)| !name.is_empty() && !why.is_empty()));
    }
}
