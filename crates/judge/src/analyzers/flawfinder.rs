//! Flawfinder on C and C++: calls that are often misused.

use super::{
    Analyzer, Error, Scanned, Settings,
    program::{self, Batch, External, Tool, cwes, words},
};
use crate::sandbox::process::Ended;
use lexicon::{Confidence, Finding, Language, Severity};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

/// Its name in findings.
pub(super) const NAME: &str = "flawfinder";

#[derive(Debug)]
struct Flawfinder {
    program: PathBuf,
    min_severity: Severity,
    nosec: bool,
    patience: Duration,
}

pub(super) fn open(settings: &Settings) -> Result<Box<dyn Analyzer>, Error> {
    let program = program::find(NAME, settings, "`pip install flawfinder`")?;
    let Settings { min_severity, nosec, patience, .. } = *settings;
    Ok(Box::new(External(Flawfinder { program, min_severity, nosec, patience })))
}

/// Reads reports alone: no program is started.
pub(super) fn reader() -> Box<dyn Tool> {
    Box::new(Flawfinder { program: PathBuf::new(), min_severity: Severity::Low, nosec: true, patience: Duration::ZERO })
}

impl Tool for Flawfinder {
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
        let mut arguments = words(&["--csv", "--quiet", "--dataonly"]);
        if !self.nosec {
            arguments.push("--neverignore".into());
        }
        arguments.extend(names.iter().map(OsString::from));
        Ok(vec![arguments])
    }

    fn read(&self, batch: &Batch, ended: &Ended) -> Result<Vec<Scanned>, String> {
        if !ended.status.success() || !ended.whole {
            return Err("it failed".to_owned());
        }
        // A warning may come before the table.
        let text = String::from_utf8_lossy(&ended.output);
        let table = text.find("File,Line,Column,").map(|at| &text[at..]).ok_or("it left no table")?;
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(table.as_bytes());
        let headers = reader.headers().map_err(|e| e.to_string())?.clone();
        let column = |name: &str| headers.iter().position(|h| h == name).ok_or(format!("its table has no {name}"));
        let [file, line, place, level, name, warning, weak] =
            ["File", "Line", "Column", "Level", "Name", "Warning", "CWEs"].map(column);
        let (file, line, place, level, name, warning, weak) = (file?, line?, place?, level?, name?, warning?, weak?);
        let mut findings = Vec::new();
        for row in reader.records() {
            let row = row.map_err(|e| format!("its table cannot be read: {e}"))?;
            let field = |i: usize| row.get(i).unwrap_or("");
            let number = |i: usize| field(i).parse::<usize>().unwrap_or(1);
            let Some(i) = batch.number(field(file)) else { continue };
            let severity = match number(level) {
                5.. => Severity::High,
                3..=4 => Severity::Medium,
                _ => Severity::Low,
            };
            if severity < self.min_severity {
                continue;
            }
            let start = batch.at(i, number(line), number(place));
            findings.push((
                i,
                Finding {
                    format: lexicon::FORMAT,
                    analyzer: NAME.to_owned(),
                    rule: field(name).to_owned(),
                    cwe: cwes(field(weak)),
                    severity,
                    confidence: Confidence::Low,
                    path: batch.files[i].path.to_owned(),
                    start,
                    end: start,
                    message: field(warning).trim_end_matches('.').to_owned(),
                    trace: Vec::new(),
                },
            ));
        }
        Ok(batch.sorted(findings, Vec::new()))
    }

    fn patience(&self, files: usize) -> Duration {
        self.patience + Duration::from_secs(1) * u32::try_from(files).unwrap_or(u32::MAX)
    }
}
