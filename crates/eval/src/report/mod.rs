//! Figures and what stands behind them in; `report.json`, a page and a table out.
//!
//! 1. [`Document`]: all that a page tells.
//! 2. [`write()`]: `report.json` by the contract and a self-contained `report.html`: no network, no script.
//! 3. [`table()`]: the same figures as text; [`changes()`] and [`markdown()`]: two runs compared.
//!
//! The page holds what models wrote, which is hostile until shown otherwise: every text passes the template's escaping and
//! [`code::visible`], no text is marked safe, and the page forbids itself scripts and requests.

mod change;
mod chart;
mod code;
mod page;
mod table;
mod words;

pub use change::{changes, markdown};
pub use code::visible_char;
pub use table::table;

use crate::Result;
use lexicon::{Report, Verdict, atomic};
use std::path::Path;

/// All that a report's page tells.
#[derive(Clone, Debug)]
pub struct Document {
    /// The figures; written as they are to `report.json`.
    pub report: Report,
    /// Heading of the page.
    pub title: String,
    /// What was run and on what, as (name, value); seed and time among them.
    pub facts: Vec<(String, String)>,
    /// Training runs.
    pub curves: Vec<Curve>,
    /// Answers side by side.
    pub comparisons: Vec<Comparison>,
    /// Pairs with their token masks.
    pub masks: Vec<MaskedPair>,
    /// What a reader should know besides, one paragraph each.
    pub notes: Vec<String>,
}

/// One training run.
#[derive(Clone, Debug)]
pub struct Curve {
    /// `SFT`, `LPO`, ..
    pub name: String,
    /// Its steps, in order.
    pub points: Vec<Point>,
}

/// One training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Step, from 1.
    pub step: usize,
    /// Loss in nats.
    pub loss: f64,
    /// Reward margin, where the objective has one.
    pub margin: Option<f64>,
}

/// Answers of several stages to one task.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The task's id.
    pub task: String,
    /// What was asked.
    pub instruction: String,
    /// The weakness the task tempts to, as a label.
    pub cwe: String,
    /// One answer a stage, in the stages' order.
    pub columns: Vec<Column>,
}

/// One stage's answer.
#[derive(Clone, Debug)]
pub struct Column {
    /// Stage.
    pub stage: String,
    /// Code as it was judged.
    pub code: String,
    /// What the judge says of it.
    pub verdict: Verdict,
}

/// A training pair cut into tokens; `true` marks those that the objective compares.
#[derive(Clone, Debug)]
pub struct MaskedPair {
    /// Heading.
    pub title: String,
    /// Tokens of the insecure side, whose texts joined are its code.
    pub insecure: Vec<(String, bool)>,
    /// Likewise of the secure side.
    pub secure: Vec<(String, bool)>,
}

/// Writes `report.json` and `report.html` into a folder, which is made where it is missing. Each file is whole or absent.
///
/// # Errors
/// [`crate::Error::Write`], such as a full disk; [`crate::Error::Page`] where the template is at fault.
pub fn write(out: &Path, document: &Document) -> Result<()> {
    // Both are made before either is written: a page that fails must not leave new figures beside an old page.
    let mut json = serde_json::to_vec_pretty(&document.report)?;
    json.push(b'\n');
    let page = html(document)?;
    atomic::write(&out.join("report.json"), &json)?;
    atomic::write(&out.join("report.html"), page.as_bytes())?;
    Ok(())
}

/// The page as text.
///
/// # Errors
/// [`crate::Error::Page`] where the template is at fault.
pub fn html(document: &Document) -> Result<String> {
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_formatter(|out, state, value| match value.as_str() {
        Some(text) if !value.is_safe() => minijinja::escape_formatter(out, state, &code::visible(text).into()),
        _ => minijinja::escape_formatter(out, state, value),
    });
    // The name decides escaping: `.html` is escaped, the style sheet is ours and is not.
    environment.add_template("report.css", include_str!("../../templates/report.css"))?;
    environment.add_template("report.html", include_str!("../../templates/report.html"))?;
    Ok(environment.get_template("report.html")?.render(page::view(document))?)
}

#[cfg(test)]
mod tests;
