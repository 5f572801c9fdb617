//! `rampart data split`.

use super::input;
use crate::cli::{exit, terminal};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use corpus::{
    Split,
    partition::{self, By},
    rows::Row,
};
use std::path::PathBuf;

/// Divides rows into train.jsonl, val.jsonl and test.jsonl; rows with the same code always go together.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data split pairs.jsonl --out data
  rampart data split pairs.jsonl --out data --by lesson --fractions 80,10,10
  rampart data split all.jsonl --out data --held-out")]
pub(crate) struct Args {
    /// Files of pairs or texts.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Folder to write.
    #[arg(long)]
    out: PathBuf,
    /// Shares of train, val and test.
    #[arg(long, value_delimiter = ',', num_args = 1, default_value = "95,3,2")]
    fractions: Vec<f64>,
    /// Seed of the order.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What stays together: rows of one lesson, repository or other source, or only rows with the same code.
    #[arg(long, value_enum, default_value_t = Unit::Row)]
    by: Unit,
    /// The built-in split of lessons instead: val are held-out variants, test held-out lessons, neither is in train.
    #[arg(long, conflicts_with_all = ["fractions", "seed", "by"])]
    held_out: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Unit {
    Lesson,
    Row,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let &[train, val, test] = args.fractions.as_slice() else {
        anyhow::bail!("--fractions takes three numbers, such as 95,3,2; there are {}", args.fractions.len());
    };
    let rows: Vec<Row> = input::rows(&args.files)?.into_iter().flat_map(|s| s.rows).collect();
    let parts = if args.held_out {
        partition::held_out(&rows, &Split::default())?
    } else {
        let by = match args.by {
            Unit::Lesson => By::Lesson,
            Unit::Row => By::Row,
        };
        partition::partition(&rows, [train, val, test], by, args.seed).context("--fractions")?
    };
    ensure!(!parts.train.is_empty(), "train would be empty: {} rows are too few to divide so", rows.len());
    for (name, part) in [("train", &parts.train), ("val", &parts.val), ("test", &parts.test)] {
        let path = args.out.join(name).with_extension("jsonl");
        input::write_rows(&path, part.iter().map(|&i| &rows[i]))?;
        terminal::say(&format!(
            "{name:<6} {:>7} rows{}",
            part.len(),
            if part.is_empty() { ": too few to divide" } else { "" }
        ));
        terminal::answer(path.display())?;
    }
    if !parts.withheld.is_empty() {
        let what = "in no part: variants of held-out lessons, or code that val or test asks for";
        terminal::say(&format!("{} rows {what}", parts.withheld.len()));
    }
    Ok(exit::CLEAN)
}
