//! `rampart compare`: two runs on the same prompts, and whether the second may replace the first.

use super::{
    eval::{papers, side_by_side},
    exit, terminal,
};
use ::eval::{
    Task,
    compare::{self, Comparison},
    gates::{Gates, Verdict},
    report::{self, Document},
    run::Run,
};
use anyhow::{Context, Result, ensure};
use lexicon::{FORMAT, Prompt, Report, Stage, atomic, jsonl};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Prompts shown side by side.
const SHOWN: usize = 10;

/// Compares two runs on the same prompts; exits 1 where a gate of --gates fails.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart compare out/base out/lpo
  rampart compare out/base out/lpo --gates gates.toml --output-format markdown
  rampart compare out/base out/lpo --out out/compared       (compare.json, compare.md, report.json, report.html)

Gates, in TOML; without --gates the design's goals are shown and fail nothing:
  format = 1
  [[gate]]
  metric = \"high-critical\"       # or ins, ins-bandit, secure-pass-1, pass-1, valid; all suites unless `suite` names one
  reduction-at-least = 50.0      # or kept-at-least (percent of base), change-at-least, change-at-most (points)
  bound = \"interval\"             # the whole 95 % interval must hold it; the estimate alone by default")]
pub(crate) struct Args {
    /// Folder of the run to compare with, made by `rampart eval --out`.
    base: PathBuf,
    /// Folder of the run that is to be better.
    tuned: PathBuf,
    /// Conditions that must hold.
    #[arg(long)]
    gates: Option<PathBuf>,
    /// Folder for compare.json, compare.md, report.json and report.html.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Seed of the intervals.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Form of the answer on stdout.
    #[arg(long, default_value = "full", value_parser = ["full", "json", "markdown"])]
    output_format: String,
}

/// `compare.json`.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(rename = "comparison")]
    comparison: &'a Comparison,
    gates: &'a [Verdict],
    passed: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let gates = match &args.gates {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Gates::parse(&text).with_context(|| path.display().to_string())?
        }
        None => Gates::goals(),
    };
    let (mut base, mut tuned) = (open(&args.base)?, open(&args.tuned)?);
    if base.record.name == tuned.record.name {
        // Two runs of one name would be one column.
        base.record.name = args.base.display().to_string();
        tuned.record.name = args.tuned.display().to_string();
        ensure!(base.record.name != tuned.record.name, "{} is compared with itself", args.base.display());
    }
    let comparison = compare::compare(&base, &tuned, args.seed)?;
    let verdicts = gates.check(&comparison);
    if args.gates.is_some() {
        let unmeasured = verdicts.iter().find(|v| v.holds.is_none());
        ensure!(
            unmeasured.is_none(),
            "gate {:?} cannot be checked: {}",
            unmeasured.map_or("", |v| &v.gate),
            "both runs must measure it"
        );
    }
    let failed = args.gates.is_some() && verdicts.iter().any(|v| v.holds == Some(false));
    let answer = Answer { comparison: &comparison, gates: &verdicts, passed: !failed };
    let mut json = serde_json::to_string_pretty(&answer)?;
    let markdown = report::markdown(&comparison, &verdicts);
    if let Some(out) = &args.out {
        json.push('\n');
        atomic::write(&out.join("compare.json"), json.as_bytes())?;
        atomic::write(&out.join("compare.md"), markdown.as_bytes())?;
        report::write(out, &document(&base, &tuned, &comparison, &verdicts, &args.base)?)?;
    }
    match args.output_format.as_str() {
        "json" => terminal::answer(json.trim_end())?,
        "markdown" => terminal::answer(markdown.trim_end())?,
        _ => {
            terminal::answer(report::changes(&comparison, &verdicts).trim_end())?;
            if let Some(out) = &args.out {
                terminal::answer(out.join("report.html").display())?;
            }
        }
    }
    Ok(if failed { exit::FINDINGS } else { exit::CLEAN })
}

fn open(folder: &Path) -> Result<Run> {
    let run = Run::read(folder)?;
    ensure!(
        run.record.complete,
        "{}: this run was not finished; give its `rampart eval` command again to go on",
        folder.display()
    );
    Ok(run)
}

fn document(base: &Run, tuned: &Run, comparison: &Comparison, gates: &[Verdict], folder: &Path) -> Result<Document> {
    let stage =
        |run: &Run| -> Result<Stage> { Ok(Stage { name: run.record.name.clone(), suites: run.score(papers)? }) };
    // Requests are not in a run's tasks; its prompts hold them as they were asked.
    let prompts: Vec<Prompt> = jsonl::read(&folder.join(::eval::run::file::PROMPTS))?;
    let asked: BTreeMap<&str, &str> = prompts.iter().map(|p| (p.id.as_str(), p.prompt.as_str())).collect();
    let rows: BTreeMap<&str, Task> = base.rows.iter().map(|r| (r.id.as_str(), r.task())).collect();
    let worse = comparison.suites.iter().flat_map(|s| s.regressed.iter().take(SHOWN / 2));
    let better = comparison.suites.iter().flat_map(|s| s.improved.iter().take(SHOWN / 2));
    let comparisons = worse
        .chain(better)
        .filter_map(|moved| {
            let mut task = rows.get(moved.id.as_str())?.clone();
            task.instruction = (*asked.get(moved.id.as_str())?).to_owned();
            Some(side_by_side(&[base, tuned], &task))
        })
        .collect();
    let mut notes: Vec<String> = gates
        .iter()
        .map(|g| {
            let state = match g.holds {
                Some(true) => "holds",
                Some(false) => "fails",
                None => "is not measured",
            };
            format!("Gate: {} \u{2014} {state}, found {}.", g.gate, g.found)
        })
        .collect();
    notes.extend(comparison.notes.iter().cloned());
    let stages = vec![stage(base)?, stage(tuned)?];
    Ok(Document {
        title: format!("Rampart: {} against {}", tuned.record.name, base.record.name),
        facts: vec![
            ("Base".into(), base.record.writer.clone()),
            ("Tuned".into(), tuned.record.writer.clone()),
            ("Judge".into(), tuned.record.analyzers.join(", ")),
        ],
        curves: Vec::new(),
        comparisons,
        masks: Vec::new(),
        notes,
        report: Report {
            format: FORMAT,
            seed: tuned.record.seed,
            seconds: base.record.seconds + tuned.record.seconds,
            stages,
        },
    })
}
