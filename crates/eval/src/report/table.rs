//! The figures as text, for a terminal or a log.

use super::words::{METRICS, number, stage, suite};
use lexicon::{Figure, NamedFigure, Report, SuiteResult};

/// A table a suite: a metric a line, a stage a column, each figure with its 95 % interval.
///
/// Widths come from the contents, so the table is the same in a terminal, a pipe and a log; three stages fit in 100 columns.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut names: Vec<&str> = Vec::new();
    for result in report.stages.iter().flat_map(|s| &s.suites) {
        if !names.contains(&result.name.as_str()) {
            names.push(&result.name);
        }
    }
    names.iter().map(|name| one(report, name)).collect::<Vec<_>>().join("\n")
}

fn one(report: &Report, name: &str) -> String {
    let columns: Vec<(&str, &SuiteResult)> = report
        .stages
        .iter()
        .filter_map(|s| Some((s.name.as_str(), s.suites.iter().find(|r| r.name == name)?)))
        .collect();
    let mut rows: Vec<Vec<String>> = vec![vec!["percent".to_owned()]];
    rows[0].extend(columns.iter().map(|(s, _)| stage(s)));
    for metric in METRICS {
        let arrow = if metric.lower_is_better { '\u{2193}' } else { '\u{2191}' };
        let mut row = vec![format!("{arrow} {}", metric.name)];
        row.extend(columns.iter().map(|(_, result)| cell((metric.of)(&result.metrics))));
        rows.push(row);
    }
    rows.extend(extras(&columns));
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let total = widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
    let counts = columns.first().map_or_else(String::new, |(_, r)| {
        format!(" ({} prompts, {} samples{})", r.prompts, r.samples, if columns.len() > 1 { " a stage" } else { "" })
    });
    let mut out = format!("{name}: {}{counts}\n", suite(name));
    for (i, row) in rows.iter().enumerate() {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (text, width) in row[1..].iter().zip(&widths[1..]) {
            line.push_str(&format!("  {text:>width$}"));
        }
        out.push_str(line.trim_end());
        out.push('\n');
        if i == 0 {
            out.push_str(&"\u{2500}".repeat(total));
            out.push('\n');
        }
    }
    out
}

/// Rows of papers' columns, and of what became of answers besides, where there is something to say.
fn extras(columns: &[(&str, &SuiteResult)]) -> Vec<Vec<String>> {
    type Of = fn(&SuiteResult) -> &[NamedFigure];
    let groups: [(&str, Of); 2] = [("paper: ", |r| &r.paper), ("share: ", |r| &r.shares)];
    let mut rows = Vec::new();
    for (label, of) in groups {
        for named in columns.first().map_or(&[][..], |(_, r)| of(r)) {
            let figures: Vec<Option<Figure>> =
                columns.iter().map(|(_, r)| of(r).iter().find(|f| f.name == named.name).map(|f| f.figure)).collect();
            if label == "share: " && figures.iter().flatten().all(|f| f.value == 0.0) {
                continue;
            }
            let mut row = vec![format!("{label}{}", named.name)];
            row.extend(figures.into_iter().map(|f| f.map_or_else(|| "-".into(), cell)));
            rows.push(row);
        }
    }
    rows
}

fn cell(figure: Figure) -> String {
    if figure.n == 0 {
        return "not measured".into();
    }
    // Ends of one width keep the points under each other.
    format!("{:.1} [{:>5}, {:>5}]", figure.value, number(figure.low), number(figure.high))
}
