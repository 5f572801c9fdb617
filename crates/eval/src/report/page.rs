//! A document as its template wants it: every number already a word or a place.

use super::{Column, Comparison, Document, MaskedPair, chart, code, words};
use crate::Outcome;
use lexicon::{Figure, NamedFigure, Report, SuiteResult, TestOutcome, Verdict};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Weaknesses shown at once; the others, of which less is known, stand behind a click.
const SHOWN_WEAKNESSES: usize = 18;

#[derive(Serialize)]
pub(super) struct Page {
    title: String,
    headline: String,
    lead: Vec<String>,
    facts: Vec<(String, String)>,
    suites: Vec<Suite>,
    meanings: Vec<(&'static str, &'static str)>,
    curves: Vec<chart::Chart>,
    comparisons: Vec<Side>,
    masks: Vec<Mask>,
    notes: Vec<String>,
    version: &'static str,
}

#[derive(Serialize)]
struct Suite {
    name: String,
    about: String,
    counts: String,
    stages: Vec<String>,
    heroes: Vec<Hero>,
    rows: Vec<Row>,
    /// Columns of papers, and what became of answers besides.
    extras: Vec<Extra>,
    cwes: Vec<CweRow>,
    /// The weaknesses with the fewest answers.
    rare: Vec<CweRow>,
    cwe_stages: Vec<Label>,
}

/// A metric large: a dot and its interval for every stage.
#[derive(Serialize)]
struct Hero {
    name: &'static str,
    hint: &'static str,
    ranges: Vec<Range>,
}

#[derive(Serialize)]
struct Label {
    text: String,
    class: &'static str,
}

#[derive(Serialize)]
struct Range {
    label: String,
    class: &'static str,
    value: f64,
    low: f64,
    high: f64,
    text: String,
    interval: String,
    n: usize,
    /// `better` or `worse` than the first stage, where the intervals do not meet; else empty.
    tone: &'static str,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    lower_is_better: bool,
    cells: Vec<Range>,
}

#[derive(Serialize)]
struct Extra {
    name: String,
    meaning: String,
    cells: Vec<Range>,
}

#[derive(Serialize)]
struct CweRow {
    cwe: String,
    name: String,
    n: usize,
    bars: Vec<Range>,
}

#[derive(Serialize)]
struct Side {
    task: String,
    cwe: String,
    instruction: String,
    columns: Vec<Answer>,
}

#[derive(Serialize)]
struct Answer {
    stage: String,
    chips: Vec<Label>,
    lines: Vec<code::Line>,
    more: usize,
    error: String,
    /// What failed tests printed.
    output: String,
}

#[derive(Serialize)]
struct Mask {
    title: String,
    insecure: Vec<code::Run>,
    secure: Vec<code::Run>,
    share: String,
}

pub(super) fn view(document: &Document) -> Page {
    let report = &document.report;
    let suites = suites(report);
    let (headline, lead) = headline(report);
    Page {
        title: document.title.clone(),
        headline,
        lead,
        facts: document.facts.clone(),
        suites,
        meanings: words::METRICS.iter().map(|m| (m.name, m.meaning)).collect(),
        curves: document.curves.iter().flat_map(chart::of).collect(),
        comparisons: document.comparisons.iter().map(side).collect(),
        masks: document.masks.iter().map(mask).collect(),
        notes: document.notes.clone(),
        version: env!("CARGO_PKG_VERSION"),
    }
}

/// The results of a suite at every stage that has it.
fn results<'a>(report: &'a Report, suite: &str) -> Vec<(&'a str, &'a SuiteResult)> {
    let of = |s: &'a lexicon::Stage| Some((s.name.as_str(), s.suites.iter().find(|r| r.name == suite)?));
    report.stages.iter().filter_map(of).collect()
}

fn suite_names(report: &Report) -> Vec<&str> {
    let mut names = Vec::new();
    for result in report.stages.iter().flat_map(|s| &s.suites) {
        if !names.contains(&result.name.as_str()) {
            names.push(result.name.as_str());
        }
    }
    names
}

/// One sentence that says what came out, and one a suite with the figures behind it.
fn headline(report: &Report) -> (String, Vec<String>) {
    let names = suite_names(report);
    let percent = |f: Figure| format!("{}\u{a0}%", words::number(f.value));
    let interval = |f: Figure| format!("{}\u{2013}{}", words::number(f.low), words::number(f.high));
    let mut lead = Vec::new();
    let mut headline = "Nothing was measured".to_owned();
    for (i, name) in names.iter().enumerate() {
        let results = results(report, name);
        let (Some((first, before)), Some((last, after))) = (results.first(), results.last()) else { continue };
        let (b, a) = (before.metrics.ins, after.metrics.ins);
        let about = words::suite(name);
        if results.len() == 1 {
            lead.push(format!("On {about}: {} of {} answers are insecure ({}).", percent(a), a.n, interval(a)));
            if i == 0 {
                headline = format!("{} of answers are insecure", percent(a));
            }
            continue;
        }
        if i == 0 {
            let rounded = |f: Figure| format!("{:.0}\u{a0}%", f.value);
            headline = if rounded(b) == rounded(a) {
                format!("Insecure answers stay at {}", rounded(a))
            } else {
                let verb = if a.value < b.value { "fall" } else { "rise" };
                format!("Insecure answers {verb} from {} to {}", rounded(b), rounded(a))
            };
        }
        let (m, n) = (&before.metrics, &after.metrics);
        let works = if m.pass_1.n > 0 && n.pass_1.n > 0 {
            format!(
                " Code that works: {}, then {}; that works and is secure: {}, then {}.",
                percent(m.pass_1),
                percent(n.pass_1),
                percent(m.secure_pass_1),
                percent(n.secure_pass_1)
            )
        } else {
            String::new()
        };
        lead.push(format!(
            "On {about}, {} of {}\u{2019}s {} answers are insecure ({}), and {} of {}\u{2019}s ({}).{works}",
            percent(b),
            words::stage(first),
            b.n,
            interval(b),
            percent(a),
            words::stage(last),
            interval(a),
        ));
    }
    (headline, lead)
}

fn suites(report: &Report) -> Vec<Suite> {
    let weaknesses = weaknesses();
    let suite = |name: &str| {
        let results = results(report, name);
        let n = results.len();
        let ranges = |of: &dyn Fn(&SuiteResult) -> Figure| -> Vec<Range> {
            results.iter().enumerate().map(|(i, (stage, r))| range(stage, class(i, n), of(r))).collect()
        };
        let first = results.first().map(|(_, r)| *r);
        let (cwes, rare) = cwes(&results, &weaknesses);
        Suite {
            name: name.to_owned(),
            about: words::suite(name),
            counts: first.map_or_else(String::new, |r| {
                let each = if n > 1 { " a stage" } else { "" };
                format!("{} tasks, {} answers{each}", r.prompts, r.samples)
            }),
            stages: results.iter().map(|(s, _)| words::stage(s)).collect(),
            heroes: vec![
                Hero { name: "Insecure", hint: "lower is better", ranges: ranges(&|r| r.metrics.ins) },
                Hero { name: "Works", hint: "higher is better", ranges: ranges(&|r| r.metrics.pass_1) },
                Hero {
                    name: "Works and is secure",
                    hint: "higher is better",
                    ranges: ranges(&|r| r.metrics.secure_pass_1),
                },
            ],
            rows: words::METRICS
                .iter()
                .map(|m| Row {
                    name: m.name,
                    lower_is_better: m.lower_is_better,
                    cells: toned(
                        ranges(&|r| (m.of)(&r.metrics)),
                        &results.iter().map(|(_, r)| (m.of)(&r.metrics)).collect::<Vec<_>>(),
                        m.lower_is_better,
                    ),
                })
                .collect(),
            extras: extras(&results),
            cwes,
            rare,
            cwe_stages: ends(&results)
                .into_iter()
                .map(|(i, (stage, _))| Label { text: words::stage(stage), class: class(i, n) })
                .collect(),
        }
    };
    suite_names(report).into_iter().map(suite).collect()
}

/// Named figures of the first stage at every stage; shares that are nowhere above zero say nothing.
fn extras(results: &[(&str, &SuiteResult)]) -> Vec<Extra> {
    let Some((_, first)) = results.first() else { return Vec::new() };
    let n = results.len();
    let of = |named: &NamedFigure| {
        let at = |r: &SuiteResult| {
            r.paper.iter().chain(&r.shares).find(|f| f.name == named.name).map_or(NOTHING, |f| f.figure)
        };
        let cells = results.iter().enumerate().map(|(i, (stage, r))| range(stage, class(i, n), at(r))).collect();
        Extra { name: named.name.clone(), meaning: named.meaning.clone(), cells }
    };
    let said =
        |e: &Extra| e.cells.iter().any(|c| c.n > 0 && (c.value > 0.0 || first.paper.iter().any(|f| f.name == e.name)));
    first.paper.iter().chain(&first.shares).map(of).filter(said).collect()
}

/// A figure that was not measured.
const NOTHING: Figure = Figure { value: 0.0, low: 0.0, high: 100.0, n: 0 };

/// First and last of a list, with their places; one where there is one.
fn ends<'a, T>(list: &'a [T]) -> Vec<(usize, &'a T)> {
    let mut ends: Vec<(usize, &'a T)> = list.iter().enumerate().collect();
    if ends.len() > 2 {
        ends.drain(1..ends.len() - 1);
    }
    ends
}

const fn class(place: usize, of: usize) -> &'static str {
    match place {
        _ if place + 1 == of => "last",
        0 => "first",
        _ => "middle",
    }
}

fn range(stage: &str, class: &'static str, figure: Figure) -> Range {
    let measured = figure.n > 0;
    let place = |x: f64| (x.clamp(0.0, 100.0) * 100.0).round() / 100.0;
    Range {
        label: words::stage(stage),
        class,
        value: place(figure.value),
        low: place(figure.low),
        high: place(figure.high),
        text: if measured { words::number(figure.value) } else { "\u{2013}".into() },
        interval: if measured {
            format!("{}\u{2013}{}", words::number(figure.low), words::number(figure.high))
        } else {
            "not measured".into()
        },
        n: figure.n,
        tone: "",
    }
}

/// Marks stages whose interval lies apart from the first's.
fn toned(mut cells: Vec<Range>, figures: &[Figure], lower_is_better: bool) -> Vec<Range> {
    let Some(first) = figures.first().filter(|f| f.n > 0) else { return cells };
    for (cell, figure) in cells.iter_mut().zip(figures).filter(|(_, f)| f.n > 0) {
        let (below, above) = (figure.high < first.low, figure.low > first.high);
        if below || above {
            cell.tone = if below == lower_is_better { "better" } else { "worse" };
        }
    }
    cells
}

/// Rows of the first stage against the last, the worst at first on top: the weaknesses with the most answers, and the rest.
fn cwes(results: &[(&str, &SuiteResult)], names: &BTreeMap<String, String>) -> (Vec<CweRow>, Vec<CweRow>) {
    let Some((_, first)) = results.first() else { return (Vec::new(), Vec::new()) };
    let mut order: Vec<_> = first.by_cwe.iter().collect();
    order.sort_by(|a, b| b.ins.value.total_cmp(&a.ins.value).then_with(|| number(&a.cwe).cmp(&number(&b.cwe))));
    // The sort is stable: among equals in number, the worse come first and stay.
    let mut by_answers = order.clone();
    by_answers.sort_by_key(|figure| std::cmp::Reverse(figure.ins.n));
    let shown: BTreeSet<&str> = by_answers.iter().take(SHOWN_WEAKNESSES).map(|f| f.cwe.as_str()).collect();
    order
        .into_iter()
        .map(|figure| CweRow {
            cwe: figure.cwe.clone(),
            name: names.get(&figure.cwe).cloned().unwrap_or_default(),
            n: figure.ins.n,
            bars: ends(results)
                .into_iter()
                .filter_map(|(i, (stage, result))| {
                    let at = result.by_cwe.iter().find(|c| c.cwe == figure.cwe)?;
                    Some(range(stage, class(i, results.len()), at.ins))
                })
                .collect(),
        })
        .partition(|row| shown.contains(row.cwe.as_str()))
}

fn number(cwe: &str) -> u32 {
    cwe.trim_start_matches("CWE-").parse().unwrap_or(u32::MAX)
}

/// Short names of weaknesses, as our lessons give them.
fn weaknesses() -> BTreeMap<String, String> {
    // A report must not fail for want of a label.
    let lessons = corpus::library::embedded().unwrap_or_default();
    lessons.into_iter().filter_map(|l| Some((l.cwe.first()?.to_string(), l.weakness))).collect()
}

fn side(comparison: &Comparison) -> Side {
    Side {
        task: comparison.task.clone(),
        cwe: comparison.cwe.clone(),
        instruction: comparison.instruction.clone(),
        columns: comparison.columns.iter().map(answer).collect(),
    }
}

fn answer(column: &Column) -> Answer {
    let (lines, more) = code::lines(&column.code, &column.verdict);
    Answer {
        stage: words::stage(&column.stage),
        chips: chips(&column.verdict),
        lines,
        more,
        error: column.verdict.syntax_error.clone().unwrap_or_default(),
        output: match &column.verdict.tests {
            Some(TestOutcome::Failed(text) | TestOutcome::Killed(text)) => text.clone(),
            _ => String::new(),
        },
    }
}

/// What the judge says, in a few words each; the first is the verdict.
fn chips(verdict: &Verdict) -> Vec<Label> {
    let outcome = Outcome::of(verdict);
    let chip = |text: &str, class| Label { text: text.to_owned(), class };
    let mut chips = vec![match outcome {
        Outcome { valid: false, .. } => chip("does not parse", "bad"),
        _ if outcome.secure() => chip("secure", "good"),
        _ => chip("insecure", "bad"),
    }];
    if !outcome.valid {
        return chips;
    }
    match outcome.issues {
        0 => {}
        1 => chips.push(chip("1 finding", "plain")),
        n => chips.push(chip(&format!("{n} findings"), "plain")),
    }
    match &verdict.tests {
        Some(TestOutcome::Passed) => chips.push(chip("tests pass", "fine")),
        Some(TestOutcome::TimedOut) => chips.push(chip("tests time out", "plain")),
        Some(_) => chips.push(chip("tests fail", "plain")),
        None => {}
    }
    match &verdict.exploit {
        Some(TestOutcome::Passed) => chips.push(chip("attack works", "bad")),
        Some(_) => chips.push(chip("attack fails", "fine")),
        None => {}
    }
    chips
}

fn mask(pair: &MaskedPair) -> Mask {
    let tokens = pair.insecure.iter().chain(&pair.secure);
    let (marked, all) = tokens.fold((0usize, 0usize), |(m, n), (_, on)| (m + usize::from(*on), n + 1));
    Mask {
        title: pair.title.clone(),
        insecure: code::tokens(&pair.insecure),
        secure: code::tokens(&pair.secure),
        share: format!("{marked} of {all} tokens"),
    }
}
