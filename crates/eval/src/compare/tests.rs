//! Two small runs, made by hand, compared and held against gates.

use super::*;
use crate::{
    gates::Gates,
    outcome::tests::{finding, verdict},
    run::{Run, RunRecord},
    task::TaskRow,
};
use lexicon::{Cwe, FinishReason, Sample, Severity, TestOutcome, Verdict};

/// A run of one answer a prompt: `f` severe finding, `m` a mild one, `p` passes, `b` broken.
fn run(name: &str, answers: &[&str]) -> Run {
    let row = |i: usize| TaskRow {
        format: 1,
        suite: "s".into(),
        id: format!("t/{i}"),
        cwe: Some(Cwe(if i.is_multiple_of(2) { 89 } else { 78 })),
        lesson: format!("t/{i}"),
        language: Language::Python,
        grading: crate::task::Grading::Code,
        tests: true,
        exploit: false,
        packages: false,
    };
    let said = |letters: &&str| -> Verdict {
        let has = |c| letters.contains(c);
        let mut findings = Vec::new();
        if has('f') {
            findings.push(finding("native", 89, 1, Severity::High));
        }
        if has('m') {
            findings.push(finding("native", 78, 2, Severity::Medium));
        }
        let tests = if has('p') { TestOutcome::Passed } else { TestOutcome::Failed(String::new()) };
        Verdict { valid: !has('b'), tests: Some(tests), ..verdict(findings) }
    };
    let sample = |i: usize| Sample {
        format: 1,
        prompt_id: format!("t/{i}"),
        index: 0,
        text: "x".into(),
        code: "x".into(),
        finish_reason: FinishReason::Stop,
    };
    let record = RunRecord {
        format: 1,
        name: name.into(),
        api: None,
        critics: None,
        writer: String::new(),
        adapters: Vec::new(),
        suites: Vec::new(),
        form: "docstring".into(),
        variant: "plain".into(),
        samples_per_prompt: 1,
        sampling: None,
        seed: 0,
        per_lesson: None,
        partial: false,
        analyzers: vec!["native".into()],
        languages: vec![Language::Python],
        versions: BTreeMap::new(),
        seconds: 0.0,
        complete: true,
    };
    Run {
        record,
        rows: (0..answers.len()).map(row).collect(),
        samples: (0..answers.len()).map(sample).collect(),
        verdicts: answers.iter().map(said).collect(),
    }
}

fn change<'c>(comparison: &'c Comparison, metric: &str) -> &'c Change {
    comparison.suites[0].metrics.iter().find(|c| c.name == metric).expect("a metric of METRICS")
}

#[test]
fn what_changed_is_counted_on_common_prompts() -> Result<()> {
    let base = run("base", &["fp"; 20]);
    let mut answers = vec!["p"; 12];
    answers.extend(["fp", "fp", "fp", "fp", "", "", "mp", "b"]);
    let tuned = run("tuned", &answers);
    let found = compare(&base, &tuned, 0)?;
    let severe = change(&found, "high-critical");
    assert_eq!((severe.base.value, severe.tuned.value), (100.0, 20.0));
    assert_eq!(severe.reduction.map(|r| r.value), Some(80.0));
    assert_eq!(severe.tendency, Tendency::Better);
    let (low, high) = severe.difference.interval.expect("twenty prompts are enough");
    assert!(low < -80.0 && -80.0 < high && high < -50.0, "{low} {high}");
    // Twelve clean; four severe, one mild and one broken are insecure.
    assert_eq!(change(&found, "ins").tuned.value, 30.0);
    assert_eq!((change(&found, "pass-1").tuned.value, change(&found, "pass-1").tendency), (85.0, Tendency::Unclear));
    assert_eq!(found.suites[0].improved.len(), 12);
    assert!(found.suites[0].regressed.is_empty(), "none was good before");
    // What got worse stands first.
    let back = compare(&tuned, &base, 0)?;
    assert_eq!(back.suites[0].metrics[0].tendency, Tendency::Worse);
    assert_eq!((back.suites[0].regressed.len(), back.suites[0].regressed[0].tuned), (12, 0.0));
    let cwes: Vec<&str> = back.suites[0].by_cwe.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(cwes.len(), 2, "{cwes:?}");

    let part = run("part", &answers[..15]);
    let found = compare(&base, &part, 0)?;
    assert_eq!(found.suites[0].prompts, 15);
    assert!(found.notes.iter().any(|n| n.starts_with("s: 5 prompts that only one run was asked")), "{:?}", found.notes);
    let nothing = compare(&base, &run("none", &[]), 0).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(nothing.starts_with("nothing to compare: base was asked s"), "{nothing}");
    Ok(())
}

#[test]
fn gates_hold_or_fail() -> Result<()> {
    let (base, tuned) = (run("base", &["fp"; 20]), run("tuned", &[vec!["p"; 9], vec!["fp"; 9], vec!["", ""]].concat()));
    let comparison = compare(&base, &tuned, 0)?;
    // 55 % fewer severe findings, 90 % pass.
    let cases = [
        ("metric = \"high-critical\"\nreduction-at-least = 55.0", Some(true)),
        ("metric = \"high-critical\"\nreduction-at-least = 55.1", Some(false)),
        ("metric = \"high-critical\"\nreduction-at-least = 55.0\nbound = \"interval\"", Some(false)),
        ("metric = \"pass-1\"\nsuite = \"s\"\nkept-at-least = 90.0", Some(true)),
        ("metric = \"pass-1\"\nchange-at-least = -9.0", Some(false)),
        ("metric = \"ins\"\nchange-at-most = 0.0\nbound = \"interval\"", Some(true)),
        ("metric = \"pass-1\"\nsuite = \"humaneval\"\nkept-at-least = 90.0", None),
    ];
    for (text, expect) in cases {
        let gates = Gates::parse(&format!("format = 1\n[[gate]]\n{text}"))?;
        let verdicts = gates.check(&comparison);
        assert_eq!(verdicts[0].holds, expect, "{text}: {verdicts:?}");
    }
    let goals: Vec<_> = Gates::goals().check(&comparison).into_iter().map(|v| v.holds).collect();
    assert_eq!(goals, [Some(true), None]);
    // A base without findings leaves nothing to reduce, and may not get any.
    let clean = compare(&run("a", &["p"; 12]), &run("b", &["p"; 12]), 0)?;
    assert_eq!(Gates::goals().check(&clean)[0].holds, Some(true));
    let worse = compare(&run("a", &["p"; 12]), &run("b", &["fp"; 12]), 0)?;
    assert_eq!(Gates::goals().check(&worse)[0].holds, Some(false));
    Ok(())
}

#[test]
fn markdown_stays_in_its_cells() -> Result<()> {
    let mut tuned = run("<script>|`x`\n# top", &["p"; 12]);
    tuned.rows[0].suite = "s".into();
    let found = compare(&run("base", &["fp"; 12]), &tuned, 0)?;
    let text = crate::report::markdown(&found, &Gates::goals().check(&found));
    assert!(!text.contains("<script>") && text.contains("&lt;script&gt;\\|\\`x\\`"), "{text}");
    assert!(text.lines().next().is_some_and(|l| l.starts_with("## ") && l.ends_with("against base")), "{text}");
    assert!(crate::report::changes(&found, &[]).contains("better"));
    Ok(())
}
