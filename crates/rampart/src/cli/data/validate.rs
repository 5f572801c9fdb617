//! `rampart data validate`.

use super::{OutputFormat, input, print, print_json, programs};
use crate::cli::{exit, terminal};
use anyhow::{Result, ensure};
use corpus::{
    rows::Row,
    validate::{
        Entry, Level, Runner, lesson,
        pairs::{self, Located},
    },
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Checks lessons (folders, .md files) and pairs (.jsonl, .csv) against their truth table.
///
/// A lesson: both forms of its variants parse; a native rule fires on the insecure one and none on the secure one; it
/// has enough variants with distinct code and phrasings; no instruction gives the weakness away. A pair: its sides parse
/// and differ, the rules tell them apart, no other pair has its code. Exit 1 where something fails, 2 where a file or a
/// line of it cannot be read.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data validate
  rampart data validate content/lessons/python/eval-config-file.md --variants 0
  rampart data validate pairs.jsonl --output-format json")]
pub(crate) struct Args {
    /// Folders and files; the built-in lessons where none is named.
    paths: Vec<PathBuf>,
    /// Variants of a lesson that are judged; 0 for all.
    #[arg(long, default_value_t = lesson::Options::default().variants)]
    variants: usize,
    /// Variants with distinct code that a lesson must have.
    #[arg(long, default_value_t = lesson::Options::default().least)]
    least: usize,
    /// Seed of the sample of variants.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Full)]
    output_format: OutputFormat,
    /// Also prints notes: what does not fail the table and is worth knowing.
    #[arg(long)]
    notes: bool,
    #[command(flatten)]
    programs: programs::ProgramArgs,
    /// Variants of a lesson whose programs are run, with --run.
    #[arg(long, default_value_t = lesson::Options::default().run)]
    run_variants: usize,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer {
    format: u32,
    lessons: usize,
    variants: usize,
    runs: usize,
    pairs: usize,
    told_apart: usize,
    /// Entries by `level:check`.
    counts: BTreeMap<String, usize>,
    /// Lines and files that could not be read.
    invalid: Vec<String>,
    entries: Vec<Entry>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let mut answer = Answer { format: lexicon::FORMAT, ..Answer::default() };
    let mut lessons = Vec::new();
    let mut located = Vec::new();
    if args.paths.is_empty() {
        lessons = lesson::embedded()?;
    }
    for path in &args.paths {
        collect(path, &mut lessons, &mut located, &mut answer)?;
    }
    let variants = if args.variants == 0 { usize::MAX } else { args.variants };
    let options = lesson::Options {
        variants,
        run: args.run_variants,
        least: args.least,
        seed: args.seed,
        ..lesson::Options::default()
    };
    let programs = args.programs.programs()?;
    let runner = programs.as_ref().map(|p| p as &dyn Runner);
    answer.lessons = lessons.len();
    let bar = terminal::bar(lessons.len(), "lessons");
    for checked in lesson::check_all(&lessons, &options, runner, || bar.inc(1)) {
        answer.variants += checked.variants;
        answer.runs += checked.runs;
        answer.entries.extend(checked.entries);
    }
    bar.finish_and_clear();
    let checked = pairs::check(&located);
    answer.pairs = located.len();
    answer.told_apart = checked.told_apart;
    answer.entries.extend(checked.entries);
    for entry in &answer.entries {
        let level = if entry.level == Level::Problem { "problem" } else { "note" };
        *answer.counts.entry(format!("{level}:{}", entry.check)).or_default() += 1;
    }
    match args.output_format {
        OutputFormat::Json => print_json(&answer)?,
        OutputFormat::Full => print(|out| full(out, &answer, args.notes))?,
    }
    for invalid in &answer.invalid {
        terminal::say(&format!("rampart: {invalid}"));
    }
    Ok(if !answer.invalid.is_empty() {
        exit::FAILED
    } else if answer.entries.iter().any(|e| e.level == Level::Problem) {
        exit::FINDINGS
    } else {
        exit::CLEAN
    })
}

/// Lessons or pairs of one path; what cannot be read goes into the answer, so that an author mends it all in one go.
fn collect(
    path: &Path,
    lessons: &mut Vec<lesson::Source>,
    located: &mut Vec<Located>,
    answer: &mut Answer,
) -> Result<()> {
    let data = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("jsonl") || e.eq_ignore_ascii_case("csv"));
    if !path.is_dir() && data {
        let rows = input::read(path)?;
        ensure!(!rows.rows.is_empty() || !rows.bad.is_empty(), "{}: no row in it", path.display());
        answer.invalid.extend(rows.bad.iter().map(ToString::to_string));
        for row in rows.rows {
            match row {
                Row::Pair(pair) => located.push(Located { path: path.display().to_string(), pair }),
                Row::Text { id, .. } => {
                    answer.invalid.push(format!("{}: row {id:?} is text without two sides", path.display()));
                }
            }
        }
    } else {
        let (good, bad) = lesson::read(path)?;
        ensure!(!good.is_empty() || !bad.is_empty(), "no lesson in {}", path.display());
        lessons.extend(good);
        answer.invalid.extend(bad.iter().map(ToString::to_string));
    }
    Ok(())
}

fn full(out: &mut dyn Write, answer: &Answer, notes: bool) -> io::Result<()> {
    for entry in answer.entries.iter().filter(|e| notes || e.level == Level::Problem) {
        let level = if entry.level == Level::Problem { "" } else { "note: " };
        writeln!(out, "{}: {level}[{}] {}", entry.place, entry.check, entry.message)?;
    }
    let problems = answer.entries.iter().filter(|e| e.level == Level::Problem).count();
    let mut said = Vec::new();
    if answer.lessons > 0 {
        said.push(format!("{} lessons, {} variants judged", answer.lessons, answer.variants));
    }
    if answer.runs > 0 {
        said.push(format!("{} programs run", answer.runs));
    }
    if answer.pairs > 0 {
        said.push(format!("{} pairs, {} of them told apart by the rules", answer.pairs, answer.told_apart));
    }
    let hidden = if notes { "" } else { " (--notes shows them)" };
    writeln!(out, "{}: {problems} problems, {} notes{hidden}", said.join("; "), answer.entries.len() - problems)
}
