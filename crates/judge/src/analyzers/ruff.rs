//! Ruff's security rules (`S`), which are Bandit's tests under another letter.

use super::{
    Analyzer, Error, Scanned, Settings,
    compat::{about, severity_of},
    program::{self, Batch, External, Tool, words},
};
use crate::sandbox::process::Ended;
use lexicon::{Confidence, Finding, Language, Severity};
use serde::Deserialize;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

/// Its name in findings.
pub(super) const NAME: &str = "ruff";

#[derive(Debug)]
struct Ruff {
    program: PathBuf,
    min_severity: Severity,
    nosec: bool,
    patience: Duration,
}

pub(super) fn open(settings: &Settings) -> Result<Box<dyn Analyzer>, Error> {
    let program = program::find(NAME, settings, "`pip install ruff`")?;
    let Settings { min_severity, nosec, patience, .. } = *settings;
    Ok(Box::new(External(Ruff { program, min_severity, nosec, patience })))
}

/// What ruff writes for one place; members we do not need are left out.
#[derive(Deserialize)]
struct Diagnostic {
    code: Option<String>,
    message: String,
    filename: String,
    location: Place,
    end_location: Place,
}

#[derive(Deserialize)]
struct Place {
    row: usize,
    column: usize,
}

/// Reads reports alone: no program is started.
pub(super) fn reader() -> Box<dyn Tool> {
    Box::new(Ruff { program: PathBuf::new(), min_severity: Severity::Low, nosec: true, patience: Duration::ZERO })
}

impl Tool for Ruff {
    fn name(&self) -> &'static str {
        NAME
    }

    fn languages(&self) -> &'static [Language] {
        &[Language::Python]
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn steps(&self, names: &[String]) -> Result<Vec<Vec<OsString>>, String> {
        let mut arguments = words(&[
            "check",
            "--isolated",
            "--no-cache",
            "--select",
            "S",
            "--exit-zero",
            "--output-format",
            "json",
            "--output-file",
            "report.json",
        ]);
        if !self.nosec {
            arguments.push("--ignore-noqa".into());
        }
        arguments.extend(names.iter().map(OsString::from));
        Ok(vec![arguments])
    }

    fn read(&self, batch: &Batch, _: &Ended) -> Result<Vec<Scanned>, String> {
        let text = batch.report("report.json")?;
        let diagnostics: Vec<Diagnostic> =
            serde_json::from_str(&text).map_err(|e| format!("its report cannot be read: {e}"))?;
        let (mut findings, mut skipped) = (Vec::new(), Vec::new());
        for diagnostic in diagnostics {
            let Some(i) = batch.number(&diagnostic.filename) else { continue };
            // Errors of syntax have no rule, or one that is no number.
            let Some(number) = diagnostic.code.as_deref().and_then(|c| c.strip_prefix('S')) else {
                skipped.push((i, diagnostic.message));
                continue;
            };
            let test = format!("B{number}");
            let severity = severity_of(&test);
            if severity < self.min_severity {
                continue;
            }
            let (start, end) = (&diagnostic.location, &diagnostic.end_location);
            let start = batch.at(i, start.row, start.column);
            findings.push((
                i,
                Finding {
                    format: lexicon::FORMAT,
                    analyzer: NAME.to_owned(),
                    rule: format!("S{number}"),
                    cwe: about(&test).map(lexicon::Cwe).into_iter().collect(),
                    severity,
                    confidence: Confidence::Medium,
                    path: batch.files[i].path.to_owned(),
                    start,
                    end: batch.at(i, end.row, end.column).max(start),
                    message: diagnostic.message,
                    trace: Vec::new(),
                },
            ));
        }
        Ok(batch.sorted(findings, skipped))
    }

    fn patience(&self, files: usize) -> Duration {
        self.patience + Duration::from_millis(100) * u32::try_from(files).unwrap_or(u32::MAX)
    }
}
