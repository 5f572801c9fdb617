//! The published table of a distilled set, and what became of everything that was planned.

use super::{
    Config,
    plan::Planned,
    stages::{Draft, Rejected},
    verify::Measures,
};
use lexicon::{FORMAT, Pair};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Figures of a run; shares in percent.
#[derive(Clone, Debug, PartialEq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Record format.
    pub format: u32,
    /// Pairs that were wanted.
    pub planned: usize,
    /// Pairs that hold.
    pub instances: usize,
    /// What was left out, by reason.
    pub rejects: BTreeMap<String, usize>,
    /// Weaknesses that were wanted, and those of which a pair holds.
    pub cwe_planned: usize,
    /// See above.
    pub cwe_covered: usize,
    /// Pairs that hold by weakness.
    pub by_cwe: BTreeMap<String, usize>,
    /// Modules in pairs that hold.
    pub modules: usize,
    /// Mean lines of the insecure sides.
    pub lines_insecure: f64,
    /// Mean lines of the secure sides.
    pub lines_secure: f64,
    /// Mean share of the insecure sides' characters that change.
    pub changed_insecure: f64,
    /// Mean share of the secure sides' characters that change.
    pub changed_secure: f64,
    /// Share of parsed drafts whose secure side the judge flagged at first.
    pub residual_before: f64,
    /// The same after refinement.
    pub residual_after: f64,
    /// Drafts that refinement changed.
    pub refined: usize,
    /// Pairs whose insecure side an analyzer flags with its weakness; the others are explained.
    pub flagged: usize,
    /// Pairs whose secure side is larger than `verify.size-ratio` allows.
    pub oversized: usize,
    /// Pairs whose secure side adds a `try`.
    pub added_try: usize,
}

pub(super) fn report(
    config: &Config,
    planned: &[Planned],
    drafts: &[Draft],
    pairs: &[(Pair, Measures)],
    rejects: &[Rejected],
) -> Report {
    let mean = |of: &dyn Fn(&(Pair, Measures)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len().max(1) as f64;
    let share = |n: usize| 100.0 * n as f64 / drafts.len().max(1) as f64;
    let lines = |code: &str| code.lines().filter(|l| !l.trim().is_empty()).count() as f64;
    let mut by_reason: BTreeMap<String, usize> = BTreeMap::new();
    for reject in rejects {
        let name = serde_json::to_value(reject.reason).ok().and_then(|v| v.as_str().map(str::to_owned));
        *by_reason.entry(name.unwrap_or_default()).or_default() += 1;
    }
    let mut by_cwe: BTreeMap<String, usize> = BTreeMap::new();
    for cwe in pairs.iter().filter_map(|(p, _)| p.cwe.first()) {
        *by_cwe.entry(cwe.to_string()).or_default() += 1;
    }
    let modules: BTreeSet<&str> =
        pairs.iter().filter_map(|(p, _)| p.origin.extra.get("module")).map(String::as_str).collect();
    Report {
        format: FORMAT,
        planned: planned.len(),
        instances: pairs.len(),
        rejects: by_reason,
        cwe_planned: planned.iter().map(|p| p.cwe).collect::<BTreeSet<_>>().len(),
        cwe_covered: by_cwe.len(),
        by_cwe,
        modules: modules.len(),
        lines_insecure: mean(&|(p, _)| lines(&p.insecure)),
        lines_secure: mean(&|(p, _)| lines(&p.secure)),
        changed_insecure: 100.0 * mean(&|(_, m)| m.changed_insecure),
        changed_secure: 100.0 * mean(&|(_, m)| m.changed_secure),
        residual_before: share(drafts.iter().filter(|d| d.flagged_at_first).count()),
        residual_after: share(drafts.iter().filter(|d| !d.secure_findings.is_empty()).count()),
        refined: drafts.iter().filter(|d| d.rounds > 0).count(),
        flagged: pairs.iter().filter(|(p, _)| p.origin.verified.iter().any(|v| v == "insecure-flagged")).count(),
        oversized: pairs.iter().filter(|(_, m)| m.size_ratio > config.verify.size_ratio).count(),
        added_try: pairs.iter().filter(|(_, m)| m.added_try > 0).count(),
    }
}
