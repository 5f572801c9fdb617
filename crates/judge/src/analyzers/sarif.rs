//! SARIF 2.1.0 of other programs: results come in, findings go out.
//!
//! Columns are counted in UTF-16 units where the log does not say otherwise (`columnKind`), so they are converted with the
//! text of the file where it is at hand.

use super::program::cwes;
use lexicon::{Confidence, Cwe, Finding, LineIndex, Position, Severity, finding::TraceStep};
use serde_json::Value;
use std::collections::HashMap;

/// A rule as the log describes it.
struct Rule {
    cwe: Vec<Cwe>,
    severity: Option<Severity>,
    confidence: Confidence,
}

/// Findings in a log. `name` gives the path to show for a location, or nothing where it is not wanted; `source` the text of a
/// file by that path.
///
/// # Errors
/// A sentence, where the text is no SARIF log.
pub(super) fn read<'s>(
    text: &str,
    analyzer: &str,
    name: impl Fn(&str) -> Option<String>,
    source: impl Fn(&str) -> Option<&'s str>,
) -> Result<Vec<Finding>, String> {
    let log: Value = serde_json::from_str(text).map_err(|e| format!("the log is no JSON: {e}"))?;
    let runs = log["runs"].as_array().ok_or("the log has no runs: it is no SARIF")?;
    let mut findings = Vec::new();
    for run in runs {
        let rules = rules(run);
        let utf16 = run["columnKind"].as_str() != Some("unicodeCodePoints");
        let failed = run["invocations"].as_array().into_iter().flatten().any(|i| i["executionSuccessful"] == false);
        if failed {
            return Err("the log is of a run that failed".to_owned());
        }
        for result in run["results"].as_array().into_iter().flatten() {
            // What somebody has looked at and accepted is no finding.
            if result["suppressions"].as_array().is_some_and(|s| !s.is_empty()) {
                continue;
            }
            let id = result["ruleId"].as_str().or_else(|| result["rule"]["id"].as_str()).unwrap_or("unknown");
            let Some((path, start, end)) = place(&result["locations"][0], utf16, &name, &source) else { continue };
            let rule = rules.get(id);
            let level = match result["level"].as_str() {
                Some("error") => Severity::High,
                Some("note" | "none") => Severity::Low,
                _ => Severity::Medium,
            };
            let flows = result["codeFlows"][0]["threadFlows"][0]["locations"].as_array();
            let trace = flows.into_iter().flatten().filter_map(|step| {
                let location = &step["location"];
                let (_, at, _) = place(location, utf16, &name, &source)?;
                Some(TraceStep { at, message: line(&location["message"]) })
            });
            findings.push(Finding {
                format: lexicon::FORMAT,
                analyzer: analyzer.to_owned(),
                rule: id.to_owned(),
                cwe: rule.map(|r| r.cwe.clone()).unwrap_or_default(),
                severity: rule.and_then(|r| r.severity).unwrap_or(level),
                confidence: rule.map_or(Confidence::Medium, |r| r.confidence),
                path,
                start,
                end,
                message: line(&result["message"]),
                trace: trace.collect(),
            });
        }
    }
    Ok(findings)
}

/// A message in one line.
fn line(message: &Value) -> String {
    message["text"].as_str().unwrap_or("").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Rules of the tool and of its extensions, where CodeQL keeps them.
fn rules(run: &Value) -> HashMap<String, Rule> {
    let driver = std::iter::once(&run["tool"]["driver"]);
    let components = driver.chain(run["tool"]["extensions"].as_array().into_iter().flatten());
    let mut rules = HashMap::new();
    for rule in components.flat_map(|c| c["rules"].as_array().into_iter().flatten()) {
        let Some(id) = rule["id"].as_str() else { continue };
        let properties = &rule["properties"];
        let score: Option<f64> = match &properties["security-severity"] {
            Value::String(text) => text.parse().ok(),
            other => other.as_f64(),
        };
        let severity = score.map(|s| match s {
            9.0.. => Severity::Critical,
            7.0.. => Severity::High,
            4.0.. => Severity::Medium,
            _ => Severity::Low,
        });
        let confidence = match properties["precision"].as_str() {
            Some("high" | "very-high") => Confidence::High,
            Some("low") => Confidence::Low,
            _ => Confidence::Medium,
        };
        // `external/cwe/cwe-089`, or `CWE-89` in a property or a relationship.
        let text = format!("{}{}{}", properties["tags"], properties["cwe"], rule["relationships"]);
        rules.insert(id.to_owned(), Rule { cwe: cwes(&text), severity, confidence });
    }
    rules
}

fn place<'s>(
    location: &Value,
    utf16: bool,
    name: &impl Fn(&str) -> Option<String>,
    source: &impl Fn(&str) -> Option<&'s str>,
) -> Option<(String, Position, Position)> {
    let physical = &location["physicalLocation"];
    let uri = physical["artifactLocation"]["uri"].as_str()?;
    let path = name(&unescaped(uri))?;
    let region = &physical["region"];
    let number = |key: &str| region[key].as_u64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    let start_line = number("startLine").unwrap_or(1);
    let start_column = number("startColumn").unwrap_or(1);
    let end_line = number("endLine").unwrap_or(start_line);
    let end_column = number("endColumn").unwrap_or(start_column);
    let text = source(&path);
    let at = |line: usize, column: usize| match text {
        Some(text) => inside(text, line, column, utf16),
        None => Position { line, column },
    };
    let start = at(start_line, start_column);
    Some((path, start, at(end_line, end_column).max(start)))
}

/// A place in a text, columns in characters.
fn inside(text: &str, line: usize, column: usize, utf16: bool) -> Position {
    let lines = LineIndex::new(text);
    let line = line.clamp(1, lines.lines().max(1));
    let start = lines.line_start(line).unwrap_or(0);
    let end = lines.line_start(line + 1).unwrap_or(text.len());
    let content = text[start..end].trim_end_matches(['\n', '\r']);
    let mut units = 0;
    let before = content.chars().take_while(|c| {
        units += if utf16 { c.len_utf16() } else { 1 };
        units < column
    });
    Position { line, column: before.count() + 1 }
}

/// `%20` and its kin in an address, and `file://` before it.
fn unescaped(uri: &str) -> String {
    let uri = uri.strip_prefix("file://").unwrap_or(uri);
    let (mut bytes, mut rest) = (Vec::new(), uri.as_bytes());
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
