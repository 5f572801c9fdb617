//! The page, the table and the files, over one small document.

use super::*;
use crate::outcome::tests::{finding, verdict};
use lexicon::{Figure, Metrics, NamedFigure, Severity, Stage, SuiteResult, TestOutcome, report::CweFigure};

fn figure(value: f64) -> Figure {
    Figure { value, low: (value - 4.25).max(0.0), high: (value + 4.25).min(100.0), n: 120 }
}

fn result(name: &str, ins: f64, works: f64) -> SuiteResult {
    SuiteResult {
        name: name.into(),
        prompts: 40,
        samples: 120,
        metrics: Metrics {
            valid: figure(97.5),
            ins: figure(ins),
            ins_bandit: figure(ins / 2.0),
            i_at_100: Figure { high: 131.0, ..figure(ins * 1.4) },
            pass_1: figure(works + 5.0),
            secure_1_pass: Figure { n: 0, value: 0.0, low: 0.0, high: 100.0 },
            secure_pass_1: figure(works),
        },
        by_cwe: vec![
            CweFigure { cwe: "CWE-89".into(), ins: figure(ins) },
            CweFigure { cwe: "CWE-78".into(), ins: figure(5.0) },
        ],
        shares: vec![NamedFigure { name: "refused".into(), meaning: HOSTILE.into(), figure: figure(0.0) }],
        paper: vec![NamedFigure { name: "disco InS".into(), meaning: HOSTILE.into(), figure: figure(33.0) }],
    }
}

fn report() -> Report {
    let stage = |name: &str, a: f64, b: f64| Stage {
        name: name.into(),
        suites: vec![result("variants", a, b), result("lessons", a / 2.0 + 30.0, b / 2.0)],
    };
    Report {
        format: 1,
        seed: 7,
        seconds: 201.4,
        stages: vec![stage("base", 71.3, 20.0), stage("sft", 38.0, 41.0), stage("lpo", 17.6, 55.5)],
    }
}

const HOSTILE: &str = "</code><script>alert(1)</script>\u{202e}\u{1b}[31m\" onload=\"x";

fn document() -> Document {
    let bad = Verdict {
        tests: Some(TestOutcome::Passed),
        exploit: Some(TestOutcome::Passed),
        ..verdict(vec![finding("native", 89, 1, Severity::High), finding("bandit", 703, 1, Severity::Low)])
    };
    let broken = Verdict { valid: false, syntax_error: Some(HOSTILE.into()), ..verdict(vec![]) };
    let column = |stage: &str, code: &str, verdict: Verdict| Column { stage: stage.into(), code: code.into(), verdict };
    Document {
        report: report(),
        title: HOSTILE.into(),
        facts: vec![(HOSTILE.into(), HOSTILE.into())],
        curves: vec![Curve {
            name: HOSTILE.into(),
            points: (1..9).map(|i| Point { step: i, loss: 2.0 / i as f64, margin: Some(i as f64) }).collect(),
        }],
        comparisons: vec![Comparison {
            task: HOSTILE.into(),
            instruction: HOSTILE.into(),
            cwe: "CWE-89".into(),
            columns: vec![
                column("base", &format!("x = f(y)\n{HOSTILE}"), bad),
                column("sft", HOSTILE, broken),
                column(
                    "lpo",
                    "x = 1\n",
                    Verdict { tests: Some(TestOutcome::Failed(HOSTILE.into())), ..verdict(vec![]) },
                ),
            ],
        }],
        masks: vec![MaskedPair {
            title: HOSTILE.into(),
            insecure: vec![("a".into(), false), (format!("{HOSTILE}\n"), true)],
            secure: vec![("a".into(), false)],
        }],
        notes: vec![HOSTILE.into()],
    }
}

#[test]
fn nothing_hostile_survives() -> Result<()> {
    let page = html(&document())?;
    assert!(page.contains("&lt;script&gt;"), "it is shown, as text");
    for forbidden in ["<script", "onload=\"", "http://", "https://", "url(", "@import", "<img", "<link"] {
        assert!(!page.contains(forbidden), "{forbidden:?} in the page");
    }
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'), "nothing hides or turns text round");
    assert!(page.contains("\u{27e8}U+202E\u{27e9}") && page.contains('\u{241b}'));
    Ok(())
}

#[test]
fn the_page_says_what_came_out() -> Result<()> {
    let page = html(&document())?;
    for expect in [
        "Insecure answers fall from 71\u{a0}% to 18\u{a0}%",
        "On new variants of lessons seen in training, 71.3\u{a0}% of Base\u{2019}s 120 answers are insecure (67.0\u{2013}75.5)",
        "Code that works: 25.0\u{a0}%, then 60.5\u{a0}%; that works and is secure: 20.0\u{a0}%, then 55.5\u{a0}%.",
        "<td class=\"better\">17.6",
        "<td class=\"\">97.5",
        "tests pass",
        "attack works",
        "does not parse",
        "(advice, not counted)",
        "not measured",
        "1 of 3 tokens",
        "What the tests said",
        "<td>33.0<small>",
        "d=\"M13.35 5H21.85\"",
    ] {
        assert!(page.contains(expect), "{expect:?} is missing");
    }
    let mut worse = document();
    worse.report.stages.reverse();
    let suite = &mut worse.report.stages[0].suites[0];
    suite.by_cwe =
        (0..20).map(|i| CweFigure { cwe: format!("CWE-{i}"), ins: Figure { n: 10 + i, ..figure(50.0) } }).collect();
    let page = html(&worse)?;
    for expect in [
        "Insecure answers rise from 18\u{a0}% to 71\u{a0}%",
        "<td class=\"worse\">71.3",
        "2 more, with fewer answers each",
    ] {
        assert!(page.contains(expect), "{expect:?} is missing");
    }
    let place = |cwe: &str| page.find(&format!("<b>{cwe}</b>"));
    assert!(
        place("CWE-2") < place("CWE-19") && place("CWE-19") < place("CWE-0"),
        "the two with the fewest stand behind"
    );
    let mut quiet = document();
    (quiet.curves, quiet.comparisons, quiet.masks, quiet.notes) = (vec![], vec![], vec![], vec![]);
    quiet.report.stages.truncate(1);
    let page = html(&quiet)?;
    assert!(page.contains("<h1>71.3\u{a0}% of answers are insecure</h1>"));
    assert!(!page.contains("Side by side") && !page.contains("<h2>Training"));
    quiet.report.stages.clear();
    assert!(html(&quiet)?.contains("Nothing was measured"));
    Ok(())
}

#[test]
fn tags_are_closed() -> Result<()> {
    let page = html(&document())?;
    for tag in [
        "main", "section", "article", "details", "table", "tr", "td", "dl", "div", "svg", "ol", "li", "p", "figure",
        "pre", "mark", "span",
    ] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "<{tag}>");
    }
    Ok(())
}

#[test]
fn files_keep_the_contract() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    write(&folder.path().join("out"), &document())?;
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join("out/report.json"))?)?;
    assert_eq!(json["format"], 1);
    let suite = &json["stages"][2]["suites"][0];
    assert_eq!((&suite["name"], &suite["samples"]), (&"variants".into(), &120.into()));
    for key in ["valid", "ins", "ins-bandit", "i-at-100", "pass-1", "secure-1-pass", "secure-pass-1"] {
        for end in ["value", "low", "high"] {
            assert!(suite["metrics"][key][end].is_f64(), "{key}.{end}");
        }
    }
    assert!(std::fs::read_to_string(folder.path().join("out/report.html"))?.starts_with("<!doctype html>"));
    let error = write(Path::new("/dev/null/out"), &document()).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.starts_with("cannot write /dev/null/out/report.json"), "{error}");
    Ok(())
}

#[test]
fn the_table_lines_up() {
    let text = table(&report());
    let expect = "\
variants: new variants of lessons seen in training (40 prompts, 120 samples a stage)
percent                                               Base                  SFT                  LPO
────────────────────────────────────────────────────────────────────────────────────────────────────
↓ Insecure (InS)                       71.3 [ 67.0,  75.5]  38.0 [ 33.8,  42.2]  17.6 [ 13.4,  21.9]
";
    assert!(text.starts_with(expect), "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    assert!(text.contains("paper: disco InS") && !text.contains("refused"), "{text}");
    assert!(text.contains("\u{2191} Secure if it works (secure@1_pass)"), "{text}");
    assert_eq!(text.matches("not measured").count(), 6);
    assert!(text.contains("\nlessons: lessons never seen in training (40 prompts"));
}
