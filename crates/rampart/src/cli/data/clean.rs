//! `rampart data clean`.

use super::{OutputFormat, input, print_json};
use crate::cli::{eval::data_folder, exit, terminal};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use corpus::{
    clean::{self, Cleaned, Dropped, OnSecret, Part, Settings, licence::Allowed, name_of, overlap::Reference},
    library,
    rows::Row,
};
use eval::suites::{self, ALL, Input, Suite};
use lexicon::jsonl;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Takes out of data sets what must not be trained on: repetitions (the same, renamed, nearly the same), within a file and
/// across files; what suites ask; secrets and personal data; what no allowed licence covers.
///
/// Every file is a part of one data set. What stands in test and validation parts stays; rows of training parts that repeat
/// it go. Writes FOLDER/<file>.jsonl with the rows that stay, FOLDER/dropped.jsonl with one line for each that went (which
/// row, why, which row or task it repeats) and FOLDER/report.json. docs/clean.md says how each is found.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data clean train.jsonl val.jsonl test.jsonl --out clean
  rampart data clean mined.jsonl --licence MIT --allow-licence MIT,Apache-2.0 --out clean
  rampart data clean pairs.jsonl --suites DIR --secrets drop --near 0.8 --out clean")]
pub(crate) struct Args {
    /// Files of pairs or texts, one a part; test*, val* and dev* come first.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Folder to write.
    #[arg(long)]
    out: PathBuf,
    /// Overlap (0 to 1) from which a row is nearly another; 0 leaves those in.
    #[arg(long, default_value_t = 0.85)]
    near: f64,
    /// Leaves rows in that differ from an earlier one in chosen names alone, as the variants of a lesson do.
    #[arg(long)]
    keep_renamed: bool,
    /// Folder with suites' files (as for `rampart eval --data`); where `rampart suites pull` puts them otherwise.
    #[arg(long, value_name = "DIR")]
    suites: Option<PathBuf>,
    /// Share (0 to 1) of a task's text that a row may hold; 0 compares with no suite.
    #[arg(long, default_value_t = 0.5)]
    overlap: f64,
    /// What becomes of secrets and personal data.
    #[arg(long, value_enum, default_value_t = Secrets::Redact)]
    secrets: Secrets,
    /// Licence (SPDX) of rows that state none, for all files or for one: MIT, or mined.jsonl=Apache-2.0.
    #[arg(long, value_name = "[FILE=]SPDX")]
    licence: Vec<String>,
    /// Keeps only rows whose licence these cover; rows that state none go.
    #[arg(long, value_delimiter = ',', value_name = "SPDX,..")]
    allow_licence: Vec<String>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Full)]
    output_format: OutputFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Secrets {
    /// Replaced, alike on both sides.
    Redact,
    /// The row goes.
    Drop,
    /// Left as they are.
    Keep,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    format: u32,
    parts: Vec<PartReport>,
    redacted: BTreeMap<String, usize>,
    suites_checked: Vec<SuiteChecked>,
    /// Suites that could not be compared with, and why.
    suites_not_checked: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct PartReport {
    name: String,
    read: usize,
    kept: usize,
    dropped: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct SuiteChecked {
    name: &'static str,
    tasks: usize,
    dropped: usize,
}

/// Texts of the suites whose files are here.
#[derive(Default)]
struct Texts {
    references: Vec<Reference>,
    checked: Vec<(&'static str, usize)>,
    missing: BTreeMap<String, String>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    for (name, share) in [("--near", args.near), ("--overlap", args.overlap)] {
        ensure!((0.0..=1.0).contains(&share), "{name} {share} is not a share from 0 to 1");
    }
    let licences = (!args.allow_licence.is_empty()).then(|| Allowed::new(&args.allow_licence)).transpose()?;
    let mut parts = parts(args)?;
    let read: Vec<usize> = parts.iter().map(|p| p.rows.len()).collect();
    carry_licences(args, &mut parts)?;
    let texts = if args.overlap > 0.0 { suite_texts(args.suites.as_deref())? } else { Texts::default() };
    let settings = Settings {
        renamed: !args.keep_renamed,
        near: (args.near > 0.0).then_some(args.near),
        suites: args.overlap,
        on_secret: match args.secrets {
            Secrets::Redact => OnSecret::Redact,
            Secrets::Drop => OnSecret::Drop,
            Secrets::Keep => OnSecret::Keep,
        },
        licences,
    };
    let cleaned = clean::clean(parts, &texts.references, &settings);
    let report = report(&cleaned, &read, texts);
    for part in &cleaned.parts {
        let path = args.out.join(&part.name).with_extension("jsonl");
        input::write_rows(&path, part.rows.iter())?;
    }
    jsonl::write(&args.out.join("dropped.jsonl"), &cleaned.dropped)?;
    lexicon::atomic::write(&args.out.join("report.json"), &serde_json::to_vec_pretty(&report)?)?;
    match args.output_format {
        OutputFormat::Json => print_json(&report)?,
        OutputFormat::Full => full(&report, &cleaned.dropped, &args.out)?,
    }
    Ok(exit::CLEAN)
}

/// The files as parts, evaluation first.
fn parts(args: &Args) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut names = BTreeSet::new();
    for source in input::rows(&args.files)? {
        let name = source.path.file_stem().map_or_else(|| "rows".into(), |s| s.to_string_lossy().into_owned());
        ensure!(
            names.insert(name.clone()) && name != "dropped",
            "{}: its rows would be written to {name}.jsonl, which is taken; name the file otherwise",
            source.path.display()
        );
        parts.push(Part { name, rows: source.rows });
    }
    let rank = |part: &Part| {
        let name = part.name.to_ascii_lowercase();
        let has = |words: &[&str]| name.split(|c: char| !c.is_alphanumeric()).any(|w| words.contains(&w));
        if has(&["test"]) { 0 } else { 1 + u8::from(!has(&["val", "valid", "validation", "dev", "eval"])) }
    };
    parts.sort_by_key(rank);
    Ok(parts)
}

/// Rows that state no licence get that of their file.
fn carry_licences(args: &Args, parts: &mut [Part]) -> Result<()> {
    for given in &args.licence {
        let (file, licence) = given.rsplit_once('=').map_or((None, given.as_str()), |(f, l)| (Some(f), l));
        let stem = file.map(|f| Path::new(f).file_stem().unwrap_or_default().to_string_lossy().into_owned());
        if let Some(stem) = &stem {
            ensure!(parts.iter().any(|p| p.name == *stem), "--licence {given}: no file of that name is given");
        }
        for part in parts.iter_mut().filter(|p| stem.as_ref().is_none_or(|s| *s == p.name)) {
            for row in &mut part.rows {
                if let Row::Pair(pair) = row
                    && pair.origin.licence.trim().is_empty()
                {
                    licence.clone_into(&mut pair.origin.licence);
                }
            }
        }
    }
    Ok(())
}

fn suite_texts(data: Option<&Path>) -> Result<Texts> {
    let lessons = library::embedded()?;
    let mut texts = Texts::default();
    if let Some(data) = data {
        ensure!(data.is_dir(), "--suites {}: no such folder", data.display());
    }
    for &suite in ALL {
        let ours = suite.upstream().is_none();
        let folder = data_folder(suite, data).filter(|f| f.is_dir());
        if !ours && folder.is_none() {
            let what = format!("its files are not here: rampart suites pull {}", suite.name());
            texts.missing.insert(suite.name().to_owned(), what);
            continue;
        }
        let input = Input { lessons: &lessons, per_lesson: None, seed: 0, folder: folder.as_deref(), partial: true };
        match suites::load(suite, &input) {
            Ok(loaded) => {
                texts.checked.push((suite.name(), loaded.cases.len()));
                texts.references.extend(loaded.cases.into_iter().map(|case| reference(suite, case, ours)));
            }
            Err(error) => {
                texts.missing.insert(suite.name().to_owned(), error.to_string());
            }
        }
    }
    if texts.checked.is_empty() {
        bail!("no suite can be compared with; --overlap 0 does without");
    }
    Ok(texts)
}

fn reference(suite: &dyn Suite, case: suites::Case, lessons: bool) -> Reference {
    let task = case.task;
    // An answer is a whole program or goes on from the context: either way a row that holds it is told by its runs.
    let mut code: Vec<String> = [case.reference, case.known_bad].into_iter().flatten().collect();
    if !task.context.trim().is_empty() {
        code.push(task.context);
    }
    Reference {
        suite: suite.name().to_owned(),
        task: task.id,
        language: task.language,
        instruction: task.instruction,
        code,
        lessons,
    }
}

fn report(cleaned: &Cleaned, read: &[usize], texts: Texts) -> Report {
    let part = |(part, &read): (&Part, &usize)| {
        let mut dropped = BTreeMap::new();
        for one in cleaned.dropped.iter().filter(|d| d.part == part.name) {
            *dropped.entry(name_of(one.reason)).or_default() += 1;
        }
        PartReport { name: part.name.clone(), read, kept: part.rows.len(), dropped }
    };
    let of = |name: &str| {
        use clean::Reason::{SuiteRuns, SuiteSame, SuiteTree};
        let suite = |d: &&Dropped| matches!(d.reason, SuiteSame | SuiteRuns | SuiteTree) && d.place == name;
        cleaned.dropped.iter().filter(suite).count()
    };
    Report {
        format: lexicon::FORMAT,
        parts: cleaned.parts.iter().zip(read).map(part).collect(),
        redacted: cleaned.redacted.iter().map(|(k, n)| (name_of(*k), *n)).collect(),
        suites_checked: texts
            .checked
            .iter()
            .map(|&(name, tasks)| SuiteChecked { name, tasks, dropped: of(name) })
            .collect(),
        suites_not_checked: texts.missing,
    }
}

fn full(report: &Report, dropped: &[Dropped], out: &Path) -> Result<()> {
    terminal::print(|to| {
        for part in &report.parts {
            writeln!(to, "{:<24} {:>7} rows, {:>7} stay", part.name, part.read, part.kept)?;
            for (reason, count) in &part.dropped {
                let first = dropped.iter().find(|d| d.part == part.name && name_of(d.reason) == *reason);
                let example = first.map_or_else(String::new, |d| {
                    let matched =
                        if d.matched.is_empty() { d.place.clone() } else { format!("{} of {}", d.matched, d.place) };
                    let share = d.share.map_or_else(String::new, |s| format!(", {s:.2}"));
                    format!("{}: {matched}{share}", d.id)
                });
                writeln!(to, "  {reason:<22} {count:>7} (first: {example})")?;
            }
        }
        for (kind, count) in &report.redacted {
            writeln!(to, "replaced {kind:<15} {count:>7}")?;
        }
        if !report.suites_checked.is_empty() {
            let checked: Vec<String> =
                report.suites_checked.iter().map(|s| format!("{} {}", s.name, s.tasks)).collect();
            writeln!(to, "compared with the tasks of: {}", checked.join(", "))?;
        }
        let missing: Vec<&str> = report.suites_not_checked.keys().map(String::as_str).collect();
        if !missing.is_empty() {
            writeln!(to, "NOT compared with (report.json says why): {}", missing.join(", "))?;
        }
        writeln!(to, "{}", out.display())
    })
    .context("report")
}
