//! What a run was: its record, whether another start may go on with it, and the facts a report names.

use super::{Args, data::Asked, judging};
use anyhow::{Result, ensure};
use eval::{
    run::{Run, RunRecord, SamplingRecord, file},
    suites::Published,
};
use judge::Judge;
use lexicon::FORMAT;
use std::{collections::BTreeMap, path::Path};

/// Among the versions, what an endpoint calls the model that answers.
pub(super) const ANSWERED_BY: &str = "answered-by";

/// How models are sampled: by the arguments, or as the suites' authors do.
///
/// # Errors
/// Where suites of one run are published with different settings.
pub(super) fn sampling(args: &Args, asked: &[Asked]) -> Result<SamplingRecord> {
    let s = &args.sampling;
    let given = SamplingRecord {
        max_new_tokens: s.max_new_tokens,
        temperature: s.temperature,
        top_p: s.top_p,
        top_k: s.top_k(),
        seed: s.seed,
        require: s.require.clone(),
        forbid: s.forbid.clone(),
    };
    if !args.published {
        return Ok(given);
    }
    let all: Vec<Published> = asked.iter().map(|a| a.suite.published()).collect();
    ensure!(
        all.windows(2).all(|w| w[0] == w[1]),
        "--published: these suites are published with different settings; evaluate them one at a time"
    );
    let Published { temperature, top_p, max_new_tokens, .. } = all[0];
    Ok(SamplingRecord { max_new_tokens, temperature, top_p, ..given })
}

/// The record of a run that begins; name, writer and adapters are the caller's to fill in.
pub(super) fn new(args: &Args, asked: &[Asked], sampling: Option<SamplingRecord>, judge: Option<&Judge>) -> RunRecord {
    let published = asked.first().filter(|_| args.published).map(|a| a.suite.published().samples);
    RunRecord {
        format: FORMAT,
        name: String::new(),
        writer: String::new(),
        api: None,
        critics: None,
        adapters: Vec::new(),
        suites: asked.iter().map(|a| a.record.clone()).collect(),
        form: args.template.to_string(),
        variant: args.prompt.to_string(),
        samples_per_prompt: published.or(args.samples_per_prompt).unwrap_or(5),
        sampling,
        seed: args.sampling.seed,
        per_lesson: args.per_lesson,
        partial: args.partial,
        analyzers: args.analyzer.clone(),
        languages: judge.map_or_else(Vec::new, Judge::languages),
        versions: judge.map_or_else(BTreeMap::new, |judge| judging::versions(&args.analyzer, judge)),
        seconds: 0.0,
        complete: false,
    }
}

/// What an earlier start heard of who answers.
pub(super) fn answered_by(out: &Path) -> Option<String> {
    RunRecord::read(out).ok()?.versions.get(ANSWERED_BY).cloned()
}

/// Whether a folder is free for this run, or holds an earlier start of it.
///
/// # Errors
/// Where it holds another run: its answers must not be mixed with these, nor lost.
pub(super) fn fits(record: &RunRecord, out: &Path) -> Result<()> {
    if !out.join(file::RUN).exists() {
        return Ok(());
    }
    let there = RunRecord::read(out)?;
    let differs = [
        ("name", there.name != record.name),
        ("writer", there.writer != record.writer),
        ("api", there.api != record.api),
        ("critics", there.critics != record.critics),
        ("adapters", there.adapters != record.adapters),
        (
            "suites",
            there.suites.iter().map(|s| (&s.name, &s.digest)).ne(record.suites.iter().map(|s| (&s.name, &s.digest))),
        ),
        ("template", there.form != record.form),
        ("prompt", there.variant != record.variant),
        ("samples-per-prompt", there.samples_per_prompt != record.samples_per_prompt),
        ("sampling", there.sampling != record.sampling),
    ];
    let differs: Vec<&str> = differs.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
    ensure!(
        differs.is_empty(),
        "{} holds another run ({} differ); choose another --out, or remove it",
        out.display(),
        differs.join(", ")
    );
    Ok(())
}

/// Runs in a few facts.
pub(super) fn facts(runs: &[&Run]) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    for run in runs {
        let r = &run.record;
        let what = if r.sampling.is_some() { "Model" } else { "Answers" };
        let label = if runs.len() > 1 { r.name.clone() } else { what.to_owned() };
        let writer = std::iter::once(&r.writer).chain(&r.adapters).cloned().collect::<Vec<_>>().join(" + ");
        facts.push((label, writer));
    }
    let Some(run) = runs.first() else { return facts };
    let r = &run.record;
    if let Some(s) = &r.sampling {
        let words =
            format!("temperature {}, top-k {}, top-p {}, {} tokens", s.temperature, s.top_k, s.top_p, s.max_new_tokens);
        facts.push(("Sampling".into(), words));
    }
    let security = if r.variant == "plain" { String::new() } else { format!(", {}", r.variant) };
    facts.push(("Prompts".into(), format!("{}{security}", r.form)));
    facts.extend(r.critics.iter().map(|critics| ("Critics".into(), critics.clone())));
    facts.extend(r.suites.iter().filter_map(|s| Some((format!("Data of {}", s.name), s.data.clone()?))));
    let came = runs.iter().map(|r| r.samples.len().to_string()).collect::<Vec<_>>().join(" and ");
    let wanted = run.rows.len() * r.samples_per_prompt;
    facts.push(("Samples".into(), format!("{} a prompt; {came} of {wanted} came", r.samples_per_prompt)));
    let sandbox =
        r.versions.get("sandbox").map_or("nothing is run".to_owned(), |s| format!("tests and exploits under {s}"));
    facts.push(("Judge".into(), format!("{}; {sandbox}", r.analyzers.join(", "))));
    facts.push(("Seed".into(), r.seed.to_string()));
    facts.push(("Time".into(), format!("{:.0} s", runs.iter().map(|r| r.record.seconds).sum::<f64>())));
    facts
}
