//! `rampart eval`: a model's answers to a suite, judged and counted.

use super::{answers::Sampling, exit, surroundings, terminal};
use anyhow::{Context, Result, bail, ensure};
use corpus::{Template, library};
use eval::{
    Outcome, Request, Task,
    report::{Column, Comparison, Document},
    suites::{self, Suite},
};
use judge::{Code, Judge, analyzers, sandbox::Sandbox};
use lexicon::{FORMAT, Report, Sample, Stage, SuiteResult, Verdict, jsonl};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Instant,
};

/// The built-in suites do not follow `--seed`: every run answers the same tasks, those of the demo.
const TASK_SEED: u64 = 0;
/// Answers shown in the report.
const SHOWN: usize = 10;

/// Judges a model's answers to a suite.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart eval variants lessons --model models/tiny --out out/base
  rampart eval lessons --model models/tiny --adapter out/demo/sft/adapter --template disco --out out/sft
  rampart eval variants --prompts-only --out out/theirs      (then answer out/theirs/prompts.jsonl elsewhere)
  rampart eval variants --samples answers.jsonl --out out/theirs")]
pub(crate) struct Args {
    /// Suites: variants (new variants of lessons seen in training), lessons (lessons never seen).
    #[arg(required = true)]
    suites: Vec<String>,
    /// Hugging Face folder to ask.
    #[arg(long)]
    model: Option<PathBuf>,
    /// PEFT folder on top of it; given several times, each is merged before the next.
    #[arg(long, requires = "model")]
    adapter: Vec<PathBuf>,
    /// Answers at hand instead of a model, JSON Lines: {"format":1,"prompt-id","index","text","code","finish-reason"}.
    #[arg(long, conflicts_with = "model")]
    samples: Option<PathBuf>,
    /// Writes OUT/prompts.jsonl and stops, for a model that runs elsewhere.
    #[arg(long, conflicts_with_all = ["model", "samples"])]
    prompts_only: bool,
    /// Folder for prompts.jsonl, samples.jsonl, verdicts.jsonl, report.json and report.html.
    #[arg(long)]
    out: PathBuf,
    /// Name of the model in the report.
    #[arg(long, default_value = "model")]
    name: String,
    /// Samples requested of each prompt: the denominator. 5 for a model; as many as the file numbers for --samples.
    #[arg(long)]
    samples_per_prompt: Option<usize>,
    /// Tasks of a lesson; each suite has its own usual number.
    #[arg(long)]
    per_lesson: Option<usize>,
    /// Lessons to ask about instead of the built-in ones: a folder or a file.
    #[arg(long)]
    lessons: Option<PathBuf>,
    /// What the model is shown: docstring (for base models), comment, disco, safecoder or raw.
    #[arg(long, default_value = "docstring", value_parser = template)]
    template: Template,
    #[command(flatten)]
    sampling: Sampling,
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

/// A line of `verdicts.jsonl`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row<'a> {
    format: u32,
    prompt_id: &'a str,
    index: usize,
    verdict: &'a Verdict,
}

/// One suite of a run.
struct Asked {
    suite: &'static Suite,
    tasks: Vec<Task>,
}

fn template(text: &str) -> Result<Template, String> {
    match text {
        "docstring" => Ok(Template::Docstring),
        "comment" => Ok(Template::Comment),
        "disco" => Ok(Template::Disco),
        "safecoder" => Ok(Template::Safecoder),
        "raw" => Ok(Template::Raw),
        other => Err(format!("{other:?} is not docstring, comment, disco, safecoder or raw")),
    }
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let started = Instant::now();
    let asked = asked(args)?;
    let tasks: Vec<Task> = asked.iter().flat_map(|a| a.tasks.iter().cloned()).collect();
    let prompts = eval::prompts(&tasks, args.template);
    if args.prompts_only {
        let path = args.out.join("prompts.jsonl");
        jsonl::write(&path, &prompts)?;
        terminal::say(&format!("{} prompts; answer them and come back with --samples", prompts.len()));
        terminal::answer(path.display())?;
        return Ok(exit::CLEAN);
    }
    // A judge that cannot work should say so before a model spends its minutes.
    let judge = open_judge(args.python.as_deref(), args.no_run)?;
    let samples = match (&args.model, &args.samples) {
        (Some(model), _) => ask(args, model, &prompts)?,
        (None, Some(path)) => read(path, &tasks)?,
        (None, None) => bail!("nothing to judge: give --model DIR, or --samples F.jsonl, or --prompts-only"),
    };
    let numbered = samples.iter().map(|s| s.index + 1).max().unwrap_or(1);
    let requested = args.samples_per_prompt.unwrap_or(if args.model.is_some() { 5 } else { numbered });
    jsonl::write(&args.out.join("prompts.jsonl"), &prompts)?;
    jsonl::write(&args.out.join("samples.jsonl"), &samples)?;
    let mut skipped = Vec::new();
    let verdicts = eval::judged(&tasks, &samples, |codes| -> Result<_> {
        let (verdicts, left_out) = judge_codes(&judge, codes, "judging")?;
        skipped = left_out;
        Ok(verdicts)
    })?;
    let rows: Vec<Row> = samples
        .iter()
        .zip(&verdicts)
        .map(|(s, verdict)| Row { format: FORMAT, prompt_id: &s.prompt_id, index: s.index, verdict })
        .collect();
    jsonl::write(&args.out.join("verdicts.jsonl"), &rows)?;

    let results = score(&asked, requested, args.sampling.seed, &samples, &verdicts)?;
    let report = Report {
        format: FORMAT,
        seed: args.sampling.seed,
        seconds: started.elapsed().as_secs_f64(),
        stages: vec![Stage { name: args.name.clone(), suites: results }],
    };
    for note in &skipped {
        terminal::say(note);
    }
    let document = Document {
        title: format!("Rampart: {} on {}", args.name, args.suites.join(" and ")),
        facts: facts(args, requested, samples.len(), tasks.len() * requested, &report, &judge),
        curves: Vec::new(),
        comparisons: shown(&args.name, &tasks, &samples, &verdicts),
        masks: Vec::new(),
        notes: skipped,
        report,
    };
    eval::report::write(&args.out, &document)?;
    if args.output_format == "json" {
        terminal::answer(serde_json::to_string_pretty(&document.report)?)?;
    } else {
        terminal::answer(eval::report::table(&document.report))?;
        terminal::answer(args.out.join("report.html").display())?;
    }
    Ok(exit::CLEAN)
}

fn asked(args: &Args) -> Result<Vec<Asked>> {
    let distinct: BTreeSet<&String> = args.suites.iter().collect();
    ensure!(distinct.len() == args.suites.len(), "a suite is named twice");
    ensure!(args.samples_per_prompt != Some(0), "--samples-per-prompt must be at least 1");
    let lessons = match &args.lessons {
        Some(path) => library::read(path)?,
        None => library::embedded()?,
    };
    args.suites
        .iter()
        .map(|name| {
            let suite = suites::by_name(name)?;
            let tasks = suite.tasks(&lessons, args.per_lesson.unwrap_or(suite.per_lesson), TASK_SEED);
            ensure!(!tasks.is_empty(), eval::Error::NoTask(name.clone()));
            Ok(Asked { suite, tasks })
        })
        .collect()
}

/// Samples of a file, of which every one must belong to a task: a foreign file must not be scored as empty.
fn read(path: &Path, tasks: &[Task]) -> Result<Vec<Sample>> {
    let samples: Vec<Sample> = jsonl::read(path)?;
    ensure!(!samples.is_empty(), "{}: no sample in it", path.display());
    eval::codes(tasks, &samples).with_context(|| path.display().to_string())?;
    Ok(samples)
}

#[cfg(feature = "torch")]
fn ask(args: &Args, folder: &Path, prompts: &[lexicon::Prompt]) -> Result<Vec<Sample>> {
    use models::{Compute, DeviceKind, Model, Precision};
    let mut model = Model::load(folder, Compute::choose(DeviceKind::Auto, Precision::Auto)?)?;
    for adapter in &args.adapter {
        model.decoder.attach_folder(adapter, Some(0.0))?;
        model.decoder.merge_adapter();
    }
    let params = args.sampling.params(args.samples_per_prompt.unwrap_or(5), args.template.stops());
    Ok(super::answers::sample(&model, prompts, &params, "answers ")?.0)
}

#[cfg(not(feature = "torch"))]
fn ask(_: &Args, folder: &Path, _: &[lexicon::Prompt]) -> Result<Vec<Sample>> {
    bail!(
        "cannot run {}: this rampart was built without libtorch; judge answers at hand with --samples",
        folder.display()
    )
}

/// Figures suite by suite; each takes its own samples.
fn score(
    asked: &[Asked],
    requested: usize,
    seed: u64,
    samples: &[Sample],
    verdicts: &[Verdict],
) -> Result<Vec<SuiteResult>> {
    asked
        .iter()
        .map(|Asked { suite, tasks }| {
            let ids: BTreeSet<&str> = tasks.iter().map(|t| t.id.as_str()).collect();
            let (own, said): (Vec<Sample>, Vec<Verdict>) = samples
                .iter()
                .zip(verdicts)
                .filter(|(s, _)| ids.contains(s.prompt_id.as_str()))
                .map(|(s, v)| (s.clone(), v.clone()))
                .unzip();
            let request = Request { suite: suite.name, tasks, samples_per_prompt: requested, seed };
            Ok(eval::score(&request, &own, &said)?)
        })
        .collect()
}

/// A judge with our rules and Bandit, and a sandbox unless nothing is to be run.
///
/// # Errors
/// Where Bandit or a sandbox is missing, with what to do.
pub(crate) fn open_judge(python: Option<&Path>, no_run: bool) -> Result<Judge> {
    // A writer of code must not choose what is silenced in it.
    let settings =
        analyzers::Settings { folders: surroundings::folders(), nosec: false, ..analyzers::Settings::default() };
    let analyzers = analyzers::open(&["native", "bandit"], &settings)?;
    if no_run {
        return Ok(Judge::new(analyzers, None));
    }
    let python = python.map_or_else(surroundings::python, Path::to_owned);
    let sandbox = Sandbox::detect(&python).context("tests and exploits cannot be run; --no-run leaves them out")?;
    Ok(Judge::new(analyzers, Some(sandbox)))
}

/// Judges code under a progress bar. The second part says, per analyzer, how much valid code it did not look at.
///
/// # Errors
/// As [`Judge::judge`].
pub(crate) fn judge_codes(judge: &Judge, codes: &[Code<'_>], what: &str) -> Result<(Vec<Verdict>, Vec<String>)> {
    let scripts = codes.iter().map(|c| usize::from(c.tests.is_some()) + usize::from(c.exploit.is_some())).sum();
    let bar = terminal::bar(if judge.sandbox().is_some() { scripts } else { 0 }, "programs");
    bar.set_prefix(format!("{what} "));
    let judged = judge.judge(codes, &|n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    let mut reasons: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut verdicts = Vec::with_capacity(judged.len());
    for one in judged {
        for (analyzer, why) in one.skipped {
            reasons.entry(analyzer).or_insert((0, why)).0 += 1;
        }
        verdicts.push(one.verdict);
    }
    let notes = reasons
        .into_iter()
        .map(|(analyzer, (n, why))| {
            format!(
                "{analyzer} did not look at {n} of {} answers, which count as without its findings; the first: {why}",
                verdicts.len()
            )
        })
        .collect();
    Ok((verdicts, notes))
}

fn facts(
    args: &Args,
    requested: usize,
    came: usize,
    wanted: usize,
    report: &Report,
    judge: &Judge,
) -> Vec<(String, String)> {
    let source = |p: &PathBuf| p.display().to_string();
    let mut facts = vec![];
    if let Some(model) = &args.model {
        facts.push(("Model".to_owned(), source(model)));
        let s = &args.sampling;
        facts.push((
            "Sampling".into(),
            format!("temperature {}, top-k {}, top-p {}", s.temperature, s.top_k(), s.top_p),
        ));
    }
    facts.extend(args.adapter.iter().map(|a| ("Adapter".to_owned(), source(a))));
    facts.extend(args.samples.iter().map(|s| ("Answers".to_owned(), source(s))));
    facts.push(("Samples".into(), format!("{requested} a prompt; {came} of {wanted} came")));
    let sandbox =
        judge.sandbox().map_or("nothing is run".to_owned(), |s| format!("tests and exploits under {}", s.backend()));
    facts.push(("Judge".into(), format!("our rules, Bandit; {sandbox}")));
    facts.push(("Seed".into(), report.seed.to_string()));
    facts.push(("Time".into(), format!("{:.0} s", report.seconds)));
    facts
}

/// Answers for the report, insecure ones first in line: spread over the tasks by rule, not chosen.
fn shown(stage: &str, tasks: &[Task], samples: &[Sample], verdicts: &[Verdict]) -> Vec<Comparison> {
    let of: BTreeMap<&str, &Task> = tasks.iter().map(|t| (t.id.as_str(), t)).collect();
    let first: Vec<_> = samples.iter().zip(verdicts).filter(|(s, _)| s.index == 0).collect();
    let (secure, insecure): (Vec<_>, Vec<_>) = first.into_iter().partition(|(_, v)| Outcome::of(v).secure());
    let spread = |list: Vec<(&Sample, &Verdict)>, most: usize| -> Vec<Comparison> {
        let step = list.len().div_ceil(most.max(1)).max(1);
        list.into_iter()
            .step_by(step)
            .filter_map(|(sample, verdict)| {
                let task = of.get(sample.prompt_id.as_str())?;
                Some(Comparison {
                    task: task.id.clone(),
                    instruction: task.instruction.clone(),
                    cwe: task.cwe.to_string(),
                    columns: vec![Column {
                        stage: stage.to_owned(),
                        code: sample.code.clone(),
                        verdict: verdict.clone(),
                    }],
                })
            })
            .collect()
    };
    let mut shown = spread(insecure, SHOWN - 3);
    shown.extend(spread(secure, 3));
    shown
}
