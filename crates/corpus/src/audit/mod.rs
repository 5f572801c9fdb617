//! Pairs come in; those that may have been turned against the learner go out, with what speaks against each.
//!
//! 1. Rules: the secure side still has the weakness that the label names, or the insecure side alone has none.
//! 2. [`direction`]: the change points against what the other pairs call secure.
//! 3. [`constants`]: the secure side holds a constant that is weak where it stands, or a call in disguise.
//! 4. [`phrases`]: a text that stands in pairs of many origins and mostly in suspect ones.
//! 5. Floods: more near copies of one pair than the set has of any other.
//! 6. [`losses`]: the secure side surprises a model that was trained on trusted pairs, where one is given.
//!
//! Invariants: nothing is removed here; what is said of a pair names the check, so that a person can look. Every check but
//! the rules and constants learns from the set itself, and so fails where most of the set is bad.

pub mod constants;
pub mod direction;
pub mod losses;
pub mod measure;
pub mod phrases;
#[cfg(test)]
mod tests;

use crate::clean::{
    near::{Index, signature},
    shape,
};
use lexicon::{Finding, Pair};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The rules find the labelled weakness in the secure side.
    SecureFlagged,
    /// The change points the other way than the others'.
    Backwards,
    /// A constant that is weak in its place.
    WeakConstant,
    /// A call whose name is put together.
    HiddenCall,
    /// A phrase of suspect pairs.
    Phrase,
    /// One of very many near copies.
    Flood,
    /// A trained model finds the secure side the less likely one.
    Loss,
}

/// What speaks against a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Suspicion {
    /// Record format.
    pub format: u32,
    /// Number of the pair in the set.
    #[serde(skip)]
    pub index: usize,
    /// The pair.
    pub id: String,
    /// Checks with the particulars.
    pub checks: BTreeMap<Check, String>,
    /// Agreement with the other pairs' direction, in logits: below zero it points backwards.
    pub agreement: f64,
}

/// How strict the checks are.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Agreement below which a pair points backwards.
    pub backwards: f64,
    /// Overlap from which pairs are near copies.
    pub near: f64,
    /// Near copies that are no flood, whatever the others have.
    pub copies: usize,
    /// Spreads above the set's middle from which a loss stands out.
    pub loss: f64,
    /// Seed of folds.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { backwards: -2.0, near: 0.6, copies: 8, loss: 3.0, seed: 0 }
    }
}

/// Looks at a set.
#[must_use]
pub fn audit(pairs: &[Pair], settings: &Settings) -> Vec<Suspicion> {
    audit_with(pairs, &[], settings)
}

/// Looks at a set, and at what a trained model makes of each pair; none where `losses` is empty.
#[must_use]
pub fn audit_with(pairs: &[Pair], losses: &[Option<losses::Loss>], settings: &Settings) -> Vec<Suspicion> {
    let mut checks: Vec<BTreeMap<Check, String>> = pairs.par_iter().map(|p| by_marks(&marks(p))).collect();
    for (checks, pair) in checks.iter_mut().zip(pairs) {
        if let Some(what) = constants::hidden(&pair.secure, &pair.insecure) {
            checks.insert(Check::HiddenCall, what);
        }
    }
    let clusters = clusters(pairs, settings.near);
    let sizes: Vec<usize> = clusters.iter().map(|&c| clusters.iter().filter(|&&d| d == c).count()).collect();
    for (i, size) in floods(pairs, &clusters, &sizes, settings.copies) {
        checks[i].insert(Check::Flood, format!("one of {size} near copies"));
    }
    for (i, gap, spreads) in losses::outliers(losses, settings.loss) {
        checks[i]
            .insert(Check::Loss, format!("the secure side costs {gap:.2} nats a token more, {spreads:.1} spreads out"));
    }
    // A pair that stands there many times is one voice; what is suspect by itself has none.
    let weights: Vec<f64> =
        (0..pairs.len()).map(|i| if checks[i].is_empty() { 1.0 / (sizes[i] as f64).sqrt() } else { 0.0 }).collect();
    let agreement = direction::agreement(pairs, &weights, settings.seed);
    for (i, score) in agreement.iter().enumerate() {
        if *score < settings.backwards {
            checks[i].insert(Check::Backwards, format!("agreement {score:.2}"));
        }
    }
    let suspect: Vec<bool> = checks.iter().map(|c| !c.is_empty()).collect();
    for (i, phrase) in phrases::of_suspects(pairs, &suspect) {
        checks[i].insert(Check::Phrase, phrase);
    }
    checks
        .into_iter()
        .enumerate()
        .filter(|(_, c)| !c.is_empty())
        .map(|(index, checks)| Suspicion {
            format: lexicon::FORMAT,
            index,
            id: pairs[index].id.clone(),
            checks,
            agreement: agreement[index],
        })
        .collect()
}

/// A rule or weak constant with how often it stands on each side.
struct Mark {
    check: Check,
    name: String,
    secure: usize,
    insecure: usize,
    /// Whether the pair's label speaks of it.
    labelled: bool,
}

fn marks(pair: &Pair) -> Vec<Mark> {
    let mut counts: BTreeMap<(String, bool), [usize; 2]> = BTreeMap::new();
    for (side, code) in [&pair.secure, &pair.insecure].into_iter().enumerate() {
        for finding in findings(pair, code) {
            let labelled = finding.cwe.iter().any(|c| pair.cwe.iter().any(|l| l.kin(*c)));
            counts.entry((finding.rule, labelled)).or_default()[side] += 1;
        }
    }
    let rules = counts.into_iter().map(|((name, labelled), [secure, insecure])| Mark {
        check: Check::SecureFlagged,
        name,
        secure,
        insecure,
        labelled,
    });
    let (weak, labelled) = constants::weak(pair);
    let weak = weak.into_iter().map(|(what, [secure, insecure])| Mark {
        check: Check::WeakConstant,
        name: what.to_owned(),
        secure,
        insecure,
        labelled,
    });
    rules.chain(weak).collect()
}

/// Marks that speak against a pair: the secure side has more of one, or as many as the insecure side where the label speaks
/// of it. They are not weighed by what the set says of a mark: where constants are poisoned, most that are weak are the
/// attacker's.
fn by_marks(marks: &[Mark]) -> BTreeMap<Check, String> {
    let mut checks: BTreeMap<Check, String> = BTreeMap::new();
    let against = |m: &&Mark| m.secure > m.insecure || (m.labelled && m.secure > 0 && m.secure == m.insecure);
    for mark in marks.iter().filter(against) {
        let said = checks.entry(mark.check).or_default();
        if !said.is_empty() {
            said.push_str(", ");
        }
        said.push_str(&mark.name);
    }
    checks
}

/// Whether our rules find the labelled weakness, or one of its family, in the secure side.
pub(crate) fn still_flagged(pair: &Pair) -> bool {
    findings(pair, &pair.secure).iter().any(|f| f.cwe.iter().any(|c| pair.cwe.iter().any(|l| l.kin(*c))))
}

fn findings(pair: &Pair, code: &str) -> Vec<Finding> {
    crate::validate::Side::of(pair.language, "a", code).findings
}

/// The number of each pair's cluster: pairs of which one leads to the other by near copies, both sides together.
fn clusters(pairs: &[Pair], near: f64) -> Vec<usize> {
    let sets: Vec<(Vec<u64>, _)> = pairs
        .par_iter()
        .map(|p| {
            let side = |code: &str, n: u64| -> Vec<u64> {
                shape::shape(p.language, code).shingles().into_iter().map(|r| shape::mixed(r ^ n)).collect()
            };
            let mut set = [side(&p.secure, 1), side(&p.insecure, 2)].concat();
            set.sort_unstable();
            let signature = signature(&set);
            (set, signature)
        })
        .collect();
    // The first of a cluster stands for it: sets near to it join it, so that nothing is compared with every copy.
    let mut index = Index::default();
    let mut heads: Vec<usize> = Vec::new();
    sets.into_iter()
        .map(|(set, signature)| match index.find(&signature, &set, near) {
            Some((head, _)) => heads[head],
            None => {
                let number = heads.len();
                index.add(&signature, set);
                heads.push(number);
                number
            }
        })
        .collect()
}

/// Pairs in clusters that are larger than `copies` and than three times what the set's clusters come to: variants of one
/// lesson are each other's copies by intent, and are measured against lessons alone. And pairs that claim one variant of one
/// source, more than `copies` of them.
fn floods(pairs: &[Pair], clusters: &[usize], sizes: &[usize], copies: usize) -> Vec<(usize, usize)> {
    let lesson = |i: usize| pairs[i].origin.kind == "lesson";
    let usual = |lessons: bool| {
        let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
        seen.extend((0..pairs.len()).filter(|&i| lesson(i) == lessons).map(|i| (clusters[i], sizes[i])));
        let mut all: Vec<usize> = seen.into_values().collect();
        all.sort_unstable();
        all.get((all.len() * 95 / 100).min(all.len().saturating_sub(1))).copied().unwrap_or(1)
    };
    let (usual_lessons, usual_others) = (usual(true), usual(false));
    // One variant of one source stands in a set once, in however many forms it comes.
    let origin = |i: usize| pairs[i].origin.variant.map(|v| (pairs[i].origin.source.as_str(), v));
    let mut claims: BTreeMap<(&str, u64), usize> = BTreeMap::new();
    (0..pairs.len()).filter_map(origin).for_each(|o| *claims.entry(o).or_default() += 1);
    let claimed = |i: usize| origin(i).and_then(|o| claims.get(&o)).copied().unwrap_or(1);
    (0..pairs.len())
        .filter(|&i| {
            let usual = 3 * if lesson(i) { usual_lessons } else { usual_others };
            sizes[i] > copies.max(usual) || claimed(i) > copies
        })
        .map(|i| (i, sizes[i].max(claimed(i))))
        .collect()
}
