//! `rampart suites`: what can be asked, whether its files are here and whole, and how to have them.

mod pull;

use super::{eval::data_folder, exit, surroundings, terminal};
use ::eval::suites::{self, ALL, Input, Suite};
use anyhow::{Context, Result, bail};
use corpus::library;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Shows, checks and fetches suites.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart suites list
  rampart suites check                                  (all that are here)
  rampart suites check safecoder-trained --data DIR
  rampart suites pull humaneval --accept")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Shows every suite, its licence, and whether its files are here.
    List {
        /// Benchmarks' files; where `pull` puts them otherwise.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Form of the answer.
        #[arg(long, default_value = "full", value_parser = ["full", "json"])]
        output_format: String,
    },
    /// Loads suites whole and compares their files with the checksums known.
    Check {
        /// Suites; all that are here where none is named.
        suites: Vec<String>,
        /// Benchmarks' files; where `pull` puts them otherwise.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Goes ahead with fewer records than were published.
        #[arg(long)]
        partial: bool,
    },
    /// Fetches a suite's files from its publisher, at the commit that the papers' figures belong to.
    Pull {
        /// Suites.
        #[arg(required = true)]
        suites: Vec<String>,
        /// Accepts the licence that is shown.
        #[arg(long)]
        accept: bool,
        /// Another place of the same repository: an address or a folder that `git` understands.
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
        /// Folder to put them in.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line {
    name: &'static str,
    about: &'static str,
    records: Option<usize>,
    repository: Option<&'static str>,
    commit: Option<&'static str>,
    licence: &'static str,
    folder: Option<String>,
    here: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    match &args.command {
        Command::List { data, output_format } => list(data.as_deref(), output_format),
        Command::Check { suites, data, partial } => check(suites, data.as_deref(), *partial),
        Command::Pull { suites, accept, mirror, data } => {
            let root =
                data.clone().or_else(surroundings::suites).context("no HOME and no --data: where to put them?")?;
            for name in suites {
                let suite = suites::by_name(name)?;
                pull::pull(suite, &root, *accept, mirror.as_deref())?;
                load(suite, Some(&root), true).with_context(|| format!("suite {name}"))?;
            }
            Ok(exit::CLEAN)
        }
    }
}

fn list(data: Option<&Path>, format: &str) -> Result<u8> {
    let line = |suite: &&'static dyn Suite| {
        let upstream = suite.upstream();
        let folder = data_folder(*suite, data).filter(|f| f.is_dir());
        Line {
            name: suite.name(),
            about: suite.about(),
            records: suite.records(),
            repository: upstream.map(|u| u.repository).filter(|r| !r.is_empty()),
            commit: upstream.map(|u| u.commit).filter(|c| !c.is_empty()),
            licence: upstream.map_or("ours", |u| u.licence),
            here: upstream.is_none() || folder.is_some(),
            folder: folder.map(|f| f.display().to_string()),
        }
    };
    let lines: Vec<Line> = ALL.iter().map(line).collect();
    if format == "json" {
        terminal::answer(serde_json::to_string_pretty(&lines)?)?;
        return Ok(exit::CLEAN);
    }
    let width = lines.iter().map(|l| l.name.len()).max().unwrap_or(0);
    for l in &lines {
        let state = if l.here { "here" } else { "-" };
        let records = l.records.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let records =
            if l.repository.is_none() && l.licence == "ours" && l.records.is_none() { "-".into() } else { records };
        terminal::answer(format!("{:<width$}  {state:<4}  {records:>5}  {}", l.name, l.about))?;
    }
    terminal::say("licences, places and commits: --output-format json; fetch one with `rampart suites pull NAME`");
    Ok(exit::CLEAN)
}

fn check(names: &[String], data: Option<&Path>, partial: bool) -> Result<u8> {
    let mut broken = Vec::new();
    let named: Vec<&'static dyn Suite> = names.iter().map(|n| suites::by_name(n)).collect::<Result<_, _>>()?;
    let all = if named.is_empty() { ALL.to_vec() } else { named };
    for suite in all {
        let folder = data_folder(suite, data).filter(|f| f.is_dir());
        if names.is_empty() && suite.upstream().is_some() && folder.is_none() {
            continue;
        }
        let outcome = load(suite, data, partial).and_then(|loaded| {
            let known = folder.as_deref().map(|f| pull::verify(suite, f)).transpose()?.unwrap_or_default();
            Ok((loaded, known))
        });
        match outcome {
            Ok(((cases, notes), known)) => {
                terminal::answer(format!("{}: {cases} tasks{known}", suite.name()))?;
                notes.iter().for_each(|note| terminal::say(note));
            }
            Err(error) => {
                terminal::say(&format!("{}: {}", suite.name(), terminal::causes(&error)));
                broken.push(suite.name());
            }
        }
    }
    if !broken.is_empty() {
        bail!("{} of the suites cannot be used: {}", broken.len(), broken.join(", "));
    }
    Ok(exit::CLEAN)
}

/// Number of tasks, and what is left out.
fn load(suite: &dyn Suite, data: Option<&Path>, partial: bool) -> Result<(usize, Vec<String>)> {
    let folder = data_folder(suite, data);
    let lessons = if suite.upstream().is_none() { library::embedded()? } else { Vec::new() };
    let input = Input { lessons: &lessons, per_lesson: None, seed: 0, folder: folder.as_deref(), partial };
    let loaded = suites::load(suite, &input)?;
    Ok((loaded.cases.len(), loaded.notes))
}
