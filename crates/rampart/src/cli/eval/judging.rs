//! The judge of an evaluation: its analyzers, its sandbox, and what it could not look at.

use crate::cli::{surroundings, terminal};
use anyhow::{Context, Result};
use judge::{Code, Judge, analyzers, sandbox::Sandbox};
use lexicon::Verdict;
use std::{collections::BTreeMap, path::Path};

/// Analyzers of `demo`, and of `eval` unless others are named.
pub(crate) const USUAL: &[&str] = &["native", "bandit"];

/// A judge with our rules and Bandit, and a sandbox unless nothing is to be run.
///
/// # Errors
/// Where Bandit or a sandbox is missing, with what to do.
#[cfg(feature = "torch")]
pub(crate) fn open_judge(python: Option<&Path>, no_run: bool) -> Result<Judge> {
    open(USUAL, python, no_run)
}

/// A judge with analyzers by name.
///
/// # Errors
/// As [`open_judge`].
pub(crate) fn open<S: AsRef<str>>(names: &[S], python: Option<&Path>, no_run: bool) -> Result<Judge> {
    // A writer of code must not choose what is silenced in it.
    let settings =
        analyzers::Settings { folders: surroundings::folders(), nosec: false, ..analyzers::Settings::default() };
    let analyzers = analyzers::open(names, &settings)?;
    if no_run {
        return Ok(Judge::new(analyzers, None));
    }
    let python = python.map_or_else(surroundings::python, Path::to_owned);
    let sandbox = Sandbox::detect(&python).context("tests and exploits cannot be run; --no-run leaves them out")?;
    Ok(Judge::new(analyzers, Some(sandbox)))
}

/// What had a part in a judge's verdicts, for a run's record.
pub(crate) fn versions<S: AsRef<str>>(names: &[S], judge: &Judge) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::from([("rampart".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    let folders = surroundings::folders();
    for name in names.iter().map(AsRef::as_ref).filter(|n| !["native", "bandit-compat"].contains(n)) {
        let program = folders.iter().map(|f| f.join(name)).find(|p| p.is_file());
        let said = program.map_or_else(|| "not found".into(), |p| analyzers::version(&p).unwrap_or_else(|e| e));
        versions.insert(name.to_owned(), said);
    }
    if let Some(sandbox) = judge.sandbox() {
        versions.insert("python".into(), sandbox.interpreter().version.clone());
        versions.insert("sandbox".into(), sandbox.backend().to_owned());
    }
    versions
}

/// Judges code under a progress bar. The second part says, per analyzer, how much valid code it did not look at.
///
/// # Errors
/// As [`Judge::judge`].
pub(crate) fn judge_codes(judge: &Judge, codes: &[Code<'_>], what: &str) -> Result<(Vec<Verdict>, Vec<String>)> {
    let scripts = codes.iter().map(|c| usize::from(c.tests.is_some()) + usize::from(c.exploit.is_some())).sum();
    let bar = terminal::bar(if judge.sandbox().is_some() { scripts } else { 0 }, "programs");
    bar.set_prefix(format!("{what} "));
    let judged = judge.judge(codes, &|n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    let mut reasons: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut verdicts = Vec::with_capacity(judged.len());
    for one in judged {
        for (analyzer, why) in one.skipped {
            reasons.entry(analyzer).or_insert((0, why)).0 += 1;
        }
        verdicts.push(one.verdict);
    }
    let notes = reasons
        .into_iter()
        .map(|(analyzer, (n, why))| {
            let instead = if analyzer == "syntax" { "as valid" } else { "as without its findings" };
            format!(
                "{analyzer} did not look at {n} of {} answers, which count {instead}; the first: {why}",
                verdicts.len()
            )
        })
        .collect();
    Ok((verdicts, notes))
}
