//! One step: log-probs of the labels the objective looks at, the objective itself, and its gradient back.

use crate::{
    Error, Example, Result, Sequence, StepMetrics,
    layout::{Before, Layout},
};
use models::{Decoder, Ranks, Tensor, decoder::Pass, divergence::Compared, head::Head};
use objectives::{Kl, Metrics, Objective, Scored};

/// Reference log-probs of an example's sequences, one a token from position 1 on.
pub type Reference = Vec<Vec<f64>>;

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
    let needs = objective.needs();
    // The divergence looks where the log-probs do not.
    let looks = |side, focus| needs.kl || objective.looks(side, focus);
    let laid = Layout::of(decoder, examples, if needs.controls { Before::Both } else { Before::First }, looks)?;
    sums.tokens += laid.entries.iter().map(|e| e.sequence.ids.len()).sum::<usize>();
    sums.unique += laid.packed.tokens();
    let frozen = if needs.kl { Some(Frozen::of(decoder, examples, &laid)?) } else { None };
    let part = Part { objective, examples, shares, references, laid: &laid };

    let head = Head::new(decoder);
    let labels = &laid.labels;
    let moved = |hidden: &Tensor| frozen.as_ref().map(|f| head.divergences(&f.beside(hidden)));
    if !learn {
        let hidden = decoder.forward(&laid.packed, Pass::INFERENCE);
        part.judge(&head.log_probs(&hidden, labels), moved(&hidden).as_deref(), sums)?;
        return Ok(());
    }
    let tape = decoder.record(&laid.packed);
    let gradient = if matches!(objective, Objective::Sft(_)) {
        // The derivative of likelihood does not depend on the log-probs: one pass over the head gives both.
        let mut d = vec![0.0; labels.len()];
        for (positions, entry) in laid.index.iter().zip(&laid.entries) {
            let n: f64 = entry.sequence.response.iter().skip(1).sum();
            for at in positions.iter().flatten() {
                d[*at] -= shares[entry.example] / n;
            }
        }
        let (logp, gradient) = head.fused(&tape.hidden, labels, &d);
        part.judge(&logp, None, sums)?;
        gradient
    } else {
        // Beside a divergence few of the labels are told anything: making their logits again is the cheaper way.
        let (logp, kept) = if needs.kl {
            (head.log_probs(&tape.hidden, labels), None)
        } else {
            head.log_probs_keeping(&tape.hidden, labels)
        };
        let d = part.judge(&logp, moved(&tape.hidden).as_deref(), sums)?;
        let mut gradient = head.backward(&tape.hidden, labels, &d.logp, kept);
        if let Some(frozen) = &frozen {
            head.divergence_backward(&frozen.beside(&tape.hidden), &d.kl, &mut gradient);
        }
        gradient
    };
    decoder.backward(&laid.packed, tape, gradient);
    Ok(())
}

/// What the frozen model below the adapter makes of the same examples.
struct Frozen {
    hidden: Tensor,
    /// For every label its row, and the frozen model's.
    rows: Vec<(i64, i64)>,
}

impl Frozen {
    fn of(decoder: &Decoder, examples: &[&Example], laid: &Layout) -> Result<Self> {
        let below = Layout::of(decoder, examples, Before::Nothing, |_, _| true)?;
        Ok(Self { hidden: decoder.forward(&below.packed, Pass::REFERENCE), rows: laid.beside(&below) })
    }

    fn beside<'a>(&'a self, hidden: &'a Tensor) -> Compared<'a> {
        Compared { hidden, reference: &self.hidden, rows: &self.rows }
    }
}

/// Derivatives of a part's loss, a value a label.
struct Derivatives {
    /// By the log-prob.
    logp: Vec<f64>,
    /// By the divergence from the frozen model.
    kl: Vec<f64>,
}

/// What the losses of a part are made of, but for what the model says.
struct Part<'a> {
    objective: &'a Objective,
    examples: &'a [&'a Example],
    shares: &'a [f64],
    references: &'a [Option<&'a Reference>],
    laid: &'a Layout<'a>,
}

impl Part<'_> {
    /// Losses of the examples, added up, and their derivatives; `kl` is a divergence a label.
    fn judge(&self, logp: &[f64], kl: Option<&[f64]>, sums: &mut Sums) -> Result<Derivatives> {
        let n = self.laid.labels.len();
        let mut out = Derivatives { logp: vec![0.0; n], kl: vec![0.0; n] };
        // Positions nobody asked for take no part in any objective: their response flag is 0.
        let gather = |positions: &[Option<usize>], of: &[f64]| -> Vec<f64> {
            positions.iter().map(|p| p.map_or(0.0, |at| of[at])).collect()
        };
        let spread = |d: &mut [f64], positions: &[Option<usize>], share: f64, gradient: &[f64]| {
            for (at, g) in positions.iter().zip(gradient) {
                if let Some(at) = at {
                    d[*at] += share * g;
                }
            }
        };
        let controls = self.objective.needs().controls;
        let mut entries = self.laid.index.iter().zip(&self.laid.entries);
        for (i, example) in self.examples.iter().enumerate() {
            let refused = |source| Error::Objective { id: example.id().to_owned(), source };
            let reference = |s: usize| self.references.get(i).copied().flatten().map(|r| r[s].as_slice());
            let single = match example {
                Example::Single { side, .. } if !controls => Some(*side),
                _ => None,
            };
            let Some((at, one)) = entries.next() else { break };
            let (logp_one, kl_one) = (gather(at, logp), kl.map(|kl| gather(at, kl)));
            if let Some(side) = single {
                let loss = self
                    .objective
                    .single_with_kl(scored(one.sequence, &logp_one, reference(0)), side, kl_one.as_deref())
                    .map_err(refused)?;
                sums.loss += self.shares[i] * loss.loss;
                sums.add(&loss.metrics);
                spread(&mut out.logp, at, self.shares[i], &loss.d);
                spread(&mut out.kl, at, self.shares[i], &loss.d_kl);
                continue;
            }
            let Some((at_other, other)) = entries.next() else { break };
            let (logp_other, kl_other) = (gather(at_other, logp), kl.map(|kl| gather(at_other, kl)));
            let kl = kl_one.as_deref().zip(kl_other.as_deref()).map(|(chosen, rejected)| Kl { chosen, rejected });
            // The two sequences of a pair, or the one of a sample under its own control and under the other.
            let second = usize::from(!controls);
            let loss = self
                .objective
                .pair_with_kl(
                    scored(one.sequence, &logp_one, reference(0)),
                    scored(other.sequence, &logp_other, reference(second)),
                    kl,
                )
                .map_err(refused)?;
            sums.loss += self.shares[i] * loss.loss;
            sums.add(&loss.metrics);
            spread(&mut out.logp, at, self.shares[i], &loss.d_chosen);
            spread(&mut out.logp, at_other, self.shares[i], &loss.d_rejected);
            spread(&mut out.kl, at, self.shares[i], &loss.d_kl_chosen);
            spread(&mut out.kl, at_other, self.shares[i], &loss.d_kl_rejected);
        }
        Ok(out)
    }
}

fn scored<'a>(sequence: &'a Sequence, logp: &'a [f64], reference: Option<&'a [f64]>) -> Scored<'a> {
    Scored { logp, mask: &sequence.focus[1..], response: &sequence.response[1..], reference }
}

/// Log-probs of examples under the frozen model below the adapter.
///
/// # Errors
/// See [`part`].
pub fn reference(decoder: &Decoder, examples: &[&Example]) -> Result<Vec<Reference>> {
    let laid = Layout::of(decoder, examples, Before::Nothing, |_, _| true)?;
    let hidden = decoder.forward(&laid.packed, Pass::REFERENCE);
    let logp = Head::frozen(decoder).log_probs(&hidden, &laid.labels);
    let mut out: Vec<Reference> = vec![Vec::new(); examples.len()];
    for (entry, positions) in laid.entries.iter().zip(&laid.index) {
        out[entry.example].push(positions.iter().map(|p| p.map_or(0.0, |at| logp[at])).collect());
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
