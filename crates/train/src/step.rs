//! One step: log-probs of the labels the objective looks at, the objective itself, and its gradient back.

use crate::{Error, Example, Result, Sequence, StepMetrics};
use models::{
    Decoder, Group, Packed, Ranks,
    decoder::Pass,
    head::{Head, Labels},
    packing::Placed,
};
use objectives::{Metrics, Objective, Scored};
use std::collections::HashMap;

/// Reference log-probs of an example's sequences, one a token from position 1 on.
pub type Reference = Vec<Vec<f64>>;

/// Where each sequence's predicted tokens stand among the labels asked of the head.
struct Asked {
    labels: Labels,
    /// Label of every position from 1 on, for every sequence; `None` where the objective does not look.
    index: Vec<Vec<Option<usize>>>,
}

/// Collects the labels of a packed batch; a label that two sequences share is asked once.
fn ask(sequences: &[(usize, usize, &Sequence)], placed: &[Placed]) -> Asked {
    let mut seen: HashMap<(usize, u32), usize> = HashMap::new();
    let mut labels = Labels::default();
    let mut index = Vec::with_capacity(sequences.len());
    for &(group, place, sequence) in sequences {
        let mut positions = Vec::with_capacity(sequence.ids.len().saturating_sub(1));
        for t in 1..sequence.ids.len() {
            if sequence.response[t] == 0.0 {
                positions.push(None);
                continue;
            }
            let row = placed[group].row(place, t - 1);
            let token = sequence.ids[t];
            let at = *seen.entry((row, token)).or_insert_with(|| {
                labels.rows.push(row as i64);
                labels.tokens.push(i64::from(token));
                labels.rows.len() - 1
            });
            positions.push(Some(at));
        }
        index.push(positions);
    }
    Asked { labels, index }
}

/// Examples of a step, split so that each part stays below `most` packed tokens.
pub fn split(examples: &[&Example], most: usize) -> Vec<std::ops::Range<usize>> {
    if examples.is_empty() {
        return Vec::new();
    }
    let mut parts = Vec::new();
    let (mut from, mut sum) = (0, 0);
    for (i, example) in examples.iter().enumerate() {
        let tokens = example.tokens();
        if i > from && sum + tokens > most {
            parts.push(from..i);
            (from, sum) = (i, 0);
        }
        sum += tokens;
    }
    parts.push(from..examples.len());
    parts
}

/// Sums over the examples of a step.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    loss: f64,
    tokens: usize,
    unique: usize,
    compared: [(f64, usize); 4],
}

impl Sums {
    fn add(&mut self, metrics: &Metrics) {
        let values = [metrics.chosen_logp, metrics.rejected_logp, metrics.margin, metrics.accuracy];
        for (sum, value) in self.compared.iter_mut().zip(values) {
            if let Some(value) = value {
                sum.0 += value;
                sum.1 += 1;
            }
        }
    }

    /// Adds the sums of all ranks.
    ///
    /// # Errors
    /// [`Error::Model`] when a rank is lost.
    pub fn across(&mut self, ranks: &Ranks) -> Result<()> {
        let mut all = vec![self.loss, self.tokens as f64, self.unique as f64];
        all.extend(self.compared.iter().flat_map(|&(sum, n)| [sum, n as f64]));
        ranks.sum(&mut all)?;
        (self.loss, self.tokens, self.unique) = (all[0], all[1] as usize, all[2] as usize);
        for (own, pair) in self.compared.iter_mut().zip(all[3..].chunks_exact(2)) {
            *own = (pair[0], pair[1] as usize);
        }
        Ok(())
    }

    /// Loss of the step and means of what the objective compares.
    #[must_use]
    pub fn metrics(&self) -> StepMetrics {
        let mean = |i: usize| {
            let (sum, n) = self.compared[i];
            (n > 0).then(|| sum / n as f64)
        };
        StepMetrics {
            loss: self.loss,
            tokens: self.tokens,
            unique_tokens: self.unique,
            chosen_logp: mean(0),
            rejected_logp: mean(1),
            margin: mean(2),
            accuracy: mean(3),
            ..StepMetrics::default()
        }
    }
}

/// Share of the step's loss that each example carries: equal shares, except that likelihood weighs by tokens, so that
/// the loss is the mean over the step's tokens however examples are packed.
#[must_use]
pub fn weights(examples: &[&Example], objective: &Objective) -> Vec<f64> {
    let by_tokens = matches!(objective, Objective::Sft(_));
    let size = |e: &Example| -> f64 {
        if by_tokens { e.sequences().iter().map(|s| s.response.iter().skip(1).sum::<f64>()).sum() } else { 1.0 }
    };
    let sizes: Vec<f64> = examples.iter().map(|e| size(e)).collect();
    let total: f64 = sizes.iter().sum();
    sizes.into_iter().map(|s| s / total).collect()
}

/// Runs a part of a step. With `learn`, gradients accumulate in the decoder's trainable tensors.
///
/// # Errors
/// [`Error::Objective`] naming the example the objective refuses; [`Error::Model`] for ids outside the vocabulary.
pub fn part(
    decoder: &Decoder,
    objective: &Objective,
    examples: &[&Example],
    shares: &[f64],
    references: &[Option<&Reference>],
    learn: bool,
    sums: &mut Sums,
) -> Result<()> {
    let groups: Vec<Group> =
        examples.iter().map(|e| Group { sequences: e.sequences().iter().map(|s| s.ids.clone()).collect() }).collect();
    let packed = Packed::new(&groups, &decoder.config, decoder.compute)?;
    let sequences: Vec<(usize, usize, &Sequence)> = examples
        .iter()
        .enumerate()
        .flat_map(|(g, e)| e.sequences().into_iter().enumerate().map(move |(s, seq)| (g, s, seq)))
        .collect();
    let asked = ask(&sequences, &packed.groups);
    sums.tokens += examples.iter().map(|e| e.tokens()).sum::<usize>();
    sums.unique += packed.rows();

    let head = Head::new(decoder);
    if !learn {
        let logp = head.log_probs(&decoder.forward(&packed, Pass::INFERENCE), &asked.labels);
        judge(objective, examples, shares, references, &asked, &logp, sums)?;
        return Ok(());
    }
    let tape = decoder.record(&packed);
    let gradient = if matches!(objective, Objective::Sft(_)) {
        // The derivative of likelihood does not depend on the log-probs: one pass over the head gives both.
        let mut d = vec![0.0; asked.labels.len()];
        for (positions, (g, _, sequence)) in asked.index.iter().zip(&sequences) {
            let n: f64 = sequence.response.iter().skip(1).sum();
            for at in positions.iter().flatten() {
                d[*at] -= shares[*g] / n;
            }
        }
        let (logp, gradient) = head.fused(&tape.hidden, &asked.labels, &d);
        judge(objective, examples, shares, references, &asked, &logp, sums)?;
        gradient
    } else {
        let (logp, kept) = head.log_probs_keeping(&tape.hidden, &asked.labels);
        let d = judge(objective, examples, shares, references, &asked, &logp, sums)?;
        head.backward(&tape.hidden, &asked.labels, &d, kept)
    };
    decoder.backward(&packed, tape, gradient);
    Ok(())
}

/// Losses of the examples, added up, and `dLoss/dlogp` of every label.
fn judge(
    objective: &Objective,
    examples: &[&Example],
    shares: &[f64],
    references: &[Option<&Reference>],
    asked: &Asked,
    logp: &[f64],
    sums: &mut Sums,
) -> Result<Vec<f64>> {
    let mut d = vec![0.0; asked.labels.len()];
    let mut spread = |positions: &[Option<usize>], share: f64, gradient: &[f64]| {
        for (at, g) in positions.iter().zip(gradient) {
            if let Some(at) = at {
                d[*at] += share * g;
            }
        }
    };
    let mut next = 0;
    for (i, example) in examples.iter().enumerate() {
        let gather = |positions: &[Option<usize>]| -> Vec<f64> {
            // Positions nobody asked for take no part in any objective: their response flag is 0.
            positions.iter().map(|p| p.map_or(0.0, |at| logp[at])).collect()
        };
        let refused = |source| Error::Objective { id: example.id().to_owned(), source };
        let reference = references.get(i).copied().flatten();
        match example {
            Example::Pair { chosen, rejected, .. } => {
                let (at_c, at_r) = (&asked.index[next], &asked.index[next + 1]);
                next += 2;
                let (logp_c, logp_r) = (gather(at_c), gather(at_r));
                let loss = objective
                    .pair(
                        scored(chosen, &logp_c, reference.map(|r| r[0].as_slice())),
                        scored(rejected, &logp_r, reference.map(|r| r[1].as_slice())),
                    )
                    .map_err(refused)?;
                sums.loss += shares[i] * loss.loss;
                sums.add(&loss.metrics);
                spread(at_c, shares[i], &loss.d_chosen);
                spread(at_r, shares[i], &loss.d_rejected);
            }
            Example::Single { sequence, side, .. } => {
                let at = &asked.index[next];
                next += 1;
                let logp = gather(at);
                let loss = objective
                    .single(scored(sequence, &logp, reference.map(|r| r[0].as_slice())), *side)
                    .map_err(refused)?;
                sums.loss += shares[i] * loss.loss;
                sums.add(&loss.metrics);
                spread(at, shares[i], &loss.d);
            }
        }
    }
    Ok(d)
}

fn scored<'a>(sequence: &'a Sequence, logp: &'a [f64], reference: Option<&'a [f64]>) -> Scored<'a> {
    Scored { logp, mask: &sequence.focus[1..], response: &sequence.response[1..], reference }
}

/// Log-probs of examples under the frozen model below the adapter.
///
/// # Errors
/// See [`part`].
pub fn reference(decoder: &Decoder, examples: &[&Example], pass: Pass) -> Result<Vec<Reference>> {
    let groups: Vec<Group> =
        examples.iter().map(|e| Group { sequences: e.sequences().iter().map(|s| s.ids.clone()).collect() }).collect();
    let packed = Packed::new(&groups, &decoder.config, decoder.compute)?;
    let sequences: Vec<(usize, usize, &Sequence)> = examples
        .iter()
        .enumerate()
        .flat_map(|(g, e)| e.sequences().into_iter().enumerate().map(move |(s, seq)| (g, s, seq)))
        .collect();
    let asked = ask(&sequences, &packed.groups);
    let hidden = decoder.forward(&packed, pass);
    let logp = Head::new(decoder).log_probs(&hidden, &asked.labels);
    let mut out: Vec<Reference> = vec![Vec::new(); examples.len()];
    for ((g, _, _), positions) in sequences.iter().zip(&asked.index) {
        out[*g].push(positions.iter().map(|p| p.map_or(0.0, |at| logp[at])).collect());
    }
    Ok(out)
}
