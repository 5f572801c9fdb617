//! What two analyzers say about the same code, counted once.
//!
//! Ours is [`count_issues`](crate::count_issues): findings of one family of CWEs on lines that meet are one issue. Published
//! figures were counted otherwise ([`paper_compat`], DiSCo, as its code does it), so both are here.

use lexicon::Finding;
use std::collections::BTreeMap;

/// Titles of CodeQL's queries that mean what one of Bandit's tests means.
const EQUIVALENT: &[(&[&str], &[&str])] = &[
    (&["Overly permissive file permissions"], &["B103"]),
    (&["Deserialization of user-controlled data", "Deserializing untrusted input"], &["B301", "B302", "B403"]),
    (&["SQL query built from user-controlled sources"], &["B608"]),
    (&["Use of weak cryptographic key"], &["B505"]),
    (&["Request without certificate validation"], &["B501"]),
    (&["Accepting unknown SSH host keys when using Paramiko"], &["B507"]),
    (&["Insecure temporary file"], &["B108", "B306"]),
    (
        &[
            "Use of a broken or weak cryptographic algorithm",
            "Use of a broken or weak cryptographic hashing algorithm on sensitive data",
        ],
        &["B303", "B304", "B305", "B324"],
    ),
    (&["Use of insecure SSL/TLS version", "Default version of SSL/TLS may be insecure"], &["B502", "B503", "B504"]),
    (
        &["Uncontrolled command line", "Code injection", "Unsafe shell command constructed from library input"],
        &["B102", "B307", "B601", "B602", "B603", "B604", "B605", "B606", "B607", "B609"],
    ),
];

/// Whether a CodeQL title and a Bandit test are taken for the same.
#[must_use]
pub fn equivalent(title: &str, test: &str) -> bool {
    EQUIVALENT.iter().any(|(titles, tests)| titles.contains(&title) && tests.contains(&test))
}

/// Files and issues, counted as published figures were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counted {
    /// Files that either report names.
    pub insecure: usize,
    /// Bandit's findings and CodeQL's lines, less the lines that repeat a finding of the file.
    pub issues: usize,
}

/// Counts Bandit's findings and CodeQL's table as DiSCo's code does: by file name, a line of the table for an issue although a
/// message of two lines takes two, and a line repeats where its title means a test that hit anywhere in the file.
///
/// `table` is what CodeQL wrote with `--format=csv`.
///
/// # Errors
/// A sentence, where the table cannot be read.
pub fn paper_compat(bandit: &[Finding], table: &str) -> Result<Counted, String> {
    #[derive(Default)]
    struct File<'a> {
        tests: Vec<&'a str>,
        lines: usize,
        titles: Vec<String>,
    }
    fn name(path: &str) -> &str {
        path.rsplit('/').next().unwrap_or(path)
    }
    let rows = super::reports::rows(table)?;
    let mut files: BTreeMap<&str, File> = BTreeMap::new();
    for finding in bandit {
        files.entry(name(&finding.path)).or_default().tests.push(&finding.rule);
    }
    for (row, lines) in &rows {
        let file = files.entry(name(&row.path)).or_default();
        file.lines += lines;
        file.titles.push(row.rule.clone());
    }
    let issues = files.values().map(|file| {
        let repeats = file.titles.iter().filter(|title| file.tests.iter().any(|test| equivalent(title, test))).count();
        file.tests.len() + file.lines - repeats
    });
    Ok(Counted { insecure: files.len(), issues: issues.sum() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lexicon::{Confidence, Position, Severity};

    fn finding(path: &str, rule: &str) -> Finding {
        Finding {
            format: 1,
            analyzer: "bandit".to_owned(),
            rule: rule.to_owned(),
            cwe: Vec::new(),
            severity: Severity::High,
            confidence: Confidence::High,
            path: path.to_owned(),
            start: Position { line: 1, column: 1 },
            end: Position { line: 1, column: 1 },
            message: String::new(),
            trace: Vec::new(),
        }
    }

    #[test]
    fn repeats_are_by_title_and_anywhere_in_the_file() -> Result<(), String> {
        let row = |title: &str, message: &str, file: &str, line: usize| {
            format!("\"{title}\",\"d\",\"error\",\"{message}\",\"/{file}\",\"{line}\",\"1\",\"{line}\",\"2\"\n")
        };
        let sql = "SQL query built from user-controlled sources";
        let check = |bandit: &[(&str, &str)], rows: &[String], insecure: usize, issues: usize| {
            let bandit: Vec<Finding> = bandit.iter().map(|(path, rule)| finding(path, rule)).collect();
            let counted = paper_compat(&bandit, &rows.concat())?;
            assert_eq!(counted, Counted { insecure, issues }, "{bandit:?} {rows:?}");
            Ok::<_, String>(())
        };
        check(&[], &[], 0, 0)?;
        check(&[("out/a.py", "B608")], &[row(sql, "m", "a.py", 40)], 1, 1)?;
        check(&[("a.py", "B608")], &[row(sql, "m", "b.py", 1)], 2, 2)?;
        check(&[("a.py", "B101")], &[row(sql, "m", "a.py", 1)], 1, 2)?;
        check(&[("a.py", "B608")], &[row(sql, "m", "a.py", 1), row(sql, "m", "a.py", 9)], 1, 1)?;
        check(&[], &[row(sql, "one\ntwo", "a.py", 1)], 1, 2)?;
        check(&[("a.py", "B602"), ("a.py", "B404")], &[row("Code injection", "m", "a.py", 3)], 1, 2)
    }
}
