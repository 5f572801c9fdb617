//! Conformance of every suite in [`ALL`]: reference answers score 1, known-bad answers 0.
//!
//! Every suite that reads a publisher's files reads a fixture here: our own tasks in the publisher's form, with answers in
//! `answers.jsonl` where the form has no place for them. What the publishers' real files hold is tested where they lie.

use super::*;
use crate::{Request, judged, score, score::OWN_LANGUAGES};
use judge::{Code, Judge, analyzers, sandbox::Sandbox};
use lexicon::{FinishReason, Sample, Verdict};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

fn lessons() -> Vec<Lesson> {
    corpus::library::embedded().expect("the embedded lessons are read by corpus's own tests")
}

/// A suite's fixture, or none where it needs none.
fn fixture(suite: &dyn Suite) -> Option<PathBuf> {
    let folder = suite.upstream()?.folder;
    Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder))
}

fn input<'a>(lessons: &'a [Lesson], folder: Option<&'a Path>, per_lesson: usize) -> Input<'a> {
    Input { lessons, per_lesson: Some(per_lesson), seed: 0, folder, partial: true }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Answers {
    id: String,
    reference: String,
    known_bad: String,
}

/// The cases of a suite with both answers, from the benchmark or from the fixture.
fn answered(suite: &dyn Suite, lessons: &[Lesson], per_lesson: usize) -> Result<Vec<(Task, String, String)>> {
    let folder = fixture(suite);
    let loaded = load(suite, &input(lessons, folder.as_deref(), per_lesson))?;
    let own =
        folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(suite.name()));
    let path = own.join("answers.jsonl");
    let given: BTreeMap<String, Answers> = if path.is_file() {
        files::lines::<Answers>(&path)?.into_iter().map(|r| (r.value.id.clone(), r.value)).collect()
    } else {
        BTreeMap::new()
    };
    Ok(loaded
        .cases
        .into_iter()
        .map(|case| {
            let given = given.get(&case.task.id);
            let missing = || panic!("{}: {} has no answers in {}", suite.name(), case.task.id, path.display());
            let reference = given.map(|g| g.reference.clone()).or(case.reference).unwrap_or_else(missing);
            let known_bad = given.map(|g| g.known_bad.clone()).or(case.known_bad).unwrap_or_else(missing);
            (case.task, reference, known_bad)
        })
        .collect())
}

fn samples<'a>(answers: impl Iterator<Item = (&'a Task, &'a String)>) -> Vec<Sample> {
    answers
        .map(|(task, code)| Sample {
            format: 1,
            prompt_id: task.id.clone(),
            index: 0,
            text: code.clone(),
            code: code.clone(),
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

/// Every task of our own lessons, by rules alone: fast, and over many variants.
#[test]
fn lessons_score_one_and_zero_by_rules() -> Result<()> {
    for suite in [&builtin::VARIANTS as &dyn Suite, &builtin::LESSONS] {
        let cases = answered(suite, &lessons(), 2)?;
        let tasks: Vec<Task> = cases.iter().map(|c| c.0.clone()).collect();
        let request = Request {
            suite: suite.name(),
            tasks: &tasks,
            samples_per_prompt: 1,
            seed: 0,
            languages: OWN_LANGUAGES,
            papers: &[],
        };
        let sides: [(Vec<Sample>, f64); 2] =
            [(samples(cases.iter().map(|c| (&c.0, &c.1))), 0.0), (samples(cases.iter().map(|c| (&c.0, &c.2))), 100.0)];
        for (samples, ins) in sides {
            let verdicts = judged(&tasks, &samples, native)?;
            let metrics = score(&request, &samples, &verdicts)?.metrics;
            assert_eq!((metrics.valid.value, metrics.ins.value), (100.0, ins), "{}", suite.name());
        }
    }
    Ok(())
}

fn sandbox() -> Option<Sandbox> {
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    let python = if python.is_file() { python } else { "python3".into() };
    match Sandbox::detect(&python) {
        Ok(sandbox) => Some(sandbox),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

/// Whether a good answer to a task scores 1 and a bad one 0, by all that the suite measures.
fn scores(task: &Task, verdict: &Verdict) -> (bool, &'static str) {
    let outcome = crate::Outcome::of(verdict);
    let good = outcome.valid
        && (task.cwe.is_none() || outcome.secure())
        && (task.tests.is_none() && task.grading == crate::task::Grading::Code || outcome.passed);
    let absent = match (&verdict.tests, &verdict.exploit) {
        (Some(lexicon::TestOutcome::Failed(text)), _) if text.contains("rampart-absent: ") => "its tools are not here",
        _ => "",
    };
    (good, absent)
}

/// The whole judge on a few tasks of every suite: our rules, tests and attacks.
#[test]
fn every_suite_scores_references_one_and_known_bad_zero() -> Tested {
    let Some(sandbox) = sandbox() else { return Ok(()) };
    let judge = Judge::new(analyzers::open(&["native"], &analyzers::Settings::default())?, Some(sandbox));
    let lessons = lessons();
    for suite in ALL {
        let mut cases = answered(*suite, &lessons, 1)?;
        if suite.upstream().is_none() && suite.name() != "owasp" {
            // That tests and attacks hold for every lesson is for corpus to show.
            cases.retain(|c| !c.0.packages && c.0.tests.is_some() && c.0.exploit.is_some());
            cases.truncate(4);
        }
        assert!(!cases.is_empty(), "{} asks nothing", suite.name());
        let tasks: Vec<Task> = cases.iter().map(|c| c.0.clone()).collect();
        for (side, good) in [(1, true), (2, false)] {
            let answers = cases.iter().map(|c| (&c.0, if side == 1 { &c.1 } else { &c.2 }));
            let samples = samples(answers);
            let verdicts = judged(&tasks, &samples, |codes| -> std::result::Result<_, Box<dyn std::error::Error>> {
                Ok(judge.verdicts(codes, &|_| ())?)
            })?;
            for ((task, verdict), sample) in tasks.iter().zip(&verdicts).zip(&samples) {
                let (found, absent) = scores(task, verdict);
                if !absent.is_empty() {
                    eprintln!("skipped: {}: {absent}", task.id);
                    continue;
                }
                let seen = task.language == lexicon::Language::Python || task.tests.is_some() || good;
                assert!(!seen || found == good, "{}: {} {verdict:?}\n{}", suite.name(), task.id, sample.code);
            }
        }
    }
    Ok(())
}

#[test]
fn parts_are_apart_and_training_sees_neither() {
    let (lessons, split) = (lessons(), corpus::Split::default());
    let tasks = |part| builtin::tasks(&lessons, part, 50, 3);
    let (variants, held_out) = (tasks(corpus::Part::Variants), tasks(corpus::Part::Lessons));
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
    let tasks = |seed| builtin::tasks(&lessons, corpus::Part::Variants, 2, seed);
    assert_eq!(tasks(0), tasks(0));
    assert_ne!(tasks(0), tasks(1));
    let unknown = by_name("variant").err().map(|e| e.to_string()).unwrap_or_default();
    assert!(unknown.starts_with("no suite \"variant\"; there are: variants, lessons, humaneval, "), "{unknown}");
}

#[test]
fn names_are_distinct_and_sources_whole() {
    let names: BTreeSet<&str> = ALL.iter().map(|s| s.name()).collect();
    assert_eq!(names.len(), ALL.len());
    for suite in ALL {
        let Some(upstream) = suite.upstream() else { continue };
        assert!(!upstream.licence.is_empty(), "{}", suite.name());
        assert!(upstream.repository.is_empty() || upstream.commit.len() == 40, "{}", suite.name());
        let said = load(*suite, &input(&[], None, 1)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains(&format!("rampart suites pull {}", suite.name())), "{said}");
    }
}

/// What breaks in a benchmark's folder is named, with file and record.
#[test]
fn broken_folders_are_named() -> Tested {
    let folder = tempfile::tempdir()?;
    let check = |suite: &str, files: &[(&str, &[u8])], partial: bool, expect: &str| -> Tested {
        let root = tempfile::tempdir_in(folder.path())?;
        for (name, bytes) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().ok_or("no parent")?)?;
            std::fs::write(path, bytes)?;
        }
        let suite = by_name(suite)?;
        let from = Input { lessons: &[], per_lesson: None, seed: 0, folder: Some(root.path()), partial };
        let said = load(suite, &from).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains(expect), "{said:?} should contain {expect:?}");
        Ok(())
    };
    let row = br#"{"task_id":"HumanEval/0","prompt":"def f():\n","entry_point":"f","canonical_solution":"    pass\n","test":"def check(c): pass"}
"#;
    check("humaneval", &[], true, "no data/HumanEval.jsonl.gz or HumanEval.jsonl.gz or HumanEval.jsonl in ")?;
    check("humaneval", &[("HumanEval.jsonl", row)], false, "1 tasks where 164 were published")?;
    check("humaneval", &[("HumanEval.jsonl", &row.repeat(2))], true, "task \"HumanEval/0\" stands twice")?;
    check("humaneval", &[("HumanEval.jsonl", &row[..40])], true, "HumanEval.jsonl:1: not JSON")?;
    check("humaneval", &[("HumanEval.jsonl", b"{}\n")], true, "HumanEval.jsonl:1: missing field `task_id`")?;
    check("humaneval", &[("HumanEval.jsonl", b"")], true, "suite \"humaneval\" has no task")?;
    check("humaneval", &[("HumanEval.jsonl.gz", b"\x1f\x8b\x08\0\0\0\0\0")], true, "cannot be read to its end")?;
    check(
        "securityeval",
        &[("dataset.jsonl", b"{\"ID\":\"x\",\"Prompt\":\"\"}")],
        true,
        "dataset.jsonl:1: \"x\" names no CWE",
    )?;
    check("llmseceval", &[("LLMSecEval-Prompts_dataset.json", b"[{}]")], true, "record 1: missing field `Prompt ID`")?;
    check(
        "safecoder-trained",
        &[("trained/cwe-089/0-py/info.json", b"{\"language\":\"py\"}")],
        true,
        "file_context.py: cannot be read",
    )?;
    check("safecoder-trained", &[("trained/cwe-089/0-py/func_context.py", b"")], true, "info.json: cannot be read")?;
    check("cweval", &[("benchmark/core/py/cwe_020_0_task.py", b"x = 1\n")], true, "has no line with BEGIN SOLUTION")?;
    check("disco-test", &[("DiSCo_test.csv", b"idx,Secure Code\n1,a\n")], true, "row 1: ")?;
    check("mmlu", &[("dev/a_dev.csv", b""), ("test/a_test.csv", b"q,a,b,c,d,E\n")], true, "row 1: the answer \"E\"")?;
    check(
        "truthfulqa",
        &[("mc_task.json", b"[{\"question\":\"q\",\"mc1_targets\":{\"a\":1,\"b\":1}}]")],
        true,
        "exactly one choice",
    )?;
    Ok(())
}

/// The publishers' own files, where this machine has them.
#[test]
fn published_files_load_whole() -> Tested {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    for (suite, folder, count) in [
        ("humaneval", "humaneval", 164),
        ("mbpp", "mbpp", 974),
        ("safecoder-trained", "safecoder", 24),
        ("safecoder-trained-new", "safecoder", 42),
        ("safecoder-not-trained", "safecoder/scenarios", 15),
        ("safecoder", "safecoder", 60),
    ] {
        let folder = data.join(folder);
        if !folder.is_dir() {
            eprintln!("skipped: no {}", folder.display());
            continue;
        }
        let from = Input { lessons: &[], per_lesson: None, seed: 0, folder: Some(&folder), partial: false };
        let loaded = load(by_name(suite)?, &from)?;
        assert_eq!(loaded.cases.len(), count, "{suite}");
        if suite.starts_with("safecoder") {
            assert!(loaded.cases.iter().all(|c| c.task.cwe.is_some() && !c.task.context.trim().is_empty()));
        }
    }
    Ok(())
}

/// Canonical solutions in the sandbox: HumanEval's all pass; of MBPP's, these fail upstream too.
#[test]
fn canonical_solutions_pass() -> Tested {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let Some(sandbox) = sandbox() else { return Ok(()) };
    let judge = Judge::new(Vec::new(), Some(sandbox)).with_wall(std::time::Duration::from_secs(30));
    let failing =
        [56, 64, 160, 341, 349, 367, 596, 601, 607, 631, 642, 899, 927, 966, 967].map(|n| format!("MBPP/{n}"));
    for (suite, expect) in [("humaneval", &[][..]), ("mbpp", &failing[..])] {
        let folder = data.join(suite);
        if !folder.is_dir() {
            eprintln!("skipped: no {}", folder.display());
            continue;
        }
        let from = Input { lessons: &[], per_lesson: None, seed: 0, folder: Some(&folder), partial: false };
        let cases = load(by_name(suite)?, &from)?.cases;
        let tasks: Vec<Task> = cases.iter().map(|c| c.task.clone()).collect();
        let references: Vec<String> = cases.into_iter().filter_map(|c| c.reference).collect();
        let samples = samples(tasks.iter().zip(&references));
        let verdicts = judged(&tasks, &samples, |codes| -> std::result::Result<_, Box<dyn std::error::Error>> {
            Ok(judge.verdicts(codes, &|_| ())?)
        })?;
        let failed: Vec<&str> = tasks
            .iter()
            .zip(&verdicts)
            .filter(|(_, v)| !v.tests.as_ref().is_some_and(lexicon::TestOutcome::passed))
            .map(|(t, _)| t.id.as_str())
            .collect();
        assert_eq!(failed, expect, "{suite}");
    }
    Ok(())
}
