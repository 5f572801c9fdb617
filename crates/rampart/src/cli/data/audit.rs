//! `rampart data audit`.

use super::{OutputFormat, input, print_json};
use crate::cli::{exit, terminal};
use anyhow::{Result, ensure};
use corpus::{
    audit::{self, Settings, Suspicion, measure::Measured},
    clean::name_of,
    poison::Record,
};
use lexicon::{Pair, jsonl};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

/// Looks for pairs that may have been turned against the learner. Exit 1 where some are suspected.
///
/// A secure side that is still flagged, a change that points the other way than the others', a weak constant, a call in
/// disguise, a phrase of suspect pairs, more near copies than the set has of any other pair. docs/poisoning.md says how well
/// each is found.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data audit pairs.jsonl
  rampart data audit pairs.jsonl --out suspected.jsonl --keep kept.jsonl
  rampart data audit bad.jsonl --truth done.jsonl        precision and recall against what `data poison` did
  rampart data audit new.jsonl --model my-model --adapter runs/lpo/adapter --template comment")]
pub(crate) struct Args {
    /// Files of pairs.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Agreement with the other pairs below which a pair points backwards; lower suspects fewer.
    #[arg(long, default_value_t = Settings::default().backwards, allow_negative_numbers = true)]
    backwards: f64,
    /// Seed of the folds.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Hugging Face folder of a model that was trained on trusted pairs: its loss of every pair is looked at as well.
    #[cfg(feature = "torch")]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// PEFT folder on top of it; given several times, each is merged before the next.
    #[cfg(feature = "torch")]
    #[arg(long, value_name = "DIR", requires = "model")]
    adapter: Vec<PathBuf>,
    /// The form that it was trained in: docstring, comment, disco, safecoder, chat or raw.
    #[cfg(feature = "torch")]
    #[arg(long, default_value = "disco")]
    template: String,
    /// Spreads above the set's middle from which a loss stands out; lower suspects more.
    #[cfg(feature = "torch")]
    #[arg(long, default_value_t = Settings::default().loss, allow_negative_numbers = true)]
    loss: f64,
    /// File to write the suspected pairs' ids with what speaks against them into.
    #[arg(long)]
    out: Option<PathBuf>,
    /// File to write all other pairs into.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// What `rampart data poison` recorded.
    #[arg(long)]
    truth: Option<PathBuf>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Full)]
    output_format: OutputFormat,
}

#[derive(Serialize)]
struct Answer<'s> {
    format: u32,
    pairs: usize,
    checks: BTreeMap<String, usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Measured>,
    suspected: &'s [Suspicion],
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let pairs = input::pairs(&args.files)?;
    let truth: Option<Vec<Record>> = args.truth.as_deref().map(jsonl::read).transpose()?;
    if let Some(records) = &truth {
        let ids: HashSet<&str> = pairs.iter().map(|p| p.id.as_str()).collect();
        let strange = records.iter().find(|r| !ids.contains(r.id.as_str()));
        ensure!(strange.is_none(), "--truth: no pair has the id {:?}", strange.map(|r| &r.id));
    }
    let settings = Settings { backwards: args.backwards, seed: args.seed, ..Settings::default() };
    #[cfg(feature = "torch")]
    let (settings, losses) = match &args.model {
        Some(model) => {
            ensure!(args.loss.is_finite(), "--loss {} is no number", args.loss);
            let settings = Settings { loss: args.loss, ..settings };
            (settings, super::losses::of(&pairs, model, &args.adapter, &args.template)?)
        }
        None => (settings, Vec::new()),
    };
    #[cfg(not(feature = "torch"))]
    let losses = Vec::new();
    let suspected = audit::audit_with(&pairs, &losses, &settings);
    let mut checks = BTreeMap::new();
    suspected.iter().flat_map(|s| s.checks.keys()).for_each(|c| *checks.entry(name_of(*c)).or_default() += 1);
    if let Some(path) = &args.out {
        jsonl::write(path, &suspected)?;
    }
    if let Some(path) = &args.keep {
        let gone: HashSet<usize> = suspected.iter().map(|s| s.index).collect();
        jsonl::write::<Pair>(path, pairs.iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, p)| p))?;
    }
    let measured = truth.map(|records| audit::measure::measure(&records, &suspected));
    let answer = Answer { format: lexicon::FORMAT, pairs: pairs.len(), checks, measured, suspected: &suspected };
    match args.output_format {
        OutputFormat::Json => print_json(&answer)?,
        OutputFormat::Full => terminal::print(|out| {
            for one in &suspected {
                let said: Vec<String> = one.checks.iter().map(|(c, what)| format!("{}: {what}", name_of(*c))).collect();
                writeln!(out, "{}: {}", one.id, said.join("; "))?;
            }
            writeln!(out, "{} of {} pairs suspected {:?}", suspected.len(), pairs.len(), answer.checks)?;
            if let Some(m) = &answer.measured {
                let (p, r) = (m.precision, m.recall);
                writeln!(
                    out,
                    "{} were poisoned, {} of them found: precision {p:.3}, recall {r:.3}",
                    m.poisoned, m.found
                )?;
            }
            Ok(())
        })?,
    }
    Ok(if suspected.is_empty() { exit::CLEAN } else { exit::FINDINGS })
}
