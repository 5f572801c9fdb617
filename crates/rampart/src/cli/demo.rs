//! `rampart demo`: the whole job on the embedded model.
//!
//! 1. The base model answers the built-in suite: code under a docstring, as it was trained to continue.
//! 2. Supervised fine-tuning on secure answers with security reasoning (SFT).
//! 3. Localized preference optimization on pairs (LPO), on top of SFT.
//! 4. Each stage answers the same tasks; one judge marks them all; a table and `report.html` show what changed.
//!
//! Every step leaves the files that `rampart train` and `rampart eval` read, so each can be repeated by hand.

mod figures;
mod stage;

use super::{eval::open_judge, exit, stop, terminal, train::Screen};
use anyhow::{Context, Result, bail};
use corpus::{Part, Split, Template, library};
use eval::report::Document;
use lexicon::{Language, Pair, Report, Stage, atomic, jsonl};
use models::{Compute, DeviceKind, Model, Precision};
use stage::{Evaluation, Suites};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};
use train::{Config, Outcome};

/// Aligns the embedded model from end to end and shows the effect.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart demo
  rampart demo --quick --out /tmp/demo
  rampart train out/demo/lpo.toml --set optim.learning-rate=1e-4 --set output=my-lpo")]
pub(crate) struct Args {
    /// Folder of everything the demo writes.
    #[arg(long, default_value = "out/demo")]
    out: PathBuf,
    /// A quarter of the training and of the tasks: to see it run, not for its figures.
    #[arg(long)]
    quick: bool,
    /// Seed of data order, sampling and initialisation.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Hugging Face folder to align instead of the embedded model.
    #[arg(long)]
    model: Option<PathBuf>,
}

/// Sizes of a demo.
struct Size {
    /// Training pairs of a lesson.
    per_lesson: usize,
    /// Steps of SFT and of LPO.
    steps: (usize, usize),
    /// Tasks of a lesson in `variants` and in `lessons`.
    tasks: (usize, usize),
}

const FULL: Size = Size { per_lesson: 16, steps: (180, 80), tasks: (1, 4) };
const QUICK: Size = Size { per_lesson: 6, steps: (40, 20), tasks: (1, 1) };

pub(crate) fn run(args: &Args) -> Result<u8> {
    let started = Instant::now();
    let size = if args.quick { QUICK } else { FULL };
    let judge = open_judge(None, false).context("the demo judges by our rules, Bandit, tests and exploits")?;
    let out = &args.out;
    prepare(out)?;

    let base = out.join("base");
    match &args.model {
        Some(folder) => copy_model(folder, &base)?,
        None => crate::tiny::unpack(&base)?,
    }
    let lessons = library::embedded()?;
    let pairs = training_pairs(&lessons, size.per_lesson, args.seed);
    jsonl::write(&out.join("data/train.jsonl"), &pairs)?;
    atomic::write(&out.join("data/replay.jsonl"), crate::tiny::REPLAY)?;
    let suites = Suites::new(&lessons, size.tasks, args.seed);
    terminal::say(&format!(
        "{} lessons, {} training pairs; {} held-out tasks of lessons seen in training, {} of lessons never seen",
        lessons.iter().filter(|l| l.language == Language::Python).count(),
        pairs.len(),
        suites.count("variants"),
        suites.count("lessons"),
    ));

    let mut evaluations: Vec<Evaluation> = Vec::new();
    let mut evaluate = |name: &str, folder: &Path, adapter: Option<&Path>, template: Template| -> Result<()> {
        let compute = Compute::choose(DeviceKind::Auto, Precision::Auto)?;
        let mut model = Model::load(folder, compute)?;
        if let Some(adapter) = adapter {
            model.decoder.wear(adapter)?;
        }
        let evaluation = suites.evaluate(name, &model, template, &judge, out)?;
        terminal::say(&evaluation.headline());
        evaluations.push(evaluation);
        Ok(())
    };

    heading("1/5 base model answers", started);
    evaluate("base", &base, None, Template::Docstring)?;
    heading("2/5 supervised fine-tuning with security reasoning", started);
    let sft = train(out, "sft", &sft_config(&size, args.seed))?;
    heading("3/5 SFT model answers", started);
    evaluate("sft", &sft, None, Template::Comment)?;
    heading("4/5 localized preference optimization", started);
    let lpo = train(out, "lpo", &lpo_config(&size, args.seed))?;
    heading("5/5 LPO model answers", started);
    evaluate("lpo", &sft, Some(&lpo), Template::Comment)?;

    let report = Report {
        format: lexicon::FORMAT,
        seed: args.seed,
        seconds: started.elapsed().as_secs_f64(),
        stages: evaluations
            .iter()
            .map(|e| Stage { name: e.name.clone(), suites: e.results.iter().map(|(_, r)| r.clone()).collect() })
            .collect(),
    };
    let table = eval::report::table(&report);
    let document = Document {
        title: "Rampart demo: a code model learns to write secure Python".into(),
        facts: figures::facts(&report, pairs.len(), args.quick),
        curves: figures::curves(out, &["sft", "lpo"])?,
        comparisons: figures::comparisons(&suites, &evaluations),
        masks: figures::masks(&base, &pairs)?,
        notes: figures::notes(),
        report,
    };
    eval::report::write(out, &document)?;
    terminal::answer(table)?;
    terminal::answer(out.join("report.html").display())?;
    Ok(exit::CLEAN)
}

fn heading(text: &str, started: Instant) {
    terminal::say(&format!("[{:>4.0} s] {text}", started.elapsed().as_secs_f64()));
}

/// Clears what an earlier demo wrote here, and nothing else.
fn prepare(out: &Path) -> Result<()> {
    // `base` is written first and removed last: without it the others are somebody else's.
    const OURS: &[&str] =
        &["sft", "lpo", "data", "samples", "sft.toml", "lpo.toml", "report.json", "report.html", "base"];
    if let Some(name) = OURS.iter().find(|name| out.join(name).exists())
        && !out.join("base").exists()
    {
        bail!("{} is there and not from a demo: choose another folder with --out", out.join(name).display());
    }
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    for name in OURS {
        let path = out.join(name);
        let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match gone {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn copy_model(from: &Path, to: &Path) -> Result<()> {
    // Loading checks the folder; only then is anything copied.
    let compute = Compute::choose(DeviceKind::Cpu, Precision::F32)?;
    Model::load(from, compute)?.save(to, models::Stored::F32)?;
    Ok(())
}

/// Pairs of the training part, lesson by lesson, none with code that an evaluation asks for.
pub(crate) fn training_pairs(lessons: &[corpus::Lesson], per_lesson: usize, seed: u64) -> Vec<Pair> {
    let split = Split::default();
    // Tasks of the built-in suites are Python's, and so is what the tiny model knows.
    let python = || lessons.iter().filter(|l| l.language == Language::Python);
    let evaluated = split.evaluated_code(python());
    python()
        .flat_map(|lesson| {
            lesson
                .choose(per_lesson, seed, |n| {
                    split.part(&lesson.id, n) == Part::Train && !evaluated.contains(&lesson.variant(n).secure)
                })
                .into_iter()
                .filter_map(|v| lesson.pair(&v))
                // Seven million parameters carry the weakness's name, not its prose: the first sentence of the thought.
                .map(|pair| Pair { reasoning: first_sentence(&pair.reasoning), ..pair })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Up to the end of the quoted weakness: `The code may have the vulnerability CWE-89: 'SQL Injection'.`
fn first_sentence(reasoning: &str) -> String {
    reasoning.find("'. ").map_or(reasoning, |end| &reasoning[..end + 2]).to_owned()
}

fn sft_config(size: &Size, seed: u64) -> String {
    format!(
        r#"# Supervised fine-tuning on secure answers with security reasoning (Saqib et al., ACL 2025, section 4).
format = 1
output = "sft"
seed = {seed}
[model]
path = "base"
dtype = "auto"
adapter = {{ kind = "none" }}
[data]
# The base model's own answers to ordinary tasks beside the pairs, so that it keeps what it could before.
train = ["data/train.jsonl", "data/replay.jsonl"]
template = "comment"
max-tokens = 512
[objective]
kind = "sft"
[optim]
learning-rate = 3e-4
schedule = "cosine"
warmup-ratio = 0.05
clip-norm = 1.0
batch = 16
steps = {}
"#,
        size.steps.0
    )
}

fn lpo_config(size: &Size, seed: u64) -> String {
    format!(
        r#"# Localized preference optimization (Saqib et al., ACL 2025, section 5), on top of SFT.
format = 1
output = "lpo"
seed = {seed}
[model]
path = "sft/model"
dtype = "auto"
adapter = {{ kind = "lora", r = 16, alpha = 32, dropout = 0.0, targets = "all-linear" }}
[data]
train = ["data/train.jsonl"]
template = "comment"
max-tokens = 512
[objective]
kind = "lpo"
compat = "paper"
beta = 10.0
gamma = 5.4
alpha = 0.5
[optim]
learning-rate = 2e-4
schedule = "cosine"
warmup-ratio = 0.1
clip-norm = 1.0
batch = 16
steps = {}
"#,
        size.steps.1
    )
}

/// Writes a stage's configuration and trains by it, as `rampart train` would.
fn train(out: &Path, name: &str, config: &str) -> Result<PathBuf> {
    let path = out.join(format!("{name}.toml"));
    atomic::write(&path, config.as_bytes())?;
    let config = Config::read(&path, &[])?;
    let mut screen = Screen::new();
    let outcome = train::run(&config, false, stop::flag(), &models::Ranks::alone(), &mut screen)?;
    screen.done();
    match outcome {
        Outcome::Finished(folder) => Ok(folder),
        Outcome::Stopped(step) => {
            bail!("stopped after step {step} of {name}: `rampart train {} --resume` goes on with it", path.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Nothing that a held-out task asks for is learnt, whichever lesson it would come from: some lessons share answers.
    #[test]
    fn no_held_out_code_is_trained_on() -> Result<()> {
        let (lessons, split) = (library::embedded()?, Split::default());
        let python = || lessons.iter().filter(|l| l.language == Language::Python);
        let of = |training: bool| -> BTreeSet<String> {
            let part = |l: &corpus::Lesson, n| (split.part(&l.id, n) == Part::Train) == training;
            let own = |l| (0..corpus::Lesson::variants(l)).filter(move |&n| part(l, n)).map(|n| l.variant(n).secure);
            python().flat_map(own).collect()
        };
        let (seen, held_out) = (of(true), of(false));
        assert!(!seen.is_disjoint(&held_out), "the lessons no longer share an answer: this test checks nothing");
        for pair in training_pairs(&lessons, usize::MAX, 0) {
            assert!(!held_out.contains(&pair.secure), "{}", pair.id);
        }
        Ok(())
    }
}
