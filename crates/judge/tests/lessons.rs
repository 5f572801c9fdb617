//! The lessons' truth table: insecure code is found under the lesson's weakness, secure code and context lessons are silent.
//!
//! The lessons are read here by a small parser of their own, so that the table does not depend on the crate that trains on
//! them. Forty variants of each are tried, spread over all values of all slots.

use judge::languages::scan_file;
use lexicon::{Cwe, Language};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

const VARIANTS: usize = 40;

/// Lessons whose two sides no rule can tell apart without being wrong elsewhere, and why. The cure is to change the lesson;
/// a name here excuses it until then, and must be removed afterwards.
const DISPUTED: &[(&str, &str)] = &[];

struct Lesson {
    id: String,
    language: Language,
    context: bool,
    label: Cwe,
    slots: Vec<(String, Vec<toml::Value>)>,
    insecure: Option<String>,
    secure: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content/lessons")
}

/// Files of all lessons, in all languages.
fn files() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for language in fs::read_dir(folder())?.flatten().map(|e| e.path()).filter(|p| p.is_dir()) {
        paths.extend(fs::read_dir(language)?.flatten().map(|e| e.path()));
    }
    paths.retain(|p| p.extension().is_some_and(|e| e == "md"));
    paths.sort();
    Ok(paths)
}

/// The fenced code under a heading.
fn section(body: &str, heading: &str, language: Language) -> Option<String> {
    let (_, rest) = body.split_once(&format!("\n## {heading}\n"))?;
    let (_, rest) = rest.split_once(&format!("```{language}\n"))?;
    Some(rest.split_once("\n```")?.0.to_owned() + "\n")
}

fn read(path: &Path) -> Result<Lesson, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let text = text.strip_prefix("+++\n").ok_or("no front matter")?;
    let (front, body) = text.split_once("\n+++\n").ok_or("front matter does not end")?;
    let front: toml::Table = front.parse()?;
    let string = |key: &str| front.get(key).and_then(|v| v.as_str()).map(str::to_owned).ok_or(format!("no {key}"));
    let label = front.get("cwe").and_then(|c| c.get(0)).and_then(|c| c.as_str()).ok_or("no cwe")?.parse()?;
    let slots = front.get("slots").and_then(|s| s.as_table()).cloned().unwrap_or_default();
    let slots = slots.into_iter().filter_map(|(name, values)| Some((name, values.as_array()?.clone()))).collect();
    let context = string("kind")? == "context";
    let language = string("language")?.parse()?;
    Ok(Lesson {
        id: string("id")?,
        language,
        context,
        label,
        slots,
        insecure: section(body, "Insecure", language).filter(|_| !context),
        secure: section(body, "Secure", language).ok_or("no secure code")?,
    })
}

impl Lesson {
    /// Values of the slots in one of many variants; consecutive numbers differ in every slot.
    fn choice(&self, number: usize) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for (i, (name, options)) in self.slots.iter().enumerate() {
            // Each slot runs through its values at a pace of its own.
            let value = &options[(number + number / options.len() * i + number / (i + 2)) % options.len()];
            match value {
                toml::Value::Table(fields) => {
                    for (field, value) in fields {
                        values.insert(format!("{name}.{field}"), value.as_str().unwrap_or_default().to_owned());
                    }
                }
                other => drop(values.insert(name.clone(), other.as_str().unwrap_or_default().to_owned())),
            }
        }
        values
    }
}

fn expand(code: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("<<") {
        let Some(end) = rest[at..].find(">>") else { break };
        let name = &rest[at + 2..at + end];
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
            out.push_str(&rest[..at + 2]);
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        out.push_str(values.get(name).ok_or(format!("unknown placeholder {name}"))?);
        rest = &rest[at + end + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

/// What is wrong with a lesson, as lines; empty where the table holds.
fn misses(lesson: &Lesson) -> Result<String, Box<dyn Error>> {
    let (mut missed, mut wrong, mut noisy) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut loud = Vec::new();
    let scan = |side: &str, code: &str| scan_file(&format!("{side}.{}", lesson.language.extension()), code, None);
    for number in 0..VARIANTS {
        let values = lesson.choice(number);
        if let Some(insecure) = &lesson.insecure {
            let code = expand(insecure, &values)?;
            let found = scan("insecure", &code);
            if let Some(error) = found.syntax_error {
                return Err(format!("insecure: {error}\n{code}").into());
            }
            if !found.findings.iter().any(|f| f.cwe.contains(&lesson.label)) {
                missed.push(code);
                wrong.extend(found.findings.into_iter().map(|f| f.rule));
            }
        }
        let code = expand(&lesson.secure, &values)?;
        let found = scan("secure", &code);
        if let Some(error) = found.syntax_error {
            return Err(format!("secure: {error}\n{code}").into());
        }
        if !found.findings.is_empty() {
            loud.push(code);
            noisy.extend(found.findings.into_iter().map(|f| f.rule));
        }
    }
    let mut report = String::new();
    if let Some(code) = missed.first() {
        writeln!(
            report,
            "MISSED {} {}: {} of {VARIANTS} (found only {wrong:?})\n{code}",
            lesson.id,
            lesson.label,
            missed.len()
        )?;
    }
    if let Some(code) = loud.first() {
        writeln!(report, "FALSE {} {}: {} of {VARIANTS} {noisy:?}\n{code}", lesson.id, lesson.label, loud.len())?;
    }
    Ok(report)
}

#[test]
fn the_truth_table_holds() -> Result<(), Box<dyn Error>> {
    let paths = files()?;
    let (mut good, mut report) = (0, String::new());
    for path in &paths {
        let outcome = read(path).and_then(|lesson| misses(&lesson));
        match outcome {
            Ok(lines) if lines.is_empty() => good += 1,
            Ok(lines) if DISPUTED.iter().any(|(id, _)| path.file_stem().is_some_and(|s| s == *id)) => {
                eprintln!("disputed: {}", lines.lines().next().unwrap_or_default());
                good += 1;
            }
            Ok(lines) => report.push_str(&lines),
            Err(error) => writeln!(report, "BROKEN {}: {error}", path.display())?,
        }
    }
    assert!(!paths.is_empty(), "no lessons in {}", folder().display());
    assert!(good == paths.len(), "{good} of {} lessons hold\n{report}", paths.len());
    eprintln!("{good} lessons hold");
    Ok(())
}

/// Every context lesson is tried, and the table is not empty of either kind.
#[test]
fn both_kinds_of_lesson_exist() -> Result<(), Box<dyn Error>> {
    let lessons: Vec<Lesson> = files()?.iter().filter_map(|path| read(path).ok()).collect();
    assert!(lessons.iter().any(|l| l.context) && lessons.iter().any(|l| l.insecure.is_some()));
    Ok(())
}
