//! `rampart eval --rejudge`: a run's answers under another judge. Nothing is generated.

use super::{Args, conclude, data, judging, report};
use ::eval::{
    Task,
    run::{RunRecord, file},
};
use anyhow::{Result, ensure};
use lexicon::{Prompt, Sample, jsonl};
use std::{path::Path, time::Instant};

pub(super) fn run(args: &Args, folder: &Path) -> Result<u8> {
    let record = RunRecord::read(folder)?;
    let names: Vec<String> = record.suites.iter().map(|s| s.name.clone()).collect();
    let one = |of: &dyn Fn(&::eval::run::SuiteRecord) -> bool| {
        record.suites.iter().filter(|s| of(s)).find_map(|s| s.data.clone())
    };
    let upstream = |name: &str| ::eval::suites::by_name(name).is_ok_and(|s| s.upstream().is_some());
    // Where the files were then, unless the user says where they are now.
    let mut asked = Vec::new();
    for suite in &record.suites {
        let then = suite.data.as_deref().map(Path::new);
        let lessons = one(&|s| s.name == suite.name && !upstream(&s.name));
        asked.extend(data::load(&data::Wanted {
            suites: std::slice::from_ref(&suite.name),
            data: args.data.as_deref().or(then.filter(|_| upstream(&suite.name))),
            lessons: args.lessons.as_deref().or(lessons.as_deref().map(Path::new)),
            per_lesson: record.per_lesson,
            partial: record.partial,
        })?);
    }
    for (then, now) in record.suites.iter().zip(&asked) {
        ensure!(
            then.digest == now.record.digest,
            "suite {} is not what {} was asked: its files, or the lessons of this program, have changed",
            then.name,
            folder.display()
        );
    }
    let tasks: Vec<Task> = asked.iter().flat_map(|a| a.tasks.iter().cloned()).collect();
    let samples: Vec<Sample> = jsonl::read(&folder.join(file::SAMPLES))?;
    let prompts: Vec<Prompt> = jsonl::read(&folder.join(file::PROMPTS))?;
    let judge = judging::open(&args.analyzer, args.python.as_deref(), args.no_run)?;
    let again = RunRecord {
        analyzers: args.analyzer.clone(),
        languages: judge.languages(),
        versions: judging::versions(&args.analyzer, &judge),
        complete: false,
        ..record
    };
    super::terminal::say(&format!("{} answers to {} judged again, none generated", samples.len(), names.join(", ")));
    let (run, notes) = conclude(again, &args.out, &asked, &prompts, samples, &judge, Instant::now())?;
    report(args, &[(run, args.out.clone())], &tasks, notes)
}
