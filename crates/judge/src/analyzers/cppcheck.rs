//! Cppcheck on C and C++.

use super::{
    Analyzer, Error, Scanned, Settings,
    program::{self, Batch, External, Tool, words},
};
use crate::sandbox::process::Ended;
use lexicon::{Confidence, Cwe, Finding, Language, Severity};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

/// Its name in findings.
pub(super) const NAME: &str = "cppcheck";

#[derive(Debug)]
struct Cppcheck {
    program: PathBuf,
    min_severity: Severity,
    patience: Duration,
}

pub(super) fn open(settings: &Settings) -> Result<Box<dyn Analyzer>, Error> {
    let program = program::find(NAME, settings, "install the package `cppcheck`")?;
    let Settings { min_severity, patience, .. } = *settings;
    Ok(Box::new(External(Cppcheck { program, min_severity, patience })))
}

/// Reads reports alone: no program is started.
pub(super) fn reader() -> Box<dyn Tool> {
    Box::new(Cppcheck { program: PathBuf::new(), min_severity: Severity::Low, patience: Duration::ZERO })
}

impl Tool for Cppcheck {
    fn name(&self) -> &'static str {
        NAME
    }

    fn languages(&self) -> &'static [Language] {
        &[Language::C, Language::Cpp]
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn steps(&self, names: &[String]) -> Result<Vec<Vec<OsString>>, String> {
        let mut arguments = words(&[
            "--quiet",
            "--enable=warning,portability",
            "--inconclusive",
            "--output-file=report.txt",
            "--template={file}\\t{line}\\t{column}\\t{severity}\\t{inconclusive:inconclusive}\\t{id}\\t{cwe}\\t{message}",
        ]);
        arguments.extend(names.iter().map(OsString::from));
        Ok(vec![arguments])
    }

    fn read(&self, batch: &Batch, ended: &Ended) -> Result<Vec<Scanned>, String> {
        if !ended.status.success() {
            return Err("it failed".to_owned());
        }
        // It writes no file where it found nothing.
        let text = batch.report("report.txt").unwrap_or_default();
        let (mut findings, mut skipped) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let fields: Vec<&str> = line.splitn(8, '\t').collect();
            let [file, line, column, level, inconclusive, id, cwe, message] = fields[..] else { continue };
            let Some(i) = batch.number(file) else { continue };
            if matches!(id, "syntaxError" | "internalError" | "internalAstError" | "preprocessorErrorDirective") {
                skipped.push((i, message.to_owned()));
                continue;
            }
            let severity = match level {
                "error" => Severity::High,
                "warning" => Severity::Medium,
                _ => Severity::Low,
            };
            // Advice about style and the tool itself has no weakness.
            let Some(cwe) = cwe.parse().ok().filter(|&n: &u32| n > 0) else { continue };
            if severity < self.min_severity {
                continue;
            }
            let start = batch.at(i, line.parse().unwrap_or(1), column.parse().unwrap_or(1));
            findings.push((
                i,
                Finding {
                    format: lexicon::FORMAT,
                    analyzer: NAME.to_owned(),
                    rule: id.to_owned(),
                    cwe: vec![Cwe(cwe)],
                    severity,
                    confidence: if inconclusive.is_empty() { Confidence::High } else { Confidence::Low },
                    path: batch.files[i].path.to_owned(),
                    start,
                    end: start,
                    message: message.to_owned(),
                    trace: Vec::new(),
                },
            ));
        }
        Ok(batch.sorted(findings, skipped))
    }

    fn patience(&self, files: usize) -> Duration {
        self.patience + Duration::from_secs(5) * u32::try_from(files).unwrap_or(u32::MAX)
    }
}
