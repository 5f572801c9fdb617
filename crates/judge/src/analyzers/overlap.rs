//! What two analyzers say about the same code, counted once.
//!
//! Ours is [`count_issues`](crate::count_issues): findings of one family of CWEs on lines that meet are one issue. Published
//! figures were counted otherwise ([`paper_compat`], DiSCo, as its code does it), so both are here.

use lexicon::Finding;
use std::collections::BTreeMap;

/// A CodeQL query, by its title and its id, and Bandit's tests that DiSCo takes for the same: 37 pairs, as published.
const EQUIVALENT: &[(&str, &str, &[&str])] = &[
    ("Overly permissive file permissions", "py/overly-permissive-file", &["B103"]),
    ("Deserialization of user-controlled data", "py/unsafe-deserialization", &["B301", "B302", "B403"]),
    ("SQL query built from user-controlled sources", "py/sql-injection", &["B608"]),
    ("Use of weak cryptographic key", "py/weak-crypto-key", &["B505"]),
    ("Request without certificate validation", "py/request-without-cert-validation", &["B501"]),
    ("Accepting unknown SSH host keys when using Paramiko", "py/paramiko-missing-host-key-validation", &["B507"]),
    ("Insecure temporary file", "py/insecure-temporary-file", &["B108", "B306"]),
    (
        "Use of a broken or weak cryptographic algorithm",
        "py/weak-cryptographic-algorithm",
        &["B303", "B304", "B305", "B324"],
    ),
    ("Use of insecure SSL/TLS version", "py/insecure-protocol", &["B502", "B503"]),
    ("Default version of SSL/TLS may be insecure", "py/insecure-default-protocol", &["B504"]),
    ("Uncontrolled command line", "py/command-line-injection", COMMANDS),
    ("Unsafe shell command constructed from library input", "py/shell-command-constructed-from-input", COMMANDS),
];

/// Bandit's tests about commands.
const COMMANDS: &[&str] = &["B102", "B307", "B601", "B602", "B603", "B604", "B605", "B606", "B607", "B609"];

/// Whether a CodeQL query, by its title or id, and a Bandit test are taken for the same.
#[must_use]
pub fn equivalent(query: &str, test: &str) -> bool {
    EQUIVALENT.iter().any(|(title, id, tests)| (*title == query || *id == query) && tests.contains(&test))
}

/// Issues among one file's findings of Bandit and CodeQL, counted as DiSCo does: a CodeQL finding repeats where its query
/// means a Bandit test that hit anywhere in the file.
#[must_use]
pub fn paper_issues(findings: &[&Finding]) -> usize {
    let tests: Vec<&str> = findings.iter().filter(|f| f.analyzer == "bandit").map(|f| f.rule.as_str()).collect();
    let repeats = |f: &&&Finding| f.analyzer != "bandit" && tests.iter().any(|test| equivalent(&f.rule, test));
    findings.len() - findings.iter().filter(repeats).count()
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
        check(&[("a.py", "B602"), ("a.py", "B404")], &[row("Uncontrolled command line", "m", "a.py", 3)], 1, 2)?;
        check(&[("a.py", "B602")], &[row("Code injection", "m", "a.py", 3)], 1, 2)
    }

    #[test]
    fn pairs_are_those_published() {
        assert_eq!(EQUIVALENT.iter().map(|(_, _, tests)| tests.len()).sum::<usize>(), 37);
        let of = |analyzer: &str, rule: &str| Finding { analyzer: analyzer.to_owned(), ..finding("a.py", rule) };
        for (bandit, codeql, issues) in [
            (&["B608"][..], &["py/sql-injection"][..], 1),
            (&["B608"], &["py/sql-injection", "py/sql-injection"], 1),
            (&["B608", "B608"], &["py/path-injection"], 3),
            (&["B504"], &["py/insecure-protocol"], 2),
            (&[], &["py/sql-injection"], 1),
            (&[], &[], 0),
        ] {
            let mut all: Vec<Finding> = bandit.iter().map(|r| of("bandit", r)).collect();
            all.extend(codeql.iter().map(|r| of("codeql", r)));
            assert_eq!(paper_issues(&all.iter().collect::<Vec<_>>()), issues, "{bandit:?} {codeql:?}");
        }
    }
}
