//! Source files come in, findings go out, whoever the analyzer is.
//!
//! To add one: a file with a type that implements [`Analyzer`], and a line in [`ALL`].
//!
//! Invariants: an analyzer never runs the code it looks at; positions lie inside the file; results stand in the order of the
//! files; a file that an analyzer could not read is said, not passed off as clean.

mod bandit;
mod codeql;
mod compat;
mod cppcheck;
mod eslint;
mod flawfinder;
mod native;
pub mod overlap;
mod program;
pub mod replay;
pub mod reports;
mod ruff;
mod sarif;
mod semgrep;

use lexicon::{Finding, Language, Severity};
use std::{io, path::PathBuf, time::Duration};

pub use bandit::Bandit;
pub use compat::{BanditCompat, bandit_tests, tests_of};
pub use native::Native;
pub use program::version;

/// A file to look at.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Name in findings.
    pub path: &'a str,
    /// Its text.
    pub source: &'a str,
}

/// What one analyzer says about one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Findings by position.
    pub findings: Vec<Finding>,
    /// Why the analyzer did not look at the file, where it did not.
    pub skipped: Option<String>,
}

/// An analyzer fails as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No analyzer of this name.
    #[error("unknown analyzer {name:?}: expected one of {}", .known.join(", "))]
    Unknown {
        /// As given.
        name: String,
        /// Names in [`ALL`].
        known: Vec<&'static str>,
    },
    /// It is not installed.
    #[error("{analyzer} is not installed: {remedy}")]
    Absent {
        /// Its name.
        analyzer: &'static str,
        /// What to do.
        remedy: String,
    },
    /// It is installed and lacks something.
    #[error("{analyzer} is not ready: {remedy}")]
    Unready {
        /// Its name.
        analyzer: &'static str,
        /// What to do.
        remedy: String,
    },
    /// The system refused a step, such as a full disk.
    #[error("{analyzer} cannot {step}: {source}")]
    Io {
        /// Its name.
        analyzer: &'static str,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Where analyzers are found and what they report.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `bandit` program; looked for in `folders` where absent.
    pub bandit: Option<PathBuf>,
    /// Folders with programs, the first match wins: a project's `.venv/bin`, then `PATH`.
    pub folders: Vec<PathBuf>,
    /// Least severity that analyzers other than ours report. Medium by default: below it Bandit mostly lists imports.
    pub min_severity: Severity,
    /// Whether `# nosec` silences Bandit. A judge of generated code says no: its writer must not choose.
    pub nosec: bool,
    /// Rules that users add to our own.
    pub rules: Option<std::sync::Arc<crate::languages::Rules>>,
    /// Rules for Semgrep, a file or a folder: it has none of its own offline.
    pub semgrep_rules: Option<PathBuf>,
    /// A suite, a query or a folder of queries for CodeQL; the language's extended security suite where absent.
    pub codeql_queries: Option<String>,
    /// Time that a program may take beyond what its files need; after that it counts as hanging.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bandit: None,
            folders: Vec::new(),
            min_severity: Severity::Medium,
            nosec: true,
            rules: None,
            semgrep_rules: None,
            codeql_queries: None,
            patience: Duration::from_secs(30),
        }
    }
}

/// Looks for weaknesses in source files.
pub trait Analyzer: Send + Sync + std::fmt::Debug {
    /// Its name in findings.
    fn name(&self) -> &'static str;

    /// Languages it reads; files of others it skips.
    fn languages(&self) -> &'static [Language] {
        &[Language::Python]
    }

    /// Looks at files; one result a file, in their order.
    ///
    /// # Errors
    /// [`Error`] where the analyzer fails as a whole; a single bad file is [`Scanned::skipped`].
    fn scan(&self, files: &[File]) -> Result<Vec<Scanned>, Error>;
}

/// An entry of [`ALL`].
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Name on the command line and in findings.
    pub name: &'static str,
    /// What it is, as a phrase.
    pub about: &'static str,
    /// Makes it ready, or says what is missing.
    pub open: fn(&Settings) -> Result<Box<dyn Analyzer>, Error>,
}

/// Every analyzer.
pub const ALL: &[Known] = &[
    Known { name: crate::native::ANALYZER, about: "our own rules, in process", open: Native::open },
    Known { name: compat::NAME, about: "Bandit's tests in process, without Bandit", open: BanditCompat::open },
    Known { name: bandit::NAME, about: "PyCQA's Bandit, one process a batch", open: Bandit::open },
    Known { name: ruff::NAME, about: "ruff's security rules", open: ruff::open },
    Known { name: semgrep::NAME, about: "Semgrep with rules given by --semgrep-rules", open: semgrep::open },
    Known { name: codeql::NAME, about: "CodeQL on Python, JavaScript and Ruby", open: codeql::open },
    Known { name: cppcheck::NAME, about: "Cppcheck on C and C++", open: cppcheck::open },
    Known { name: flawfinder::NAME, about: "Flawfinder on C and C++", open: flawfinder::open },
    Known { name: eslint::NAME, about: "ESLint's security plugin on JavaScript", open: eslint::open },
];

/// Opens analyzers by name.
///
/// # Errors
/// [`Error::Unknown`]; what the analyzer itself says.
pub fn open<S: AsRef<str>>(names: &[S], settings: &Settings) -> Result<Vec<Box<dyn Analyzer>>, Error> {
    let find = |name: &str| {
        let known = ALL
            .iter()
            .find(|k| k.name == name)
            .ok_or_else(|| Error::Unknown { name: name.to_owned(), known: ALL.iter().map(|k| k.name).collect() })?;
        (known.open)(settings)
    };
    names.iter().map(|name| find(name.as_ref())).collect()
}

/// Orders findings as they are shown: by path, position, then analyzer.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        (&a.path, a.start, a.end, &a.analyzer, &a.rule).cmp(&(&b.path, b.start, b.end, &b.analyzer, &b.rule))
    });
}
