//! What became of every commit.

use super::Reject;
use lexicon::Pair;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A repository as it was mined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its name.
    pub name: String,
    /// The commit from which all were reached.
    pub tip: String,
    /// Commits that were looked at.
    pub commits: usize,
    /// Commits that are named as parents and are not there.
    pub missing: usize,
}

/// Counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Record format.
    pub format: u32,
    /// What was mined.
    pub repositories: Vec<Repository>,
    /// Commits that were looked at.
    pub commits: usize,
    /// Commits whose messages hold a phrase.
    pub keyword: usize,
    /// Commits that give a pair.
    pub fixes: usize,
    /// Pairs.
    pub pairs: usize,
    /// Commits that give none, by reason; those without a keyword included.
    pub rejects: BTreeMap<Reject, usize>,
    /// Pairs by label.
    pub cwes: BTreeMap<String, usize>,
    /// Pairs by language.
    pub languages: BTreeMap<String, usize>,
    /// Pairs by licence; `none` where the tree has none.
    pub licences: BTreeMap<String, usize>,
    /// Pairs by where their instruction is from.
    pub instructions: BTreeMap<String, usize>,
}

impl Report {
    pub(super) fn of(repositories: Vec<Repository>, rejects: BTreeMap<Reject, usize>, pairs: &[Pair]) -> Self {
        let count = |key: &dyn Fn(&Pair) -> String| {
            let mut counts = BTreeMap::new();
            pairs.iter().for_each(|p| *counts.entry(key(p)).or_insert(0) += 1);
            counts
        };
        let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
        let extra = |p: &Pair, key: &str| p.origin.extra.get(key).cloned().unwrap_or_default();
        let commits = repositories.iter().map(|r| r.commits).sum();
        let silent = rejects.get(&Reject::NoKeyword).copied().unwrap_or_default();
        Self {
            format: lexicon::FORMAT,
            commits,
            keyword: commits - silent,
            fixes: pairs.iter().map(|p| extra(p, "commit")).collect::<BTreeSet<_>>().len(),
            pairs: pairs.len(),
            rejects,
            cwes: count(&|p| p.cwe.first().map(ToString::to_string).unwrap_or_default()),
            languages: count(&|p| p.language.to_string()),
            licences: count(&|p| or_none(&p.origin.licence)),
            instructions: count(&|p| extra(p, "instruction-from")),
            repositories,
        }
    }
}
