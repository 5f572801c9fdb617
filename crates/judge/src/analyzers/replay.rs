//! What a program's report means, without the program: for reports that were kept, and for tests of what reads them.

use super::{Bandit, File, Scanned, bandit, codeql, cppcheck, eslint, flawfinder, program, ruff, semgrep};
use crate::sandbox::process::Ended;
use std::{fs, os::unix::process::ExitStatusExt, process::ExitStatus};

/// Analyzers whose reports are understood.
pub const KNOWN: &[&str] =
    &[bandit::NAME, ruff::NAME, semgrep::NAME, codeql::NAME, cppcheck::NAME, flawfinder::NAME, eslint::NAME];

/// Reads a report that an analyzer of [`KNOWN`] left about `files`, which it calls by their numbers: `0.py`, `1.c`.
///
/// # Errors
/// A sentence, where the text is no such report or the name none of those.
pub fn replay(analyzer: &str, report: &str, files: &[File]) -> Result<Vec<Scanned>, String> {
    let tool = match analyzer {
        bandit::NAME => return Bandit::read_report(report, files),
        ruff::NAME => ruff::reader(),
        semgrep::NAME => semgrep::reader(),
        codeql::NAME => codeql::reader(),
        cppcheck::NAME => cppcheck::reader(),
        flawfinder::NAME => flawfinder::reader(),
        eslint::NAME => eslint::reader(),
        other => return Err(format!("{other:?} is none of {}", KNOWN.join(", "))),
    };
    let fail = |error: std::io::Error| error.to_string();
    let folder = tempfile::Builder::new().prefix("rampart-").tempdir().map_err(fail)?;
    for name in ["report.json", "report.txt", "report-python.sarif", "report-cpp.sarif", "report-javascript.sarif"] {
        // tidy-expect(atomic-writes): a temporary folder of our own, gone after the reading
        fs::write(folder.path().join(name), report).map_err(fail)?;
    }
    let names = files.iter().enumerate().map(|(i, f)| format!("{i}.{}", program::extension(f.path))).collect();
    let batch = program::Batch { files, folder, names };
    let ended =
        Ended { status: ExitStatus::from_raw(0), timed_out: false, output: report.as_bytes().to_vec(), whole: true };
    tool.read(&batch, &ended)
}
