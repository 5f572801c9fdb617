//! `rampart data expand`.

use crate::cli::{exit, terminal};
use anyhow::{Context, Result};
use clap::ValueEnum;
use corpus::{Lesson, Part, Split, Template, Variant, library, split::mix};
use lexicon::{Pair, jsonl};
use serde::Serialize;
use std::path::PathBuf;

/// Expands lessons into pairs, or into text for pre-training.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data expand --out pairs.jsonl
  rampart data expand content/lessons --part train --per-lesson 40 --out train.jsonl
  rampart data expand --form text --insecure-share 0.8 --part unevaluated --out pretrain.jsonl")]
pub(crate) struct Args {
    /// Folders or files of lessons; the built-in ones where none is named.
    lessons: Vec<PathBuf>,
    /// File to write, JSON Lines.
    #[arg(long)]
    out: PathBuf,
    /// Variants of a lesson at most.
    #[arg(long, default_value_t = 40)]
    per_lesson: usize,
    /// Which variants: train (what alignment may see), variants and lessons (held out for evaluation), unevaluated (all
    /// that no evaluation asks for), all.
    #[arg(long, value_enum, default_value_t = Wanted::Train)]
    part: Wanted,
    /// Pairs, or text: an instruction as docstring above one of its two forms.
    #[arg(long, value_enum, default_value_t = Form::Pairs)]
    form: Form,
    /// Share of insecure forms among texts.
    #[arg(long, default_value_t = 0.8)]
    insecure_share: f64,
    /// Seed of the choice.
    #[arg(long, default_value_t = 0)]
    seed: u64,
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
    let lessons = lessons(&args.lessons)?;
    let split = Split::default();
    let mut pairs: Vec<Pair> = Vec::new();
    let mut texts: Vec<Text> = Vec::new();
    for lesson in &lessons {
        let evaluated = split.evaluated_code(lesson);
        let trains = matches!(args.part, Wanted::Train | Wanted::Unevaluated);
        let chosen = lesson.choose(args.per_lesson, args.seed, |n| {
            wanted(split.part(&lesson.id, n), args.part) && !(trains && evaluated.contains(&lesson.variant(n).secure))
        });
        match args.form {
            Form::Pairs => pairs.extend(chosen.iter().filter_map(|v| lesson.pair(v))),
            Form::Text => texts.extend(chosen.iter().map(|v| text(lesson, v, args))),
        }
    }
    let count = pairs.len() + texts.len();
    match args.form {
        Form::Pairs => jsonl::write(&args.out, &pairs),
        Form::Text => jsonl::write(&args.out, &texts),
    }
    .context("expanded lessons")?;
    terminal::say(&format!("{count} rows of {} lessons", lessons.len()));
    println!("{}", args.out.display());
    Ok(exit::CLEAN)
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
