#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test ends where something is wrong"))]

use super::*;
use lexicon::{Confidence, Cwe, Position, Severity, finding::TraceStep};

const SOURCE: &str = "import os\n\ndef f(x):\n\tos.system('é' + x)\n";

fn report() -> ScanReport {
    let finding = Finding {
        format: 1,
        analyzer: "native".to_owned(),
        rule: "shell".to_owned(),
        cwe: vec![Cwe(78), Cwe(88)],
        severity: Severity::High,
        confidence: Confidence::High,
        path: "a b/ü.py".to_owned(),
        start: Position { line: 4, column: 2 },
        end: Position { line: 4, column: 20 },
        message: "Pass a list, <not> \"text\": 100%".to_owned(),
        trace: vec![TraceStep { at: Position { line: 3, column: 7 }, message: "data enters here".to_owned() }],
    };
    let bandit = Finding {
        analyzer: "bandit".to_owned(),
        rule: "B605".to_owned(),
        severity: Severity::Medium,
        cwe: vec![],
        trace: vec![],
        ..finding.clone()
    };
    ScanReport {
        format: 1,
        files: 3,
        invalid: vec![Invalid { path: "bad.py".to_owned(), line: 1, column: 5, message: "expected a name".to_owned() }],
        findings: vec![bandit, finding],
        skipped: vec![],
        analyzers: vec!["native".to_owned(), "bandit".to_owned()],
    }
}

fn text(report: &ScanReport, format: Format) -> String {
    let sources = Sources::from([("a b/ü.py", SOURCE), ("bad.py", "def (\u{1b}[31m:\n")]);
    let mut out = Vec::new();
    write(report, &sources, format, false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn full_marks_the_place() {
    let shown = text(&report(), Format::Full);
    let expect = "\
high[native/shell]: Pass a list, <not> \"text\": 100% (CWE-78, CWE-88)
  --> a b/ü.py:4:2
   |
 4 |     os.system('é' + x)
   |     ^^^^^^^^^^^^^^^^^^
  from a b/ü.py:3:7: data enters here
";
    assert!(shown.contains(expect), "{shown}");
    assert!(
        shown.starts_with("invalid: expected a name\n  --> bad.py:1:5\n   |\n 1 | def (\u{fffd}[31m:\n   |     ^\n"),
        "{shown}"
    );
    assert!(shown.ends_with("2 findings in 1 file; 3 files scanned, 1 invalid\n"), "{shown}");
}

#[test]
fn full_shows_a_window_of_a_long_line() {
    let line = format!("x = [{}, eval(y)]", "1, ".repeat(5_000));
    let column = line.find("eval").unwrap() + 1;
    let mut report = report();
    report.findings.truncate(1);
    report.invalid.clear();
    report.findings[0].start = Position { line: 1, column };
    report.findings[0].end = Position { line: 1, column: column + 7 };
    let sources = Sources::from([("a b/ü.py", line.as_str())]);
    let mut out = Vec::new();
    write(&report, &sources, Format::Full, false, &mut out).unwrap();
    let shown = String::from_utf8(out).unwrap();
    let rows: Vec<&str> = shown.lines().collect();
    let at = rows[3].find("eval(y)").unwrap();
    assert_eq!(rows[4].find('^'), Some(at), "{shown}");
    assert_eq!(rows[4].matches('^').count(), 7);
    assert!(rows.iter().all(|r| r.len() < 160), "{shown}");
}

#[test]
fn one_line_each() {
    let concise = text(&report(), Format::Concise);
    let expect = "a b/ü.py:4:2: high native/shell CWE-78, CWE-88 Pass a list, <not> \"text\": 100%";
    assert_eq!(concise.lines().nth(2), Some(expect));
    assert_eq!(concise.lines().next(), Some("bad.py:1:5: invalid expected a name"));

    let github = text(&report(), Format::Github);
    let expect = "::error file=a b/ü.py,line=4,endLine=4,col=2,endColumn=20,title=native/shell CWE-78%2C CWE-88::\
                  Pass a list, <not> \"text\": 100%25";
    assert_eq!(github.lines().nth(2), Some(expect));
    assert!(github.lines().nth(1).unwrap().starts_with("::warning "), "{github}");

    let mut hostile = report();
    hostile.findings[0].message = "a\u{1b}[31m\n::error::b".to_owned();
    let github = text(&hostile, Format::Github);
    assert!(github.lines().count() == 3 && !github.contains('\u{1b}'), "{github}");
    assert_eq!(text(&hostile, Format::Concise).lines().count(), 3);
}

#[test]
fn json_is_the_contract() {
    let value: serde_json::Value = serde_json::from_str(&text(&report(), Format::Json)).unwrap();
    let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 4);
    assert_eq!((&value["format"], &value["files"]), (&1.into(), &3.into()));
    assert_eq!(value["invalid"][0]["path"], "bad.py");
    let back: Vec<Finding> = serde_json::from_value(value["findings"].clone()).unwrap();
    assert_eq!(back, report().findings);
    let lines = text(&report(), Format::JsonLines);
    let back: Vec<Finding> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(back, report().findings);
}

#[test]
fn sarif_holds_what_code_scanning_reads() {
    let log: serde_json::Value = serde_json::from_str(&text(&report(), Format::Sarif)).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let runs = log["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    let native = &runs[0];
    assert_eq!(native["tool"]["driver"]["name"], "rampart");
    let result = &native["results"][0];
    let rule = &native["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
    assert_eq!(rule["id"], result["ruleId"]);
    assert_eq!(
        rule["properties"]["tags"],
        serde_json::json!(["security", "external/cwe/cwe-078", "external/cwe/cwe-088"])
    );
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b/%C3%BC.py");
    let region = serde_json::json!({ "startLine": 4, "startColumn": 2, "endLine": 4, "endColumn": 20 });
    assert_eq!(place["region"], region);
    assert_eq!(result["codeFlows"][0]["threadFlows"][0]["locations"].as_array().unwrap().len(), 2);
    assert_eq!(native["invocations"][0]["toolExecutionNotifications"].as_array().unwrap().len(), 1);
}

#[test]
fn a_fingerprint_outlives_lines_above() {
    let of = |report: &ScanReport, source: &str| {
        let sources = Sources::from([("a b/ü.py", source)]);
        let log = sarif::log(report, &sources);
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        results
            .iter()
            .map(|r| r["partialFingerprints"]["rampartFinding/v1"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let before = of(&report(), SOURCE);
    let mut moved = report();
    for finding in &mut moved.findings {
        finding.start.line += 2;
        finding.end.line += 2;
    }
    assert_eq!(of(&moved, &format!("# a\n# b\n{SOURCE}")), before);
    assert_ne!(of(&moved, &format!("# a\n# b\n{}", SOURCE.replace("os.system", "os.popen"))), before);
    let mut twice = report();
    twice.findings.push(twice.findings[1].clone());
    let both = of(&twice, SOURCE);
    assert_eq!(both[0], before[0]);
    assert_ne!(both[0], both[1]);
}

#[test]
fn junit_is_well_formed() {
    let mut report = report();
    report.findings[0].message = "<a> & \"b\" \u{0}\n".to_owned();
    let xml = text(&report, Format::Junit);
    assert!(xml.contains(r#"<failure type="bandit/B605" message="&lt;a&gt; &amp; &quot;b&quot; "#), "{xml}");
    assert!(xml.contains(r#"tests="3" failures="3""#), "{xml}");
    assert!(!xml.contains('\0'));
    let empty = ScanReport { invalid: vec![], findings: vec![], ..report };
    assert!(text(&empty, Format::Junit).contains(r#"tests="1" failures="0""#));
}

/// A file that was not looked at is in no form a passing one.
#[test]
fn what_was_left_out_is_told_in_every_form() {
    let skipped = vec![Skipped { path: "big.py".to_owned(), analyzer: "bandit", message: "it hung".to_owned() }];
    let report = ScanReport { invalid: vec![], findings: vec![], skipped, ..report() };
    assert!(
        text(&report, Format::Github).contains("::error file=big.py,title=not looked at::bandit left it out: it hung")
    );
    let junit = text(&report, Format::Junit);
    assert!(junit.contains(r#"tests="1" failures="0" errors="1""#) && junit.contains("<error type="), "{junit}");
    assert!(!junit.contains("without findings"));
    let log: serde_json::Value = serde_json::from_str(&text(&report, Format::Sarif)).unwrap();
    let bandit = &log["runs"][1]["invocations"][0];
    assert_eq!(bandit["executionSuccessful"], false, "{log}");
    assert_eq!(bandit["toolExecutionNotifications"][0]["message"]["text"], "big.py: not looked at: it hung");
    assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], true);
}

/// Reports of others name any place, and any program.
#[test]
fn places_outside_and_names_that_steer_do_no_harm() {
    let mut report = report();
    let far = Position { line: usize::MAX, column: usize::MAX };
    report.findings[0].start = far;
    report.findings[1].end = far;
    for finding in &mut report.findings {
        finding.analyzer = "x\u{1b}[2J".to_owned();
    }
    for &format in Format::ALL {
        let shown = text(&report, format);
        assert!(!shown.contains('\u{1b}'), "{format}: {shown}");
    }
}

#[test]
fn every_format_has_a_name() {
    for &format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
        assert!(!text(&report(), format).is_empty());
    }
    assert!("yaml".parse::<Format>().is_err());
}
