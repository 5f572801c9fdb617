//! Sets of rows come in, the rows that may be trained on go out, with a record of every row that may not and why.
//!
//! 1. [`licence`]: rows whose licence is not allowed go.
//! 2. [`secrets`]: credentials and personal data are taken out of the text, or the row with them.
//! 3. [`overlap`]: rows that repeat a suite's task go.
//! 4. [`shape`], [`near`]: rows that repeat an earlier row go: the same text, the same but for chosen names, or nearly so.
//!
//! Sets are looked at in the order they are given, and what an earlier set holds stays: evaluation parts come first. Within
//! a set a row repeats another where both sides do; across sets one side is enough, for one side is enough to be remembered.
//!
//! Invariants: every row is kept or in the record; the result depends on nothing but the rows and the settings.

pub mod licence;
pub mod near;
pub mod overlap;
pub mod secrets;
pub mod shape;
#[cfg(test)]
mod tests;

use crate::rows::Row;
use lexicon::{FORMAT, Language};
use near::{Index, Signature, signature};
use overlap::{By, Reference, Suites};
use rayon::prelude::*;
use serde::Serialize;
use shape::{Shape, hash, mixed};
use std::collections::{BTreeMap, HashMap};

/// Leaves below which code says too little for anything but the same text to be a repetition.
const FEWEST: usize = 12;

/// A named set of rows.
#[derive(Clone, Debug)]
pub struct Part {
    /// Name.
    pub name: String,
    /// Rows.
    pub rows: Vec<Row>,
}

/// What becomes of a row with a secret in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnSecret {
    /// Nothing.
    Keep,
    /// The secret is replaced, alike on both sides.
    #[default]
    Redact,
    /// The row goes.
    Drop,
}

/// What is taken out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether rows that differ from an earlier one in chosen names alone go.
    pub renamed: bool,
    /// Overlap from which a row is nearly another, 0 to 1; nothing where absent.
    pub near: Option<f64>,
    /// Share of a task's text that a row may hold.
    pub suites: f64,
    /// Secrets and personal data.
    pub on_secret: OnSecret,
    /// Licences that are allowed; any where absent.
    pub licences: Option<licence::Allowed>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { renamed: true, near: Some(0.85), suites: 0.5, on_secret: OnSecret::default(), licences: None }
    }
}

/// Why a row went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Its licence is not allowed, or not stated.
    Licence,
    /// It holds a secret or personal data.
    Secret,
    /// It repeats a suite's task to the letter.
    SuiteSame,
    /// It holds a suite's text.
    SuiteRuns,
    /// It holds the syntax tree of a suite's code.
    SuiteTree,
    /// It is an earlier row to the letter.
    Exact,
    /// It is an earlier row with other names.
    Renamed,
    /// It is nearly an earlier row.
    Near,
}

/// A row that went.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dropped {
    /// Record format.
    pub format: u32,
    /// The row's set.
    pub part: String,
    /// The row.
    pub id: String,
    /// Why.
    pub reason: Reason,
    /// The set or suite that holds what it repeats; its licence or the kinds of secrets otherwise.
    #[serde(rename = "in")]
    pub place: String,
    /// The row or task that it repeats.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub matched: String,
    /// Overlap with it, 0 to 1, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// What came of the sets.
#[derive(Clone, Debug, Default)]
pub struct Cleaned {
    /// The sets with the rows they keep, in the order they were given.
    pub parts: Vec<Part>,
    /// Rows that went, in order.
    pub dropped: Vec<Dropped>,
    /// Secrets replaced, by kind.
    pub redacted: BTreeMap<secrets::Kind, usize>,
}

/// Cleans sets. `references` are the texts of suites.
#[must_use]
pub fn clean(parts: Vec<Part>, references: &[Reference], settings: &Settings) -> Cleaned {
    let suites = Suites::new(references);
    let mut out = Cleaned::default();
    let mut seen = Seen::default();
    for (number, part) in parts.into_iter().enumerate() {
        let mut kept = Part { name: part.name, rows: Vec::new() };
        // Everything that looks at one row alone, on all processors.
        let alone: Vec<(Row, Alone)> = part.rows.into_par_iter().map(|row| alone(row, &suites, settings)).collect();
        for (row, alone) in alone {
            let drop = |reason, place: String, matched: String, share| Dropped {
                format: FORMAT,
                part: kept.name.clone(),
                id: id(&row).to_owned(),
                reason,
                place,
                matched,
                share,
            };
            let view = match alone {
                Alone::Licence(licence) => {
                    let stated = if licence.trim().is_empty() { "not stated".to_owned() } else { licence };
                    out.dropped.push(drop(Reason::Licence, stated, String::new(), None));
                    continue;
                }
                Alone::Secret(kinds) => {
                    out.dropped.push(drop(Reason::Secret, kinds, String::new(), None));
                    continue;
                }
                Alone::Suite(hit) => {
                    let reason = match hit.by {
                        By::Same => Reason::SuiteSame,
                        By::Runs => Reason::SuiteRuns,
                        By::Tree => Reason::SuiteTree,
                    };
                    let task = &references[hit.reference];
                    out.dropped.push(drop(reason, task.suite.clone(), task.task.clone(), Some(hit.share)));
                    continue;
                }
                Alone::View(view, redacted) => {
                    redacted.into_iter().for_each(|kind| *out.redacted.entry(kind).or_default() += 1);
                    view
                }
            };
            match seen.find(&view, number, settings) {
                Some((reason, at, share)) => {
                    let (place, matched) = seen.names[at].clone();
                    out.dropped.push(drop(reason, place, matched, share));
                }
                None => {
                    seen.add(view, number, (kept.name.clone(), id(&row).to_owned()));
                    kept.rows.push(row);
                }
            }
        }
        out.parts.push(kept);
    }
    out
}

/// A row's id.
#[must_use]
pub fn id(row: &Row) -> &str {
    match row {
        Row::Pair(pair) => &pair.id,
        Row::Text { id, .. } => id,
    }
}

/// What one row says by itself.
enum Alone {
    Licence(String),
    Secret(String),
    Suite(overlap::Hit),
    View(Box<View>, Vec<secrets::Kind>),
}

/// One side as it is compared: letters, leaves with own names numbered, runs of leaves.
struct Side {
    exact: u64,
    renamed: Option<u64>,
    runs: Vec<u64>,
    signature: Signature,
}

struct View {
    sides: Vec<Side>,
    /// Runs of both sides, each marked with its side.
    runs: Vec<u64>,
    signature: Signature,
}

fn alone(mut row: Row, suites: &Suites, settings: &Settings) -> (Row, Alone) {
    let licence = match &row {
        Row::Pair(pair) => Some(&pair.origin.licence),
        // A text of pre-training states none; one that does is held to it.
        Row::Text { origin, .. } => Some(&origin.licence).filter(|l| !l.trim().is_empty()),
    };
    if let (Some(allowed), Some(licence)) = (&settings.licences, licence)
        && !allowed.permits(licence)
    {
        let licence = licence.clone();
        return (row, Alone::Licence(licence));
    }
    let mut redacted = Vec::new();
    if settings.on_secret != OnSecret::Keep {
        let mut texts: Vec<&mut String> = match &mut row {
            Row::Pair(p) => vec![&mut p.instruction, &mut p.reasoning, &mut p.secure, &mut p.insecure],
            Row::Text { text, .. } => vec![text],
        };
        let found: Vec<Vec<secrets::Found>> = texts.iter().map(|t| secrets::find(t)).collect();
        let mut kinds: Vec<secrets::Kind> = found.iter().flatten().map(|f| f.kind).collect();
        if settings.on_secret == OnSecret::Drop && !kinds.is_empty() {
            kinds.sort_unstable();
            kinds.dedup();
            let said = kinds.iter().map(|k| name_of(*k)).collect::<Vec<_>>().join(", ");
            return (row, Alone::Secret(said));
        }
        for (text, found) in texts.iter_mut().zip(&found).filter(|(_, f)| !f.is_empty()) {
            **text = secrets::redact(text, found);
        }
        redacted = kinds;
    }
    let (shapes, texts, hit): (Vec<Shape>, Vec<&str>, _) = match &row {
        Row::Pair(pair) => {
            let shapes = [shape::shape(pair.language, &pair.secure), shape::shape(pair.language, &pair.insecure)];
            let hit = suites.pair(pair, [&shapes[0], &shapes[1]], settings.suites);
            (shapes.into(), vec![&pair.secure, &pair.insecure], hit)
        }
        Row::Text { text, .. } => {
            let shape = shape::shape(Language::Python, text);
            let hit = suites.code(text, &shape, false, settings.suites);
            (vec![shape], vec![text], hit)
        }
    };
    if let Some(hit) = hit {
        return (row, Alone::Suite(hit));
    }
    let side = |(shape, text): (&Shape, &&str)| {
        let runs = shape.shingles();
        let whole = shape.renamed.iter().fold(0, |sum: u64, &leaf| mixed(sum.rotate_left(7) ^ leaf));
        Side {
            exact: hash(text.trim().as_bytes()),
            renamed: (shape.renamed.len() >= FEWEST).then_some(whole),
            signature: signature(&runs),
            runs,
        }
    };
    let sides: Vec<Side> = shapes.iter().zip(&texts).map(side).collect();
    let mut runs: Vec<u64> =
        sides.iter().enumerate().flat_map(|(n, s)| s.runs.iter().map(move |r| mixed(r ^ (n as u64 + 1)))).collect();
    runs.sort_unstable();
    let view = View { signature: signature(&runs), runs, sides };
    (row, Alone::View(Box::new(view), redacted))
}

/// A kind's name on disk.
#[must_use]
pub fn name_of<T: Serialize>(kind: T) -> String {
    serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The rows that are kept so far.
#[derive(Default)]
struct Seen {
    names: Vec<(String, String)>,
    part_of: Vec<usize>,
    /// Both sides, of rows of one part.
    exact: HashMap<(usize, Vec<u64>), usize>,
    renamed: HashMap<(usize, Vec<u64>), usize>,
    both: Index,
    /// One side, whichever part: the side, then what it is.
    one_exact: HashMap<(usize, u64), usize>,
    one_renamed: HashMap<(usize, u64), usize>,
    one: [Index; 2],
    /// Which row a set of the one-sided indices belongs to.
    rows_of: [Vec<usize>; 2],
}

impl Seen {
    fn find(&self, view: &View, part: usize, settings: &Settings) -> Option<(Reason, usize, Option<f64>)> {
        let exact: Vec<u64> = view.sides.iter().map(|s| s.exact).collect();
        let renamed: Option<Vec<u64>> = view.sides.iter().map(|s| s.renamed.filter(|_| settings.renamed)).collect();
        if let Some(&at) = self.exact.get(&(part, exact)) {
            return Some((Reason::Exact, at, None));
        }
        let earlier = |at: &&usize| self.part_of[**at] < part;
        for (n, side) in view.sides.iter().enumerate() {
            if let Some(&at) = self.one_exact.get(&(n, side.exact)).filter(earlier) {
                return Some((Reason::Exact, at, None));
            }
        }
        if let Some(&at) = renamed.and_then(|r| self.renamed.get(&(part, r))) {
            return Some((Reason::Renamed, at, None));
        }
        for (n, side) in view.sides.iter().enumerate() {
            if let Some(&at) =
                side.renamed.filter(|_| settings.renamed).and_then(|r| self.one_renamed.get(&(n, r))).filter(earlier)
            {
                return Some((Reason::Renamed, at, None));
            }
        }
        let least = settings.near?;
        let within = self.both.near(&view.signature, &view.runs, least);
        let within = within.into_iter().filter(|(at, _)| self.part_of[*at] == part);
        let across = view.sides.iter().enumerate().filter(|(_, s)| s.renamed.is_some()).flat_map(|(n, side)| {
            let found = self.one[n].near(&side.signature, &side.runs, least);
            found.into_iter().map(move |(set, j)| (self.rows_of[n][set], j))
        });
        let across = across.filter(|(at, _)| self.part_of[*at] < part);
        let (at, j) = within.chain(across).max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
        Some((Reason::Near, at, Some(j)))
    }

    fn add(&mut self, view: Box<View>, part: usize, name: (String, String)) {
        let at = self.names.len();
        self.names.push(name);
        self.part_of.push(part);
        self.exact.insert((part, view.sides.iter().map(|s| s.exact).collect()), at);
        if let Some(renamed) = view.sides.iter().map(|s| s.renamed).collect::<Option<Vec<_>>>() {
            self.renamed.insert((part, renamed), at);
        }
        self.both.add(&view.signature, view.runs);
        for (n, side) in view.sides.into_iter().enumerate() {
            self.one_exact.entry((n, side.exact)).or_insert(at);
            if let Some(renamed) = side.renamed {
                self.one_renamed.entry((n, renamed)).or_insert(at);
            }
            self.one[n].add(&side.signature, side.runs);
            self.rows_of[n].push(at);
        }
    }
}
