//! Bandit (PyCQA, 1.9) as a batch adapter: a process for many files, because starting it costs 0.2 s and a file 3 ms.

use super::{Analyzer, Error, File, Scanned, Settings, sort};
use crate::{parallel, sandbox::process};
use lexicon::{Confidence, Cwe, Finding, LineIndex, Position, Severity};
use serde::Deserialize;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Its name in findings.
pub(super) const NAME: &str = "bandit";

/// Smaller batches are not worth a process of their own.
const SPLIT: usize = 64;

/// Largest batch: the file names must fit on a command line.
const BATCH: usize = 1_000;

/// A file may take this long before Bandit counts as hanging.
const EACH: Duration = Duration::from_secs(2);

/// What is said of a process that was stopped.
const HUNG: &str = "no answer";

/// The `bandit` program.
#[derive(Clone, Debug)]
pub struct Bandit {
    program: PathBuf,
    min_severity: Severity,
    nosec: bool,
    patience: Duration,
}

impl Bandit {
    /// Finds the program: the one given, else the first in [`Settings::folders`].
    ///
    /// # Errors
    /// [`Error::Absent`].
    pub fn find(settings: &Settings) -> Result<Self, Error> {
        let absent = |what: String| Error::Absent {
            analyzer: NAME,
            remedy: format!("{what}run `make setup`, or `pip install bandit==1.9.4`, or leave it out of --analyzer"),
        };
        let program = match &settings.bandit {
            Some(path) if path.is_file() => path.clone(),
            Some(path) => return Err(absent(format!("{} is no file; ", path.display()))),
            None => settings
                .folders
                .iter()
                .map(|folder| folder.join("bandit"))
                .find(|path| path.is_file())
                .ok_or_else(|| absent(String::new()))?,
        };
        // It is started in another folder, where a relative path would name another file.
        let program = std::path::absolute(&program).unwrap_or(program);
        let Settings { min_severity, nosec, patience, .. } = *settings;
        Ok(Self { program, min_severity, nosec, patience })
    }

    pub(super) fn open(settings: &Settings) -> Result<Box<dyn Analyzer>, Error> {
        Ok(Box::new(Self::find(settings)?))
    }

    /// Where the program was found.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Looks at one batch. Where Bandit itself breaks, the batch is halved until the file that breaks it stands alone.
    fn batch(&self, files: &[File]) -> Result<Vec<Scanned>, Error> {
        match self.process(files)? {
            Ok(scanned) => Ok(scanned),
            // Half a batch would hang as well, for as long again.
            Err(why) if files.len() <= 1 || why.starts_with(HUNG) => {
                Ok(files.iter().map(|_| Scanned { findings: Vec::new(), skipped: Some(why.clone()) }).collect())
            }
            Err(_) => {
                let (left, right) = files.split_at(files.len() / 2);
                let mut scanned = self.batch(left)?;
                scanned.extend(self.batch(right)?);
                Ok(scanned)
            }
        }
    }

    /// One process; the inner error is what it said instead of a report.
    fn process(&self, files: &[File]) -> Result<Result<Vec<Scanned>, String>, Error> {
        let fail = |step: &'static str| move |source| Error::Io { analyzer: NAME, step, source };
        let folder = tempfile::Builder::new().prefix("rampart-").tempdir().map_err(fail("make a folder"))?;
        let report = folder.path().join("report.json");
        let names: Vec<String> = (0..files.len()).map(|i| format!("{i}.py")).collect();
        for (name, file) in names.iter().zip(files) {
            // tidy-expect(atomic-writes): a temporary folder of our own, gone after the process
            fs::write(folder.path().join(name), file.source).map_err(fail("write a file"))?;
        }
        #[expect(clippy::disallowed_methods, reason = "an analyzer: it reads the code and does not run it")]
        let mut command = Command::new(&self.program);
        command.args(["--quiet", "--exit-zero", "--format", "json", "--output"]).arg(&report);
        if !self.nosec {
            command.arg("--ignore-nosec");
        }
        command.args(&names).current_dir(folder.path());
        let wall = self.patience + EACH * u32::try_from(files.len()).unwrap_or(u32::MAX);
        let ended = process::supervise(command, wall, 16 << 10).map_err(fail("be started"))?;
        let said =
            || String::from_utf8_lossy(&ended.output).trim().lines().last().unwrap_or("it said nothing").to_owned();
        if ended.timed_out {
            return Ok(Err(format!("{HUNG} within {} s", wall.as_secs_f64())));
        }
        let Ok(text) = fs::read_to_string(&report) else {
            return Ok(Err(format!("no report ({}): {}", ended.status, said())));
        };
        match serde_json::from_str::<Report>(&text) {
            Ok(report) => Ok(Ok(self.read(report, files))),
            Err(error) => Ok(Err(format!("its report cannot be read: {error}"))),
        }
    }

    /// What a report of Bandit means, without Bandit.
    pub(super) fn read_report(text: &str, files: &[File]) -> Result<Vec<Scanned>, String> {
        let program = PathBuf::new();
        let bandit = Self { program, min_severity: Severity::Low, nosec: true, patience: Duration::ZERO };
        let report = serde_json::from_str(text).map_err(|e| format!("its report cannot be read: {e}"))?;
        Ok(bandit.read(report, files))
    }

    fn read(&self, report: Report, files: &[File]) -> Vec<Scanned> {
        let mut scanned = vec![Scanned::default(); files.len()];
        let number = |name: &str| -> Option<usize> {
            let stem = Path::new(name).file_stem()?.to_str()?;
            stem.parse().ok().filter(|&i| i < files.len())
        };
        for error in report.errors {
            if let Some(i) = number(&error.filename) {
                scanned[i].skipped = Some(error.reason);
            }
        }
        let mut lines: HashMap<usize, LineIndex> = HashMap::new();
        for result in report.results {
            let Some(i) = number(&result.filename) else { continue };
            let severity = severity(&result.issue_severity);
            if severity < self.min_severity {
                continue;
            }
            let index = lines.entry(i).or_insert_with(|| LineIndex::new(files[i].source));
            scanned[i].findings.push(result.finding(files[i], index, severity));
        }
        for file in &mut scanned {
            sort(&mut file.findings);
        }
        scanned
    }
}

impl Analyzer for Bandit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn scan(&self, files: &[File]) -> Result<Vec<Scanned>, Error> {
        let share = files.len().div_ceil(parallel::workers()).clamp(SPLIT, BATCH);
        let batches: Vec<&[File]> = files.chunks(share).collect();
        let scanned: Result<Vec<_>, _> =
            parallel::map(&batches, |batch| self.batch(batch), || ()).into_iter().collect();
        Ok(scanned?.concat())
    }
}

/// What Bandit writes; members we do not need are left out.
#[derive(Deserialize)]
struct Report {
    errors: Vec<Skipped>,
    results: Vec<Issue>,
}

#[derive(Deserialize)]
struct Skipped {
    filename: String,
    reason: String,
}

#[derive(Deserialize)]
struct Issue {
    filename: String,
    test_id: String,
    issue_severity: String,
    issue_confidence: String,
    #[serde(default)]
    issue_cwe: IssueCwe,
    issue_text: String,
    line_number: usize,
    line_range: Vec<usize>,
    #[serde(default)]
    col_offset: i64,
    #[serde(default)]
    end_col_offset: i64,
}

#[derive(Default, Deserialize)]
struct IssueCwe {
    #[serde(default)]
    id: Option<u32>,
}

fn severity(name: &str) -> Severity {
    match name {
        "HIGH" => Severity::High,
        "MEDIUM" => Severity::Medium,
        // UNDEFINED too.
        _ => Severity::Low,
    }
}

impl Issue {
    fn finding(self, file: File, lines: &LineIndex, severity: Severity) -> Finding {
        // Bandit counts columns as `ast` does: bytes of the line, from 0. The last line of the range is where the node ends.
        let at = |line: usize, column: i64| -> Position {
            let line = line.clamp(1, lines.lines());
            let start = lines.line_start(line).unwrap_or(0);
            let end = lines.line_start(line + 1).unwrap_or(file.source.len());
            let offset = start.saturating_add(usize::try_from(column).unwrap_or(0)).min(end);
            lines.position(file.source, offset)
        };
        let start = at(self.line_number, self.col_offset);
        let last = self.line_range.iter().copied().max().unwrap_or(self.line_number);
        Finding {
            format: lexicon::FORMAT,
            analyzer: NAME.to_owned(),
            rule: self.test_id,
            cwe: self.issue_cwe.id.map(Cwe).into_iter().collect(),
            severity,
            confidence: match self.issue_confidence.as_str() {
                "HIGH" => Confidence::High,
                "MEDIUM" => Confidence::Medium,
                _ => Confidence::Low,
            },
            path: file.path.to_owned(),
            start,
            end: at(last, self.end_col_offset).max(start),
            message: self.issue_text.split_whitespace().collect::<Vec<_>>().join(" "),
            trace: Vec::new(),
        }
    }
}
