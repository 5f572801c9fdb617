//! `rampart data expand`.

use super::programs;
use crate::cli::{exit, terminal};
use anyhow::{Context, Result};
use clap::ValueEnum;
use corpus::{
    Lesson, Part, Split, Template, Variant, library,
    split::mix,
    validate::{Reason, Runner},
    verify::{self, Made, Verified},
};
use lexicon::{Language, jsonl};
use serde::Serialize;
use std::{collections::BTreeSet, path::PathBuf};

/// Expands lessons into verified pairs, or into text for pre-training.
///
/// A pair is written when both sides parse, a native rule fires on the insecure one and none on the secure one; what is
/// left out is counted by reason.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data expand --out pairs.jsonl
  rampart data expand content/lessons --part train --per-lesson 40 --out train.jsonl
  rampart data expand --language go,java --part all --out others.jsonl
  rampart data expand --form text --insecure-share 0.8 --part unevaluated --out pretrain.jsonl")]
pub(crate) struct Args {
    /// Folders or files of lessons; the built-in ones where none is named.
    lessons: Vec<PathBuf>,
    /// File to write, JSON Lines.
    #[arg(long)]
    out: PathBuf,
    /// Languages of the lessons, all where none is named.
    #[arg(long, value_delimiter = ',')]
    language: Vec<Language>,
    /// Variants of a lesson at most.
    #[arg(long, default_value_t = 40)]
    per_lesson: usize,
    /// Which variants: train (what alignment may see), variants and lessons (held out for evaluation), unevaluated (all
    /// that no evaluation asks for), all.
    #[arg(long, value_enum, default_value_t = Wanted::Train)]
    part: Wanted,
    /// Pairs, or text: an instruction as docstring above one of its two forms, Python's lessons alone.
    #[arg(long, value_enum, default_value_t = Form::Pairs)]
    form: Form,
    /// Share of insecure forms among texts.
    #[arg(long, default_value_t = 0.8)]
    insecure_share: f64,
    /// Seed of the choice.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Writes only pairs that the judge tells apart; --verify=false writes all.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    verify: bool,
    #[command(flatten)]
    programs: programs::ProgramArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    Train,
    Variants,
    Lessons,
    Unevaluated,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Pairs,
    Text,
}

#[derive(Serialize)]
struct Text {
    format: u32,
    id: String,
    text: String,
}

/// The named lessons, or the built-in ones.
pub(crate) fn lessons(paths: &[PathBuf]) -> Result<Vec<Lesson>> {
    if paths.is_empty() {
        return Ok(library::embedded()?);
    }
    let mut all = Vec::new();
    for path in paths {
        all.extend(library::read(path)?);
    }
    anyhow::ensure!(!all.is_empty(), "no lesson in {}", paths[0].display());
    Ok(all)
}

fn join(languages: &[Language]) -> String {
    languages.iter().map(|l| l.title()).collect::<Vec<_>>().join(", ")
}

fn wanted(part: Part, wanted: Wanted) -> bool {
    match wanted {
        Wanted::All => true,
        Wanted::Train => part == Part::Train,
        Wanted::Variants => part == Part::Variants,
        Wanted::Lessons => part == Part::Lessons,
        Wanted::Unevaluated => matches!(part, Part::Train | Part::Withheld),
    }
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    anyhow::ensure!(
        (0.0..=1.0).contains(&args.insecure_share),
        "--insecure-share {} is not a share from 0 to 1",
        args.insecure_share
    );
    let mut lessons = lessons(&args.lessons)?;
    let split = Split::default();
    let trains = matches!(args.part, Wanted::Train | Wanted::Unevaluated);
    let evaluated = if trains { split.evaluated_code(&lessons) } else { BTreeSet::new() };
    lessons.retain(|l| args.language.is_empty() || args.language.contains(&l.language));
    if args.form == Form::Text {
        // A docstring above the code is Python.
        lessons.retain(|l| l.language == Language::Python);
    }
    anyhow::ensure!(!lessons.is_empty(), "no lesson in {}", join(&args.language));
    let mut made: Vec<Made<'_>> = Vec::new();
    let mut texts: Vec<Text> = Vec::new();
    for lesson in &lessons {
        let chosen = lesson.choose(args.per_lesson, args.seed, |n| {
            wanted(split.part(&lesson.id, n), args.part) && !(trains && evaluated.contains(&lesson.variant(n).secure))
        });
        match args.form {
            Form::Pairs => made.extend(
                chosen.into_iter().filter_map(|variant| Some(Made { pair: lesson.pair(&variant)?, variant, lesson })),
            ),
            Form::Text => texts.extend(chosen.iter().map(|v| text(lesson, v, args))),
        }
    }
    let programs = args.programs.programs()?;
    let runner = programs.as_ref().map(|p| p as &dyn Runner);
    let verified = if args.verify || runner.is_some() {
        let bar = terminal::bar(made.len(), "pairs");
        let verified = verify::verify(made, runner, || bar.inc(1));
        bar.finish_and_clear();
        report(&verified);
        verified
    } else {
        Verified { pairs: made.into_iter().map(|m| m.pair).collect(), ..Verified::default() }
    };
    let count = verified.pairs.len() + texts.len();
    anyhow::ensure!(count > 0, "no variant of {} lessons is left to write", lessons.len());
    match args.form {
        Form::Pairs => jsonl::write(&args.out, &verified.pairs),
        Form::Text => jsonl::write(&args.out, &texts),
    }
    .context("expanded lessons")?;
    terminal::say(&format!("{count} rows of {} lessons", lessons.len()));
    terminal::answer(args.out.display())?;
    Ok(exit::CLEAN)
}

/// Says what was left out, and why.
fn report(verified: &Verified) {
    for reason in Reason::ALL {
        if let Some(count) = verified.refused.get(reason) {
            let example = verified.example.get(reason).map(String::as_str).unwrap_or_default();
            terminal::say(&format!("left out {count}: {} (first: {example})", reason.phrase()));
        }
    }
    for (reason, count) in &verified.not_run {
        terminal::say(&format!("not run {count}: {reason}"));
    }
}

/// A variant as a base model meets code: a docstring above one of the two forms, drawn by the seed.
fn text(lesson: &Lesson, variant: &Variant, args: &Args) -> Text {
    let draw = mix(&[&args.seed.to_string(), "form", &lesson.id, &variant.number.to_string()]) as f64 / u64::MAX as f64;
    let code = match &variant.insecure {
        Some(insecure) if draw < args.insecure_share => insecure,
        _ => &variant.secure,
    };
    Text {
        format: lexicon::FORMAT,
        id: format!("{}/{}", lesson.id, variant.number),
        text: Template::Docstring.prompt(&variant.instruction) + code,
    }
}
