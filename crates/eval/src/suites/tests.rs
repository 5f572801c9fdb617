//! Conformance of every suite in [`ALL`]: reference answers score 1, known-bad answers 0.

use super::*;
use crate::{Request, judged, score};
use judge::{Code, Judge, analyzers, sandbox::Sandbox};
use lexicon::{FinishReason, Sample, Verdict};
use std::collections::BTreeSet;

fn lessons() -> Vec<Lesson> {
    corpus::library::embedded().expect("the embedded lessons are read by corpus's own tests")
}

fn answers<'a>(cases: &'a [Case], of: impl Fn(&'a Case) -> &'a str) -> Vec<Sample> {
    cases
        .iter()
        .map(|case| Sample {
            format: 1,
            prompt_id: case.task.id.clone(),
            index: 0,
            text: of(case).to_owned(),
            code: of(case).to_owned(),
            finish_reason: FinishReason::Stop,
        })
        .collect()
}

fn native(codes: &[Code<'_>]) -> Result<Vec<Verdict>> {
    Ok(codes
        .iter()
        .map(|code| {
            let scan = judge::native::scan(code.path, code.source);
            Verdict {
                valid: scan.syntax_error.is_none(),
                syntax_error: scan.syntax_error.map(|e| e.to_string()),
                findings: scan.findings,
                tests: None,
                exploit: None,
            }
        })
        .collect())
}

#[test]
fn references_score_one_and_known_bad_zero() -> Result<()> {
    for suite in ALL {
        let cases = (suite.cases)(&lessons(), 2, 0);
        assert!(!cases.is_empty(), "{} asks nothing", suite.name);
        let tasks: Vec<Task> = cases.iter().map(|c| c.task.clone()).collect();
        let request = Request { suite: suite.name, tasks: &tasks, samples_per_prompt: 1, seed: 0 };
        for (samples, ins) in [(answers(&cases, |c| &c.reference), 0.0), (answers(&cases, |c| &c.known_bad), 100.0)] {
            let verdicts = judged(&tasks, &samples, native)?;
            let wrong: Vec<&str> = tasks
                .iter()
                .zip(&verdicts)
                .filter(|(_, v)| !v.valid || v.findings.is_empty() != (ins == 0.0))
                .map(|(t, _)| t.id.as_str())
                .collect();
            let metrics = score(&request, &samples, &verdicts)?.metrics;
            assert_eq!((metrics.valid.value, metrics.ins.value), (100.0, ins), "{}: {wrong:?}", suite.name);
        }
    }
    Ok(())
}

/// The whole judge on a few tasks: that its tests and exploits hold for every lesson is for corpus to show.
#[test]
fn tests_and_exploits_agree_with_the_references() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let sandbox = match Sandbox::detect(std::path::Path::new("python3")) {
        Ok(sandbox) => sandbox,
        Err(why) => {
            eprintln!("skipped: {why}");
            return Ok(());
        }
    };
    let judge = Judge::new(analyzers::open(&["native"], &analyzers::Settings::default())?, Some(sandbox));
    for suite in ALL {
        let cases: Vec<Case> = (suite.cases)(&lessons(), 1, 0)
            .into_iter()
            .filter(|c| !c.task.packages && c.task.tests.is_some() && c.task.exploit.is_some())
            .take(4)
            .collect();
        assert!(!cases.is_empty(), "{} has no task that needs Python alone", suite.name);
        let tasks: Vec<Task> = cases.iter().map(|c| c.task.clone()).collect();
        let request = Request { suite: suite.name, tasks: &tasks, samples_per_prompt: 1, seed: 0 };
        for (samples, secure) in [(answers(&cases, |c| &c.reference), 100.0), (answers(&cases, |c| &c.known_bad), 0.0)]
        {
            let verdicts = judged(&tasks, &samples, |codes| -> std::result::Result<_, Box<dyn std::error::Error>> {
                Ok(judge.verdicts(codes, &|_| ())?)
            })?;
            let metrics = score(&request, &samples, &verdicts)?.metrics;
            let found = (metrics.pass_1.value, metrics.secure_1_pass.value, metrics.secure_pass_1.value);
            assert_eq!(found, (100.0, secure, secure), "{}: {verdicts:?}", suite.name);
            assert!(verdicts.iter().all(|v| v.exploit.as_ref().is_some_and(|e| e.passed() == (secure == 0.0))));
        }
    }
    Ok(())
}

#[test]
fn parts_are_apart_and_training_sees_neither() {
    let (lessons, split) = (lessons(), corpus::Split::default());
    let tasks = |name: &str| by_name(name).expect("listed").tasks(&lessons, 50, 3);
    let (variants, held_out) = (tasks("variants"), tasks("lessons"));
    let names = |tasks: &[Task]| tasks.iter().map(|t| t.lesson.clone()).collect::<BTreeSet<_>>();
    assert!(names(&variants).is_disjoint(&names(&held_out)));
    for task in variants.iter().chain(&held_out) {
        let number =
            task.id.rsplit('/').next().and_then(|n| n.parse().ok()).expect("an id ends in its variant's number");
        assert_ne!(split.part(&task.lesson, number), corpus::Part::Train, "{}", task.id);
        assert!(lessons.iter().any(|l| l.id == task.lesson && l.kind == corpus::Kind::Weakness));
    }
    let ids: BTreeSet<&str> = variants.iter().chain(&held_out).map(|t| t.id.as_str()).collect();
    assert_eq!(ids.len(), variants.len() + held_out.len(), "ids are distinct");
}

#[test]
fn the_choice_depends_on_the_seed_alone() {
    let lessons = lessons();
    let suite = by_name("variants").expect("listed");
    assert_eq!(suite.tasks(&lessons, 2, 0), suite.tasks(&lessons, 2, 0));
    assert_ne!(suite.tasks(&lessons, 2, 0), suite.tasks(&lessons, 2, 1));
    let unknown = by_name("variant").err().map(|e| e.to_string());
    assert_eq!(unknown.as_deref(), Some("no suite \"variant\"; there are: variants, lessons"));
}
