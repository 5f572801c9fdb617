//! Findings as an editor shows them: diagnostics, hover, fixes.

use super::document::{Document, Insertion};
use corpus::{Kind, Lesson};
use judge::{
    languages::{self, Dialect, scan_file},
    native::Rule,
};
use lexicon::{Cwe, Finding, Language, LineIndex, Position, Severity};
use serde_json::{Value, json};

/// Findings in a document; a file that does not parse gives those in what can be made of it.
pub(super) fn findings(document: &Document) -> Vec<Finding> {
    scan_file(&document.name, &document.text, None).findings
}

/// Findings in a text that was put in, judged alone: an assistant's suggestion need not wait for the rest of the file, and is
/// not excused by it.
pub(super) fn findings_of(document: &Document, put: &Insertion) -> Vec<Finding> {
    let text = &document.text[put.start..put.end];
    let margin =
        text.lines().filter(|l| !l.trim().is_empty()).map(|l| l.len() - l.trim_start().len()).min().unwrap_or(0);
    // The first line's margin may stand before the insertion.
    let cut = |line: &str| {
        line.get(..margin)
            .filter(|m| m.trim().is_empty())
            .map_or_else(|| line.trim_start().to_owned(), |_| line[margin..].to_owned())
    };
    let alone: String = text.lines().map(|l| cut(l) + "\n").collect();
    let first = LineIndex::new(&document.text).position(&document.text, put.start);
    let moved = |at: Position| {
        let line = text.lines().nth(at.line - 1).unwrap_or_default();
        let taken = line.chars().count() - cut(line).chars().count();
        let before = if at.line == 1 { first.column - 1 } else { 0 };
        Position { line: at.line + first.line - 1, column: at.column + taken + before }
    };
    let mut findings = scan_file(&document.name, &alone, None).findings;
    for finding in &mut findings {
        (finding.start, finding.end) = (moved(finding.start), moved(finding.end));
    }
    findings
}

fn rule(finding: &Finding) -> Option<&'static Rule> {
    languages::rule(&finding.rule)
}

/// The language of a file.
fn language(document: &Document) -> Language {
    Dialect::of(&document.name).map_or(Language::Python, Dialect::language)
}

fn range(document: &Document, lines: &LineIndex, finding: &Finding) -> Value {
    json!({ "start": document.position(lines, finding.start), "end": document.position(lines, finding.end) })
}

/// Diagnostics of findings.
pub(super) fn diagnostics(document: &Document, findings: &[Finding]) -> Vec<Value> {
    let lines = LineIndex::new(&document.text);
    findings
        .iter()
        .map(|finding| {
            let why = rule(finding).map_or("", |r| r.why);
            let cwe = finding.cwe.first().map(|c| c.0).unwrap_or_default();
            json!({
                "range": range(document, &lines, finding),
                "severity": match finding.severity {
                    Severity::Critical | Severity::High => 1,
                    Severity::Medium => 2,
                    Severity::Low => 3,
                },
                "code": finding.rule,
                "codeDescription": { "href": format!("https://cwe.mitre.org/data/definitions/{cwe}.html") },
                "source": "rampart",
                "message": format!("{} (CWE-{cwe}) {why}", finding.message),
            })
        })
        .collect()
}

/// What a place is about: the finding there, with its lesson.
pub(super) fn hover(document: &Document, findings: &[Finding], lessons: &[Lesson], offset: usize) -> Value {
    let lines = LineIndex::new(&document.text);
    let at = lines.position(&document.text, offset);
    let found = findings.iter().filter(|f| f.start <= at && at <= f.end).min_by_key(|f| f.end.line - f.start.line);
    let Some((finding, rule)) = found.and_then(|f| Some((f, rule(f)?))) else { return Value::Null };
    let cwe = rule.cwe.iter().map(|n| Cwe(*n).to_string()).collect::<Vec<_>>().join(", ");
    let mut text = format!("**{}** · {cwe} · {}\n\n{}\n\n{}\n", rule.id, rule.severity.name(), rule.what, rule.why);
    let language = language(document);
    if let Some(lesson) = lesson(rule, lessons, language) {
        text.push_str(&format!(
            "\n**How models get it wrong.** {}\n",
            lesson.habit.split_whitespace().collect::<Vec<_>>().join(" ")
        ));
        text.push_str(&format!("\n**Instead:** {}\n", finding.message));
        if lesson.language == language {
            text.push_str(&format!("\n```{language}\n{}```\n", lesson.variant(0).secure));
        }
    } else {
        text.push_str(&format!("\n**Instead:** {}\n", finding.message));
    }
    let number = rule.cwe.first().copied().unwrap_or_default();
    text.push_str(&format!(
        "\n[CWE-{number}](https://cwe.mitre.org/data/definitions/{number}.html) · `rampart explain {}`\n",
        rule.id
    ));
    json!({ "contents": { "kind": "markdown", "value": text }, "range": range(document, &lines, finding) })
}

/// The lesson in a language that makes the rule speak, else one about the same weakness; in another language as a last
/// resort.
fn lesson<'l>(rule: &Rule, lessons: &'l [Lesson], language: Language) -> Option<&'l Lesson> {
    let about = lessons
        .iter()
        .filter(|l| l.kind == Kind::Weakness && l.cwe.first().is_some_and(|c| rule.cwe.first() == Some(&c.0)));
    let speaks = |l: &&Lesson| {
        let scan = |code: String| scan_file(&format!("x.{}", l.language.extension()), &code, None);
        l.variant(0).insecure.is_some_and(|code| scan(code).findings.iter().any(|f| f.rule == rule.id))
    };
    let mut native = about.clone().filter(|l| l.language == language);
    native
        .clone()
        .find(speaks)
        .or_else(|| native.next())
        .or_else(|| about.clone().find(speaks))
        .or_else(|| about.clone().next())
}

/// What can be done about the findings that a range touches.
pub(super) fn actions(uri: &str, document: &Document, findings: &[Finding], start: usize, end: usize) -> Vec<Value> {
    let lines = LineIndex::new(&document.text);
    let at = |offset: usize| lines.position(&document.text, offset);
    let (from, to) = (at(start), at(end));
    let mut actions = Vec::new();
    for finding in findings.iter().filter(|f| f.start.line <= to.line && from.line <= f.end.line) {
        let diagnostic = diagnostics(document, std::slice::from_ref(finding));
        let action = |title: String, edit: Value, preferred: bool| {
            json!({
                "title": title, "kind": "quickfix", "isPreferred": preferred, "diagnostics": diagnostic,
                "edit": { "changes": { uri: [edit] } },
            })
        };
        if let Some((title, edit)) = fix(document, &lines, finding) {
            actions.push(action(title, edit, true));
        }
        // A comment of the line grows; a line that ends in a backslash can have none.
        let line_start = lines.line_start(finding.end.line).unwrap_or(document.text.len());
        let line_end = lines.line_start(finding.end.line + 1).unwrap_or(document.text.len());
        let line = document.text[line_start..line_end].trim_end_matches(['\n', '\r']);
        if !line.trim_end().ends_with('\\') {
            let column = line.trim_end().chars().count() + 1;
            let place = document.position(&lines, Position { line: finding.end.line, column });
            let sign = if matches!(language(document), Language::Python | Language::Ruby) { "#" } else { "//" };
            let edit = json!({ "range": { "start": place, "end": place }, "newText": format!("  {sign} rampart: ignore[{}]", finding.rule) });
            actions.push(action(format!("Ignore {} on this line", finding.rule), edit, false));
        }
    }
    actions
}

/// Replacements that mean the same where the code was right, by rule.
const FIXES: &[(&str, &str, &str)] = &[
    ("unsafe-deserialization", "yaml.load(", "yaml.safe_load("),
    ("debug-mode", "debug=True", "debug=False"),
    ("certificate-unchecked", "verify=False", "verify=True"),
];

/// A safe fix, where there is one: the text must occur once, and `yaml.load` must have one argument.
fn fix(document: &Document, lines: &LineIndex, finding: &Finding) -> Option<(String, Value)> {
    let offset = |at: Position| {
        let start = lines.line_start(at.line)?;
        Some(start + document.text[start..].chars().take(at.column - 1).map(char::len_utf8).sum::<usize>())
    };
    let (start, end) = (offset(finding.start)?, offset(finding.end)?);
    let text = document.text.get(start..end)?;
    let (_, old, new) = FIXES.iter().find(|(rule, old, _)| *rule == finding.rule && text.matches(old).count() == 1)?;
    if old.ends_with("load(") && text.contains(',') {
        return None;
    }
    let from = start + text.find(old)?;
    let place = |offset: usize| document.position(lines, lines.position(&document.text, offset));
    let edit = json!({ "range": { "start": place(from), "end": place(from + old.len()) }, "newText": new });
    Some((format!("Replace `{}` by `{}`", old.trim_end_matches('('), new.trim_end_matches('(')), edit))
}
