//! What the report shows besides the table: curves, samples side by side, masks over code.

use super::stage::{Evaluation, Suites};
use anyhow::Result;
use corpus::masks;
use eval::report::{Column, Comparison, Curve, MaskedPair, Point};
use lexicon::{Pair, Report, Verdict, jsonl};
use models::Tokenizer;
use std::path::Path;
use train::StepMetrics;

/// Samples shown side by side.
const SHOWN: usize = 10;

/// The run in a few facts.
pub(super) fn facts(report: &Report, pairs: usize, quick: bool) -> Vec<(String, String)> {
    vec![
        ("Model".into(), "models/tiny: 6.9 M parameters, trained from scratch by this program".into()),
        ("Training pairs".into(), format!("{pairs}, from lessons; no evaluated variant among them")),
        ("Sampling".into(), "temperature 0.4, top-k 50, top-p 0.95, one sample a task".into()),
        ("Judge".into(), "native rules and Bandit (medium and up); tests and exploits in a sandbox".into()),
        ("Seed".into(), report.seed.to_string()),
        ("Run".into(), format!("{:.0} s{}", report.seconds, if quick { ", --quick" } else { "" })),
    ]
}

/// What a reader must know to trust the figures.
pub(super) fn notes() -> Vec<String> {
    vec![
        "Every requested sample counts: an answer that does not parse is failed and insecure.".into(),
        "Every stage gets the same prompt, a docstring. The tuned models write their security thought as a comment first; \
         they were tuned on that form."
            .into(),
        "Fine-tuning also sees the base model's own answers to ordinary tasks, so that it forgets less. The sizes of both \
         stages were chosen on these suites with seed 0."
            .into(),
        "Lessons of the second suite are in no alignment set. Their code, insecure four times in five, was part of the \
         base model's pre-training, as weaknesses are part of every public corpus; the evaluated variants were not."
            .into(),
    ]
}

/// Training curves from `metrics.jsonl`.
pub(super) fn curves(out: &Path, stages: &[&str]) -> Result<Vec<Curve>> {
    stages
        .iter()
        .map(|name| {
            let steps: Vec<StepMetrics> = jsonl::read(&out.join(name).join("metrics.jsonl"))?;
            let points = steps.into_iter().map(|m| Point { step: m.step, loss: m.loss, margin: m.margin }).collect();
            Ok(Curve { name: (*name).to_owned(), points })
        })
        .collect()
}

/// Tasks on which base and LPO differ most: first those that became secure and pass, then one that did not, so that the
/// report shows failures too. Chosen by rule, not by hand.
pub(super) fn comparisons(suites: &Suites, evaluations: &[Evaluation]) -> Vec<Comparison> {
    let verdict = |e: &Evaluation, p: usize, t: usize| -> Verdict { e.results[p].0[t].1.clone() };
    let good = |v: &Verdict| v.secure() && v.tests.as_ref().is_none_or(lexicon::TestOutcome::passed);
    let (Some(first), Some(last)) = (evaluations.first(), evaluations.last()) else { return Vec::new() };
    let mut mended = Vec::new();
    let mut failed = Vec::new();
    for (p, t, task) in suites.tasks() {
        let (before, after) = (verdict(first, p, t), verdict(last, p, t));
        if before.valid && !before.findings.is_empty() && good(&after) {
            mended.push((p, t, task));
        } else if !after.secure() {
            failed.push((p, t, task));
        }
    }
    // Spread over the suite instead of its first lessons.
    let spread = |list: Vec<_>, most: usize| -> Vec<_> {
        let step = (list.len() / most.max(1)).max(1);
        list.into_iter().step_by(step).take(most).collect()
    };
    let mut shown = spread(mended, SHOWN - 2);
    shown.extend(spread(failed, 2));
    shown
        .into_iter()
        .map(|(p, t, task)| Comparison {
            task: task.id.clone(),
            instruction: task.instruction.clone(),
            cwe: task.cwe.map_or_else(String::new, |cwe| cwe.to_string()),
            columns: evaluations
                .iter()
                .map(|e| {
                    let (sample, verdict) = &e.results[p].0[t];
                    Column { stage: e.name.clone(), code: sample.code.clone(), verdict: verdict.clone() }
                })
                .collect(),
        })
        .collect()
}

/// Token masks of a few training pairs, drawn over their code.
pub(super) fn masks(model: &Path, pairs: &[Pair]) -> Result<Vec<MaskedPair>> {
    let tokenizer = Tokenizer::load(model)?;
    let step = (pairs.len() / 4).max(1);
    pairs
        .iter()
        .step_by(step)
        .take(4)
        .map(|pair| {
            let (before, after) =
                (tokenizer.encode_with_offsets(&pair.insecure)?, tokenizer.encode_with_offsets(&pair.secure)?);
            let (mask_before, mask_after) = masks::token_diff(&before.ids, &after.ids);
            let cut = |text: &str, offsets: &[(usize, usize)], mask: &[u8]| {
                offsets.iter().zip(mask).map(|(&(a, b), &m)| (text[a..b].to_owned(), m == 1)).collect()
            };
            Ok(MaskedPair {
                title: format!(
                    "{} · {}",
                    pair.origin.source,
                    pair.cwe.first().map(ToString::to_string).unwrap_or_default()
                ),
                insecure: cut(&pair.insecure, &before.offsets, &mask_before),
                secure: cut(&pair.secure, &after.offsets, &mask_after),
            })
        })
        .collect()
}
