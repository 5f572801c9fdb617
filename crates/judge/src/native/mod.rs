//! Our own rules: a module's text comes in, findings go out.
//!
//! 1. [`python::parse`](crate::python::parse) decides validity and gives the tree.
//! 2. [`names`] resolves imports and literal dotted names, so a fragment without its imports is understood too.
//! 3. [`engine`], [`eval`], [`calls`] and [`guard`] walk the tree once and know at each moment what every name holds:
//!    constants, strings built from parts, who chose the parts, and what made them harmless.
//! 4. [`rules`] look at calls, assignments and other events, found by the callee's last name.
//! 5. [`suppress`] drops what a comment silences.
//!
//! Invariants: no rule speaks of a lesson; a rule is about the weakness, never about names that only one example has. The
//! pass is inside one file, and inside one function but for module constants and attributes of `self`.

mod calls;
mod engine;
mod eval;
mod guard;
mod library;
mod names;
mod rule;
pub mod rules;
mod scopes;
mod suppress;
mod texts;
mod value;

pub(crate) use names::last as last_name;
pub use rule::Rule;
pub(crate) use suppress::{of as suppression, silenced};

use crate::python::{self, SyntaxError, span};
use bumpalo::Bump;
use lexicon::{Cwe, Finding, LineIndex, finding::TraceStep};
use std::cell::Cell;

/// Name of this analyzer in findings.
pub const ANALYZER: &str = "native";

/// Bytes that wait for the next file's texts.
const KEPT: usize = 256 << 10;

thread_local! {
    /// Memory for one file's texts after the other's.
    static TEXTS: Cell<Bump> = Cell::default();
}

/// What one file gave.
#[derive(Debug)]
pub struct Scan {
    /// Findings by position; where the file does not parse, those in what can be made of it.
    pub findings: Vec<Finding>,
    /// Why the file is not valid, where it is not.
    pub syntax_error: Option<SyntaxError>,
}

/// Looks for weaknesses in a Python module. `path` only names the file in findings.
#[must_use]
pub fn scan(path: &str, source: &str) -> Scan {
    match python::parse(source) {
        Ok(parsed) => Scan { findings: scan_parsed(path, source, &parsed), syntax_error: None },
        Err(error) => {
            let findings = python::recover(source).map(|tree| scan_parsed(path, source, &tree)).unwrap_or_default();
            Scan { findings, syntax_error: Some(error) }
        }
    }
}

/// Looks for weaknesses in a module that is already parsed; `source` must be the text it was parsed from.
#[must_use]
pub fn scan_parsed(path: &str, source: &str, parsed: &python::Parsed) -> Vec<Finding> {
    let mut memory = TEXTS.take();
    let raw = engine::Engine::run(source, &parsed.module().body, &memory);
    memory.reset();
    if memory.allocated_bytes() <= KEPT {
        TEXTS.set(memory);
    }
    if raw.is_empty() {
        return Vec::new();
    }
    let lines = LineIndex::new(source);
    let at = |offset: usize| lines.position(source, offset);
    let comments = suppress::read(source, parsed.tokens(), |offset| at(offset).line);
    let mut findings: Vec<Finding> = raw
        .into_iter()
        .map(|raw| {
            let place = span(raw.range);
            let trace = raw
                .origin
                .filter(|o| *o != raw.range)
                .map(|origin| TraceStep { at: at(span(origin).start), message: "data enters here".to_owned() });
            Finding {
                format: lexicon::FORMAT,
                analyzer: ANALYZER.to_owned(),
                rule: raw.rule.id.to_owned(),
                cwe: raw.rule.cwe.iter().map(|&n| Cwe(n)).collect(),
                severity: raw.rule.severity,
                confidence: raw.rule.confidence,
                path: path.to_owned(),
                start: at(place.start),
                end: at(place.end),
                message: raw.rule.remedy.to_owned(),
                trace: trace.into_iter().collect(),
            }
        })
        .filter(|finding| !suppress::silenced(finding, &comments))
        .collect();
    findings.sort_by(|a, b| (a.start, a.end, &a.rule).cmp(&(b.start, b.end, &b.rule)));
    findings
}

#[cfg(test)]
mod tests;
