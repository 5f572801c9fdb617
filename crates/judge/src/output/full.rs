//! For a person: every finding with the lines it is about, the span marked below them.

use super::{ScanReport, Sources, count, visible, weaknesses};
use lexicon::{Finding, LineIndex, Severity};
use std::io::{self, Write};

/// Lines of a finding that are shown.
const LINES: usize = 4;

/// Characters of a line that are shown.
const WIDTH: usize = 120;

/// Writes with or without terminal colours.
struct Paint(bool);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn quiet(&self, text: &str) -> String {
        self.with("34", text)
    }

    fn severity(&self, severity: Severity, text: &str) -> String {
        self.with(if severity >= Severity::High { "1;31" } else { "1;33" }, text)
    }
}

pub(super) fn write(report: &ScanReport, sources: &Sources, color: bool, out: &mut dyn Write) -> io::Result<()> {
    let paint = Paint(color);
    for invalid in &report.invalid {
        let place = format!("{}:{}:{}", visible(&invalid.path), invalid.line, invalid.column);
        writeln!(out, "{}: {}", paint.with("1;31", "invalid"), paint.bold(&visible(&invalid.message)))?;
        writeln!(out, "  {} {place}", paint.quiet("-->"))?;
        if let Some(line) = sources.get(invalid.path.as_str()).and_then(|s| nth(s, &LineIndex::new(s), invalid.line)) {
            snippet(out, &paint, &[(invalid.line, line)], invalid.column, invalid.column + 1, Severity::High)?;
        }
        writeln!(out)?;
    }
    // Findings come file by file: the lines of each are found once.
    let mut lines: Option<(&str, LineIndex)> = None;
    for finding in &report.findings {
        let source = sources.get(finding.path.as_str()).copied();
        if let Some(source) = source
            && lines.as_ref().is_none_or(|(path, _)| *path != finding.path)
        {
            lines = Some((&finding.path, LineIndex::new(source)));
        }
        one(finding, source.zip(lines.as_ref().map(|(_, lines)| lines)), &paint, out)?;
    }
    writeln!(out, "{}", summary(report))
}

/// One sentence about the whole.
fn summary(report: &ScanReport) -> String {
    let mut text = if report.findings.is_empty() {
        "no findings".to_owned()
    } else {
        let paths: std::collections::BTreeSet<&str> = report.findings.iter().map(|f| f.path.as_str()).collect();
        format!("{} in {}", count(report.findings.len(), "finding"), count(paths.len(), "file"))
    };
    text.push_str(&format!("; {} scanned", count(report.files, "file")));
    if !report.invalid.is_empty() {
        text.push_str(&format!(", {} invalid", report.invalid.len()));
    }
    text
}

fn one(finding: &Finding, text: Option<(&str, &LineIndex)>, paint: &Paint, out: &mut dyn Write) -> io::Result<()> {
    let head = format!("{}[{}/{}]", finding.severity.name(), visible(&finding.analyzer), visible(&finding.rule));
    let cwe = weaknesses(finding);
    let label = if cwe.is_empty() { String::new() } else { format!(" ({cwe})") };
    writeln!(out, "{}: {}{label}", paint.severity(finding.severity, &head), paint.bold(&visible(&finding.message)))?;
    let path = visible(&finding.path);
    writeln!(out, "  {} {path}:{}:{}", paint.quiet("-->"), finding.start.line, finding.start.column)?;
    if let Some((source, lines)) = text {
        let last = finding.end.line.min(finding.start.line.saturating_add(LINES - 1));
        let shown: Vec<(usize, &str)> =
            (finding.start.line..=last).filter_map(|n| Some((n, nth(source, lines, n)?))).collect();
        let end = if finding.end.line == finding.start.line { finding.end.column } else { usize::MAX };
        snippet(out, paint, &shown, finding.start.column, end, finding.severity)?;
    }
    for step in &finding.trace {
        let message = visible(&step.message);
        writeln!(out, "  {} {path}:{}:{}: {message}", paint.quiet("from"), step.at.line, step.at.column)?;
    }
    writeln!(out)
}

/// Line of a text, from 1, as Python counts lines, without its end.
fn nth<'s>(source: &'s str, index: &LineIndex, line: usize) -> Option<&'s str> {
    let start = index.line_start(line)?;
    let end = index.line_start(line.saturating_add(1)).unwrap_or(source.len());
    Some(source[start..end].trim_end_matches(['\r', '\n']))
}

/// Lines with their numbers; columns `[from, to)` of the first are marked.
fn snippet(
    out: &mut dyn Write,
    paint: &Paint,
    lines: &[(usize, &str)],
    from: usize,
    to: usize,
    severity: Severity,
) -> io::Result<()> {
    let Some(&(last, _)) = lines.last() else { return Ok(()) };
    let gutter = last.to_string().len().max(2);
    let bar = paint.quiet("|");
    writeln!(out, "{:gutter$} {bar}", "")?;
    for (i, (number, line)) in lines.iter().enumerate() {
        let chars: Vec<char> = line.chars().collect();
        // A window of a long line, so that the marked part is in it.
        let skip = if i == 0 && from > WIDTH * 3 / 4 { from - WIDTH / 4 } else { 0 };
        let mut text = String::new();
        let (mut before, mut marked) = (0, 0);
        if skip > 0 {
            text.push_str("... ");
            before = 4;
        }
        for (column, &c) in chars.iter().enumerate().skip(skip).take(WIDTH) {
            let shown = if c == '\t' { "    ".to_owned() } else { visible(&c.to_string()) };
            let width = shown.chars().count();
            if column + 1 < from {
                before += width;
            } else if column + 1 < to {
                marked += width;
            }
            text.push_str(&shown);
        }
        if chars.len() > skip + WIDTH {
            text.push_str(" ...");
        }
        writeln!(out, "{} {bar} {}", paint.quiet(&format!("{number:gutter$}")), text.trim_end())?;
        if i == 0 {
            let caret = paint.severity(severity, &"^".repeat(marked.max(1)));
            writeln!(out, "{:gutter$} {bar} {:before$}{caret}", "", "")?;
        }
    }
    Ok(())
}
