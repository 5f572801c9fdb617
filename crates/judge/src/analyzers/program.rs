//! Programs that look at a folder of files and leave a report: found, started, watched and stopped here.
//!
//! A tool says which files it reads, how it is called and what its report means ([`Tool`]); [`scan`] does the rest. A tool that
//! is absent is an error; one that crashes, hangs or leaves no report has not looked at the files, and says so for each.

use super::{Analyzer, Error, File, Scanned, Settings, sort};
use crate::{
    parallel,
    sandbox::process::{self, Ended},
};
use lexicon::{Finding, Language, LineIndex, Position};
use std::{
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Bytes kept of what a tool prints.
const KEEP: usize = 64 << 20;

/// After so many broken batches a tool is taken to be broken.
const GIVE_UP: usize = 8;

/// A tool's own side.
pub(super) trait Tool: Send + Sync + fmt::Debug {
    /// Name in findings.
    fn name(&self) -> &'static str;
    /// Languages it reads.
    fn languages(&self) -> &'static [Language];
    /// The program.
    fn program(&self) -> &Path;
    /// Arguments of the processes to start, one after the other; `names` lie in the current folder.
    fn steps(&self, names: &[String]) -> Result<Vec<Vec<OsString>>, String>;
    /// What the report means: one result a file. `ended` is how the last process ended.
    fn read(&self, batch: &Batch, ended: &Ended) -> Result<Vec<Scanned>, String>;
    /// Time that a batch may take.
    fn patience(&self, files: usize) -> Duration;
    /// Least and most files of a batch.
    fn batch(&self) -> (usize, usize) {
        (64, 1_000)
    }
}

/// Finds a program in [`Settings::folders`].
pub(super) fn find(analyzer: &'static str, settings: &Settings, remedy: &str) -> Result<PathBuf, Error> {
    let mut candidates = settings.folders.iter().map(|folder| folder.join(analyzer));
    let program = candidates
        .find(|path| path.is_file())
        .ok_or_else(|| Error::Absent { analyzer, remedy: format!("{remedy}, or leave it out of --analyzer") })?;
    // It is started in another folder, where a relative path would name another file.
    Ok(std::path::absolute(&program).unwrap_or(program))
}

/// What a program says of its version, for `rampart doctor`.
///
/// # Errors
/// A sentence, where it does not answer.
pub fn version(program: &Path) -> Result<String, String> {
    let mut command = new(program);
    command.arg("--version");
    let ended = process::supervise(command, Duration::from_secs(20), 4 << 10).map_err(|e| e.to_string())?;
    if ended.timed_out || !ended.status.success() {
        return Err(format!("{} does not say its version", program.display()));
    }
    let text = String::from_utf8_lossy(&ended.output).into_owned();
    Ok(text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("no version").trim_end_matches('.').to_owned())
}

#[expect(clippy::disallowed_methods, reason = "an analyzer: it reads the code and does not run it")]
fn new(program: &Path) -> Command {
    Command::new(program)
}

/// Files of one batch, written to a folder under numbers.
pub(super) struct Batch<'f> {
    pub(super) files: &'f [File<'f>],
    pub(super) folder: tempfile::TempDir,
    pub(super) names: Vec<String>,
}

impl Batch<'_> {
    /// Number of the file that a report calls so.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        let stem = Path::new(name).file_stem()?.to_str()?;
        stem.parse().ok().filter(|&i| i < self.files.len())
    }

    /// The text of a report in the folder.
    pub(super) fn report(&self, name: &str) -> Result<String, String> {
        fs::read_to_string(self.folder.path().join(name)).map_err(|_| "it left no report".to_owned())
    }

    /// A place by line and column, both from 1 and in characters, moved into the file where it lies outside.
    pub(super) fn at(&self, file: usize, line: usize, column: usize) -> Position {
        let source = self.files[file].source;
        let lines = LineIndex::new(source);
        let line = line.clamp(1, lines.lines().max(1));
        let start = lines.line_start(line).unwrap_or(0);
        let end = lines.line_start(line + 1).unwrap_or(source.len());
        let length = source[start..end].trim_end_matches(['\n', '\r']).chars().count();
        Position { line, column: column.clamp(1, length + 1) }
    }

    /// Findings by file, each list in order.
    pub(super) fn sorted(&self, findings: Vec<(usize, Finding)>, skipped: Vec<(usize, String)>) -> Vec<Scanned> {
        let mut scanned = vec![Scanned::default(); self.files.len()];
        findings.into_iter().for_each(|(i, finding)| scanned[i].findings.push(finding));
        skipped.into_iter().for_each(|(i, why)| scanned[i].skipped = Some(why));
        scanned.iter_mut().for_each(|s| sort(&mut s.findings));
        scanned
    }
}

/// Extension under which a file is written: its own, or the language's usual one.
pub(super) fn extension(path: &str) -> &str {
    Path::new(path)
        .extension()
        .and_then(|e| e.to_str())
        .filter(|e| Language::from_extension(e).is_some())
        .unwrap_or("py")
}

fn language(path: &str) -> Language {
    Language::from_extension(extension(path)).unwrap_or_default()
}

/// Looks at files with a tool, a batch at a time.
pub(super) fn scan(tool: &dyn Tool, files: &[File]) -> Result<Vec<Scanned>, Error> {
    let readable: Vec<usize> =
        (0..files.len()).filter(|&i| tool.languages().contains(&language(files[i].path))).collect();
    let chosen: Vec<File> = readable.iter().map(|&i| files[i]).collect();
    let (least, most) = tool.batch();
    let share = chosen.len().div_ceil(parallel::workers()).clamp(least, most);
    let batches: Vec<&[File]> = chosen.chunks(share).collect();
    let broken = AtomicUsize::new(0);
    let scanned: Result<Vec<_>, Error> =
        parallel::map(&batches, |batch| halving(tool, batch, &broken), || ()).into_iter().collect();
    let mut all: Vec<Scanned> = files
        .iter()
        .map(|f| Scanned {
            findings: Vec::new(),
            skipped: Some(format!("{} does not read {}", tool.name(), language(f.path).name())),
        })
        .collect();
    for (i, scanned) in readable.into_iter().zip(scanned?.concat()) {
        all[i] = scanned;
    }
    Ok(all)
}

/// Where a tool breaks, the batch is halved until the file that breaks it stands alone.
fn halving(tool: &dyn Tool, files: &[File], broken: &AtomicUsize) -> Result<Vec<Scanned>, Error> {
    let all = |why: String| Ok(vec![Scanned { findings: Vec::new(), skipped: Some(why) }; files.len()]);
    match process(tool, files)? {
        Outcome::Scanned(scanned) => Ok(scanned),
        Outcome::Hung(why) => all(why),
        Outcome::Broken(why) if files.len() <= 1 || broken.fetch_add(1, Ordering::Relaxed) >= GIVE_UP => all(why),
        Outcome::Broken(_) => {
            let (left, right) = files.split_at(files.len() / 2);
            let mut scanned = halving(tool, left, broken)?;
            scanned.extend(halving(tool, right, broken)?);
            Ok(scanned)
        }
    }
}

enum Outcome {
    Scanned(Vec<Scanned>),
    /// It did not look at the files, for a reason that may lie in one of them.
    Broken(String),
    /// It did not answer in time.
    Hung(String),
}

fn process(tool: &dyn Tool, files: &[File]) -> Result<Outcome, Error> {
    let fail = |step: &'static str| move |source| Error::Io { analyzer: tool.name(), step, source };
    let folder = tempfile::Builder::new().prefix("rampart-").tempdir().map_err(fail("make a folder"))?;
    let names: Vec<String> = files.iter().enumerate().map(|(i, f)| format!("{i}.{}", extension(f.path))).collect();
    for (name, file) in names.iter().zip(files) {
        // tidy-expect(atomic-writes): a temporary folder of our own, gone after the process
        fs::write(folder.path().join(name), file.source).map_err(fail("write a file"))?;
    }
    let batch = Batch { files, folder, names };
    let steps = match tool.steps(&batch.names) {
        Ok(steps) => steps,
        Err(why) => return Ok(Outcome::Broken(why)),
    };
    let wall = tool.patience(files.len());
    let mut last = None;
    for arguments in steps {
        let mut command = new(tool.program());
        command.args(arguments).current_dir(batch.folder.path());
        let ended = process::supervise(command, wall, KEEP).map_err(fail("be started"))?;
        if ended.timed_out {
            return Ok(Outcome::Hung(format!("no answer within {} s", wall.as_secs_f64())));
        }
        last = Some(ended);
    }
    let Some(ended) = last else { return Ok(Outcome::Broken("nothing was started".to_owned())) };
    Ok(match tool.read(&batch, &ended) {
        Ok(scanned) => Outcome::Scanned(scanned),
        Err(why) => {
            let output = String::from_utf8_lossy(&ended.output);
            let said = output.trim().lines().last().unwrap_or("it said nothing");
            let said: String = said.chars().take(200).collect();
            Outcome::Broken(format!("{why} ({}): {said}", ended.status))
        }
    })
}

/// A tool as an analyzer.
#[derive(Debug)]
pub(super) struct External<T>(pub(super) T);

impl<T: Tool> Analyzer for External<T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn languages(&self) -> &'static [Language] {
        self.0.languages()
    }

    fn scan(&self, files: &[File]) -> Result<Vec<Scanned>, Error> {
        scan(&self.0, files)
    }
}

/// Arguments from words.
pub(super) fn words<S: AsRef<std::ffi::OsStr>>(words: &[S]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// The first CWE number in a text such as `CWE-89: SQL injection`, and all further ones.
pub(super) fn cwes(text: &str) -> Vec<lexicon::Cwe> {
    let lower = text.to_ascii_lowercase();
    let mut found = Vec::new();
    for (at, prefix) in lower.match_indices("cwe-") {
        let digits: String = lower[at + prefix.len()..].chars().take_while(char::is_ascii_digit).collect();
        if let Ok(number) = digits.parse()
            && !found.contains(&lexicon::Cwe(number))
        {
            found.push(lexicon::Cwe(number));
        }
    }
    found
}
