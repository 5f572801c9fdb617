//! `rampart data curate`.

use super::{OutputFormat, convert::stated, input, print_json};
use crate::cli::{exit, surroundings, terminal};
use anyhow::{Result, ensure};
use corpus::{
    clean::name_of,
    curate::{self, Panel},
    rows::Row,
};
use judge::{Judge, analyzers};
use lexicon::{atomic, jsonl};
use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf};

/// Judges rows that people or other projects wrote by several analyzers. Those that nothing speaks against are kept; what the
/// analyzers, or they and the label, disagree on waits for people (`rampart data review`).
///
/// Writes FOLDER/pairs.jsonl, FOLDER/texts.jsonl (patterns with one side), FOLDER/review.jsonl, FOLDER/rejects.jsonl and
/// FOLDER/report.json. docs/curate.md says when analyzers agree.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data curate patterns.jsonl cves.jsonl --out runs/curated --licence MIT
  rampart data curate sven.jsonl --analyzer native,bandit,ruff --quorum 2 --out runs/curated
  rampart data review runs/curated")]
pub(crate) struct Args {
    /// Files of rows, in any known form.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Folder to write.
    #[arg(long)]
    out: PathBuf,
    /// Analyzers that judge; native, bandit-compat and those of ruff, cppcheck and flawfinder that are installed where none
    /// is named.
    #[arg(long, value_delimiter = ',')]
    analyzer: Vec<String>,
    /// Analyzers that must confirm a pair.
    #[arg(long, default_value_t = 1)]
    quorum: usize,
    /// Licence (SPDX) of rows that state none.
    #[arg(long, value_name = "SPDX")]
    licence: Option<String>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Full)]
    output_format: OutputFormat,
}

/// Analyzers that are asked where they are installed: those that need neither rules nor a database of code.
const USUAL: &[&str] = &["ruff", "cppcheck", "flawfinder"];

#[derive(Serialize)]
struct Report {
    format: u32,
    rows: usize,
    agreed: usize,
    review: usize,
    refused: BTreeMap<&'static str, usize>,
    reasons: BTreeMap<&'static str, usize>,
    analyzers: BTreeMap<String, BTreeMap<String, usize>>,
}

/// A judge of the named analyzers, or the usual ones that are here; with names and versions.
pub(super) fn panel(named: &[String]) -> Result<(Judge, Vec<(String, String)>)> {
    // A row must not choose what is silenced in it.
    let settings =
        analyzers::Settings { folders: surroundings::folders(), nosec: false, ..analyzers::Settings::default() };
    let names: Vec<String> = if named.is_empty() {
        let here = USUAL.iter().filter(|n| analyzers::open(&[**n], &settings).is_ok());
        [judge::native::ANALYZER, "bandit-compat"].iter().chain(here).map(|n| (*n).to_owned()).collect()
    } else {
        named.to_vec()
    };
    let judge = Judge::new(analyzers::open(&names, &settings)?, None);
    let versions = names.iter().map(|n| (n.clone(), super::mine::version_of(n, &settings))).collect();
    Ok((judge, versions))
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    ensure!(args.quorum > 0, "--quorum 0 would confirm anything: one at least");
    let (judge, versions) = panel(&args.analyzer)?;
    ensure!(args.quorum <= versions.len(), "--quorum {} of {} analyzers cannot be had", args.quorum, versions.len());
    let mut rows = Vec::new();
    for source in input::rows(&args.files)? {
        let name = source.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        rows.extend(source.rows.into_iter().map(|row| stated(row, &name, args.licence.as_deref())));
    }
    let read = rows.len();
    let curated = curate::curate(rows, &Panel { judge: &judge, analyzers: &versions, quorum: args.quorum })?;
    let (pairs, texts): (Vec<&Row>, Vec<&Row>) = curated.agreed.iter().partition(|r| matches!(r, Row::Pair(_)));
    input::write_rows(&args.out.join("pairs.jsonl"), pairs.into_iter())?;
    input::write_rows(&args.out.join("texts.jsonl"), texts.into_iter())?;
    jsonl::write(&args.out.join("review.jsonl"), &curated.review)?;
    jsonl::write(&args.out.join("rejects.jsonl"), &curated.refused)?;
    let mut refused = BTreeMap::new();
    curated.refused.iter().for_each(|r| *refused.entry(r.reason).or_default() += 1);
    let said = |(name, says): (&String, &BTreeMap<_, usize>)| {
        (name.clone(), says.iter().map(|(what, n)| (name_of(*what), *n)).collect())
    };
    let report = Report {
        format: lexicon::FORMAT,
        rows: read,
        agreed: curated.agreed.len(),
        review: curated.review.len(),
        refused,
        reasons: curate::counts(&curated.review),
        analyzers: curated.voices.iter().map(said).collect(),
    };
    atomic::write(&args.out.join("report.json"), &serde_json::to_vec_pretty(&report)?)?;
    match args.output_format {
        OutputFormat::Json => print_json(&report)?,
        OutputFormat::Full => terminal::print(|to| {
            writeln!(to, "rows                   {:>7}", report.rows)?;
            writeln!(to, "agreed upon            {:>7}", report.agreed)?;
            writeln!(to, "for review             {:>7}", report.review)?;
            for (reason, n) in &report.reasons {
                writeln!(to, "  {reason:<44} {n:>7}")?;
            }
            for (reason, n) in &report.refused {
                writeln!(to, "refused: {reason:<35}  {n:>7}")?;
            }
            for (name, says) in &report.analyzers {
                let said: Vec<String> = says.iter().map(|(what, n)| format!("{what} {n}")).collect();
                writeln!(to, "{name:<22} {}", said.join(", "))?;
            }
            writeln!(to, "{}", args.out.display())
        })?,
    }
    Ok(exit::CLEAN)
}
