//! `rampart data export`.

use super::{card, input};
use crate::cli::{exit, terminal};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use corpus::{
    card::Split,
    export::{self, Form},
    rows::Row,
};
use lexicon::atomic;
use std::{collections::BTreeSet, fs, io, path::PathBuf};

/// Writes a data set as others load it: FOLDER/data/<split>.jsonl or .parquet, every row with the same columns, and its card
/// (see `rampart data card`). `datasets.load_dataset(\"FOLDER\")` loads it, and so do all commands here.
///
/// Each file becomes a split, by its name: train*, val* or dev*, test*; others keep theirs.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data export train.jsonl val.jsonl test.jsonl --format parquet --out my-set --title 'Secure Python'
  rampart data export train.jsonl --columns preference --out for-trl      prompt, chosen, rejected")]
pub(crate) struct Args {
    /// Files of pairs or texts, one a split.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Folder to write.
    #[arg(long)]
    out: PathBuf,
    /// Form of the files.
    #[arg(long, value_enum, default_value_t = FileFormat::Jsonl)]
    format: FileFormat,
    /// Columns: ours with all provenance, or those that preference trainers take.
    #[arg(long, value_enum, default_value_t = Shape::Own)]
    columns: Shape,
    #[command(flatten)]
    about: card::AboutArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FileFormat {
    Jsonl,
    Parquet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    Own,
    Preference,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    args.about.ensure_free(&args.out)?;
    let extension = match args.format {
        FileFormat::Jsonl => "jsonl",
        FileFormat::Parquet => "parquet",
    };
    let mut form: Option<Form> = None;
    let mut names = BTreeSet::new();
    let mut splits = Vec::new();
    for source in input::rows(&args.files)? {
        let at = || source.path.display().to_string();
        let own = export::form_of(&source.rows).with_context(at)?;
        let own = if args.columns == Shape::Preference { Form::Preference } else { own };
        ensure!(form.is_none_or(|f| f == own), "{}: texts among files of pairs: export them apart", at());
        form = Some(own);
        let name = card::split_of(&source.path);
        ensure!(names.insert(name.clone()), "{}: another file is the split {name} already; name it otherwise", at());
        splits.push(Split { files: vec![format!("data/{name}.{extension}")], name, bytes: 0, rows: source.rows });
    }
    let form = form.unwrap_or(Form::Pairs);
    let others = leftovers(&args.out, &splits)?;
    ensure!(
        others.is_empty(),
        "{} holds {others} of another export: choose another --out, or remove it",
        args.out.join("data").display()
    );
    // Everything is known to fit before anything is written.
    splits.iter().try_for_each(|split| export::jsonl(&split.rows, form, &mut io::sink()))?;
    for split in &mut splits {
        let path = args.out.join(&split.files[0]);
        match args.format {
            FileFormat::Parquet => atomic::write(&path, &export::parquet(&split.rows, form)?)?,
            FileFormat::Jsonl => write_lines(&path, &split.rows, form)?,
        }
        split.bytes = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        terminal::say(&format!("{:<12} {:>7} rows {:>10} bytes", split.name, split.rows.len(), split.bytes));
    }
    card::write(&args.out, &splits, form, &args.about)?;
    terminal::answer(args.out.display())?;
    Ok(exit::CLEAN)
}

fn write_lines(path: &std::path::Path, rows: &[Row], form: Form) -> Result<()> {
    Ok(atomic::write_with(path, |out| {
        export::jsonl(rows, form, out).map_err(|e| match e {
            export::Error::Io(error) => error,
            other => io::Error::other(other.to_string()),
        })
    })?)
}

/// Data files that this export does not replace: a loader would take them for more of it.
fn leftovers(out: &std::path::Path, splits: &[Split]) -> Result<String> {
    let data = out.join("data");
    if !data.is_dir() {
        return Ok(String::new());
    }
    let mut others = Vec::new();
    for entry in fs::read_dir(&data).with_context(|| format!("cannot read {}", data.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !splits.iter().any(|s| s.files[0] == format!("data/{name}")) {
            others.push(name);
        }
    }
    others.sort();
    Ok(others.join(", "))
}
