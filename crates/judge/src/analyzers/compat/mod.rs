//! Bandit's verdict without Bandit: the tests of Bandit 1.9 in process, with its numbers, severities and CWEs.
//!
//! 1. [`tables`]: what each test is, and the calls and imports it lists.
//! 2. [`walk`]: visits a module in Bandit's order with Bandit's idea of names: aliases of the imports seen so far.
//! 3. [`calls`], [`strings`]: the tests themselves.
//!
//! The tests look at less than our own rules do, on purpose: they answer what Bandit would say, for figures that are compared
//! with published ones. `docs/bandit-compat.md` says how well they agree and where not.

mod calls;
mod strings;
mod tables;
mod walk;

pub use tables::{bandit_tests, tests_of};

use super::{Analyzer, Error, File, Scanned, Settings};
use crate::{parallel, python};
use lexicon::{Confidence, Cwe, Finding, LineIndex, Severity};
use ruff_python_ast::token::TokenKind;
use ruff_text_size::{Ranged, TextRange};

/// Its name in findings.
pub(super) const NAME: &str = "bandit-compat";

/// The weakness that Bandit gives a test.
pub(super) fn about(test: &str) -> Option<u32> {
    tables::test(test).map(|t| t.cwe)
}

/// How bad Bandit takes a test's findings to be, where that does not depend on the place.
pub(super) fn severity_of(test: &str) -> Severity {
    const LOW: &[&str] = &["B101", "B105", "B106", "B107", "B110", "B112", "B504", "B603", "B606", "B607"];
    const HIGH: &[&str] = &["B201", "B202", "B324", "B501", "B502", "B507", "B602", "B605", "B609", "B613", "B701"];
    let listed = tables::CALLS.iter().chain(tables::IMPORTS).find(|l| l.test == test).map(|l| l.severity);
    listed.unwrap_or(match test {
        t if LOW.contains(&t) => Severity::Low,
        t if HIGH.contains(&t) => Severity::High,
        _ => Severity::Medium,
    })
}

/// What a test reports before it is put into words.
struct Hit {
    test: &'static str,
    range: TextRange,
    severity: Severity,
    confidence: Confidence,
}

/// Bandit's tests, in process.
#[derive(Clone, Copy, Debug)]
pub struct BanditCompat {
    min_severity: Severity,
    nosec: bool,
}

impl BanditCompat {
    /// Makes it ready; it needs nothing installed.
    #[must_use]
    pub const fn new(settings: &Settings) -> Self {
        Self { min_severity: settings.min_severity, nosec: settings.nosec }
    }

    pub(super) fn open(settings: &Settings) -> Result<Box<dyn Analyzer>, Error> {
        Ok(Box::new(Self::new(settings)))
    }

    fn file(self, file: &File) -> Scanned {
        let parsed = match python::parse(file.source) {
            Ok(parsed) => parsed,
            Err(error) => return Scanned { findings: Vec::new(), skipped: Some(error.to_string()) },
        };
        let mut hits = walk::run(file.source, &parsed.module().body);
        hits.retain(|hit| hit.severity >= self.min_severity);
        if hits.is_empty() {
            return Scanned::default();
        }
        let lines = LineIndex::new(file.source);
        let silenced = if self.nosec { silenced(file.source, &parsed, &lines) } else { Vec::new() };
        let mut findings: Vec<Finding> = hits
            .into_iter()
            .map(|hit| {
                let span = python::span(hit.range);
                let test = tables::test(hit.test);
                Finding {
                    format: lexicon::FORMAT,
                    analyzer: NAME.to_owned(),
                    rule: hit.test.to_owned(),
                    cwe: vec![Cwe(test.map_or(0, |t| t.cwe))],
                    severity: hit.severity,
                    confidence: hit.confidence,
                    path: file.path.to_owned(),
                    start: lines.position(file.source, span.start),
                    end: lines.position(file.source, span.end),
                    message: test.map_or("", |t| t.about).to_owned(),
                    trace: Vec::new(),
                }
            })
            .filter(|f| {
                !silenced.iter().any(|(line, only)| {
                    (f.start.line..=f.end.line).contains(line) && (only.is_empty() || only.contains(&f.rule))
                })
            })
            .collect();
        super::sort(&mut findings);
        Scanned { findings, skipped: None }
    }
}

/// Lines with a `# nosec`, and the tests it names; none means all.
fn silenced(source: &str, parsed: &python::Parsed, lines: &LineIndex) -> Vec<(usize, Vec<String>)> {
    let comments = parsed.tokens().iter().filter(|t| t.kind() == TokenKind::Comment);
    let read = |token: &ruff_python_ast::token::Token| {
        let text = &source[token.range()];
        let (_, rest) = text.split_once("nosec")?;
        let is_test = |w: &&str| w.len() == 4 && w.starts_with('B') && w[1..].bytes().all(|b| b.is_ascii_digit());
        let only = rest.split([' ', ',', ':']).filter(is_test).map(str::to_owned).collect();
        Some((lines.position(source, token.range().start().to_usize()).line, only))
    };
    comments.filter_map(read).collect()
}

impl Analyzer for BanditCompat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn scan(&self, files: &[File]) -> Result<Vec<Scanned>, Error> {
        Ok(parallel::map(files, |file| self.file(file), || ()))
    }
}

#[cfg(test)]
mod tests;
