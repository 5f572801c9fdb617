//! `rampart data review`.

use super::{OutputFormat, curate, input, print_json};
use crate::{
    cli::{exit, stop, terminal},
    review::{self, Desk},
};
use anyhow::{Context, Result, ensure};
use corpus::{
    curate::{Judged, Panel},
    review::{
        Queue, Settled,
        agreement::Agreement,
        log::{Held, Log},
    },
};
use lexicon::jsonl;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Lets people decide about pairs: a page on this machine, by keyboard, with the difference, what analyzers say and where a
/// pair comes from. Accept, fix or reject; two reviewers can be compared.
///
/// Every decision is appended to decisions.jsonl beside the rows and is on disk before the page goes on: nothing is lost when
/// page or program dies. With --out nothing is served: what was taken is written.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data review runs/curated                          review.jsonl in a folder of `rampart data curate`
  rampart data review pairs.jsonl --reviewer Ada            any file of pairs; analyzers look at them first
  rampart data review runs/curated --reviewers 2 --out reviewed.jsonl")]
pub(crate) struct Args {
    /// Folder of `rampart data curate`, or a file of pairs or of its review rows.
    path: PathBuf,
    /// Who reviews, where the page was not told otherwise.
    #[arg(long, value_name = "NAME")]
    reviewer: Option<String>,
    /// People who must decide alike before a row is taken or rejected.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    reviewers: u8,
    /// Port to listen on; 0 takes a free one. The address is printed.
    #[arg(long, default_value_t = 8377)]
    port: u16,
    /// Analyzers that look at a file of pairs; see `rampart data curate`.
    #[arg(long, value_delimiter = ',')]
    analyzer: Vec<String>,
    /// Writes the rows that were taken to a file, says what became of the others, and serves nothing.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How the answer of --out is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Full)]
    output_format: OutputFormat,
}

#[derive(Serialize)]
struct Answer {
    format: u32,
    rows: usize,
    taken: usize,
    rejected: usize,
    disputed: Vec<String>,
    open: usize,
    reviewers: BTreeMap<String, usize>,
    agreement: Vec<Agreement>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    if let Some(name) = &args.reviewer {
        let sound = !name.trim().is_empty() && name.chars().count() <= 60 && !name.chars().any(char::is_control);
        ensure!(sound, "--reviewer: a name has one to sixty characters");
    }
    let (rows, log) = places(&args.path);
    let items = items(&rows, &args.analyzer)?;
    ensure!(!items.is_empty(), "{}: no row waits for review", rows.display());
    let (log, Held { decisions, bad }) = Log::open(&log)?;
    for line in &bad {
        terminal::say(&format!("not counted: {line}"));
    }
    let queue = Queue::new(items, decisions);
    if queue.stale > 0 {
        terminal::say(&format!("{} decisions are about rows that are not here, or were changed since", queue.stale));
    }
    let needed = usize::from(args.reviewers);
    if let Some(out) = &args.out {
        return write(&queue, needed, out, args.output_format);
    }
    let title = args.path.file_name().map_or_else(|| "rows".into(), |n| n.to_string_lossy().into_owned());
    review::serve(Desk::new(queue, log, needed, args.reviewer.clone(), title), args.port, stop::flag())?;
    terminal::say("review: ended; every decision is kept");
    Ok(exit::CLEAN)
}

/// Rows and the log of decisions about them.
fn places(path: &Path) -> (PathBuf, PathBuf) {
    if path.is_dir() {
        (path.join("review.jsonl"), path.join("decisions.jsonl"))
    } else if path.file_name().is_some_and(|n| n == "review.jsonl") {
        (path.to_owned(), path.with_file_name("decisions.jsonl"))
    } else {
        (path.to_owned(), path.with_extension("decisions.jsonl"))
    }
}

/// Review rows as they are; pairs after analyzers have looked at them.
fn items(path: &Path, analyzers: &[String]) -> Result<Vec<Judged>> {
    let lines = jsonl::read_lenient::<Judged>(path)?;
    if lines.bad.is_empty() {
        return Ok(lines.records.into_iter().map(|(_, j)| j).collect());
    }
    if let Some((_, first)) = lines.records.first() {
        let bad = &lines.bad[0];
        anyhow::bail!("{bad} (the row {:?} before or after it waits for review)", first.pair.id);
    }
    let pairs = input::pairs(&[path.to_owned()]).context("neither review rows nor pairs")?;
    let (judge, versions) = curate::panel(analyzers)?;
    Ok(corpus::curate::judged(pairs, &Panel { judge: &judge, analyzers: &versions, quorum: 1 })?)
}

fn write(queue: &Queue, needed: usize, out: &Path, form: OutputFormat) -> Result<u8> {
    let (mut taken, mut rejected, mut disputed, mut open) = (Vec::new(), 0, Vec::new(), 0);
    for (i, item) in queue.items.iter().enumerate() {
        match queue.settled(i, needed) {
            Settled::Taken(row) => taken.push(*row),
            Settled::Rejected => rejected += 1,
            Settled::Disputed => disputed.push(item.pair.id.clone()),
            Settled::Open => open += 1,
        }
    }
    input::write_rows(out, taken.iter())?;
    let answer = Answer {
        format: lexicon::FORMAT,
        rows: queue.items.len(),
        taken: taken.len(),
        rejected,
        disputed,
        open,
        reviewers: queue.reviewers(),
        agreement: queue.agreements(),
    };
    match form {
        OutputFormat::Json => print_json(&answer)?,
        OutputFormat::Full => terminal::print(|to| {
            let people: Vec<String> = answer.reviewers.iter().map(|(name, n)| format!("{name} {n}")).collect();
            writeln!(to, "rows       {:>7}", answer.rows)?;
            writeln!(to, "taken      {:>7}", answer.taken)?;
            writeln!(to, "rejected   {:>7}", answer.rejected)?;
            writeln!(to, "disputed   {:>7}  {}", answer.disputed.len(), answer.disputed.join(", "))?;
            writeln!(to, "open       {:>7}", answer.open)?;
            writeln!(to, "decided by {}", people.join(", "))?;
            for agreement in &answer.agreement {
                writeln!(to, "agreement  {}", agreement.said())?;
            }
            writeln!(to, "{}", out.display())
        })?,
    }
    Ok(exit::CLEAN)
}
