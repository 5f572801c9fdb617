//! `rampart explain`.

use super::{exit, scan, terminal};
use anyhow::{Result, bail};
use clap::ValueEnum;
use corpus::{Kind, Lesson};
use judge::{
    languages,
    native::{Rule, rules},
};
use lexicon::{Cwe, Language};
use serde_json::{Value, json};
use std::fmt::Write;

/// Explains a weakness: what goes wrong, the habit behind it, and the code that does it right.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart explain CWE-89
  rampart explain sqlite-select-fstring
  rampart explain CWE-22 --output-format json")]
pub(crate) struct Args {
    /// Name of a lesson, name of a rule as findings show it, or a CWE.
    id: String,
    /// Form of the answer.
    #[arg(long, default_value = "full", value_name = "FORMAT")]
    output_format: OutputFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputFormat {
    Full,
    Json,
}

/// What an identifier names.
enum Subject<'a> {
    Lesson(&'a Lesson),
    Rule(&'static Rule),
    Cwe(Cwe),
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let lessons = corpus::library::embedded()?;
    let subject = find(&args.id, &lessons)?;
    match args.output_format {
        OutputFormat::Full => terminal::print(|out| out.write_all(full(&subject, &lessons, scan::color()).as_bytes()))?,
        OutputFormat::Json => terminal::answer(format_args!("{:#}", value(&subject, &lessons)))?,
    }
    Ok(exit::CLEAN)
}

fn find<'a>(id: &str, lessons: &'a [Lesson]) -> Result<Subject<'a>> {
    // Findings show a rule as native/NAME.
    let id = id.trim().strip_prefix("native/").unwrap_or(id.trim());
    if let Some(lesson) = lessons.iter().find(|l| l.id == id) {
        return Ok(Subject::Lesson(lesson));
    }
    if let Some(rule) = languages::rule(id) {
        return Ok(Subject::Rule(rule));
    }
    if let Ok(cwe) = id.parse::<Cwe>() {
        if teaching(cwe, lessons).next().is_some() || checking(cwe).next().is_some() {
            return Ok(Subject::Cwe(cwe));
        }
        bail!("no lesson or rule is about {cwe}; `rampart explain` knows {}", known_cwes(lessons));
    }
    let names = lessons.iter().map(|l| l.id.as_str()).chain(every_rule().map(|r| r.id));
    let near = nearest(id, names);
    bail!("{id:?} is no lesson, rule or CWE{near}")
}

/// Lessons about a weakness, by their label or further ones.
fn teaching(cwe: Cwe, lessons: &[Lesson]) -> impl Iterator<Item = &Lesson> {
    lessons.iter().filter(move |l| l.cwe.contains(&cwe))
}

fn checking(cwe: Cwe) -> impl Iterator<Item = &'static Rule> {
    every_rule().filter(move |r| r.cwe.contains(&cwe.0))
}

/// The rules for Python, then those that other languages alone have.
fn every_rule() -> impl Iterator<Item = &'static Rule> {
    let python = |rule: &&'static Rule| rules::ALL.iter().any(|r| r.id == rule.id);
    rules::ALL.iter().copied().chain(languages::described().iter().map(|d| d.rule).filter(move |r| !python(r)))
}

/// Languages other than Python that have the rule, and what it says there.
fn elsewhere(rule: &Rule) -> &'static [(Language, String)] {
    languages::described().iter().find(|d| d.rule.id == rule.id).map_or(&[], |d| d.languages.as_slice())
}

fn known_cwes(lessons: &[Lesson]) -> String {
    let all: std::collections::BTreeSet<Cwe> = lessons.iter().flat_map(|l| l.cwe.iter().copied()).collect();
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// `; did you mean ..?` with up to three names that are close or contain what was typed.
fn nearest<'a>(id: &str, names: impl Iterator<Item = &'a str>) -> String {
    let typed = id.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| {
            let inside = typed.len() > 2 && name.contains(&typed);
            (strsim::jaro_winkler(&typed, name) + if inside { 1.0 } else { 0.0 }, name)
        })
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, name)| *name);
    let best: Vec<String> = scored.iter().take(3).map(|(_, name)| format!("`{name}`")).collect();
    if best.is_empty() {
        "; `rampart explain CWE-89` shows what a weakness's lessons are called".to_owned()
    } else {
        format!("; did you mean {}?", best.join(", "))
    }
}

fn full(subject: &Subject, lessons: &[Lesson], color: bool) -> String {
    let bold = |text: &str| if color { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() };
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = match subject {
        Subject::Lesson(lesson) => lesson_page(&mut out, lesson, &bold),
        Subject::Rule(rule) => rule_page(&mut out, rule, lessons, &bold),
        Subject::Cwe(cwe) => cwe_page(&mut out, *cwe, lessons, &bold),
    };
    out
}

type Bold<'a> = &'a dyn Fn(&str) -> String;

/// A page for each of our rules among some findings, each once.
pub(crate) fn pages(findings: &[lexicon::Finding], color: bool) -> Result<String> {
    let lessons = corpus::library::embedded()?;
    let spoke = |rule: &&Rule| findings.iter().any(|f| f.analyzer == judge::native::ANALYZER && f.rule == rule.id);
    let pages = every_rule().filter(spoke).map(|rule| full(&Subject::Rule(rule), &lessons, color));
    Ok(pages.map(|page| format!("\n{page}")).collect())
}

fn lesson_page(out: &mut String, lesson: &Lesson, bold: Bold) -> std::fmt::Result {
    let cwe = lesson.cwe.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let owasp = if lesson.owasp.is_empty() { String::new() } else { format!(" · OWASP {}", lesson.owasp) };
    writeln!(out, "{}", bold(&lesson.title))?;
    writeln!(out, "{} · {cwe} {}{owasp} · {}\n", lesson.id, lesson.weakness, lesson.severity.name())?;
    writeln!(out, "{}\n{}\n", bold("Why"), lesson.why)?;
    writeln!(out, "{}\n{}\n", bold("How models get it wrong"), lesson.habit)?;
    let variant = lesson.variant(0);
    if let Some(insecure) = &variant.insecure {
        writeln!(out, "{}\n{}", bold("Insecure"), indented(insecure))?;
    }
    writeln!(out, "{}\n{}", bold("Secure"), indented(&variant.secure))?;
    match lesson.kind {
        Kind::Weakness => writeln!(out, "{}\n{}\n", bold("Reasoning"), lesson.reasoning())?,
        Kind::Context => writeln!(out, "This code is right as it is: an analyzer that reports it is wrong.\n")?,
    }
    writeln!(out, "{}", bold("References"))?;
    lesson.references.iter().try_for_each(|link| writeln!(out, "- {link}"))
}

fn rule_page(out: &mut String, rule: &Rule, lessons: &[Lesson], bold: Bold) -> std::fmt::Result {
    let cwe = rule.cwe.iter().map(|n| Cwe(*n).to_string()).collect::<Vec<_>>().join(", ");
    writeln!(out, "{}", bold(&format!("native/{}", rule.id)))?;
    writeln!(out, "{cwe} · {} · confidence {}\n", rule.severity.name(), rule.confidence.name())?;
    writeln!(out, "{}\n{}\n", bold("What it finds"), rule.what)?;
    writeln!(out, "{}\n{}\n", bold("Why that is bad"), rule.why)?;
    writeln!(out, "{}\n{}\n", bold("What to do"), rule.remedy)?;
    let elsewhere = elsewhere(rule);
    if !elsewhere.is_empty() {
        let title = if rules::ALL.iter().any(|r| r.id == rule.id) { "In other languages" } else { "Languages" };
        writeln!(out, "{}", bold(title))?;
        elsewhere.iter().try_for_each(|(language, remedy)| writeln!(out, "- {language}: {remedy}"))?;
        writeln!(out)?;
    }
    let bandit = judge::analyzers::tests_of(rule.id);
    if !bandit.is_empty() {
        writeln!(out, "{}\n{}\n", bold("Bandit's tests for it"), bandit.join(", "))?;
    }
    list(out, bold("Lessons"), &related(rule, lessons))
}

fn cwe_page(out: &mut String, cwe: Cwe, lessons: &[Lesson], bold: Bold) -> std::fmt::Result {
    let found: Vec<&Lesson> = teaching(cwe, lessons).collect();
    // The lesson that is most about it, not only touching it.
    let main = found.iter().find(|l| l.cwe.first() == Some(&cwe) && l.kind == Kind::Weakness).or(found.first());
    let name = main.filter(|l| l.cwe.first() == Some(&cwe)).map(|l| format!(": {}", l.weakness)).unwrap_or_default();
    writeln!(out, "{}", bold(&format!("{cwe}{name}")))?;
    writeln!(out, "https://cwe.mitre.org/data/definitions/{}.html\n", cwe.0)?;
    list(out, bold("Lessons"), &found)?;
    let rules: Vec<&Rule> = checking(cwe).collect();
    if !rules.is_empty() {
        writeln!(out, "{}", bold("Rules"))?;
        rules.iter().try_for_each(|r| writeln!(out, "- native/{}: {}", r.id, r.what))?;
        writeln!(out)?;
    }
    match main {
        Some(lesson) => lesson_page(out, lesson, bold),
        None => Ok(()),
    }
}

fn list(out: &mut String, title: String, lessons: &[&Lesson]) -> std::fmt::Result {
    if lessons.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}")?;
    lessons.iter().try_for_each(|l| writeln!(out, "- {}: {}", l.id, l.title))?;
    writeln!(out)
}

/// Lessons whose label is the rule's own weakness.
fn related<'a>(rule: &Rule, lessons: &'a [Lesson]) -> Vec<&'a Lesson> {
    lessons.iter().filter(|l| l.cwe.first().is_some_and(|c| rule.cwe.first() == Some(&c.0))).collect()
}

fn indented(code: &str) -> String {
    code.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") }).collect()
}

fn value(subject: &Subject, lessons: &[Lesson]) -> Value {
    match subject {
        Subject::Lesson(lesson) => lesson_value(lesson),
        Subject::Rule(rule) => rule_value(rule, lessons),
        Subject::Cwe(cwe) => json!({
            "format": lexicon::FORMAT,
            "kind": "cwe",
            "id": cwe,
            "lessons": teaching(*cwe, lessons).map(lesson_value).collect::<Vec<_>>(),
            "rules": checking(*cwe).map(|r| rule_value(r, lessons)).collect::<Vec<_>>(),
        }),
    }
}

fn lesson_value(lesson: &Lesson) -> Value {
    let variant = lesson.variant(0);
    json!({
        "format": lexicon::FORMAT,
        "kind": if lesson.kind == Kind::Weakness { "lesson" } else { "context" },
        "id": lesson.id,
        "title": lesson.title,
        "language": lesson.language,
        "cwe": lesson.cwe,
        "weakness": lesson.weakness,
        "owasp": lesson.owasp,
        "severity": lesson.severity,
        "why": lesson.why,
        "habit": lesson.habit,
        "instruction": variant.instruction,
        "insecure": variant.insecure,
        "secure": variant.secure,
        "reasoning": lesson.reasoning(),
        "references": lesson.references,
    })
}

fn rule_value(rule: &Rule, lessons: &[Lesson]) -> Value {
    json!({
        "format": lexicon::FORMAT,
        "kind": "rule",
        "id": rule.id,
        "bandit": judge::analyzers::tests_of(rule.id),
        "analyzer": judge::native::ANALYZER,
        "cwe": rule.cwe.iter().map(|n| Cwe(*n)).collect::<Vec<_>>(),
        "severity": rule.severity,
        "confidence": rule.confidence,
        "what": rule.what,
        "why": rule.why,
        "remedy": rule.remedy,
        "languages": elsewhere(rule).iter().map(|(language, remedy)| json!({ "language": language, "remedy": remedy })).collect::<Vec<_>>(),
        "lessons": related(rule, lessons).iter().map(|l| &l.id).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_page() -> Result<()> {
        let lessons = corpus::library::embedded()?;
        let ids = lessons.iter().map(|l| l.id.clone()).chain(every_rule().map(|r| r.id.to_owned()));
        let cwes = lessons.iter().flat_map(|l| l.cwe.iter().map(ToString::to_string));
        for id in ids.chain(cwes) {
            let subject = find(&id, &lessons)?;
            let page = full(&subject, &lessons, false);
            // A placeholder that nobody filled; `1 << n` is none.
            let name = |inside: &str| {
                !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.')
            };
            let unfilled = page.split("<<").skip(1).any(|rest| rest.split_once(">>").is_some_and(|(i, _)| name(i)));
            assert!(page.lines().count() > 5 && !unfilled, "{id}:\n{page}");
            assert_eq!(value(&subject, &lessons)["format"], 1);
        }
        Ok(())
    }

    #[test]
    fn a_misspelt_name_is_answered_with_near_ones() {
        let names = ["sqlite-select-fstring", "yaml-load", "tar-extract-all"];
        assert_eq!(nearest("yaml-laod", names.into_iter()), "; did you mean `yaml-load`?");
        assert!(nearest("extract", names.into_iter()).contains("`tar-extract-all`"));
        assert!(nearest("qqqq", names.into_iter()).contains("CWE-89"));
        assert!(find("CWE-99999", &[]).is_err());
    }
}
