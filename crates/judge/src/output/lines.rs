//! Formats of one line a finding.

use super::{ScanReport, visible, weaknesses};
use lexicon::Severity;
use std::io::{self, Write};

/// `path:line:column: severity analyzer/rule CWE-89 message`.
pub(super) fn concise(report: &ScanReport, out: &mut dyn Write) -> io::Result<()> {
    for i in &report.invalid {
        writeln!(out, "{}:{}:{}: invalid {}", visible(&i.path), i.line, i.column, visible(&i.message))?;
    }
    for f in &report.findings {
        let place = format!("{}:{}:{}", visible(&f.path), f.start.line, f.start.column);
        let cwe = weaknesses(f);
        let gap = if cwe.is_empty() { "" } else { " " };
        let (severity, rule, message) = (f.severity.name(), visible(&f.rule), visible(&f.message));
        writeln!(out, "{place}: {severity} {}/{rule}{gap}{cwe} {message}", visible(&f.analyzer))?;
    }
    Ok(())
}

/// Workflow commands of GitHub Actions (`::error file=..::message`).
pub(super) fn github(report: &ScanReport, out: &mut dyn Write) -> io::Result<()> {
    for i in &report.invalid {
        let (path, message) = (property(&i.path), data(&i.message));
        writeln!(out, "::error file={path},line={},col={},title=invalid::{message}", i.line, i.column)?;
    }
    for s in &report.skipped {
        let (path, message) = (property(&s.path), data(&format!("{} left it out: {}", s.analyzer, s.message)));
        writeln!(out, "::error file={path},title=not looked at::{message}")?;
    }
    for f in &report.findings {
        let level = match f.severity {
            Severity::High | Severity::Critical => "error",
            Severity::Medium => "warning",
            Severity::Low => "notice",
        };
        let (path, title) = (property(&f.path), property(&format!("{}/{} {}", f.analyzer, f.rule, weaknesses(f))));
        let (start, end) = (f.start, f.end);
        // Columns are allowed on one line only.
        let columns = if start.line == end.line {
            format!(",col={},endColumn={}", start.column, end.column.max(start.column))
        } else {
            String::new()
        };
        let place = format!("file={path},line={},endLine={}{columns}", start.line, end.line);
        writeln!(out, "::{level} {place},title={}::{}", title.trim_end(), data(&f.message))?;
    }
    Ok(())
}

/// Escapes as `@actions/core` does for a message. The log is also read in a terminal.
fn data(text: &str) -> String {
    visible(&text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A"))
}

/// Escapes as `@actions/core` does for a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
