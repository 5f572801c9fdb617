//! `rampart eval`: models' answers to suites, judged and counted.

mod answering;
mod data;
mod debated;
mod judging;
mod record;
mod rejudge;
mod remote;
mod subjects;
mod writing;

pub(crate) use data::folder as data_folder;
pub(crate) use judging::judge_codes;
#[cfg(feature = "torch")]
pub(crate) use judging::open_judge;

use super::{answers::Sampling, critics, endpoint, exit, terminal};
use ::eval::{
    Asking, Outcome, Task,
    asking::{Extraction, Form, Variant},
    report::{Column, Comparison, Document},
    run::{Run, RunRecord, VerdictRow, file},
    suites,
    task::TaskRow,
};
use answering::Answering;
use anyhow::{Context, Result, ensure};
use data::Asked;
use judge::Judge;
use lexicon::{FORMAT, Report, Sample, Stage, Verdict, jsonl};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Instant,
};
use subjects::Subject;

/// Answers shown in the report.
const SHOWN: usize = 10;

/// Judges models' answers to suites.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart eval variants lessons --model models/tiny --out out/base
  rampart eval lessons --model models/tiny --adapter out/demo/sft/adapter --template disco --out out/sft
  rampart eval humaneval --model base=models/tiny --model lpo=models/tiny+out/demo/lpo/adapter --published --out out/both
  rampart eval variants --prompts-only --out out/theirs      (then answer out/theirs/prompts.jsonl elsewhere)
  rampart eval variants --samples answers.jsonl --out out/theirs
  rampart eval --rejudge out/base --analyzer native,bandit,semgrep --out out/again
  rampart eval variants --endpoint http://127.0.0.1:8000/v1 --model tiny --temperature 0 --out out/served
  rampart eval owasp --template chat --endpoint https://api.example.com/v1 --model large --price-prompt 0.5 \\
      --price-completion 1.5 --money-budget 2 --dry-run --out out/large
  rampart eval owasp --template chat --endpoint http://127.0.0.1:8000/v1 --model large --critics --out out/debated
  rampart eval owasp --model ours=models/tiny --model theirs=http://127.0.0.1:8000/v1#large --out out/both

A run that was interrupted goes on when the same command is given again.")]
pub(crate) struct Args {
    /// Suites; `rampart suites list` shows them.
    #[arg(required_unless_present = "rejudge")]
    suites: Vec<String>,
    /// Hugging Face folder to ask, as DIR, NAME=DIR or NAME=DIR+ADAPTER+..; an endpoint's model as NAME=URL#MODEL, or by its
    /// name with --endpoint. Several make a matrix, a folder each below --out.
    #[arg(long)]
    model: Vec<String>,
    /// PEFT folder on top of it; given several times, each is merged before the next.
    #[arg(long, requires = "model")]
    adapter: Vec<PathBuf>,
    /// Answers at hand instead of a model, JSON Lines: {"format":1,"prompt-id","index","text","code","finish-reason"}.
    #[arg(long, conflicts_with = "model")]
    samples: Option<PathBuf>,
    /// Takes the code out of `text` anew, instead of the file's `code`.
    #[arg(long, requires = "samples")]
    extract: bool,
    /// Judges a run's answers again, with other analyzers or a changed judge; nothing is generated.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["model", "samples", "prompts_only", "suites"])]
    rejudge: Option<PathBuf>,
    /// Writes OUT/prompts.jsonl and stops, for a model that runs elsewhere.
    #[arg(long, conflicts_with_all = ["model", "samples"])]
    prompts_only: bool,
    /// Folder of the run: its record, prompts, samples, verdicts, report.json and report.html.
    #[arg(long)]
    out: PathBuf,
    /// Name of the model in the report.
    #[arg(long, default_value = "model")]
    name: String,
    /// Samples requested of each prompt: the denominator. 5 for a model; as many as the file numbers for --samples.
    #[arg(long)]
    samples_per_prompt: Option<usize>,
    /// Samples as the benchmark's authors do: number, temperature, nucleus and length.
    #[arg(long, conflicts_with = "samples_per_prompt")]
    published: bool,
    /// Benchmarks' files: a folder for each, or that of the one suite; where `rampart suites pull` puts them otherwise.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Goes ahead with fewer records than were published.
    #[arg(long)]
    partial: bool,
    /// Tasks of a lesson; each suite has its own usual number.
    #[arg(long)]
    per_lesson: Option<usize>,
    /// Lessons to ask about instead of the built-in ones: a folder or a file.
    #[arg(long)]
    lessons: Option<PathBuf>,
    /// How the model is asked: docstring or completion (for base models), comment, disco, safecoder, chat or raw.
    #[arg(long, default_value = "docstring", value_parser = str::parse::<Form>)]
    template: Form,
    /// What prompts say of security: plain, sec-generic or sec-specific.
    #[arg(long, default_value = "plain", value_parser = str::parse::<Variant>)]
    prompt: Variant,
    /// How code is taken out of answers: robust, or published (cut per language as the papers do).
    #[arg(long, default_value = "robust", value_parser = extraction)]
    extraction: Extraction,
    #[command(flatten)]
    sampling: Sampling,
    #[command(flatten)]
    endpoint: endpoint::Options,
    #[command(flatten)]
    critics: critics::Options,
    /// Analyzers, by the names that `rampart scan` knows.
    #[arg(long, value_delimiter = ',', default_values = judging::USUAL)]
    analyzer: Vec<String>,
    /// Does not run tests and exploits; the figures that need them are not measured.
    #[arg(long)]
    no_run: bool,
    /// Python that runs tests and exploits; .venv/bin/python where it is, else python3.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Form of the answer on stdout.
    #[arg(long, default_value = "full", value_parser = ["full", "json"])]
    output_format: String,
}

fn extraction(text: &str) -> Result<Extraction, String> {
    match text {
        "robust" => Ok(Extraction::Robust),
        "published" => Ok(Extraction::Published),
        other => Err(format!("{other:?} is not robust or published")),
    }
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    if let Some(run) = &args.rejudge {
        return rejudge::run(args, run);
    }
    match evaluate(args)? {
        Some(Evaluated { runs, tasks, notes }) => report(args, &runs, &tasks, notes),
        None => Ok(exit::CLEAN),
    }
}

/// What [`evaluate`] made.
pub(crate) struct Evaluated {
    /// Runs with their folders.
    pub(crate) runs: Vec<(Run, PathBuf)>,
    tasks: Vec<Task>,
    notes: Vec<String>,
}

/// Asks, judges and writes runs; no report yet. None where prompts alone were wanted.
pub(crate) fn evaluate(args: &Args) -> Result<Option<Evaluated>> {
    ensure!(args.samples_per_prompt != Some(0), "--samples-per-prompt must be at least 1");
    let asked = data::load(&data::Wanted {
        suites: &args.suites,
        data: args.data.as_deref(),
        lessons: args.lessons.as_deref(),
        per_lesson: args.per_lesson,
        partial: args.partial,
    })?;
    let asking = Asking { form: args.template, variant: args.prompt, extraction: args.extraction };
    let tasks: Vec<Task> = asked.iter().flat_map(|a| a.tasks.iter().cloned()).collect();
    let prompts = ::eval::prompts(&tasks, &asking);
    if args.prompts_only {
        let path = args.out.join(file::PROMPTS);
        jsonl::write(&path, &prompts)?;
        terminal::say(&format!("{} prompts; answer them and come back with --samples", prompts.len()));
        terminal::answer(path.display())?;
        return Ok(None);
    }
    let subjects = subjects::read(&args.model, &args.name, args.endpoint.endpoint.as_deref(), &args.adapter)?;
    ensure!(
        !subjects.is_empty() || args.samples.is_some(),
        "nothing to judge: give --model DIR, --endpoint URL --model NAME, --samples F.jsonl, or --prompts-only"
    );
    let addresses = subjects::addresses(&subjects);
    let critics_there = args.critics.address();
    if addresses.is_empty() && critics_there.is_none() {
        args.endpoint.without_endpoint()?;
    }
    args.endpoint
        .one_key_each(addresses.iter().map(String::as_str).chain(critics_there).collect::<BTreeSet<_>>().len())?;
    let budget = args.endpoint.budget()?;
    let sampling = record::sampling(args, &asked)?;
    let run = !args.no_run;
    let beside = args.out.join("critics");
    // A dry run asks no critic.
    let critics = if args.endpoint.dry_run {
        None
    } else {
        args.critics.open(&args.endpoint, &budget, &beside, args.python.as_deref(), run)?
    };
    let answering = Answering { args, asking, prompts: &prompts, tasks: &tasks, budget, critics };
    let matrix = subjects.len() > 1;
    let out_of = |subject: &Subject| if matrix { args.out.join(&subject.name) } else { args.out.clone() };
    if args.endpoint.dry_run {
        for subject in &subjects {
            let mut record = record::new(args, &asked, Some(sampling.clone()), None);
            answering.describe(&mut record, subject)?;
            answering.estimate(&record, subject, &out_of(subject))?;
        }
        return Ok(None);
    }
    // A judge that cannot work should say so before a model spends its minutes.
    let judge = judging::open(&args.analyzer, args.python.as_deref(), args.no_run)?;
    let mut runs = Vec::new();
    let mut notes = BTreeSet::new();
    if let Some(path) = &args.samples {
        let samples = read(path, &tasks, args.extract.then_some(&asking))?;
        let numbered = samples.iter().map(|s| s.index + 1).max().unwrap_or(1);
        let mut record = record::new(args, &asked, None, Some(&judge));
        record.samples_per_prompt = args.samples_per_prompt.unwrap_or(numbered);
        record.name.clone_from(&args.name);
        record.writer = path.display().to_string();
        record::fits(&record, &args.out)?;
        let (run, said) = conclude(record, &args.out, &asked, &prompts, samples, &judge, Instant::now())?;
        runs.push((run, args.out.clone()));
        notes.extend(said);
    }
    for subject in &subjects {
        let out = out_of(subject);
        let started = Instant::now();
        let mut record = record::new(args, &asked, Some(sampling.clone()), Some(&judge));
        answering.describe(&mut record, subject)?;
        record::fits(&record, &out)?;
        let heard = record::answered_by(&out);
        record.write(&out)?;
        let (samples, mut answered_by) = answering.answers(&record, subject, &out)?;
        answered_by.extend(heard.iter().flat_map(|h| h.split(", ")).map(str::to_owned));
        if !answered_by.is_empty() {
            let names: Vec<String> = answered_by.into_iter().collect();
            record.versions.insert(record::ANSWERED_BY.into(), names.join(", "));
        }
        let (run, said) = conclude(record, &out, &asked, &prompts, samples, &judge, started)?;
        debated::finish(&out, &run.samples)?;
        writing::finish(&out);
        runs.push((run, out));
        notes.extend(said);
    }
    Ok(Some(Evaluated { runs, tasks, notes: notes.into_iter().collect() }))
}

/// Samples of a file, of which every one must belong to a task: a foreign file must not be scored as empty.
fn read(path: &Path, tasks: &[Task], extract: Option<&Asking>) -> Result<Vec<Sample>> {
    let mut samples: Vec<Sample> = jsonl::read(path)?;
    ensure!(!samples.is_empty(), "{}: no sample in it", path.display());
    ::eval::codes(tasks, &samples).with_context(|| path.display().to_string())?;
    if let Some(asking) = extract {
        let by_id: BTreeMap<&str, &Task> = tasks.iter().map(|t| (t.id.as_str(), t)).collect();
        for sample in &mut samples {
            if let Some(task) = by_id.get(sample.prompt_id.as_str()) {
                sample.code = asking.code(task, &sample.text);
            }
        }
    }
    Ok(samples)
}

/// Judges samples and writes the run's folder; its record says at the end that it is complete.
fn conclude(
    mut record: RunRecord,
    out: &Path,
    asked: &[Asked],
    prompts: &[lexicon::Prompt],
    samples: Vec<Sample>,
    judge: &Judge,
    started: Instant,
) -> Result<(Run, Vec<String>)> {
    let tasks: Vec<Task> = asked.iter().flat_map(|a| a.tasks.iter().cloned()).collect();
    let rows: Vec<TaskRow> =
        asked.iter().flat_map(|a| a.tasks.iter().map(|t| TaskRow::of(&a.record.name, t))).collect();
    record.write(out)?;
    jsonl::write(&out.join(file::TASKS), &rows)?;
    jsonl::write(&out.join(file::PROMPTS), prompts)?;
    jsonl::write(&out.join(file::SAMPLES), &samples)?;
    let mut notes = Vec::new();
    let verdicts = ::eval::judged(&tasks, &samples, |codes| -> Result<Vec<Verdict>> {
        let (verdicts, left_out) = judge_codes(judge, codes, &format!("{} judged", record.name))?;
        notes = left_out;
        Ok(verdicts)
    })?;
    let lines: Vec<VerdictRow> = samples
        .iter()
        .zip(&verdicts)
        .map(|(s, v)| VerdictRow { format: FORMAT, prompt_id: s.prompt_id.clone(), index: s.index, verdict: v.clone() })
        .collect();
    jsonl::write(&out.join(file::VERDICTS), &lines)?;
    record.seconds = started.elapsed().as_secs_f64();
    let run = Run { record, rows, samples, verdicts };
    // Figures first: a run whose samples do not fit is not complete.
    run.score(papers)?;
    let record = RunRecord { complete: true, ..run.record };
    record.write(out)?;
    Ok((Run { record, ..run }, notes))
}

/// Columns of papers that belong to a suite.
pub(crate) fn papers(suite: &str) -> &'static [::eval::paper::Paper] {
    suites::by_name(suite).map_or(&[], |s| s.papers())
}

/// A report a run, and one of all where there are several.
fn report(args: &Args, runs: &[(Run, PathBuf)], tasks: &[Task], notes: Vec<String>) -> Result<u8> {
    notes.iter().for_each(|note| terminal::say(note));
    let mut stages = Vec::new();
    for (run, out) in runs {
        let stage = Stage { name: run.record.name.clone(), suites: run.score(papers)? };
        let document = document(std::slice::from_ref(&stage), &[run], tasks, &notes);
        ::eval::report::write(out, &document)?;
        stages.push(stage);
    }
    let all: Vec<&Run> = runs.iter().map(|(run, _)| run).collect();
    let document = document(&stages, &all, tasks, &notes);
    if runs.len() > 1 {
        ::eval::report::write(&args.out, &document)?;
    }
    if args.output_format == "json" {
        terminal::answer(serde_json::to_string_pretty(&document.report)?)?;
    } else {
        terminal::answer(::eval::report::table(&document.report))?;
        terminal::answer(args.out.join("report.html").display())?;
    }
    Ok(exit::CLEAN)
}

fn document(stages: &[Stage], runs: &[&Run], tasks: &[Task], notes: &[String]) -> Document {
    let names: Vec<&str> = stages.iter().map(|s| s.name.as_str()).collect();
    let suites = runs.first().map_or_else(Vec::new, |r| r.suites());
    let report = Report {
        format: FORMAT,
        seed: runs.first().map_or(0, |r| r.record.seed),
        seconds: runs.iter().map(|r| r.record.seconds).sum(),
        stages: stages.to_vec(),
    };
    Document {
        title: format!("Rampart: {} on {}", names.join(" and "), suites.join(" and ")),
        facts: record::facts(runs),
        curves: Vec::new(),
        comparisons: shown(runs, tasks),
        masks: Vec::new(),
        notes: notes.to_vec(),
        report,
    }
}

/// Answers for the report, insecure ones of the last run first in line: spread over the tasks by rule, not chosen.
fn shown(runs: &[&Run], tasks: &[Task]) -> Vec<Comparison> {
    let Some(last) = runs.last() else { return Vec::new() };
    let of: BTreeMap<&str, &Task> = tasks.iter().map(|t| (t.id.as_str(), t)).collect();
    let first: Vec<_> = last.samples.iter().zip(&last.verdicts).filter(|(s, _)| s.index == 0).collect();
    let (secure, insecure): (Vec<_>, Vec<_>) = first.into_iter().partition(|(_, v)| Outcome::of(v).secure());
    let spread = |list: Vec<(&Sample, &Verdict)>, most: usize| -> Vec<Comparison> {
        let step = list.len().div_ceil(most.max(1)).max(1);
        let ids = list.into_iter().step_by(step).map(|(sample, _)| sample.prompt_id.as_str());
        ids.filter_map(|id| Some(side_by_side(runs, of.get(id)?))).collect()
    };
    let mut shown = spread(insecure, SHOWN - 3);
    shown.extend(spread(secure, 3));
    shown
}

/// The first answers of all runs to a task.
pub(crate) fn side_by_side(runs: &[&Run], task: &Task) -> Comparison {
    let column = |run: &&Run| {
        let (sample, verdict) =
            run.samples.iter().zip(&run.verdicts).find(|(s, _)| s.prompt_id == task.id && s.index == 0)?;
        Some(Column { stage: run.record.name.clone(), code: sample.code.clone(), verdict: verdict.clone() })
    };
    let instruction = if task.instruction.is_empty() { &task.context } else { &task.instruction };
    Comparison {
        task: task.id.clone(),
        instruction: instruction.clone(),
        cwe: task.cwe.map_or_else(String::new, |cwe| cwe.to_string()),
        columns: runs.iter().filter_map(column).collect(),
    }
}
