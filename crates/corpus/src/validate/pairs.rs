//! Pairs of a file against what must hold of any pair.

use super::{Entry, Level, Side, hint, join};
use lexicon::Pair;
use rayon::prelude::*;
use std::collections::HashMap;

/// A pair and where it stands.
#[derive(Clone, Debug)]
pub struct Located {
    /// File, as the caller named it.
    pub path: String,
    /// The pair.
    pub pair: Pair,
}

impl Located {
    fn place(&self) -> String {
        format!("{}: {}", self.path, self.pair.id)
    }
}

/// What came of a set of pairs.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Pairs whose insecure side has a finding and whose secure side has none.
    pub told_apart: usize,
    /// What was found, in the pairs' order.
    pub entries: Vec<Entry>,
}

/// Parses, compares and judges every pair, on all processors.
#[must_use]
pub fn check(pairs: &[Located]) -> Checked {
    let mut all: Vec<(bool, Vec<Entry>)> = pairs.par_iter().map(one).collect();
    let mut code: HashMap<(&str, &str), &Located> = HashMap::new();
    let mut ids: HashMap<(&str, &str), &Located> = HashMap::new();
    for (located, (_, entries)) in pairs.iter().zip(&mut all) {
        let pair = &located.pair;
        let mut problem = |message: String| {
            entries.push(Entry { level: Level::Problem, place: located.place(), check: "duplicate", message });
        };
        match code.get(&(pair.secure.as_str(), pair.insecure.as_str())) {
            Some(first) => problem(format!("the same code as {}", first.place())),
            None => drop(code.insert((&pair.secure, &pair.insecure), located)),
        }
        match ids.get(&(located.path.as_str(), pair.id.as_str())) {
            Some(_) => problem("the id stands twice in the file".into()),
            None => drop(ids.insert((&located.path, &pair.id), located)),
        }
    }
    let told_apart = all.iter().filter(|(apart, _)| *apart).count();
    Checked { told_apart, entries: all.into_iter().flat_map(|(_, e)| e).collect() }
}

/// Entries of one pair, and whether the rules tell its sides apart.
fn one(located: &Located) -> (bool, Vec<Entry>) {
    let pair = &located.pair;
    let mut entries = Vec::new();
    let mut add = |level, check, message| entries.push(Entry { level, place: located.place(), check, message });
    if pair.secure == pair.insecure {
        add(Level::Problem, "differ", "both sides are the same".to_owned());
    }
    if let Some(word) = hint(&pair.instruction, "", &pair.cwe, false) {
        add(Level::Problem, "instruction", format!("the instruction says {word:?}, which gives the weakness away"));
    }
    let side = |code| Side::of(pair.language, &pair.id, code);
    let (insecure, secure) = (side(&pair.insecure), side(&pair.secure));
    let mut parsed = true;
    for (name, side) in [("insecure", &insecure), ("secure", &secure)] {
        if let Some(error) = &side.syntax_error {
            parsed = false;
            add(Level::Problem, "parse", format!("the {name} side is not {}: {error}", pair.language.title()));
        }
    }
    if !parsed {
        return (false, entries);
    }
    // A pair that claims our verdict must have it; any other may hold what our rules do not know.
    let claims = pair.origin.kind == "lesson" || pair.origin.verified.iter().any(|v| v == "native");
    let level = if claims { Level::Problem } else { Level::Note };
    if insecure.findings.is_empty() && pair.secure != pair.insecure {
        add(level, "fires", "no native rule fires on the insecure side".to_owned());
    } else if let Some(label) = pair.cwe.first()
        && !insecure.findings.is_empty()
        && !insecure.has(*label)
    {
        add(Level::Note, "cwe", format!("labelled {}, found {}", join(&pair.cwe), insecure.said()));
    }
    if !secure.findings.is_empty() {
        let labelled = pair.cwe.iter().any(|&c| secure.has(c));
        let level = if labelled { Level::Problem } else { level };
        add(level, "silent", format!("fires on the secure side: {}", secure.said()));
    }
    (!insecure.findings.is_empty() && secure.findings.is_empty(), entries)
}
