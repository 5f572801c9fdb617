//! `rampart data card`.

use super::input;
use crate::cli::{exit, terminal};
use anyhow::{Context, Result, bail, ensure};
use corpus::{
    card::{self, About, Split},
    export::{self, Form},
    knowledge::catalogue::Catalogue,
    library,
    rows::Row,
    stats::drawing,
};
use lexicon::atomic;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Name of the card in its folder.
pub(super) const CARD: &str = "README.md";
/// Name of the picture beside it.
const PICTURE: &str = "lengths.svg";

/// Writes README.md and lengths.svg beside a data set: the card that Hugging Face shows, with licences, counts, provenance,
/// how pairs were verified and what speaks against them, all from the rows.
///
/// The splits are the .jsonl and .parquet files in FOLDER/data, or else in FOLDER, by their names.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data card my-set --title 'Secure Python' --summary 'Pairs from our own lessons.'
  rampart data card runs/mined --split train=rows.jsonl")]
pub(crate) struct Args {
    /// Folder of the data set.
    folder: PathBuf,
    /// A split and its file in the folder; may be given several times, and for one split.
    #[arg(long, value_name = "NAME=FILE")]
    split: Vec<String>,
    #[command(flatten)]
    about: AboutArgs,
}

/// What a person says of a set.
#[derive(clap::Args, Debug)]
pub(super) struct AboutArgs {
    /// Title; the folder's name where none is given.
    #[arg(long)]
    title: Option<String>,
    /// What the set is for, in a sentence or two.
    #[arg(long, default_value = "")]
    summary: String,
    /// Replaces a README.md that is there.
    #[arg(long)]
    force: bool,
}

impl AboutArgs {
    /// A card that is there is somebody's.
    pub(super) fn ensure_free(&self, folder: &Path) -> Result<()> {
        let there = folder.join(CARD);
        ensure!(self.force || !there.exists(), "{} is there already: --force replaces it", there.display());
        Ok(())
    }
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    ensure!(args.folder.is_dir(), "{} is no folder", args.folder.display());
    args.about.ensure_free(&args.folder)?;
    let mut splits: Vec<Split> = Vec::new();
    let files = if args.split.is_empty() { found(&args.folder)? } else { named(&args.split)? };
    let mut form: Option<Form> = None;
    for (name, file) in files {
        let path = args.folder.join(&file);
        let bytes = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        let rows: Vec<Row> = input::rows(std::slice::from_ref(&path))?.into_iter().flat_map(|s| s.rows).collect();
        let own = columns(&path, &rows)?;
        ensure!(form.is_none_or(|f| f == own), "{}: its columns are not those of the other files", path.display());
        form = Some(own);
        let file = file.to_string_lossy().replace('\\', "/");
        match splits.iter_mut().find(|s| s.name == name) {
            Some(split) => {
                split.files.push(file);
                split.bytes += bytes;
                split.rows.extend(rows);
            }
            None => splits.push(Split { name, files: vec![file], bytes, rows }),
        }
    }
    let Some(form) = form else {
        bail!("{}: no .jsonl or .parquet file in it; name them by --split NAME=FILE", args.folder.display());
    };
    write(&args.folder, &splits, form, &args.about)?;
    terminal::answer(args.folder.join(CARD).display())?;
    Ok(exit::CLEAN)
}

/// Writes picture and card.
pub(super) fn write(folder: &Path, splits: &[Split], form: Form, about: &AboutArgs) -> Result<()> {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name().map_or_else(|| "data".into(), |n| n.to_string_lossy().into_owned());
    let rows: Vec<Row> = splits.iter().flat_map(|s| s.rows.iter().cloned()).collect();
    atomic::write(&folder.join(PICTURE), drawing::svg(&rows, None).as_bytes())?;
    let catalogue = Catalogue::built_in(&library::embedded()?);
    let about =
        About { title: about.title.as_deref().unwrap_or(&name), summary: &about.summary, form, drawing: Some(PICTURE) };
    atomic::write(&folder.join(CARD), card::card(splits, &about, &catalogue).as_bytes())?;
    Ok(())
}

/// Whether a file has sides under their own names or as `chosen` and `rejected`: by its first row as it stands.
fn columns(path: &Path, rows: &[Row]) -> Result<Form> {
    let own = export::form_of(rows).with_context(|| path.display().to_string())?;
    let preference = rows.iter().all(|r| matches!(r, Row::Pair(p) if p.origin.kind == "preference-row"));
    Ok(if own == Form::Pairs && preference { Form::Preference } else { own })
}

/// Data files by the split that their names begin with.
fn found(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let data = folder.join("data");
    let (place, prefix) = if data.is_dir() { (data, "data") } else { (folder.to_owned(), "") };
    let mut files = Vec::new();
    for entry in fs::read_dir(&place).with_context(|| format!("cannot read {}", place.display()))? {
        let path = entry?.path();
        let known = path.extension().is_some_and(|e| e == "jsonl" || e == "parquet");
        if let (true, Some(name)) = (known && path.is_file(), path.file_name()) {
            files.push((split_of(&path), Path::new(prefix).join(name)));
        }
    }
    files.sort();
    let order = |name: &str| ["train", "validation", "test"].iter().position(|n| *n == name).unwrap_or(3);
    files.sort_by_key(|(name, _)| order(name));
    Ok(files)
}

fn named(splits: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let one = |text: &String| {
        let (name, file) = text.split_once('=').with_context(|| format!("--split {text}: write NAME=FILE"))?;
        let sound = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        ensure!(sound, "--split {text}: a split's name has letters, digits and _ alone");
        let inside = Path::new(file).components().all(|c| matches!(c, std::path::Component::Normal(_)));
        ensure!(inside && !file.is_empty(), "--split {text}: the file lies in the folder, named from there");
        Ok((name.to_owned(), PathBuf::from(file)))
    };
    splits.iter().map(one).collect()
}

/// The split that a file is of: `train-00000-of-00002.parquet` is of train, `val.jsonl` of validation.
pub(super) fn split_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let first = stem.split(|c: char| !c.is_ascii_alphanumeric()).find(|w| !w.is_empty()).unwrap_or("train");
    match first {
        "train" | "training" => "train".to_owned(),
        "val" | "valid" | "validation" | "dev" => "validation".to_owned(),
        "test" | "testing" | "eval" => "test".to_owned(),
        _ => stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_by_name() {
        for (file, expect) in [
            ("train.jsonl", "train"),
            ("train-00001-of-00002.parquet", "train"),
            ("Val.jsonl", "validation"),
            ("dev_1.jsonl", "validation"),
            ("test.parquet", "test"),
            ("my pairs.jsonl", "my_pairs"),
            (".jsonl", "_jsonl"),
        ] {
            assert_eq!(split_of(Path::new(file)), expect, "{file}");
        }
    }
}
