//! `rampart data convert`.

use super::input;
use crate::cli::{exit, terminal};
use anyhow::{Result, ensure};
use corpus::rows::Row;
use lexicon::Origin;
use std::path::PathBuf;

/// Reads rows of any known form (preference rows, SafeCoder's and SVEN's, DiSCo's CSV, curated patterns, Parquet) into ours.
///
/// docs/curate.md lists the forms and the names of their fields.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data convert patterns.jsonl cves.jsonl --out pairs.jsonl --licence MIT
  rampart data convert disco.csv --out disco.jsonl")]
pub(crate) struct Args {
    /// Files of rows.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// File to write, JSON Lines.
    #[arg(long)]
    out: PathBuf,
    /// Licence (SPDX) of rows that state none.
    #[arg(long, value_name = "SPDX")]
    licence: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let mut rows = Vec::new();
    for source in input::rows(&args.files)? {
        let name = source.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        rows.extend(source.rows.into_iter().map(|row| stated(row, &name, args.licence.as_deref())));
    }
    ensure!(!rows.is_empty(), "no row to convert");
    input::write_rows(&args.out, rows.iter())?;
    let pairs = rows.iter().filter(|r| matches!(r, Row::Pair(_))).count();
    terminal::say(&format!("{pairs} pairs, {} texts", rows.len() - pairs));
    terminal::answer(args.out.display())?;
    Ok(exit::CLEAN)
}

/// A row with the name of its file as its source, and a licence, where it states none itself.
pub(super) fn stated(mut row: Row, file: &str, licence: Option<&str>) -> Row {
    let state = |origin: &mut Origin| {
        if origin.source.is_empty() {
            file.clone_into(&mut origin.source);
        }
        if let Some(licence) = licence.filter(|_| origin.licence.trim().is_empty()) {
            licence.clone_into(&mut origin.licence);
        }
    };
    match &mut row {
        Row::Pair(pair) => state(&mut pair.origin),
        Row::Text { origin, .. } => state(origin),
    }
    row
}
