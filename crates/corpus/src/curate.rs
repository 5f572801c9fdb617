//! Rows that people or other projects wrote come in; those that several analyzers agree on go out, the others to review.
//!
//! The label is a voice, each analyzer another. An analyzer confirms a pair where it finds the labelled weakness (or one of its
//! family) in the insecure side and not in the secure one. Silence counts against a pair only where the analyzer's rules know
//! the weakness in that language; what an analyzer does not know it cannot deny.
//!
//! Invariants: nothing is dropped without a reason that is counted; a row keeps its provenance, and gets what judged it.

#[cfg(test)]
mod tests;

use crate::{
    knowledge::rules::{self, Rule},
    rows::Row,
    validate::{dedent, hint},
};
use judge::{Code, Judge, Judged as Verdicts};
use lexicon::{FORMAT, Finding, Language, Origin, Pair, format_one};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

/// What one analyzer says of one pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Voice {
    /// Its name.
    pub analyzer: String,
    /// Its version.
    pub version: String,
    /// What it concludes.
    pub says: Says,
    /// Findings in the insecure side.
    pub insecure: Vec<Finding>,
    /// Findings in the secure side.
    pub secure: Vec<Finding>,
    /// Why it did not look, where it did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub skipped: String,
}

/// What an analyzer concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// The weakness is in the insecure side alone.
    Confirms,
    /// It knows the weakness and finds it in neither.
    FindsNothing,
    /// The weakness is in both.
    StillThere,
    /// The weakness is in the secure side alone.
    Reversed,
    /// It has no rule for the weakness, or does not read the language.
    Unknowing,
}

/// A row with what was said of it; what waits for review, a line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Record format.
    #[serde(default = "format_one")]
    pub format: u32,
    /// The pair; a pattern with one side has an empty insecure one.
    pub pair: Pair,
    /// What analyzers say.
    #[serde(default)]
    pub voices: Vec<Voice>,
    /// Why a person should look.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// What was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Record format.
    pub format: u32,
    /// The row.
    pub id: String,
    /// Why.
    pub reason: &'static str,
}

/// What became of rows.
#[derive(Debug, Default)]
pub struct Curated {
    /// Rows that nothing speaks against, with what confirmed them.
    pub agreed: Vec<Row>,
    /// Rows for people.
    pub review: Vec<Judged>,
    /// Rows that teach nothing.
    pub refused: Vec<Refused>,
    /// How often each analyzer says what, over all rows that were judged.
    pub voices: BTreeMap<String, BTreeMap<Says, usize>>,
}

/// Who judges.
pub struct Panel<'a> {
    /// Analyzers; programs are not run.
    pub judge: &'a Judge,
    /// Their names and versions.
    pub analyzers: &'a [(String, String)],
    /// Analyzers that must confirm a pair.
    pub quorum: usize,
}

impl std::fmt::Debug for Panel<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Panel")
            .field("analyzers", &self.analyzers)
            .field("quorum", &self.quorum)
            .finish_non_exhaustive()
    }
}

/// Judges rows.
///
/// # Errors
/// [`judge::judge::Error`] where an analyzer fails as a whole.
pub fn curate(rows: Vec<Row>, panel: &Panel) -> Result<Curated, judge::judge::Error> {
    let mut out = Curated::default();
    let mut pairs: Vec<Pair> = Vec::new();
    let mut seen: HashMap<(Language, String, String), ()> = HashMap::new();
    for row in rows {
        let pair = match row {
            Row::Pair(pair) => pair,
            Row::Text { id, text, origin } => one_sided(id, text, *origin),
        };
        let refuse = |reason| Refused { format: FORMAT, id: pair.id.clone(), reason };
        if pair.secure.trim() == pair.insecure.trim() {
            out.refused.push(refuse("both sides are the same"));
        } else if seen.insert((pair.language, pair.secure.clone(), pair.insecure.clone()), ()).is_some() {
            out.refused.push(refuse("an earlier row has the same code"));
        } else {
            pairs.push(pair);
        }
    }
    for judged in judged(pairs, panel)? {
        for voice in &judged.voices {
            *out.voices.entry(voice.analyzer.clone()).or_default().entry(voice.says).or_default() += 1;
        }
        if judged.reasons.is_empty() {
            out.agreed.push(confirmed(judged));
        } else {
            out.review.push(judged);
        }
    }
    Ok(out)
}

/// A text as a pair without an insecure side.
fn one_sided(id: String, text: String, origin: Origin) -> Pair {
    let extra = |key: &str| origin.extra.get(key);
    Pair {
        format: FORMAT,
        id,
        language: extra("language").and_then(|l| l.parse().ok()).unwrap_or_default(),
        cwe: extra("cwe").and_then(|c| c.parse().ok()).into_iter().collect(),
        instruction: String::new(),
        reasoning: String::new(),
        secure: text,
        insecure: String::new(),
        origin,
    }
}

/// What analyzers say of pairs, whatever it is.
///
/// # Errors
/// See [`curate`].
pub fn judged(pairs: Vec<Pair>, panel: &Panel) -> Result<Vec<Judged>, judge::judge::Error> {
    let sides: Vec<[Cow<str>; 2]> = pairs.iter().map(|p| [dedent(&p.insecure), dedent(&p.secure)]).collect();
    let code = |pair: &Pair, source| Code {
        path: "code",
        source,
        language: pair.language,
        tests: None,
        exploit: None,
        packages: false,
    };
    let codes: Vec<Code> =
        pairs.iter().zip(&sides).flat_map(|(p, [i, s])| [code(p, i.as_ref()), code(p, s.as_ref())]).collect();
    let verdicts = panel.judge.judge(&codes, &|_| ())?;
    drop(codes);
    drop(sides);
    let known = rules::built_in();
    Ok(pairs.into_iter().zip(verdicts.chunks_exact(2)).map(|(pair, both)| one(pair, both, panel, &known)).collect())
}

fn one(pair: Pair, verdicts: &[Verdicts], panel: &Panel, known: &[Rule]) -> Judged {
    let two = !pair.insecure.is_empty();
    let (insecure, secure) = (&verdicts[0], &verdicts[1]);
    let of = |judged: &Verdicts, name: &str| -> Vec<Finding> {
        judged.verdict.findings.iter().filter(|f| f.analyzer == name).cloned().collect()
    };
    let voices: Vec<Voice> = panel
        .analyzers
        .iter()
        .map(|(name, version)| {
            let skip = |judged: &Verdicts| judged.skipped.iter().find(|(n, _)| n == name).map(|(_, why)| why.clone());
            let skipped = skip(secure).or_else(|| skip(insecure).filter(|_| two)).unwrap_or_default();
            let (bad, good) = (of(insecure, name), of(secure, name));
            let found = |findings: &[Finding], side: &Verdicts| findings.iter().any(|f| speaks(&pair, f, side));
            let says = match (found(&bad, insecure), found(&good, secure)) {
                _ if !skipped.is_empty() => Says::Unknowing,
                (true, false) => Says::Confirms,
                (true, true) => Says::StillThere,
                (false, true) => Says::Reversed,
                (false, false) if knows(known, name, &pair) => Says::FindsNothing,
                (false, false) => Says::Unknowing,
            };
            Voice { analyzer: name.clone(), version: version.clone(), says, insecure: bad, secure: good, skipped }
        })
        .collect();
    let reasons = reasons(&pair, [insecure, secure], &voices, panel.quorum);
    Judged { format: FORMAT, pair, voices, reasons }
}

/// Whether a finding speaks of the label: it is of its family, or stands where another analyzer's finding of the family stands
/// (Bandit files `eval` under CWE-78).
fn speaks(pair: &Pair, finding: &Finding, side: &Verdicts) -> bool {
    let labelled = |f: &Finding| f.cwe.iter().any(|c| pair.cwe.iter().any(|l| l.kin(*c)));
    let meets = |f: &Finding| f.start.line <= finding.end.line && finding.start.line <= f.end.line;
    pair.cwe.is_empty() || labelled(finding) || side.verdict.findings.iter().any(|f| labelled(f) && meets(f))
}

/// Whether an analyzer has a rule for the labelled weakness in the language. Of analyzers whose rules are not listed here that
/// is not known.
fn knows(known: &[Rule], analyzer: &str, pair: &Pair) -> bool {
    let listed = if analyzer == "bandit-compat" { "bandit" } else { analyzer };
    let labelled = |r: &Rule| r.cwe.iter().any(|c| pair.cwe.iter().any(|l| l.kin(*c)));
    known.iter().any(|r| r.analyzer == listed && r.languages.contains(&pair.language) && labelled(r))
}

fn reasons(pair: &Pair, [insecure, secure]: [&Verdicts; 2], voices: &[Voice], quorum: usize) -> Vec<String> {
    let mut out = Vec::new();
    let two = !pair.insecure.is_empty();
    for (side, judged) in [("insecure", insecure), ("secure", secure)] {
        if let Some(error) = &judged.verdict.syntax_error {
            out.push(format!("the {side} side does not parse: {error}"));
        }
    }
    if !out.is_empty() {
        return out;
    }
    if let Some(word) = hint(&pair.instruction, "", &pair.cwe, false) {
        out.push(format!("the instruction says {word:?}, which gives the weakness away"));
    }
    let who =
        |says| voices.iter().filter(|v| v.says == says).map(|v| v.analyzer.as_str()).collect::<Vec<_>>().join(", ");
    if !two {
        let found: Vec<String> = voices.iter().flat_map(|v| &v.secure).map(said).collect();
        if !found.is_empty() {
            out.push(format!("found in what should be secure: {}", found.join("; ")));
        }
        return out;
    }
    let confirming = voices.iter().filter(|v| v.says == Says::Confirms).count();
    for (says, what) in [
        (Says::FindsNothing, "known there, and found on neither side"),
        (Says::StillThere, "found on the secure side as well"),
        (Says::Reversed, "found on the secure side alone"),
    ] {
        if voices.iter().any(|v| v.says == says) {
            let against = if confirming > 0 { format!(", against {}", who(Says::Confirms)) } else { String::new() };
            out.push(format!("{}: {what}{against}", who(says)));
        }
    }
    if confirming == 0 && out.is_empty() {
        out.push("no analyzer here knows this weakness".to_owned());
    } else if confirming < quorum && confirming > 0 {
        out.push(format!("{confirming} of the {quorum} analyzers that are wanted confirm it"));
    }
    let fresh: Vec<String> = voices
        .iter()
        .flat_map(|v| {
            v.secure.iter().filter(|f| !speaks(pair, f, secure) && !v.insecure.iter().any(|b| b.rule == f.rule))
        })
        .map(said)
        .collect();
    if !fresh.is_empty() {
        out.push(format!("new on the secure side: {}", fresh.join("; ")));
    }
    if pair.cwe.is_empty() {
        out.push("it has no label".to_owned());
    }
    out
}

fn said(f: &Finding) -> String {
    let cwe = f.cwe.first().map_or_else(String::new, |c| format!(" ({c})"));
    format!("{} {}{cwe} at line {}", f.analyzer, f.rule, f.start.line)
}

/// A row that nothing speaks against, with what confirmed it.
fn confirmed(judged: Judged) -> Row {
    let Judged { mut pair, voices, .. } = judged;
    let two = !pair.insecure.is_empty();
    let looked = |v: &&Voice| if two { v.says == Says::Confirms } else { v.skipped.is_empty() };
    let by: Vec<String> = voices.iter().filter(looked).map(|v| format!("{} {}", v.analyzer, v.version)).collect();
    for word in ["parse", "analyzers"] {
        if !pair.origin.verified.iter().any(|v| v == word) && (word == "parse" || !by.is_empty()) {
            pair.origin.verified.push(word.to_owned());
        }
    }
    pair.origin.extra.insert("analyzers".to_owned(), by.join(", "));
    if two { Row::Pair(pair) } else { Row::Text { id: pair.id, text: pair.secure, origin: Box::new(pair.origin) } }
}

/// Reasons as they are counted: without names, numbers and places.
#[must_use]
pub fn kind_of(reason: &str) -> &'static str {
    const KINDS: &[(&str, &str)] = &[
        ("does not parse", "does not parse"),
        ("gives the weakness away", "the instruction gives the weakness away"),
        ("on neither side", "an analyzer that knows it finds nothing"),
        ("on the secure side as well", "found on both sides"),
        ("on the secure side alone", "found on the secure side alone"),
        ("no analyzer here", "no analyzer knows it"),
        ("that are wanted", "too few analyzers confirm it"),
        ("new on the secure side", "another weakness on the secure side"),
        ("no label", "no label"),
        ("should be secure", "found in a secure pattern"),
    ];
    KINDS.iter().find(|(part, _)| reason.contains(part)).map_or("other", |(_, kind)| kind)
}

/// How often each kind of reason sends a row to review; a row may have several.
#[must_use]
pub fn counts(review: &[Judged]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    review.iter().flat_map(|j| &j.reasons).for_each(|r| *counts.entry(kind_of(r)).or_default() += 1);
    counts
}
