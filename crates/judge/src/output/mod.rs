//! Findings come in; the text that a person, an editor or a build server reads goes out.
//!
//! A format is a file with one function, listed in [`Format`]. Nothing here decides anything: the order and number of findings
//! are the caller's.
//!
//! Invariant: what was found in a file cannot speak for us. Control characters of source code never reach the terminal, and no
//! text of a finding ends a line, a tag or a string early.

mod full;
mod junit;
mod lines;
mod sarif;

use crate::python::SyntaxError;
use lexicon::Finding;
use serde::Serialize;
use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
    str::FromStr,
};

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// For a person: the place in the source, marked.
    #[default]
    Full,
    /// A line a finding.
    Concise,
    /// One JSON object.
    Json,
    /// A JSON object a finding.
    JsonLines,
    /// SARIF 2.1.0 (OASIS), for code scanning.
    Sarif,
    /// Annotations of GitHub Actions.
    Github,
    /// JUnit XML, for build servers.
    Junit,
}

impl Format {
    /// Every format.
    pub const ALL: &[Self] =
        &[Self::Full, Self::Concise, Self::Json, Self::JsonLines, Self::Sarif, Self::Github, Self::Junit];

    /// Name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Concise => "concise",
            Self::Json => "json",
            Self::JsonLines => "json-lines",
            Self::Sarif => "sarif",
            Self::Github => "github",
            Self::Junit => "junit",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not in [`Format::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown output format {0:?}: expected one of full, concise, json, json-lines, sarif, github, junit")]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|f| f.name() == s).ok_or_else(|| UnknownFormat(s.to_owned()))
    }
}

/// A file that is not valid in its language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// File, as the caller named it.
    pub path: String,
    /// Line of the first error, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Invalid {
    /// From what the parser says.
    #[must_use]
    pub fn new(path: &str, error: &SyntaxError) -> Self {
        Self { path: path.to_owned(), line: error.at.line, column: error.at.column, message: error.message.clone() }
    }
}

/// A file that an analyzer did not look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// File, as the caller named it.
    pub path: String,
    /// Who left it out.
    pub analyzer: &'static str,
    /// Why.
    pub message: String,
}

/// What a scan found.
#[derive(Clone, Debug, Serialize)]
pub struct ScanReport {
    /// Record format.
    pub format: u32,
    /// Number of files looked at, the invalid ones included.
    pub files: usize,
    /// Files that do not parse; only our own rules looked at what can be made of them.
    pub invalid: Vec<Invalid>,
    /// Findings by path and position.
    pub findings: Vec<Finding>,
    /// Files that an analyzer did not look at although they are valid: there, silence means nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// Analyzers that ran.
    #[serde(skip)]
    pub analyzers: Vec<String>,
}

/// Texts of the scanned files by path, for the formats that show them.
pub type Sources<'a> = HashMap<&'a str, &'a str>;

/// A name for each finding that it keeps while lines above it come and go; see `partialFingerprints` in SARIF. Findings must
/// be in order, and `sources` hold their files.
#[must_use]
pub fn fingerprints(findings: &[Finding], sources: &Sources) -> Vec<String> {
    let mut seen = sarif::Seen::default();
    findings.iter().map(|finding| sarif::fingerprint(finding, sources, &mut seen)).collect()
}

/// Writes a report. `color` marks parts with terminal colours where the format is for a person.
///
/// # Errors
/// What the system said.
pub fn write(
    report: &ScanReport,
    sources: &Sources,
    format: Format,
    color: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Full => full::write(report, sources, color, out),
        Format::Concise => lines::concise(report, out),
        Format::Github => lines::github(report, out),
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, report)?;
            writeln!(out)
        }
        Format::JsonLines => report.findings.iter().try_for_each(|finding| {
            serde_json::to_writer(&mut *out, finding)?;
            writeln!(out)
        }),
        Format::Sarif => {
            serde_json::to_writer_pretty(&mut *out, &sarif::log(report, sources))?;
            writeln!(out)
        }
        Format::Junit => junit::write(report, out),
    }
}

/// Text without the characters that steer a terminal or hide what they stand in.
fn visible(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Control characters and those that change the direction of writing (CWE-1007, "Trojan source").
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `CWE-89, CWE-943`, or nothing.
fn weaknesses(finding: &Finding) -> String {
    finding.cwe.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// `1 file`, `2 files`.
fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
