//! JUnit XML: a test case a finding or invalid file, one passing case where there is none.

use super::{ScanReport, steers, weaknesses};
use std::io::{self, Write};

pub(super) fn write(report: &ScanReport, out: &mut dyn Write) -> io::Result<()> {
    let (failures, errors) = (report.findings.len() + report.invalid.len(), report.skipped.len());
    let tests = (failures + errors).max(1);
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(out, r#"<testsuites name="rampart" tests="{tests}" failures="{failures}" errors="{errors}">"#)?;
    writeln!(out, r#"  <testsuite name="scan" tests="{tests}" failures="{failures}" errors="{errors}" skipped="0">"#)?;
    for i in &report.invalid {
        let place = format!("line {}, column {}", i.line, i.column);
        case(out, "failure", &i.path, "invalid", &i.message, &format!("{place}: {}", i.message))?;
    }
    for f in &report.findings {
        let name = format!("{}/{}", f.analyzer, f.rule);
        let place = format!("line {}, column {}, {} severity", f.start.line, f.start.column, f.severity.name());
        case(out, "failure", &f.path, &name, &f.message, &format!("{place}, {}: {}", weaknesses(f), f.message))?;
    }
    // What an analyzer did not look at has not passed.
    for s in &report.skipped {
        case(out, "error", &s.path, &format!("{}/not looked at", s.analyzer), &s.message, &s.message)?;
    }
    if failures + errors == 0 {
        let name = super::count(report.files, "file");
        writeln!(out, r#"    <testcase classname="rampart" name="{name} without findings"/>"#)?;
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

fn case(out: &mut dyn Write, kind: &str, path: &str, name: &str, message: &str, text: &str) -> io::Result<()> {
    let (path, name, message, text) = (escape(path), escape(name), escape(message), escape(text));
    writeln!(out, r#"    <testcase classname="{path}" name="{name}">"#)?;
    writeln!(out, r#"      <{kind} type="{name}" message="{message}">{text}</{kind}>"#)?;
    writeln!(out, "    </testcase>")
}

/// Text for an element or an attribute; characters that XML 1.0 cannot hold are replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(' '),
            c if steers(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
