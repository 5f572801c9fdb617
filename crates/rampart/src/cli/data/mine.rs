//! `rampart data mine`.

use super::{OutputFormat, print_json};
use crate::cli::{
    endpoint::{Options, print_estimate},
    exit, stop, surroundings, terminal,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use corpus::mine::{self, Heuristics, Report, Run, desk::Author, heuristics::BUILT_IN, instruction};
use judge::{Judge, analyzers};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};
use writer::{Api, Ask, Parameters, Question};

/// Finds real fixes in the histories of git repositories on this machine, or in tables of commits. A commit is looked at where its message and lines
/// speak of a weakness; it is kept where the judge finds that weakness before it and not after, and the functions that held it
/// become pairs. Repositories are read alone: nothing of theirs is run. Started again after Ctrl-C or kill -9, it goes on where
/// it was.
///
/// The output folder gets rows.jsonl (pairs, for `rampart train` and the other `rampart data` commands), rejects.jsonl (every commit
/// with a keyword that gave none, and why) and report.json.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data mine ~/src/project --out runs/mined
  rampart data mine a b c --out runs/mined --allow-licence MIT,Apache-2.0,BSD-3-Clause
  rampart data mine --write-heuristics words.toml      phrases and words, to be edited
  rampart data mine project --out runs/mined --heuristics words.toml --analyzer native,codeql
  rampart data mine --commits commits/*.parquet --out runs/mined           tables (build with --features scale)
  rampart data mine --commits /shared/commits --out runs/mined --scheduler http://127.0.0.1:50050
  rampart data mine project --out runs/mined --endpoint http://127.0.0.1:8000/v1 --model large --api chat")]
pub(crate) struct Args {
    /// Git repositories: working copies or bare ones.
    #[arg(required_unless_present_any = ["write_heuristics", "commits"])]
    repositories: Vec<PathBuf>,
    /// Tables of commits instead, Parquet files or folders of them: a message, and a patch, files or texts before and after.
    #[arg(long, num_args = 1.., value_name = "TABLE", conflicts_with_all = ["repositories", "revision", "limit"])]
    commits: Vec<PathBuf>,
    /// Which column is what, where a table uses names of its own: message, commit, repository, licence, patch, files, old-path,
    /// new-path, before, after.
    #[arg(long, value_delimiter = ',', value_name = "ROLE=NAME", requires = "commits")]
    column: Vec<String>,
    /// Has the tables read by the executors of `rampart cluster`; they must see them under the same paths.
    #[arg(long, value_name = "URL", requires = "commits")]
    scheduler: Option<String>,
    /// Folder to write.
    #[arg(long, required_unless_present = "write_heuristics")]
    out: Option<PathBuf>,
    /// Branch, tag or whole commit id where the history begins; HEAD where none is given.
    #[arg(long)]
    revision: Option<String>,
    /// Commits of each repository to look at: those nearest to where the history begins.
    #[arg(long, value_name = "COMMITS")]
    limit: Option<usize>,
    /// Phrases and words that tell which commits may be a fix, TOML; the built-in ones where none is given.
    #[arg(long, value_name = "FILE")]
    heuristics: Option<PathBuf>,
    /// Writes the built-in heuristics to a file and stops; a file that is there stays.
    #[arg(long, value_name = "FILE")]
    write_heuristics: Option<PathBuf>,
    /// Analyzers that look at both sides.
    #[arg(long, value_delimiter = ',', default_value = "native")]
    analyzer: Vec<String>,
    /// Licences (SPDX) that are let through; all where none is named. What has no known licence is then left out.
    #[arg(long, value_delimiter = ',', value_name = "LICENCE")]
    allow_licence: Vec<String>,
    /// Model that writes instructions; without an endpoint they are made of docstring and signature.
    #[arg(long, requires = "endpoint")]
    model: Option<String>,
    /// Template (minijinja) of the question to it: `language`, `function`, `insecure` and `secure` are there.
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    template: Option<PathBuf>,
    #[command(flatten)]
    endpoint: Options,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t = OutputFormat::Full)]
    output_format: OutputFormat,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    if let Some(file) = &args.write_heuristics {
        ensure!(!file.exists(), "{} is there already: choose another name, or remove it", file.display());
        lexicon::atomic::write(file, BUILT_IN.as_bytes())?;
        terminal::answer(file.display())?;
        return Ok(exit::CLEAN);
    }
    // The parser waives what a positional argument conflicts with.
    let given = !args.commits.is_empty() || args.scheduler.is_none() && args.column.is_empty();
    ensure!(given, "--scheduler and --column are about tables: name them with --commits");
    let out = args.out.as_ref().context("--out is needed")?;
    let heuristics = match &args.heuristics {
        Some(file) => Heuristics::read(file),
        None => Heuristics::built_in(),
    };
    let heuristics = heuristics.map_err(|why| anyhow!(why))?;
    // A commit must not choose what is silenced in it.
    let settings =
        analyzers::Settings { folders: surroundings::folders(), nosec: false, ..analyzers::Settings::default() };
    let judge = Judge::new(analyzers::open(&args.analyzer, &settings)?, None);
    let versions: Vec<(String, String)> =
        args.analyzer.iter().map(|name| (name.clone(), version_of(name, &settings))).collect();
    let template = match &args.template {
        Some(file) => fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => instruction::TEMPLATE.to_owned(),
    };
    let endpoint = match (&args.endpoint.endpoint, &args.model) {
        (Some(url), Some(model)) => {
            let (api, budget) = (args.endpoint.api().unwrap_or(Api::Chat), args.endpoint.budget()?);
            Some(args.endpoint.open(url, model, model, api, budget, &out.join("instructions"))?)
        }
        (Some(_), None) => bail!("--endpoint needs --model: which of its models is to write instructions?"),
        _ => None,
    };
    let parameters = Parameters { max_tokens: 120, temperature: 0.0, ..Parameters::default() };
    let dry = args.endpoint.dry_run;
    let author = endpoint.as_ref().filter(|_| !dry);
    let author = author.map(|writer| Author { writer, template: &template, parameters: &parameters });
    let bar = terminal::bar(0, "");
    let begun = Instant::now();
    let desk = mine::Desk {
        out,
        heuristics: &heuristics,
        judge: &judge,
        analyzers: &versions,
        author,
        allow: &args.allow_licence,
        stop: stop::flag(),
        progress: &mut |stage, done, all| {
            bar.set_prefix(format!("{stage} "));
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        },
    };
    let outcome = if args.commits.is_empty() {
        mine::run(&mut Run {
            repositories: &args.repositories,
            revision: args.revision.as_deref(),
            most: args.limit.unwrap_or(usize::MAX),
            desk,
        })
        .map_err(Into::into)
    } else {
        tables(args, desk)
    };
    bar.finish_and_clear();
    let report = outcome?;
    if let (Some(endpoint), true) = (&endpoint, dry) {
        return estimate(endpoint, &out.join("rows.jsonl"), &template, &parameters);
    }
    let seconds = begun.elapsed().as_secs_f64();
    terminal::say(&format!(
        "{} commits in {seconds:.1} s, {:.0} a second",
        report.commits,
        report.commits as f64 / seconds
    ));
    match args.output_format {
        OutputFormat::Json => print_json(&report)?,
        OutputFormat::Full => print_table(&report, out)?,
    }
    Ok(exit::CLEAN)
}

/// Mines tables.
#[cfg(feature = "scale")]
fn tables(args: &Args, desk: mine::Desk) -> Result<Report> {
    use commits::{Place, Reader, Table};
    let named: Vec<(String, String)> = args
        .column
        .iter()
        .map(|text| {
            let (role, name) = text.split_once('=').with_context(|| format!("--column {text:?} is no ROLE=NAME"))?;
            Ok((role.to_owned(), name.to_owned()))
        })
        .collect::<Result<_>>()?;
    let mut files = Vec::new();
    for path in &args.commits {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut inside: Vec<PathBuf> = entries.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
        inside.retain(|p| p.extension().is_some_and(|e| e == "parquet"));
        ensure!(!inside.is_empty(), "{} holds no .parquet file", path.display());
        inside.sort();
        files.extend(inside);
    }
    let opened = files.iter().map(|f| Table::open(f, &named)).collect::<Result<Vec<_>, _>>()?;
    let paths: std::collections::BTreeSet<&PathBuf> = opened.iter().map(|t| &t.path).collect();
    ensure!(paths.len() == opened.len(), "a table is named twice");
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let place = args.scheduler.as_ref().map_or(Place::Here(processors), |url| Place::Cluster(url.clone()));
    let reader = Reader::new(&opened, desk.heuristics, place, desk.stop)?;
    let told: Vec<mine::tables::Table> = opened.iter().map(|t| t.table.clone()).collect();
    Ok(mine::tables::run(&told, &mut |places, sink| reader.read(places, sink), desk)?)
}

#[cfg(not(feature = "scale"))]
fn tables(_: &Args, _: mine::Desk) -> Result<Report> {
    bail!("this program was built without tables of commits: build it with `cargo build --release --features scale`")
}

/// An analyzer's version: ours, or what a program of others says it is.
pub(super) fn version_of(name: &str, settings: &analyzers::Settings) -> String {
    if [judge::native::ANALYZER, "bandit-compat"].contains(&name) {
        return env!("CARGO_PKG_VERSION").to_owned();
    }
    let program = settings.folders.iter().map(|f| f.join(name)).find(|p| p.is_file());
    program.and_then(|p| analyzers::version(&p).ok()).unwrap_or_else(|| "unknown".to_owned())
}

fn estimate(endpoint: &writer::Endpoint, rows: &Path, template: &str, parameters: &Parameters) -> Result<u8> {
    let ask = |pair: &lexicon::Pair| {
        let question = Question::Text(instruction::question(template, pair).map_err(|why| anyhow!(why))?);
        Ok(Ask { question, parameters: parameters.clone(), sample: 0, expect: None })
    };
    let pairs: Vec<lexicon::Pair> = lexicon::jsonl::read(rows)?;
    print_estimate(endpoint, &pairs.iter().map(ask).collect::<Result<Vec<_>>>()?)?;
    Ok(exit::CLEAN)
}

fn print_table(r: &Report, out: &Path) -> Result<()> {
    terminal::print(|to| {
        for repository in &r.repositories {
            let missing = match repository.missing {
                0 => String::new(),
                n => format!(", {n} more are not there"),
            };
            writeln!(to, "{} at {}: {} commits{missing}", repository.name, &repository.tip[..12], repository.commits)?;
        }
        writeln!(to, "commits                  {:>7}  {} with a keyword", r.commits, r.keyword)?;
        writeln!(to, "fixes                    {:>7}  commits, {} pairs", r.fixes, r.pairs)?;
        for (title, counts) in [
            ("weaknesses", &r.cwes),
            ("languages", &r.languages),
            ("licences", &r.licences),
            ("instructions from", &r.instructions),
        ] {
            let told: Vec<String> = counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
            writeln!(to, "{title:<24} {}", told.join(", "))?;
        }
        writeln!(to, "left out                 {:>7}  commits", r.rejects.values().sum::<usize>())?;
        for (reason, n) in &r.rejects {
            let name =
                serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
            writeln!(to, "  {name:<22} {n:>7}")?;
        }
        writeln!(to, "{}", out.join("rows.jsonl").display())
    })
}
