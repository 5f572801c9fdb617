//! `rampart experiment`: the papers' grids, trained and evaluated on a model of the user's.
//!
//! 1. [`grid`]: an experiment is a list of cells; a cell is what to train, on what, and how to ask.
//! 2. A stage that several cells share (SFT) is trained once; a stage and an evaluation that are done are not done again.
//! 3. [`page`]: the table, beside the paper's, in a file that this program writes and nobody edits.

mod grid;
mod page;

use super::{
    data::poison::{KindArg, settings as poisoning},
    demo::training_pairs,
    eval, exit, stop, terminal,
    train::Screen,
};
use ::eval::{run::Run, suites};
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use corpus::{audit, library, poison};
use grid::{Cell, Data, Experiment, Recipe, Stage};
use lexicon::{Cwe, Pair, SuiteResult, atomic, jsonl};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use train::{Config, Outcome};

/// Trains and evaluates a grid of the papers on a model, and prints the paper's table beside ours.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart experiment ablation --out out/ablation
  rampart experiment table1 --model models/CodeLlama-7b-hf --recipe paper --pairs disco.jsonl --suite securityeval --out out/table1
  rampart experiment ablation --seed 0 --seed 1 --out out/ablation --page docs/results.md
  rampart experiment poison --cwe CWE-89 --kind swapped --share 0.08 --out out/poison

A run that was interrupted goes on when the same command is given again.")]
pub(crate) struct Args {
    /// table1 (methods), ablation (parts of LPO), ood (weaknesses of the test set left out of training), prompts, or poison
    /// (bad pairs of one weakness, before and after an audit).
    #[arg(value_parser = str::parse::<Experiment>)]
    experiment: Experiment,
    /// Hugging Face folder to train; the embedded model where absent.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Training pairs; made from the lessons where absent.
    #[arg(long)]
    pairs: Vec<PathBuf>,
    /// Settings of training: tiny (for models/tiny) or paper (LoRA and learning rates of the LPO paper).
    #[arg(long, default_value = "tiny", value_parser = str::parse::<Recipe>)]
    recipe: Recipe,
    /// Suites to evaluate on.
    #[arg(long = "suite", value_name = "SUITE", default_values = ["variants", "lessons"])]
    suites: Vec<String>,
    /// Benchmarks' files.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Steps of SFT and of preference training, instead of the recipe's.
    #[arg(long, num_args = 2, value_names = ["SFT", "PREFERENCE"])]
    steps: Option<Vec<usize>>,
    /// Training pairs of a lesson.
    #[arg(long, default_value_t = 8)]
    pairs_per_lesson: usize,
    /// Tasks of a lesson, in the suites made of lessons.
    #[arg(long, default_value_t = 1)]
    per_lesson: usize,
    /// Samples of each prompt.
    #[arg(long, default_value_t = 1)]
    samples_per_prompt: usize,
    /// New tokens at most.
    #[arg(long, default_value_t = 288)]
    max_new_tokens: usize,
    /// Seed of data, training and sampling; several make the grid as often, a folder each, and the table holds their means.
    #[arg(long = "seed", value_name = "SEED", default_values_t = [0])]
    seeds: Vec<u64>,
    /// What poison does to pairs.
    #[arg(long, value_enum, default_value_t = KindArg::Swapped)]
    kind: KindArg,
    /// The weakness whose pairs poison turns.
    #[arg(long, default_value = "CWE-89")]
    cwe: Cwe,
    /// Share of all pairs that poison turns.
    #[arg(long, default_value_t = 0.08)]
    share: f64,
    /// Folder of everything it writes.
    #[arg(long)]
    out: PathBuf,
    /// Markdown file to write the table into, in place of the same experiment's last one.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

/// One row of an experiment's table.
pub(crate) struct Row {
    name: String,
    /// Results of each seed, in the seeds' order.
    seeds: Vec<Vec<SuiteResult>>,
}

/// The grid of one seed.
struct Seeded<'a> {
    args: &'a Args,
    seed: u64,
    out: PathBuf,
}

/// `rampart eval`'s arguments from words.
#[derive(Parser, Debug)]
struct Words {
    #[command(flatten)]
    eval: eval::Args,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let distinct: BTreeSet<u64> = args.seeds.iter().copied().collect();
    ensure!(distinct.len() == args.seeds.len(), "a seed is given twice");
    let cells = grid::cells(args.experiment);
    let mut rows: Vec<Row> = cells.iter().map(|c| Row { name: c.name.to_owned(), seeds: Vec::new() }).collect();
    for &seed in &args.seeds {
        let several = args.seeds.len() > 1;
        let out = if several { args.out.join(format!("seed-{seed}")) } else { args.out.clone() };
        if several {
            terminal::say(&format!("== seed {seed}"));
        }
        for (row, results) in rows.iter_mut().zip((Seeded { args, seed, out }).grid(&cells)?) {
            row.seeds.push(results);
        }
    }
    let table = page::table(args, &rows);
    atomic::write(&args.out.join("results.md"), table.as_bytes())?;
    let mut json = serde_json::to_string_pretty(&page::json(args, &rows))?;
    json.push('\n');
    atomic::write(&args.out.join("results.json"), json.as_bytes())?;
    if let Some(path) = &args.page {
        page::replace(path, args.experiment, &table)?;
    }
    terminal::answer(table.trim_end())?;
    Ok(exit::CLEAN)
}

impl Seeded<'_> {
    /// Every cell's figures, in order.
    fn grid(&self, cells: &[Cell]) -> Result<Vec<Vec<SuiteResult>>> {
        let base = self.out.join("base");
        let base = match &self.args.model {
            Some(folder) => folder.clone(),
            None => {
                if !base.join("config.json").exists() {
                    crate::tiny::unpack(&base)?;
                }
                base
            }
        };
        self.pairs()?;
        let mut rows = Vec::new();
        for (number, cell) in cells.iter().enumerate() {
            terminal::say(&format!("== {}/{}: {}", number + 1, cells.len(), cell.name));
            let mut model = base.clone();
            let mut adapter = None;
            for stage in &cell.stages {
                let trained = self.train_stage(stage, &model)?;
                if trained.join("adapter_config.json").exists() {
                    adapter = Some(trained);
                } else {
                    model = trained;
                }
            }
            rows.push(self.evaluate(cell, &model, adapter.as_deref())?);
        }
        Ok(rows)
    }

    /// Writes what stages train on, each kind of pairs a file.
    fn pairs(&self) -> Result<()> {
        let (args, seed) = (self.args, self.seed);
        let lessons = library::embedded()?;
        let whole: Vec<Pair> = if args.pairs.is_empty() {
            training_pairs(&lessons, args.pairs_per_lesson, seed)
        } else {
            let files: Vec<Vec<Pair>> = args.pairs.iter().map(|p| jsonl::read(p)).collect::<Result<_, _>>()?;
            files.concat()
        };
        let silent: Vec<Pair> = whole.iter().cloned().map(|p| Pair { reasoning: String::new(), ..p }).collect();
        // Weaknesses that the suites ask for; of ours the suite of lessons never seen is the test set.
        let mut asked: BTreeSet<Cwe> = BTreeSet::new();
        for name in args.suites.iter().filter(|n| *n != "variants") {
            let suite = suites::by_name(name)?;
            let folder = eval::data_folder(suite, args.data.as_deref());
            let input = suites::Input {
                lessons: &lessons,
                per_lesson: Some(args.per_lesson),
                seed: 0,
                folder: folder.as_deref(),
                partial: false,
            };
            asked.extend(suites::load(suite, &input)?.cases.iter().filter_map(|c| c.task.cwe));
        }
        let unseen: Vec<Pair> =
            whole.iter().filter(|p| !p.cwe.iter().any(|c| asked.iter().any(|a| a.kin(*c)))).cloned().collect();
        let write = |data: Data, pairs: &[Pair]| jsonl::write(&self.out.join("data").join(data.file()), pairs);
        for (data, pairs) in [(Data::Whole, &whole), (Data::Silent, &silent), (Data::Unseen, &unseen)] {
            write(data, pairs)?;
        }
        if args.experiment == Experiment::Poison {
            let (bad, records) = poison::poison(&whole, &poisoning(args.kind, args.share, Some(args.cwe), seed))
                .context("--share of all pairs, with --cwe")?;
            let suspected = audit::audit(&bad, &audit::Settings::default());
            let measured = audit::measure::measure(&records, &suspected);
            let suspect: BTreeSet<usize> = suspected.iter().map(|s| s.index).collect();
            let rest = bad.iter().enumerate().filter(|(i, _)| !suspect.contains(i)).map(|(_, p)| p.clone());
            let rest: Vec<Pair> = rest.collect();
            write(Data::Poisoned, &bad)?;
            write(Data::Audited, &rest)?;
            terminal::say(&format!(
                "{} of {} pairs are bad; the audit suspects {} (precision {:.2}, recall {:.2})",
                records.len(),
                bad.len(),
                suspect.len(),
                measured.precision,
                measured.recall
            ));
        }
        atomic::write(&self.out.join("data/replay.jsonl"), crate::tiny::REPLAY)?;
        terminal::say(&format!(
            "{} training pairs; {} of weaknesses that the suites do not ask for",
            whole.len(),
            unseen.len()
        ));
        Ok(())
    }

    /// Trains a stage, unless an earlier start did. The folder's name says what was trained from what.
    fn train_stage(&self, stage: &Stage, model: &Path) -> Result<PathBuf> {
        let args = self.args;
        let name = stage.name();
        let folder = self.out.join("train").join(name);
        for made in ["adapter", "model"] {
            let made = folder.join(made);
            if made.join("config.json").exists() || made.join("adapter_config.json").exists() {
                return Ok(made);
            }
        }
        let data = self.out.join("data").join(stage.data.file());
        let steps = args.steps.as_deref().and_then(|s| Some((*s.first()?, *s.get(1)?)));
        let text = grid::config(
            stage,
            args.recipe,
            steps,
            self.seed,
            &std::path::absolute(model)?,
            &std::path::absolute(&data)?,
        );
        let path = self.out.join("train").join(format!("{name}.toml"));
        atomic::write(&path, text.as_bytes())?;
        let config = Config::read(&path, &[])?;
        let mut screen = Screen::new();
        let resume = folder.is_dir();
        let outcome = train::run(&config, resume, stop::flag(), &models::Ranks::alone(), &mut screen)
            .with_context(|| format!("stage {name}"))?;
        screen.done();
        match outcome {
            Outcome::Finished(made) => Ok(made),
            Outcome::Stopped(step) => {
                bail!("stopped after step {step} of {name}; give the same command again to go on")
            }
        }
    }

    /// A cell's figures, unless an earlier start made them.
    fn evaluate(&self, cell: &Cell, model: &Path, adapter: Option<&Path>) -> Result<Vec<SuiteResult>> {
        let args = self.args;
        let out = self.out.join("eval").join(cell.name);
        let text = |p: &Path| p.display().to_string();
        if let Ok(run) = Run::read(&out) {
            let (r, sampled) = (&run.record, run.record.sampling.as_ref());
            let same = r.complete
                && r.suites.iter().map(|s| &s.name).eq(&args.suites)
                && (&r.writer, &r.adapters) == (&text(model), &adapter.map(text).into_iter().collect())
                && (r.seed, r.samples_per_prompt, r.per_lesson)
                    == (self.seed, args.samples_per_prompt, Some(args.per_lesson))
                && sampled.is_some_and(|s| s.max_new_tokens == args.max_new_tokens);
            if same {
                return Ok(run.score(eval::papers)?);
            }
        }
        let mut words: Vec<String> = vec!["eval".into()];
        words.extend(args.suites.iter().cloned());
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        option("model", text(model));
        option("name", cell.name.into());
        option("out", text(&out));
        option("seed", self.seed.to_string());
        option("per-lesson", args.per_lesson.to_string());
        option("samples-per-prompt", args.samples_per_prompt.to_string());
        option("max-new-tokens", args.max_new_tokens.to_string());
        option("template", if args.recipe == Recipe::Tiny { "docstring" } else { cell.template }.into());
        option("prompt", cell.prompt.into());
        if let Some(data) = &args.data {
            option("data", text(data));
        }
        if let Some(adapter) = adapter {
            option("adapter", text(adapter));
        }
        let words = Words::try_parse_from(&words).context("arguments of an evaluation")?;
        let evaluated = eval::evaluate(&words.eval)?.context("an evaluation has a model")?;
        let (run, _): &(Run, PathBuf) = evaluated.runs.first().context("an evaluation has a run")?;
        Ok(run.score(eval::papers)?)
    }
}
