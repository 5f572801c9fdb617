//! SARIF 2.1.0 (OASIS standard, with the members that code scanning services read): one run an analyzer.

use super::{ScanReport, Sources};
use crate::{languages, native};
use lexicon::{Finding, LineIndex, Position, Severity};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The whole log.
pub(super) fn log(report: &ScanReport, sources: &Sources) -> Value {
    let mut analyzers: Vec<&str> = report.analyzers.iter().map(String::as_str).collect();
    for finding in &report.findings {
        if !analyzers.contains(&finding.analyzer.as_str()) {
            analyzers.push(&finding.analyzer);
        }
    }
    if analyzers.is_empty() {
        analyzers.push(native::ANALYZER);
    }
    let runs: Vec<Value> = analyzers.iter().enumerate().map(|(i, name)| run(report, sources, name, i == 0)).collect();
    json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": runs })
}

fn run(report: &ScanReport, sources: &Sources, analyzer: &str, first: bool) -> Value {
    let findings: Vec<&Finding> = report.findings.iter().filter(|f| f.analyzer == analyzer).collect();
    // Rules in a fixed order, so that the same findings give the same bytes.
    let mut examples: BTreeMap<&str, &Finding> = BTreeMap::new();
    for finding in &findings {
        examples.entry(&finding.rule).or_insert(finding);
    }
    let order: HashMap<&str, usize> = examples.keys().enumerate().map(|(i, id)| (*id, i)).collect();
    let rules: Vec<Value> = examples.values().map(|finding| rule(finding)).collect();
    let mut seen = Seen::default();
    let results: Vec<Value> = findings.iter().map(|f| result(f, order[f.rule.as_str()], sources, &mut seen)).collect();
    // What does not parse is told once, by the first run.
    let mut notes: Vec<Value> = if first {
        report
            .invalid
            .iter()
            .map(|i| {
                json!({
                    "level": "error",
                    "message": { "text": format!("{}: not valid: {}", i.path, i.message) },
                    "locations": [{ "physicalLocation": {
                        "artifactLocation": { "uri": uri(&i.path) },
                        "region": { "startLine": i.line, "startColumn": i.column },
                    } }],
                })
            })
            .collect()
    } else {
        Vec::new()
    };
    // Files that were not looked at make the run one that failed: its silence about them is no verdict.
    let skipped = report.skipped.iter().filter(|s| s.analyzer == analyzer);
    notes.extend(skipped.map(|s| {
        json!({
            "level": "error",
            "message": { "text": format!("{}: not looked at: {}", s.path, s.message) },
            "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri(&s.path) } } }],
        })
    }));
    let whole = !report.skipped.iter().any(|s| s.analyzer == analyzer);
    let name = if analyzer == native::ANALYZER { "rampart".to_owned() } else { format!("rampart {analyzer}") };
    json!({
        "tool": { "driver": {
            "name": name,
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": rules,
        } },
        "columnKind": "unicodeCodePoints",
        "invocations": [{ "executionSuccessful": whole, "toolExecutionNotifications": notes }],
        "results": results,
    })
}

fn rule(example: &Finding) -> Value {
    let known = Some(&example.rule).filter(|_| example.analyzer == native::ANALYZER).and_then(|id| languages::rule(id));
    let short = known.map_or(example.message.as_str(), |r| r.what);
    let full = known.map_or_else(|| example.message.clone(), |r| format!("{} {}", r.what, r.why));
    let help = known.map_or(example.message.as_str(), |r| r.remedy);
    let mut tags = vec!["security".to_owned()];
    tags.extend(example.cwe.iter().map(|c| format!("external/cwe/cwe-{:03}", c.0)));
    let mut rule = json!({
        "id": example.rule,
        "shortDescription": { "text": short },
        "fullDescription": { "text": full },
        "help": { "text": help },
        "defaultConfiguration": { "level": level(example.severity) },
        "properties": {
            "tags": tags,
            "precision": example.confidence.name(),
            "security-severity": score(example.severity),
        },
    });
    if let Some(cwe) = example.cwe.first() {
        rule["helpUri"] = json!(format!("https://cwe.mitre.org/data/definitions/{}.html", cwe.0));
    }
    rule
}

fn result<'s>(finding: &Finding, rule_index: usize, sources: &Sources<'s>, seen: &mut Seen<'s>) -> Value {
    let mut result = json!({
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": level(finding.severity),
        "message": { "text": finding.message },
        "locations": [{ "physicalLocation": place(&finding.path, finding.start, Some(finding.end)) }],
        "partialFingerprints": { "rampartFinding/v1": fingerprint(finding, sources, seen) },
        "properties": { "severity": finding.severity.name(), "confidence": finding.confidence.name() },
    });
    if !finding.trace.is_empty() {
        let steps: Vec<Value> = finding
            .trace
            .iter()
            .map(|step| {
                json!({ "location": {
                "physicalLocation": place(&finding.path, step.at, None),
                "message": { "text": step.message },
            } })
            })
            .chain([
                json!({ "location": { "physicalLocation": place(&finding.path, finding.start, Some(finding.end)) } }),
            ])
            .collect();
        result["codeFlows"] = json!([{ "threadFlows": [{ "locations": steps }] }]);
    }
    result
}

fn place(path: &str, start: Position, end: Option<Position>) -> Value {
    let mut region = json!({ "startLine": start.line, "startColumn": start.column });
    if let Some(end) = end {
        region["endLine"] = json!(end.line);
        region["endColumn"] = json!(end.column);
    }
    json!({ "artifactLocation": { "uri": uri(path) }, "region": region })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

/// The number by which code scanning services sort (a CVSS-like score, as text).
const fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
    }
}

/// A path as a URI reference (RFC 3986); a relative one stays relative.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 8);
    if path.starts_with('/') {
        out.push_str("file://");
    }
    for byte in path.trim_start_matches("./").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// What fingerprints were made of so far.
#[derive(Default)]
pub(super) struct Seen<'s> {
    /// How often a rule spoke of a line.
    times: HashMap<String, usize>,
    /// Lines of the files, found once each.
    lines: HashMap<&'s str, LineIndex>,
}

/// A name that a finding keeps while lines above it come and go: rule, path, the text of its line and, where that repeats,
/// the how-manieth it is.
pub(super) fn fingerprint<'s>(finding: &Finding, sources: &Sources<'s>, seen: &mut Seen<'s>) -> String {
    let line = sources.get_key_value(finding.path.as_str()).and_then(|(path, source)| {
        let index = seen.lines.entry(path).or_insert_with(|| LineIndex::new(source));
        let start = index.line_start(finding.start.line)?;
        let end = index.line_start(finding.start.line.saturating_add(1)).unwrap_or(source.len());
        Some(source[start..end].split_whitespace().collect::<Vec<_>>().join(" "))
    });
    let text =
        [&finding.analyzer, &finding.rule, &finding.path, &line.unwrap_or_default()].map(String::as_str).join("\0");
    let number = seen.times.entry(text.clone()).or_insert(0);
    *number += 1;
    let mut hash = Sha256::new();
    hash.update(text.as_bytes());
    hash.update(number.to_le_bytes());
    hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}
