//! Rows that wait for people, and what people decide of them.
//!
//! 1. [`log`]: decisions, appended one by one, each on disk before anybody hears that it is taken.
//! 2. [`agreement`]: how far reviewers agree beyond chance.
//! 3. [`Queue`]: rows with their decisions, and what follows from them.
//!
//! Invariants: a decision is never changed or removed, a later one of the same person counts instead; a decision is about the
//! row as it was seen: where a row changes, its decisions no longer count. What two people decide differently is settled by
//! neither.

pub mod agreement;
pub mod log;
#[cfg(test)]
mod tests;

use crate::{curate::Judged, rows::Row, split::mix};
use lexicon::{FORMAT, format_one};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is decided of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may be trained on as it is.
    Accept,
    /// It may be trained on as the reviewer writes it.
    Fix,
    /// It may not.
    Reject,
}

impl Verdict {
    /// All, in the order they are counted.
    pub const ALL: [Self; 3] = [Self::Accept, Self::Fix, Self::Reject];

    /// Its name on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Fix => "fix",
            Self::Reject => "reject",
        }
    }
}

/// Code and instruction as a reviewer wants them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fixed {
    /// Instruction.
    pub instruction: String,
    /// Insecure side.
    pub insecure: String,
    /// Secure side.
    pub secure: String,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Decision {
    /// Record format.
    #[serde(default = "format_one")]
    pub format: u32,
    /// Seconds since 1970.
    pub time: u64,
    /// Who.
    pub reviewer: String,
    /// The row's id.
    pub id: String,
    /// Its content ([`content`]).
    pub content: String,
    /// What.
    pub verdict: Verdict,
    /// Why; never empty for a rejection.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the row becomes, for a fix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Fixed>,
}

/// A name for what a reviewer sees of a row.
#[must_use]
pub fn content(judged: &Judged) -> String {
    let p = &judged.pair;
    format!("{:016x}", mix(&[&p.id, p.language.name(), &p.instruction, &p.insecure, &p.secure]))
}

/// What follows from a row's decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Too few have decided.
    Open,
    /// Those who have decided do not agree.
    Disputed,
    /// It may be trained on.
    Taken(Box<Row>),
    /// It may not.
    Rejected,
}

/// Rows with their decisions.
#[derive(Debug)]
pub struct Queue {
    /// Rows in their order.
    pub items: Vec<Judged>,
    contents: Vec<String>,
    /// The last decision of each person about each row.
    decided: BTreeMap<usize, BTreeMap<String, Decision>>,
    /// Decisions about rows that are not here, or were otherwise when they were seen.
    pub stale: usize,
}

impl Queue {
    /// Rows and all decisions in their order.
    #[must_use]
    pub fn new(items: Vec<Judged>, decisions: impl IntoIterator<Item = Decision>) -> Self {
        let contents = items.iter().map(content).collect();
        let mut queue = Self { items, contents, decided: BTreeMap::new(), stale: 0 };
        let numbers: BTreeMap<String, usize> = queue.contents.iter().cloned().zip(0..).collect();
        for decision in decisions {
            match numbers.get(&decision.content) {
                Some(&item) => queue.take(item, decision),
                None => queue.stale += 1,
            }
        }
        queue
    }

    /// Adds a decision about a row.
    pub fn take(&mut self, item: usize, decision: Decision) {
        self.decided.entry(item).or_default().insert(decision.reviewer.clone(), decision);
    }

    /// The name of a row's content.
    #[must_use]
    pub fn content(&self, item: usize) -> &str {
        &self.contents[item]
    }

    /// The last decisions about a row, by person.
    pub fn decisions(&self, item: usize) -> impl Iterator<Item = &Decision> {
        self.decided.get(&item).into_iter().flat_map(BTreeMap::values)
    }

    /// A person's last decision about a row.
    #[must_use]
    pub fn of(&self, item: usize, reviewer: &str) -> Option<&Decision> {
        self.decided.get(&item)?.get(reviewer)
    }

    /// The first row after `from` (around the end) that a person has not decided.
    #[must_use]
    pub fn next_open(&self, from: usize, reviewer: &str) -> Option<usize> {
        let n = self.items.len();
        (0..n).map(|k| (from + k) % n).find(|&i| self.of(i, reviewer).is_none())
    }

    /// Rows that a person has decided.
    #[must_use]
    pub fn done(&self, reviewer: &str) -> usize {
        self.decided.values().filter(|d| d.contains_key(reviewer)).count()
    }

    /// What follows for a row where `needed` people must agree.
    #[must_use]
    pub fn settled(&self, item: usize, needed: usize) -> Settled {
        let decisions: Vec<&Decision> = self.decisions(item).collect();
        if decisions.len() < needed.max(1) {
            return Settled::Open;
        }
        let same = |d: &&Decision| d.verdict == decisions[0].verdict && d.fixed == decisions[0].fixed;
        if !decisions.iter().all(same) {
            return Settled::Disputed;
        }
        if decisions[0].verdict == Verdict::Reject {
            return Settled::Rejected;
        }
        let mut pair = self.items[item].pair.clone();
        if let Some(fixed) = &decisions[0].fixed {
            pair.instruction.clone_from(&fixed.instruction);
            pair.insecure.clone_from(&fixed.insecure);
            pair.secure.clone_from(&fixed.secure);
        }
        for decision in &decisions {
            pair.origin.verified.push(format!("review: {}", decision.reviewer));
        }
        let why: Vec<&str> = decisions.iter().map(|d| d.reason.as_str()).filter(|r| !r.is_empty()).collect();
        for (key, value) in [("review", decisions[0].verdict.name()), ("review-reason", &why.join("; "))] {
            if !value.is_empty() {
                pair.origin.extra.insert(key.to_owned(), value.to_owned());
            }
        }
        Settled::Taken(Box::new(if pair.insecure.is_empty() {
            Row::Text { id: pair.id, text: pair.secure, origin: Box::new(pair.origin) }
        } else {
            Row::Pair(pair)
        }))
    }

    /// Everybody who has decided something, with how much.
    #[must_use]
    pub fn reviewers(&self) -> BTreeMap<String, usize> {
        let mut out = BTreeMap::new();
        self.decided.values().flat_map(BTreeMap::keys).for_each(|r| *out.entry(r.clone()).or_default() += 1);
        out
    }

    /// How far every two people agree.
    #[must_use]
    pub fn agreements(&self) -> Vec<agreement::Agreement> {
        let people: Vec<String> = self.reviewers().into_keys().collect();
        let mut out = Vec::new();
        for (i, a) in people.iter().enumerate() {
            for b in &people[i + 1..] {
                let both = self.decided.values().filter_map(|d| Some((d.get(a)?.verdict, d.get(b)?.verdict)));
                out.push(agreement::Agreement::of(a, b, both));
            }
        }
        out
    }
}

/// A decision now.
#[must_use]
pub fn decision(
    time: u64,
    reviewer: &str,
    judged: &Judged,
    verdict: Verdict,
    reason: &str,
    fixed: Option<Fixed>,
) -> Decision {
    Decision {
        format: FORMAT,
        time,
        reviewer: reviewer.to_owned(),
        id: judged.pair.id.clone(),
        content: content(judged),
        verdict,
        reason: reason.trim().to_owned(),
        fixed,
    }
}
