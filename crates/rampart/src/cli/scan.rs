//! `rampart scan`.

mod baseline;
mod changes;
mod config;
mod files;
mod rules;

use super::{exit, explain, surroundings, terminal};
use anyhow::{Context, Result, bail};
use changes::Changes;
use config::Configs;
use files::{decode, files, read};
use judge::{
    analyzers::{self, Analyzer, File, Settings, reports},
    languages, native,
    output::{self, Format, Invalid, ScanReport, Skipped, Sources},
};
use lexicon::{Finding, Language, Severity};
use std::{
    collections::{BTreeSet, HashMap},
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Files that are read and looked at together: enough for every processor, few enough that memory does not grow with the
/// number of files.
const CHUNK: usize = 1_024;

/// Looks for weaknesses in code. Nothing is run.
///
/// Exits with 0 where nothing was found, 1 where there are findings or files that are not valid in their language, 2 where we failed or an
/// analyzer did not look at a file. A finding is silenced by a comment on its line: `# rampart: ignore[RULE]`, or `# nosec`;
/// for a folder by `ignore = ["RULE", "CWE-79"]` in its .rampart.toml, which knows `exclude` and `min-severity` too.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart scan src
  rampart scan app.py tests --analyzer native,bandit
  rampart scan . --diff origin/main --output-format github
  rampart scan . --write-baseline known.json; rampart scan . --baseline known.json
  rampart scan . --rules our-rules
  rampart scan . --output-format sarif > rampart.sarif
  git show HEAD:app.py | rampart scan - --stdin-filename app.py")]
pub(crate) struct Args {
    /// Files, folders, or - for standard input. Folders are searched for files in the analyzers' languages; .git, virtual
    /// environments and what .gitignore names are left out.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Analyzers, with commas between: native (our own rules), bandit-compat (Bandit's tests without Bandit), bandit, ruff,
    /// semgrep, codeql, cppcheck, flawfinder, eslint.
    #[arg(long, default_value = "native", value_delimiter = ',')]
    analyzer: Vec<String>,
    /// Form of the answer: full, concise, json, json-lines, sarif, github or junit.
    #[arg(long, default_value = "full", value_name = "FORMAT")]
    output_format: Format,
    /// Least severity that analyzers other than native report: low, medium or high.
    #[arg(long, default_value = "medium", value_name = "SEVERITY", value_parser = severity)]
    min_severity: Severity,
    /// The bandit program; by default that of .venv, then of PATH.
    #[arg(long, value_name = "PROGRAM")]
    bandit: Option<PathBuf>,
    /// Rules to add to our own: a file or a folder of them in YAML, in ast-grep's form (docs/languages.md). May be given again.
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Rules for semgrep, a file or a folder: it has none of its own offline.
    #[arg(long, value_name = "PATH")]
    semgrep_rules: Option<PathBuf>,
    /// A suite, a query or a folder of queries for codeql; by default the language's extended security suite.
    #[arg(long, value_name = "QUERIES")]
    codeql_queries: Option<String>,
    /// A report of another run to add: SARIF of any program, or the table of CodeQL's --format=csv. May be given again.
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
    /// Report only what touches lines that differ from this git revision.
    #[arg(long, value_name = "BASE")]
    diff: Option<String>,
    /// Leave out the findings that this file knows.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write all findings to this file as known, and exit with 0.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "diff"])]
    write_baseline: Option<PathBuf>,
    /// After the findings, explain each rule that spoke: what, why, and what to do.
    #[arg(long)]
    explain: bool,
    /// Name of standard input in findings.
    #[arg(long, default_value = "<stdin>", value_name = "PATH")]
    stdin_filename: String,
}

fn severity(text: &str) -> Result<Severity, String> {
    let all = [Severity::Low, Severity::Medium, Severity::High];
    all.into_iter().find(|s| s.name() == text).ok_or_else(|| format!("{text:?} is not low, medium or high"))
}

/// What has been found so far.
#[derive(Default)]
struct Found {
    files: usize,
    invalid: Vec<Invalid>,
    findings: Vec<Finding>,
    skipped: Vec<Skipped>,
    /// Texts of the files with findings.
    texts: HashMap<String, String>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    if args.explain && !matches!(args.output_format, Format::Full | Format::Concise) {
        bail!("--explain is for people: it goes with the formats full and concise");
    }
    let mut configs = Configs::default();
    let settings = Settings {
        rules: rules::given(&args.rules, &args.paths, &mut configs)?.map(Arc::new),
        bandit: args.bandit.clone(),
        folders: surroundings::folders(),
        min_severity: args.min_severity,
        semgrep_rules: args.semgrep_rules.clone(),
        codeql_queries: args.codeql_queries.clone(),
        ..Settings::default()
    };
    let mut names: Vec<&String> = Vec::new();
    for name in &args.analyzer {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let analyzers = analyzers::open(&names, &settings)?;
    let mut languages: Vec<Language> = analyzers.iter().flat_map(|a| a.languages().iter().copied()).collect();
    languages.sort_unstable();
    languages.dedup();
    let changes = args.diff.as_deref().map(Changes::since).transpose()?;

    let mut found = Found::default();
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut bar = None;
    files(&args.paths, &languages, &mut |path| {
        // What is named is looked at, whatever a file in some folder says.
        let excluded = !args.paths.contains(&path) && configs.of(&path)?.is_some_and(|c| c.excludes(&path));
        if excluded || changes.as_ref().is_some_and(|c| !c.has(&path)) {
            return Ok(());
        }
        chunk.push(path);
        if chunk.len() == CHUNK {
            look(args, &analyzers, &chunk, &mut configs, &mut found)?;
            chunk.clear();
            // How many there will be is known when all have been seen.
            if terminal::watched() {
                bar.get_or_insert_with(|| terminal::spinner("files")).set_position(found.files as u64);
            }
        }
        Ok(())
    })?;
    look(args, &analyzers, &chunk, &mut configs, &mut found)?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if found.files == 0 && args.report.is_empty() {
        terminal::say(if changes.is_some() {
            "no file has changed"
        } else {
            "no file there in a language that the analyzers read"
        });
    }
    given(args, &mut found)?;
    if let Some(changes) = &changes {
        found.findings.retain(|finding| changes.touch(finding));
    }
    finish(args, &analyzers, found)
}

/// Reads some files and looks at them with every analyzer.
fn look(
    args: &Args,
    analyzers: &[Box<dyn Analyzer>],
    paths: &[PathBuf],
    configs: &mut Configs,
    found: &mut Found,
) -> Result<()> {
    found.files += paths.len();
    let mut texts: Vec<(String, String)> = Vec::new();
    for path in paths {
        let name = if path == Path::new("-") { args.stdin_filename.clone() } else { path.display().to_string() };
        match decode(read(path)?) {
            Ok(source) => texts.push((name, source)),
            Err(message) => found.invalid.push(Invalid { path: name, line: 1, column: 1, message }),
        }
    }
    let mut findings = Vec::new();
    let mut broken = BTreeSet::new();
    let mut invalid = |name: &'_ str, source: &str| {
        match languages::check_file(name, source) {
            Err(error) => found.invalid.push(Invalid::new(name, &error)),
            // Valid, and yet it was not looked at.
            Ok(()) => found.skipped.push(Skipped {
                path: name.to_owned(),
                analyzer: native::ANALYZER,
                message: "it is nested too deep".to_owned(),
            }),
        }
    };
    // Our own rules parse every file and read what can be made of one that does not, so they tell which are valid.
    let own = analyzers.iter().find(|a| a.name() == native::ANALYZER);
    if let Some(own) = own {
        let files: Vec<File> = texts.iter().map(|(path, source)| File { path, source }).collect();
        for (file, scanned) in files.iter().zip(own.scan(&files)?) {
            findings.extend(scanned.findings);
            if scanned.skipped.is_some() {
                invalid(file.path, file.source);
                broken.insert(file.path);
            }
        }
    } else {
        for (name, source) in texts.iter().filter(|(name, source)| languages::check_file(name, source).is_err()) {
            invalid(name, source);
            broken.insert(name.as_str());
        }
    }
    for analyzer in analyzers.iter().filter(|a| a.name() != native::ANALYZER) {
        let files: Vec<File> = texts
            .iter()
            .filter(|(name, _)| analyzer.languages().contains(&language(name)) && !broken.contains(name.as_str()))
            .map(|(path, source)| File { path, source })
            .collect();
        for (file, scanned) in files.iter().zip(analyzer.scan(&files)?) {
            findings.extend(scanned.findings);
            if let Some(message) = scanned.skipped {
                found.skipped.push(Skipped { path: file.path.to_owned(), analyzer: analyzer.name(), message });
            }
        }
    }
    for finding in findings {
        if !configs.of(Path::new(&finding.path))?.is_some_and(|c| c.drops(&finding)) {
            found.findings.push(finding);
        }
    }
    let shown: BTreeSet<&str> = found.findings.iter().map(|f| f.path.as_str()).collect();
    texts.retain(|(name, _)| shown.contains(name.as_str()));
    found.texts.extend(texts);
    Ok(())
}

/// Language of a file by its name; what is named without a known extension is taken for Python.
fn language(name: &str) -> Language {
    Path::new(name).extension().and_then(|e| e.to_str()).and_then(Language::from_extension).unwrap_or_default()
}

/// Adds the reports that were given.
fn given(args: &Args, found: &mut Found) -> Result<()> {
    for file in &args.report {
        let text = String::from_utf8(read(file)?).with_context(|| format!("{} is not UTF-8", file.display()))?;
        let analyzer = reports::producer(&text);
        match reports::read(&text, &analyzer) {
            Ok(findings) => found.findings.extend(findings),
            Err(error) => bail!("{}: {error}", file.display()),
        }
    }
    Ok(())
}

/// Answers.
fn finish(args: &Args, analyzers: &[Box<dyn Analyzer>], mut found: Found) -> Result<u8> {
    analyzers::sort(&mut found.findings);
    found.invalid.sort_by(|a, b| a.path.cmp(&b.path));
    let sources: Sources = found.texts.iter().map(|(path, source)| (path.as_str(), source.as_str())).collect();
    for skipped in &found.skipped {
        terminal::say(&format!("{}: {} left it out: {}", skipped.path, skipped.analyzer, skipped.message));
    }
    if let Some(file) = &args.write_baseline {
        baseline::write(file, &found.findings, &sources)?;
        terminal::say(&format!("{} findings are known now", found.findings.len()));
        return Ok(if found.skipped.is_empty() { exit::CLEAN } else { exit::FAILED });
    }
    if let Some(file) = &args.baseline {
        let known = baseline::drop_known(file, &mut found.findings, &sources)?;
        if known > 0 {
            terminal::say(&format!("{known} findings are known"));
        }
    }
    let report = ScanReport {
        format: lexicon::FORMAT,
        files: found.files,
        invalid: found.invalid,
        findings: found.findings,
        skipped: found.skipped,
        analyzers: analyzers.iter().map(|a| a.name().to_owned()).collect(),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = output::write(&report, &sources, args.output_format, color(), &mut out);
    if args.explain && written.is_ok() {
        written = out.write_all(explain::pages(&report.findings, color())?.as_bytes());
    }
    match written.and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.context("cannot write the answer")?,
    }
    let clean = report.findings.is_empty() && report.invalid.is_empty();
    // What an analyzer did not look at is not clean.
    Ok(if !clean {
        exit::FINDINGS
    } else if report.skipped.is_empty() {
        exit::CLEAN
    } else {
        exit::FAILED
    })
}

/// Whether stdout is a terminal that wants colours (<https://no-color.org>).
#[expect(clippy::disallowed_methods, reason = "the binary alone reads the environment")]
pub(crate) fn color() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
