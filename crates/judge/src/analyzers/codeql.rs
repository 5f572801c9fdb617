//! CodeQL: a database is made of the files, queries are run on it, SARIF comes out. Logs and tables that somebody else made
//! with it are read too ([`super::reports`]).
//!
//! CodeQL's licence allows its command line for open source, research and demonstrations; it is never the only analyzer.

use super::{
    Analyzer, Error, Scanned, Settings,
    program::{self, Batch, External, Tool, words},
    sarif,
};
use crate::sandbox::process::Ended;
use lexicon::{Language, Severity};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

/// Its name in findings.
pub(super) const NAME: &str = "codeql";

#[derive(Debug)]
struct CodeQl {
    program: PathBuf,
    /// A suite, a query or a folder of queries; the language's extended security suite where absent.
    queries: Option<String>,
    min_severity: Severity,
    patience: Duration,
}

pub(super) fn open(settings: &Settings) -> Result<Box<dyn Analyzer>, Error> {
    let program = program::find(NAME, settings, "install its command line and query packs")?;
    let queries = settings.codeql_queries.clone();
    let Settings { min_severity, patience, .. } = *settings;
    Ok(Box::new(External(CodeQl { program, queries, min_severity, patience })))
}

/// CodeQL's name of a language.
fn language(name: &str) -> Option<&'static str> {
    let extension = Path::new(name).extension()?.to_str()?;
    Some(match Language::from_extension(extension)? {
        Language::Python => "python",
        Language::C | Language::Cpp => "cpp",
        Language::Go => "go",
        Language::Java => "java",
        Language::JavaScript | Language::TypeScript => "javascript",
        Language::Ruby => "ruby",
    })
}

/// Reads reports alone: no program is started.
pub(super) fn reader() -> Box<dyn Tool> {
    Box::new(CodeQl { program: PathBuf::new(), queries: None, min_severity: Severity::Low, patience: Duration::ZERO })
}

impl Tool for CodeQl {
    fn name(&self) -> &'static str {
        NAME
    }

    fn languages(&self) -> &'static [Language] {
        // The others are compiled while they are watched, which single files cannot be.
        &[Language::Python, Language::JavaScript, Language::Ruby, Language::TypeScript]
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn steps(&self, names: &[String]) -> Result<Vec<Vec<OsString>>, String> {
        let mut languages: Vec<&str> = names.iter().filter_map(|n| language(n)).collect();
        languages.sort_unstable();
        languages.dedup();
        let mut steps = Vec::new();
        for language in languages {
            let database = format!("db-{language}");
            steps.push(words(&[
                "database",
                "create",
                &database,
                &format!("--language={language}"),
                "--source-root=.",
                "--overwrite",
                "--threads=0",
                "--ram=4096",
                "--quiet",
            ]));
            let queries = self.queries.clone().unwrap_or_else(|| format!("{language}-security-extended.qls"));
            let output = format!("--output=report-{language}.sarif");
            steps.push(words(&[
                "database",
                "analyze",
                &database,
                &queries,
                "--format=sarif-latest",
                &output,
                "--threads=0",
                "--ram=4096",
                "--quiet",
            ]));
        }
        Ok(steps)
    }

    fn read(&self, batch: &Batch, _: &Ended) -> Result<Vec<Scanned>, String> {
        let mut languages: Vec<&str> = batch.names.iter().filter_map(|n| language(n)).collect();
        languages.sort_unstable();
        languages.dedup();
        let mut findings = Vec::new();
        for language in languages {
            let text = batch.report(&format!("report-{language}.sarif"))?;
            let name = |uri: &str| batch.number(uri).map(|i| i.to_string());
            let source = |name: &str| name.parse::<usize>().ok().map(|i| batch.files[i].source);
            for mut finding in sarif::read(&text, NAME, name, source)? {
                let Ok(i) = finding.path.parse::<usize>() else { continue };
                batch.files[i].path.clone_into(&mut finding.path);
                if finding.severity >= self.min_severity {
                    findings.push((i, finding));
                }
            }
        }
        Ok(batch.sorted(findings, Vec::new()))
    }

    fn patience(&self, files: usize) -> Duration {
        self.patience + Duration::from_secs(600) + Duration::from_secs(5) * u32::try_from(files).unwrap_or(u32::MAX)
    }

    fn batch(&self) -> (usize, usize) {
        // A database costs many seconds, however small.
        (1_000, 20_000)
    }
}
