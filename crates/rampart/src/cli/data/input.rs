//! Rows of the files named on the command line, or one message that says what is wrong with them.

use anyhow::{Context, Result, bail, ensure};
use corpus::rows::{self, Row};
use lexicon::{Origin, Pair, jsonl::BadLine};
use serde::Serialize;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Rows of one file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) rows: Vec<Row>,
}

/// Every row of the files. A bad line ends it: the first is told, the others are counted.
pub(crate) fn rows(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut bad = Vec::new();
    for path in paths {
        let read = read(path)?;
        bad.extend(read.bad);
        sources.push(Source { path: path.clone(), rows: read.rows });
    }
    if let Some(first) = bad.first() {
        bail!("{first}{}", others(&bad));
    }
    for source in &sources {
        ensure!(!source.rows.is_empty(), "{}: no row in it", source.path.display());
    }
    Ok(sources)
}

/// A file's rows and bad lines; a folder is refused by name.
pub(crate) fn read(path: &Path) -> Result<rows::Rows> {
    ensure!(!path.is_dir(), "{} is a folder: name the .jsonl, .parquet or .csv files in it", path.display());
    Ok(rows::read(path)?)
}

fn others(bad: &[BadLine]) -> String {
    match bad.len() - 1 {
        0 => String::new(),
        1 => " (and 1 more bad line)".to_owned(),
        more => format!(" (and {more} more bad lines)"),
    }
}

/// Every pair of the files; text without sides is refused, for there is nothing to compare.
pub(crate) fn pairs(paths: &[PathBuf]) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for source in rows(paths)? {
        for row in source.rows {
            match row {
                Row::Pair(pair) => pairs.push(pair),
                Row::Text { id, .. } => bail!("{}: row {id:?} is text without two sides", source.path.display()),
            }
        }
    }
    Ok(pairs)
}

/// A tokenizer file or a model folder. A malformed file must end in a message, whatever the library inside does with it.
pub(crate) fn tokenizer(path: &Path) -> Result<corpus::Tokenizer> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let loaded = std::panic::catch_unwind(|| corpus::Tokenizer::load(path));
    std::panic::set_hook(hook);
    match loaded {
        Ok(loaded) => loaded.context("--tokenizer"),
        Err(_) => bail!("--tokenizer: {}: not a tokenizer: its parts contradict each other", path.display()),
    }
}

/// A row as it is written: pairs in our form, whatever form they were read in.
#[derive(Serialize)]
struct Text<'r> {
    format: u32,
    id: &'r str,
    text: &'r str,
    #[serde(skip_serializing_if = "unstated")]
    origin: &'r Origin,
}

fn unstated(origin: &&Origin) -> bool {
    **origin == Origin::default()
}

/// Writes rows, whole or not at all.
pub(crate) fn write_rows<'r>(path: &Path, rows: impl Iterator<Item = &'r Row>) -> Result<()> {
    lexicon::atomic::write_with(path, |out| {
        for row in rows {
            match row {
                Row::Pair(pair) => serde_json::to_writer::<_, Pair>(&mut *out, pair),
                Row::Text { id, text, origin } => {
                    serde_json::to_writer(&mut *out, &Text { format: lexicon::FORMAT, id, text, origin })
                }
            }
            .map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })?;
    Ok(())
}
