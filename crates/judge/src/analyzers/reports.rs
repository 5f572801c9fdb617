//! Reports that somebody else made: SARIF of any program, and the table that CodeQL writes with `--format=csv`.

use super::sarif;
use lexicon::{Confidence, Cwe, Finding, Position, Severity};

/// Titles of CodeQL's queries, which its tables have instead of identifiers, and their weakness. Titles change between
/// versions, so the beginning decides.
#[rustfmt::skip]
const TITLES: &[(&str, u32)] = &[
    ("Accepting unknown SSH host keys", 295),
    ("Arbitrary file write", 22),
    ("Bad HTML filtering regexp", 116),
    ("Binding a socket to all network interfaces", 200),
    ("CSRF protection", 352),
    ("Clear-text logging", 532),
    ("Clear-text storage", 312),
    ("Code injection", 94),
    ("Cookie injection", 20),
    ("Default version of SSL/TLS", 327),
    ("Deserialization of user-controlled data", 502),
    ("Deserializing untrusted input", 502),
    ("Failure to use secure cookies", 614),
    ("Flask app is run in debug mode", 215),
    ("Full server-side request forgery", 918),
    ("HTTP Response Splitting", 113),
    ("Hard-coded credentials", 798),
    ("Incomplete URL substring sanitization", 20),
    ("Incomplete regular expression for hostnames", 20),
    ("Inefficient regular expression", 1333),
    ("Information exposure through", 209),
    ("Insecure randomness", 330),
    ("Insecure temporary file", 377),
    ("JWT missing", 347),
    ("Jinja2 templating with autoescape=False", 79),
    ("LDAP query built from", 90),
    ("Log Injection", 117),
    ("NoSQL Injection", 943),
    ("Overly permissive file permissions", 732),
    ("Overly permissive regular expression range", 20),
    ("Partial server-side request forgery", 918),
    ("Polynomial regular expression", 1333),
    ("Reflected server-side cross-site scripting", 79),
    ("Regular expression injection", 1333),
    ("Request without certificate validation", 295),
    ("SQL query built from", 89),
    ("Server Side Template Injection", 1336),
    ("URL redirection from remote source", 601),
    ("Uncontrolled command line", 78),
    ("Uncontrolled data used in path expression", 22),
    ("Unsafe shell command constructed", 78),
    ("Use of a broken or weak cryptographic", 327),
    ("Use of insecure SSL/TLS version", 327),
    ("Use of weak cryptographic key", 326),
    ("XML external entity expansion", 611),
    ("XML internal entity expansion", 776),
    ("XPath query built from", 643),
];

/// Name of the program that a report is from, as an analyzer's: `codeql`, `semgrep-oss`.
#[must_use]
pub fn producer(text: &str) -> String {
    let log: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let name =
        log.as_ref().and_then(|l| l["runs"][0]["tool"]["driver"]["name"].as_str()).unwrap_or(super::codeql::NAME);
    let plain = |c: char| !c.is_control();
    name.to_lowercase().split_whitespace().collect::<Vec<_>>().join("-").chars().filter(|c| plain(*c)).collect()
}

/// Findings in a report: SARIF where it begins as JSON does, else CodeQL's table. `analyzer` is whom they are said to be from.
///
/// # Errors
/// A sentence, where the text is neither.
pub fn read(text: &str, analyzer: &str) -> Result<Vec<Finding>, String> {
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        sarif::read(text, analyzer, |uri| Some(uri.to_owned()), |_| None)
    } else {
        let mut findings: Vec<Finding> = rows(text)?.into_iter().map(|(finding, _)| finding).collect();
        findings.iter_mut().for_each(|f| analyzer.clone_into(&mut f.analyzer));
        Ok(findings)
    }
}

/// Rows of CodeQL's table, and the lines of text that each takes. Name, description, severity, message, path, first line,
/// first column, last line, last column: no header, quoted newlines.
pub(super) fn rows(text: &str) -> Result<Vec<(Finding, usize)>, String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut findings = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|e| format!("the table cannot be read: {e}"))?;
        if row.len() < 9 {
            let line = row.position().map_or(0, csv::Position::line);
            return Err(format!("line {line} has {} columns; CodeQL's tables have nine", row.len()));
        }
        let field = |i: usize| row.get(i).unwrap_or("");
        let number = |i: usize| {
            field(i).parse::<usize>().map_err(|_| format!("{:?} in column {} is no number", field(i), i + 1))
        };
        let title = field(0);
        let start = Position { line: number(5)?, column: number(6)? };
        // The last column is part of the place.
        let end = Position { line: number(7)?, column: number(8)?.saturating_add(1) };
        let lines = 1 + row.iter().map(|f| f.matches('\n').count()).sum::<usize>();
        let finding = Finding {
            format: lexicon::FORMAT,
            analyzer: super::codeql::NAME.to_owned(),
            rule: title.to_owned(),
            cwe: TITLES.iter().find(|(known, _)| title.starts_with(known)).map(|(_, n)| Cwe(*n)).into_iter().collect(),
            severity: match field(2) {
                "error" => Severity::High,
                "warning" => Severity::Medium,
                _ => Severity::Low,
            },
            confidence: Confidence::Medium,
            path: field(4).trim_start_matches('/').to_owned(),
            start,
            end: end.max(start),
            message: field(3).split_whitespace().collect::<Vec<_>>().join(" "),
            trace: Vec::new(),
        };
        findings.push((finding, lines));
    }
    Ok(findings)
}
