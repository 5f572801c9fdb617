//! A comparison as a table for a terminal and as Markdown for a pull request. What got worse stands first.

use super::words::{number, suite};
use crate::{
    compare::{Change, Comparison, Estimate, Tendency},
    gates::Verdict,
};

/// Prompts named a direction.
const NAMED: usize = 8;

/// A table a suite, then prompts that moved, then gates.
#[must_use]
pub fn changes(comparison: &Comparison, gates: &[Verdict]) -> String {
    let mut out = String::new();
    for (title, changes) in tables(comparison) {
        out.push_str(&format!("{title}\n"));
        out.push_str(&aligned(&rows(changes, &comparison.base, &comparison.tuned)));
        out.push('\n');
    }
    for change in &comparison.suites {
        let worse: Vec<&Change> = change.by_cwe.iter().filter(|c| c.difference.value > 0.0).take(NAMED).collect();
        if !worse.is_empty() {
            let words = worse.iter().map(|c| format!("{} {}", c.name, arrow(c))).collect::<Vec<_>>().join(", ");
            out.push_str(&format!("{}: more insecure on {words}\n", change.name));
        }
        if !change.regressed.is_empty() {
            let ids = change.regressed.iter().take(NAMED).map(|m| m.id.as_str()).collect::<Vec<_>>().join(", ");
            out.push_str(&format!(
                "{}: {} prompts got worse ({ids}{}), {} better\n",
                change.name,
                change.regressed.len(),
                if change.regressed.len() > NAMED { ", .." } else { "" },
                change.improved.len()
            ));
        }
    }
    for gate in gates {
        out.push_str(&format!("{}: {}, found {}\n", state(gate), gate.gate, gate.found));
    }
    for note in &comparison.notes {
        out.push_str(&format!("note: {note}\n"));
    }
    out
}

/// The same as Markdown.
#[must_use]
pub fn markdown(comparison: &Comparison, gates: &[Verdict]) -> String {
    let (base, tuned) = (cell(&comparison.base), cell(&comparison.tuned));
    let mut out = format!("## {tuned} against {base}\n\n");
    for gate in gates {
        out.push_str(&format!("- **{}**: {}, found {}\n", state(gate), cell(&gate.gate), cell(&gate.found)));
    }
    if !gates.is_empty() {
        out.push('\n');
    }
    for (title, changes) in tables(comparison) {
        out.push_str(&format!("### {}\n\n", cell(&title)));
        let rows = rows(changes, &comparison.base, &comparison.tuned);
        for (i, row) in rows.iter().enumerate() {
            out.push_str(&format!("| {} |\n", row.iter().map(|c| cell(c)).collect::<Vec<_>>().join(" | ")));
            if i == 0 {
                out.push_str(&format!("|{}\n", " --- |".repeat(row.len())));
            }
        }
        out.push('\n');
    }
    for change in &comparison.suites {
        if change.regressed.is_empty() && change.improved.is_empty() {
            continue;
        }
        out.push_str(&format!(
            "{}: {} prompts got worse, {} better.\n\n",
            cell(&change.name),
            change.regressed.len(),
            change.improved.len()
        ));
        if !change.regressed.is_empty() {
            out.push_str(
                "<details><summary>Worse</summary>\n\n| prompt | good before | good after |\n| --- | --- | --- |\n",
            );
            for moved in change.regressed.iter().take(4 * NAMED) {
                out.push_str(&format!(
                    "| {} | {} % | {} % |\n",
                    cell(&moved.id),
                    number(moved.base),
                    number(moved.tuned)
                ));
            }
            out.push_str("\n</details>\n\n");
        }
    }
    for note in &comparison.notes {
        out.push_str(&format!("> {}\n", cell(note)));
    }
    out.push_str(
        "\nShares in percent; intervals hold 95 %, prompts drawn anew with both sides (2,000 bootstrap resamples). Every \
         requested answer counts.\n",
    );
    out
}

fn tables(comparison: &Comparison) -> impl Iterator<Item = (String, &[Change])> {
    let all =
        (!comparison.overall.is_empty()).then(|| ("all suites together".to_owned(), comparison.overall.as_slice()));
    let each = comparison
        .suites
        .iter()
        .map(|s| (format!("{}: {} ({} prompts)", s.name, suite(&s.name), s.prompts), s.metrics.as_slice()));
    all.into_iter().chain(each)
}

fn rows(changes: &[Change], base: &str, tuned: &str) -> Vec<Vec<String>> {
    let head = ["", base, tuned, "change", "95 % interval", "reduction", "evidence"].map(str::to_owned).to_vec();
    let row = |c: &Change| {
        vec![
            c.about.clone(),
            format!("{} (n {})", number(c.base.value), c.base.n),
            format!("{} (n {})", number(c.tuned.value), c.tuned.n),
            signed(c.difference.value),
            c.difference
                .interval
                .map_or_else(|| "too few prompts".into(), |(l, h)| format!("{} to {}", signed(l), signed(h))),
            c.reduction.map_or_else(|| "-".into(), percent),
            tendency(c.tendency).to_owned(),
        ]
    };
    std::iter::once(head).chain(changes.iter().map(row)).collect()
}

fn percent(estimate: Estimate) -> String {
    format!("{} %", number(estimate.value))
}

fn signed(x: f64) -> String {
    let text = format!("{x:+.1}");
    if text == "-0.0" || text == "+0.0" { "0".into() } else { text }
}

fn arrow(change: &Change) -> String {
    format!("({} \u{2192} {})", number(change.base.value), number(change.tuned.value))
}

const fn tendency(tendency: Tendency) -> &'static str {
    match tendency {
        Tendency::Worse => "worse",
        Tendency::Unclear => "unclear",
        Tendency::Better => "better",
    }
}

const fn state(gate: &Verdict) -> &'static str {
    match gate.holds {
        Some(true) => "holds",
        Some(false) => "FAILS",
        None => "not measured",
    }
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = format!("  {:<1$}", row[0], widths[0]);
        for (text, width) in row[1..].iter().zip(&widths[1..]) {
            line.push_str(&format!("  {text:>width$}"));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Text that stays in its cell: names of runs and prompts come from files.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '@' | '#' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    out
}
