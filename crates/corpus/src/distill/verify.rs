//! What a distilled pair must be, and what is merely worth saying about it.

use super::{config::Verify, stages::Draft};
use crate::{masks::char_diff, validate::wording};
use lexicon::{Origin, Pair};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a draft becomes no pair; the name is what reports count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reject {
    /// The endpoint refused the question.
    Refused,
    /// A heading that was asked for is missing.
    MarkerMissing,
    /// A heading without a fence of code below it.
    NoFence,
    /// Code that was cut off.
    CutOff,
    /// Nothing between the fences.
    Empty,
    /// Code of another language.
    WrongLanguage,
    /// A side that does not parse.
    Syntax,
    /// Analyzers still flag the secure side.
    SecureFlagged,
    /// No analyzer flags the insecure side, and where that would do, nothing explains it either.
    InsecureClean,
    /// The sides are the same.
    Identical,
    /// The sides differ by more than is allowed.
    Rewritten,
    /// The instruction gives the weakness away.
    Hint,
    /// The instruction is missing.
    NoInstruction,
    /// An earlier pair has the same sides.
    Duplicate,
}

/// What is said of a pair without refusing it.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measures {
    /// Share of both sides' characters that differ.
    pub changed: f64,
    /// Share of the secure side's characters that are not in the insecure one.
    pub changed_secure: f64,
    /// The same of the insecure side.
    pub changed_insecure: f64,
    /// Lines of the secure side to lines of the insecure one.
    pub size_ratio: f64,
    /// `try` statements that the secure side adds.
    pub added_try: usize,
}

impl Measures {
    /// Measures two sides.
    #[must_use]
    pub fn of(insecure: &str, secure: &str) -> Self {
        let changes = char_diff(insecure, secure);
        let sum = |spans: &[std::ops::Range<usize>]| spans.iter().map(std::ops::Range::len).sum::<usize>() as f64;
        let (deleted, added) = (sum(&changes.deleted), sum(&changes.added));
        let lines = |code: &str| code.lines().filter(|l| !l.trim().is_empty()).count();
        let tries = |code: &str| code.lines().filter(|l| l.trim() == "try:").count();
        let share = |part: f64, whole: usize| if whole == 0 { 0.0 } else { part / whole as f64 };
        Self {
            changed: share(deleted + added, insecure.len() + secure.len()),
            changed_secure: share(added, secure.len()),
            changed_insecure: share(deleted, insecure.len()),
            size_ratio: share(lines(secure) as f64, lines(insecure)),
            added_try: tries(secure).saturating_sub(tries(insecure)),
        }
    }
}

/// A draft as a pair, with its measures.
///
/// # Errors
/// The first thing that a pair must be and this is not, with the particulars.
pub fn verify(draft: &Draft, rules: &Verify) -> Result<(Pair, Measures), (Reject, String)> {
    let plan = &draft.plan;
    let reject = |why, what: &str| Err((why, what.to_owned()));
    if draft.insecure.trim() == draft.secure.trim() {
        return reject(Reject::Identical, "");
    }
    if let Some(finding) = draft.secure_findings.first() {
        return Err((Reject::SecureFlagged, format!("{} ({})", finding.message, finding.rule)));
    }
    let flagged = draft.insecure_findings.iter().any(|f| f.cwe.iter().any(|c| c.kin(plan.cwe)));
    if !flagged && (rules.flagged || draft.risk.trim().is_empty()) {
        return reject(Reject::InsecureClean, "");
    }
    if draft.instruction.trim().is_empty() {
        return reject(Reject::NoInstruction, "");
    }
    if let Some(word) = wording::hint(&draft.instruction, &plan.weakness, &[plan.cwe], false) {
        return Err((Reject::Hint, word));
    }
    let measures = Measures::of(&draft.insecure, &draft.secure);
    if measures.changed > rules.most_changed {
        return Err((Reject::Rewritten, format!("{:.2} of the characters differ", measures.changed)));
    }
    let mut cwe = vec![plan.cwe];
    for found in draft.insecure_findings.iter().flat_map(|f| &f.cwe).copied() {
        if !cwe.contains(&found) {
            cwe.push(found);
        }
    }
    let mut verified = vec!["parse".to_owned(), "secure-clean".to_owned()];
    verified.push(if flagged { "insecure-flagged" } else { "insecure-explained" }.to_owned());
    let from = &draft.from;
    let mut extra = BTreeMap::from([
        ("endpoint".to_owned(), from.endpoint.clone()),
        ("model".to_owned(), from.model.clone()),
        ("parameters".to_owned(), from.parameters.to_string()),
        ("prompt-sha256".to_owned(), from.prompt_sha256.clone()),
        ("time".to_owned(), from.time.to_string()),
        ("module".to_owned(), plan.module.clone()),
    ]);
    if let Some(by) = &from.answered_by {
        extra.insert("answered-by".to_owned(), by.clone());
    }
    if draft.rounds > 0 {
        extra.insert("refined".to_owned(), draft.rounds.to_string());
    }
    let reasoning = format!(
        "The code may have the vulnerability {}: '{}'. {} {}",
        plan.cwe,
        plan.weakness,
        draft.risk.trim(),
        draft.remedy.trim()
    );
    let pair = Pair {
        format: lexicon::FORMAT,
        id: plan.id.clone(),
        language: plan.language,
        cwe,
        instruction: draft.instruction.trim().to_owned(),
        reasoning: reasoning.trim().to_owned(),
        secure: draft.secure.clone(),
        insecure: draft.insecure.clone(),
        origin: Origin {
            kind: "distilled".into(),
            source: from.model.clone(),
            variant: None,
            licence: String::new(),
            verified,
            extra,
        },
    };
    Ok((pair, measures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_of_two_sides() {
        let same = Measures::of("a\nb\n", "a\nb\n");
        assert_eq!((same.changed, same.size_ratio, same.added_try), (0.0, 1.0, 0));
        let more = Measures::of("f(x)\n", "try:\n    f(x)\nexcept E:\n    pass\n");
        assert_eq!((more.size_ratio, more.added_try, more.changed_insecure), (4.0, 1, 0.0));
        assert!(more.changed > 0.7 && more.changed_secure > 0.8, "{more:?}");
        assert_eq!(Measures::of("", "").changed, 0.0);
    }
}
