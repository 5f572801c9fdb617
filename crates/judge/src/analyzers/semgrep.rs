//! Semgrep with a folder of rules: offline, nothing is sent and nothing fetched.

use super::{
    Analyzer, Error, Scanned, Settings,
    program::{self, Batch, External, Tool, cwes, words},
};
use crate::sandbox::process::Ended;
use lexicon::{Confidence, Finding, Language, Severity};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::HashSet,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

/// Its name in findings.
pub(super) const NAME: &str = "semgrep";

#[derive(Debug)]
struct Semgrep {
    program: PathBuf,
    rules: PathBuf,
    min_severity: Severity,
    nosec: bool,
    patience: Duration,
}

pub(super) fn open(settings: &Settings) -> Result<Box<dyn Analyzer>, Error> {
    let program = program::find(NAME, settings, "`pip install semgrep`")?;
    let rules = settings.semgrep_rules.as_ref().filter(|rules| rules.exists()).ok_or_else(|| {
        let remedy = "it needs a file or folder of rules: --semgrep-rules PATH, or leave it out of --analyzer";
        Error::Unready { analyzer: NAME, remedy: remedy.to_owned() }
    })?;
    let rules = std::path::absolute(rules).unwrap_or_else(|_| rules.clone());
    let Settings { min_severity, nosec, patience, .. } = *settings;
    Ok(Box::new(External(Semgrep { program, rules, min_severity, nosec, patience })))
}

/// What Semgrep writes; members we do not need are left out.
#[derive(Deserialize)]
struct Report {
    results: Vec<Match>,
    errors: Vec<Trouble>,
    paths: Paths,
}

#[derive(Deserialize)]
struct Paths {
    /// Files that some rule was tried on.
    scanned: Vec<String>,
}

#[derive(Deserialize)]
struct Match {
    check_id: String,
    path: String,
    start: Place,
    end: Place,
    extra: Extra,
}

#[derive(Deserialize)]
struct Place {
    line: usize,
    col: usize,
}

#[derive(Deserialize)]
struct Extra {
    message: String,
    severity: String,
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize)]
struct Trouble {
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    level: Option<String>,
    /// A word, or a list that begins with one.
    #[serde(default, rename = "type")]
    kind: Value,
}

impl Trouble {
    /// Whether what the file holds is not known for it. A warning of a part that could not be parsed leaves the rest looked at;
    /// one of a rule that ran out of time or memory tells of nothing.
    fn hides(&self) -> bool {
        let kind = self.kind.as_str().or_else(|| self.kind.get(0)?.as_str()).unwrap_or_default().to_lowercase();
        self.level.as_deref() != Some("warn") || ["timeout", "memory", "overflow"].iter().any(|w| kind.contains(w))
    }
}

fn severity(name: &str) -> Severity {
    match name {
        "CRITICAL" => Severity::Critical,
        "ERROR" | "HIGH" => Severity::High,
        "WARNING" | "MEDIUM" => Severity::Medium,
        _ => Severity::Low,
    }
}

/// Reads reports alone: no program is started.
pub(super) fn reader() -> Box<dyn Tool> {
    Box::new(Semgrep {
        program: PathBuf::new(),
        rules: PathBuf::new(),
        min_severity: Severity::Low,
        nosec: true,
        patience: Duration::ZERO,
    })
}

impl Tool for Semgrep {
    fn name(&self) -> &'static str {
        NAME
    }

    fn languages(&self) -> &'static [Language] {
        Language::ALL
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn steps(&self, names: &[String]) -> Result<Vec<Vec<OsString>>, String> {
        let mut arguments = words(&[
            "scan",
            "--json",
            "--output",
            "report.json",
            "--quiet",
            "--metrics",
            "off",
            "--disable-version-check",
            "--no-git-ignore",
            "--no-rewrite-rule-ids",
            "--timeout",
            "30",
            "--jobs",
            "1",
            "--config",
        ]);
        arguments.push(self.rules.clone().into());
        if !self.nosec {
            arguments.push("--disable-nosem".into());
        }
        arguments.extend(names.iter().map(OsString::from));
        Ok(vec![arguments])
    }

    fn read(&self, batch: &Batch, ended: &Ended) -> Result<Vec<Scanned>, String> {
        let text = batch.report("report.json")?;
        let report: Report = serde_json::from_str(&text).map_err(|e| format!("its report cannot be read: {e}"))?;
        // 1 means findings in some versions; rules that cannot be read are 7.
        if !matches!(ended.status.code(), Some(0 | 1)) && report.results.is_empty() {
            let why = report.errors.iter().find_map(|e| e.message.clone());
            return Err(why.unwrap_or_else(|| "it failed".to_owned()));
        }
        let (mut findings, mut skipped) = (Vec::new(), Vec::new());
        for trouble in report.errors.into_iter().filter(Trouble::hides) {
            if let Some(i) = trouble.path.as_deref().and_then(|p| batch.number(p)) {
                skipped.push((i, trouble.message.unwrap_or_default().trim().to_owned()));
            }
        }
        let scanned: HashSet<usize> = report.paths.scanned.iter().filter_map(|p| batch.number(p)).collect();
        let left_out = (0..batch.files.len()).filter(|i| !scanned.contains(i));
        skipped.extend(left_out.map(|i| (i, "none of its rules was tried on this file".to_owned())));
        for found in report.results {
            let Some(i) = batch.number(&found.path) else { continue };
            let severity = severity(&found.extra.severity);
            if severity < self.min_severity {
                continue;
            }
            let metadata = &found.extra.metadata;
            let start = batch.at(i, found.start.line, found.start.col);
            findings.push((
                i,
                Finding {
                    format: lexicon::FORMAT,
                    analyzer: NAME.to_owned(),
                    rule: found.check_id,
                    // A text, or a list of texts such as `CWE-89: ..`.
                    cwe: cwes(&metadata["cwe"].to_string()),
                    severity,
                    confidence: match metadata["confidence"].as_str() {
                        Some("HIGH") => Confidence::High,
                        Some("LOW") => Confidence::Low,
                        _ => Confidence::Medium,
                    },
                    path: batch.files[i].path.to_owned(),
                    start,
                    end: batch.at(i, found.end.line, found.end.col).max(start),
                    message: found.extra.message.split_whitespace().collect::<Vec<_>>().join(" "),
                    trace: Vec::new(),
                },
            ));
        }
        Ok(batch.sorted(findings, skipped))
    }

    fn patience(&self, files: usize) -> Duration {
        self.patience + Duration::from_secs(30) + Duration::from_secs(2) * u32::try_from(files).unwrap_or(u32::MAX)
    }
}
