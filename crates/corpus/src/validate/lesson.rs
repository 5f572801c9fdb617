//! A lesson against its truth table, over a sample of its variants.

use super::{Entry, Level, Runner, Side, hint, join};
use crate::{Kind, Lesson, Variant, lesson, library};
use judge::languages::{self, Dialect};
use lexicon::{Language, TestOutcome};
use rayon::prelude::*;
use std::{fs, path::Path};

/// A lesson and where its text stands.
#[derive(Clone, Debug)]
pub struct Source {
    /// The lesson.
    pub lesson: Lesson,
    /// Its file, as the caller named it.
    pub path: String,
    /// The file's text, empty where only the lesson is known: then no place has a line.
    pub text: String,
}

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Variants of a lesson that are judged.
    pub variants: usize,
    /// Variants of a lesson that are run, of those judged.
    pub run: usize,
    /// Variants with distinct code that a lesson must have.
    pub least: usize,
    /// Phrasings of the task that a lesson must have.
    pub phrasings: usize,
    /// Seed of the sample.
    pub seed: u64,
}

impl Default for Options {
    /// What `content/lessons/FORMAT.md` asks for.
    fn default() -> Self {
        Self { variants: 24, run: 2, least: 120, phrasings: 3, seed: 0 }
    }
}

/// What came of one lesson.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Variants judged.
    pub variants: usize,
    /// Programs run.
    pub runs: usize,
    /// What was found.
    pub entries: Vec<Entry>,
}

/// The lessons inside the binary, under the names their files have in the project.
///
/// # Errors
/// [`library::Error`].
pub fn embedded() -> Result<Vec<Source>, library::Error> {
    let path = |l: &Lesson| format!("content/lessons/{}/{}.md", l.language, l.id);
    Ok(library::embedded()?.into_iter().map(|l| Source { path: path(&l), lesson: l, text: String::new() }).collect())
}

/// Lessons of a folder, searched in depth, or of one file; files that are no lessons are told apart, not dropped.
///
/// # Errors
/// [`library::Error::Io`] when a folder or file cannot be read.
pub fn read(path: &Path) -> Result<(Vec<Source>, Vec<lesson::Error>), library::Error> {
    let fail = |source| library::Error::Io { path: path.display().to_string(), source };
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    if path.is_dir() {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(fail)?;
        let mut entries: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
        entries.sort();
        for entry in entries {
            let stands_for_none = entry.file_name().is_some_and(|n| n == "FORMAT.md" || n == "README.md");
            if entry.is_dir() || entry.extension().is_some_and(|e| e == "md") && !stands_for_none {
                let (more, worse) = read(&entry)?;
                good.extend(more);
                bad.extend(worse);
            }
        }
    } else {
        let text = fs::read_to_string(path).map_err(fail)?;
        let path = path.display().to_string();
        match Lesson::parse(&path, &text) {
            Ok(lesson) => good.push(Source { lesson, path, text }),
            Err(error) => bad.push(error),
        }
    }
    Ok((good, bad))
}

/// Findings of one row of the table, over the variants: the first is told, the others are counted.
struct Rows<'s> {
    source: &'s Source,
    found: Vec<(Entry, usize)>,
}

impl Rows<'_> {
    fn add(&mut self, level: Level, check: &'static str, place: String, message: String) {
        match self.found.iter_mut().find(|(e, _)| e.check == check && e.level == level && e.place == place) {
            Some((_, more)) => *more += 1,
            None => self.found.push((Entry { level, place, check, message }, 0)),
        }
    }

    /// Line of a section's heading, or of a line of its code, counted from 1.
    fn place(&self, section: &str, code_line: Option<usize>) -> String {
        let mut fenced = false;
        let mut heading = None;
        for (i, line) in self.source.text.lines().enumerate() {
            let fence = line.starts_with("```");
            if fence && !fenced && heading.is_some() && code_line.is_some() {
                return format!("{}:{}", self.source.path, i + 1 + code_line.unwrap_or(0));
            }
            if fence {
                fenced = !fenced;
            }
            if !fenced && line.strip_prefix("## ").is_some_and(|name| name.trim() == section) {
                heading = Some(i + 1);
                if code_line.is_none() {
                    break;
                }
            }
        }
        heading.map_or_else(|| self.source.path.clone(), |line| format!("{}:{line}", self.source.path))
    }

    fn finish(self) -> Vec<Entry> {
        let told = |(mut entry, more): (Entry, usize)| {
            if more > 0 {
                entry.message = format!("{} (and {more} more like it)", entry.message);
            }
            entry
        };
        self.found.into_iter().map(told).collect()
    }
}

/// Judges a lesson's variants, and runs some of them where a runner is given.
#[must_use]
pub fn check(source: &Source, options: &Options, runner: Option<&dyn Runner>) -> Checked {
    let lesson = &source.lesson;
    let variants = lesson.choose(options.variants.max(1), options.seed, |_| true);
    let mut rows = Rows { source, found: Vec::new() };
    let distinct = lesson.choose(options.least, options.seed, |_| true).len();
    if distinct < options.least {
        let message = format!("{distinct} variants with distinct code, {} are asked for", options.least);
        rows.add(Level::Problem, "variants", source.path.clone(), message);
    }
    if lesson.instructions.len() < options.phrasings {
        let message =
            format!("{} phrasings of the task, {} are asked for", lesson.instructions.len(), options.phrasings);
        rows.add(Level::Problem, "instruction", rows.place("Instruction", None), message);
    }
    for text in &lesson.instructions {
        if let Some(word) = hint(text, &lesson.weakness, &lesson.cwe, true) {
            let message = format!("an instruction says {word:?}, which gives the weakness away");
            rows.add(Level::Problem, "instruction", rows.place("Instruction", None), message);
        }
    }
    let mut runs = 0;
    for (i, variant) in variants.iter().enumerate() {
        judge(lesson, variant, &mut rows);
        if let Some(runner) = runner.filter(|_| i < options.run) {
            runs += run(lesson, variant, runner, &mut rows);
        }
    }
    Checked { variants: variants.len(), runs, entries: rows.finish() }
}

/// [`check`] of every lesson, on all processors, in the lessons' order; `done` is called once a lesson, from any thread.
pub fn check_all(
    sources: &[Source],
    options: &Options,
    runner: Option<&dyn Runner>,
    done: impl Fn() + Sync,
) -> Vec<Checked> {
    let one = |source| {
        let checked = check(source, options, runner);
        done();
        checked
    };
    sources.par_iter().map(one).collect()
}

fn judge(lesson: &Lesson, variant: &Variant, rows: &mut Rows<'_>) {
    let name = format!("{}/{}", lesson.id, variant.number);
    let sides = [("Insecure", variant.insecure.as_deref()), ("Secure", Some(variant.secure.as_str()))];
    for (section, code) in sides {
        let Some(code) = code else { continue };
        let side = Side::of(lesson.language, &name, code);
        // A scan of C forgives what a macro may hide; a lesson has none.
        let grammar = match lesson.language {
            Language::C => Some(Dialect::C),
            Language::Cpp => Some(Dialect::Cpp),
            _ => None,
        };
        let error = side.syntax_error.clone().or_else(|| languages::check(grammar?, code).err());
        if let Some(error) = error {
            let place = rows.place(section, Some(error.at.line));
            let message = format!("{name}: not {}: {}", lesson.language.title(), error.message);
            rows.add(Level::Problem, "parse", place, message);
        } else if section == "Secure" {
            if let Some(first) = side.findings.first() {
                let place = rows.place(section, Some(first.start.line));
                let what = if lesson.kind == Kind::Context { "right" } else { "secure" };
                rows.add(Level::Problem, "silent", place, format!("{name}: fires on the {what} code: {}", side.said()));
            }
        } else if side.findings.is_empty() {
            let place = rows.place(section, None);
            rows.add(Level::Problem, "fires", place, format!("{name}: no native rule fires on the insecure code"));
        } else if !side.has(lesson.cwe[0]) {
            let place = rows.place(section, Some(side.findings[0].start.line));
            let message = format!("{name}: labelled {}, found {}", join(&lesson.cwe), side.said());
            rows.add(Level::Note, "cwe", place, message);
        }
    }
    if variant.insecure.as_ref() == Some(&variant.secure) {
        rows.add(Level::Problem, "differ", rows.place("Secure", None), format!("{name}: both sides are the same"));
    }
}

/// Whether tests and exploit of a variant tell what they should; the number of programs run.
fn run(lesson: &Lesson, variant: &Variant, runner: &dyn Runner, rows: &mut Rows<'_>) -> usize {
    let mut runs = 0;
    for Run { section, side, outcome, good } in runs_of(lesson, variant, runner) {
        let name = format!("{}/{}", lesson.id, variant.number);
        let place = rows.place(section, None);
        match outcome {
            Err(reason) => rows.add(Level::Note, "run", place, format!("{name}: not run: {reason}")),
            Ok(outcome) => {
                runs += 1;
                if !good {
                    let check = if section == "Tests" { "tests" } else { "exploit" };
                    rows.add(Level::Problem, check, place, format!("{name}: {} code: {}", side, told(&outcome)));
                }
            }
        }
    }
    runs
}

/// One program that was run.
pub(crate) struct Run {
    /// `Tests` or `Exploit`.
    pub(crate) section: &'static str,
    /// `insecure` or `secure`.
    pub(crate) side: &'static str,
    /// How it ended, or why it was not run.
    pub(crate) outcome: Result<TestOutcome, String>,
    /// Whether it ended as the table says.
    pub(crate) good: bool,
}

/// Both programs on both sides, as far as the lesson has them.
pub(crate) fn runs_of(lesson: &Lesson, variant: &Variant, runner: &dyn Runner) -> Vec<Run> {
    let sides = [("insecure", variant.insecure.as_ref()), ("secure", Some(&variant.secure))];
    let scripts = [("Tests", variant.tests.as_ref()), ("Exploit", variant.exploit.as_ref())];
    let mut out = Vec::new();
    for (section, script) in scripts {
        for (side, code) in sides {
            let (Some(script), Some(code)) = (script, code) else { continue };
            let outcome = runner.run(code, script, &lesson.packages);
            let wanted = section == "Tests" || side == "insecure";
            let good = outcome.as_ref().is_ok_and(|o| o.passed() == wanted);
            out.push(Run { section, side, outcome, good });
        }
    }
    out
}

fn told(outcome: &TestOutcome) -> String {
    let last = |text: &str| text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("no output").to_owned();
    match outcome {
        TestOutcome::Passed => "passed, and should fail".into(),
        TestOutcome::Failed(text) => format!("failed: {}", last(text)),
        TestOutcome::TimedOut => "stopped at its time limit".into(),
        TestOutcome::Killed(text) => format!("killed: {}", last(text)),
    }
}
