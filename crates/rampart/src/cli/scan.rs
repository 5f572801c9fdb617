//! `rampart scan`.

use super::{exit, surroundings, terminal};
use anyhow::{Context, Result, bail};
use ignore::WalkBuilder;
use judge::{
    analyzers::{self, File, Settings},
    output::{self, Format, Invalid, ScanReport, Sources},
    python,
};
use lexicon::{Language, Severity};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufWriter, IsTerminal, Read, Write},
    path::{Path, PathBuf},
};

/// Looks for weaknesses in Python code. Nothing is run.
///
/// Exits with 0 where nothing was found, 1 where there are findings or files that are not Python, 2 where we failed. A finding
/// is silenced by a comment on its line: `# rampart: ignore[RULE]`, or `# nosec`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart scan src
  rampart scan app.py tests --analyzer native,bandit
  rampart scan . --output-format sarif > rampart.sarif
  git show HEAD:app.py | rampart scan - --stdin-filename app.py")]
pub(crate) struct Args {
    /// Files, folders, or - for standard input. Folders are searched for .py files; .git, virtual environments and what
    /// .gitignore names are left out.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Analyzers, with commas between: native (our own rules), bandit-compat (Bandit's tests without Bandit), bandit.
    #[arg(long, default_value = "native", value_delimiter = ',')]
    analyzer: Vec<String>,
    /// Form of the answer: full, concise, json, json-lines, sarif, github or junit.
    #[arg(long, default_value = "full", value_name = "FORMAT")]
    output_format: Format,
    /// Least severity that Bandit reports: low, medium or high.
    #[arg(long, default_value = "medium", value_name = "SEVERITY", value_parser = severity)]
    min_severity: Severity,
    /// The bandit program; by default that of .venv, then of PATH.
    #[arg(long, value_name = "PROGRAM")]
    bandit: Option<PathBuf>,
    /// Name of standard input in findings.
    #[arg(long, default_value = "<stdin>", value_name = "PATH")]
    stdin_filename: String,
}

fn severity(text: &str) -> Result<Severity, String> {
    let all = [Severity::Low, Severity::Medium, Severity::High];
    all.into_iter().find(|s| s.name() == text).ok_or_else(|| format!("{text:?} is not low, medium or high"))
}

/// A file and its text.
struct Text {
    path: String,
    source: String,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let settings = Settings {
        bandit: args.bandit.clone(),
        folders: surroundings::folders(),
        min_severity: args.min_severity,
        nosec: true,
    };
    let mut names: Vec<&String> = Vec::new();
    for name in &args.analyzer {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let analyzers = analyzers::open(&names, &settings)?;

    let (mut texts, mut invalid) = (Vec::new(), Vec::new());
    for path in files(&args.paths)? {
        let name = if path == Path::new("-") { args.stdin_filename.clone() } else { path.display().to_string() };
        match decode(read(&path)?) {
            Ok(source) => texts.push(Text { path: name, source }),
            Err(message) => invalid.push(Invalid { path: name, line: 1, column: 1, message }),
        }
    }
    let count = texts.len() + invalid.len();
    if count == 0 {
        terminal::say("no Python file there");
    }
    let mut valid = Vec::new();
    for text in &texts {
        match python::parse(&text.source) {
            Ok(_) => valid.push(File { path: &text.path, source: &text.source }),
            Err(error) => invalid.push(Invalid::new(&text.path, &error)),
        }
    }
    let mut findings = Vec::new();
    for analyzer in &analyzers {
        for (file, scanned) in valid.iter().zip(analyzer.scan(&valid)?) {
            findings.extend(scanned.findings);
            if let Some(why) = scanned.skipped {
                terminal::say(&format!("{}: {} left it out: {why}", file.path, analyzer.name()));
            }
        }
    }
    analyzers::sort(&mut findings);
    invalid.sort_by(|a, b| a.path.cmp(&b.path));
    let report = ScanReport {
        format: lexicon::FORMAT,
        files: count,
        invalid,
        findings,
        analyzers: analyzers.iter().map(|a| a.name().to_owned()).collect(),
    };
    let sources: Sources = texts.iter().map(|t| (t.path.as_str(), t.source.as_str())).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    let written = output::write(&report, &sources, args.output_format, color(), &mut out);
    match written.and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.context("cannot write the answer")?,
    }
    let clean = report.findings.is_empty() && report.invalid.is_empty();
    Ok(if clean { exit::CLEAN } else { exit::FINDINGS })
}

/// Whether stdout is a terminal that wants colours (<https://no-color.org>).
#[expect(clippy::disallowed_methods, reason = "the binary alone reads the environment")]
pub(crate) fn color() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Files to look at, each once: those named, whatever they are called, and the Python ones in folders.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    for path in paths {
        if path == Path::new("-") || path.is_file() {
            found.insert(path.clone());
            continue;
        }
        if !path.is_dir() {
            bail!("{}: no such file or folder", path.display());
        }
        let walk = WalkBuilder::new(path)
            .require_git(false)
            .filter_entry(|entry| {
                let name = entry.file_name().to_string_lossy();
                let folder = entry.file_type().is_some_and(|t| t.is_dir());
                !(folder
                    && entry.depth() > 0
                    && (matches!(&*name, "__pycache__" | "node_modules" | "site-packages")
                        || entry.path().join("pyvenv.cfg").is_file()))
            })
            .build();
        for entry in walk {
            let entry = entry.with_context(|| format!("cannot search {}", path.display()))?;
            let extension = entry.path().extension().and_then(|e| e.to_str()).unwrap_or_default();
            let python = Language::from_extension(extension) == Some(Language::Python);
            if python && entry.file_type().is_some_and(|t| t.is_file()) {
                found.insert(entry.into_path());
            }
        }
    }
    Ok(found.into_iter().collect())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
        return Ok(bytes);
    }
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Text of a source file: UTF-8, or Latin-1 where one of its first two lines says so (PEP 263).
fn decode(bytes: Vec<u8>) -> Result<String, String> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => error.into_bytes(),
    };
    let head: Vec<u8> = bytes.split_inclusive(|&b| b == b'\n').take(2).flatten().copied().collect();
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase().replace('_', "-");
    let comment =
        head.lines().filter_map(|line| line.trim_start().strip_prefix('#')).find_map(|c| c.split_once("coding"));
    let name: String = comment
        .and_then(|(_, rest)| rest.strip_prefix([':', '=']))
        .map(|rest| {
            rest.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).collect()
        })
        .unwrap_or_default();
    match name.as_str() {
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" => Ok(bytes.into_iter().map(char::from).collect()),
        "" => Err("the file is not UTF-8 and names no other encoding".to_owned()),
        other => Err(format!("the encoding {other} is not supported: save the file as UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        let check = |bytes: &[u8], expect: Option<&str>| {
            assert_eq!(decode(bytes.to_vec()).ok().as_deref(), expect, "{bytes:?}");
        };
        check("x = 'é'".as_bytes(), Some("x = 'é'"));
        check(b"\xef\xbb\xbfx = 1", Some("x = 1"));
        check(b"# -*- coding: latin-1 -*-\nx = '\xe9'", Some("# -*- coding: latin-1 -*-\nx = 'é'"));
        check(
            b"#!/usr/bin/python\n# vim: fileencoding=ISO_8859-1\n'\xe9'",
            Some("#!/usr/bin/python\n# vim: fileencoding=ISO_8859-1\n'é'"),
        );
        check(b"x = '\xe9'", None);
        check(b"# coding: koi8-r\nx = '\xe9'", None);
        check(b"\n\n# coding: latin-1\nx = '\xe9'", None);
    }

    #[test]
    fn folders_are_searched() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        for name in
            ["a.py", "sub/b.py", "sub/c.txt", "venv/lib/d.py", ".git/e.py", "node_modules/f.py", "named.txt", "g/h.py"]
        {
            let path = at(name);
            fs::create_dir_all(path.parent().context("parent")?)?;
            fs::write(path, "")?;
        }
        fs::write(at("venv/pyvenv.cfg"), "")?;
        fs::write(at(".gitignore"), "g/\n")?;
        let found = files(&[folder.path().to_owned(), at("a.py"), at("named.txt")])?;
        assert_eq!(found, [at("a.py"), at("named.txt"), at("sub/b.py")]);
        assert!(files(&[at("absent")]).is_err());
        Ok(())
    }
}
