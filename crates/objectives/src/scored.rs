//! What an objective is given and what it gives back.

use serde::{Deserialize, Serialize};

use crate::error::{Array, Error};

/// Largest log-probability taken for zero. Logits minus their log-sum-exp in single precision overshoot by this much
/// when the model is certain; more is an error upstream.
const ROUNDING: f64 = 1e-4;

/// One response (or sequence) as the model scored it. All arrays have shape `[n]` and `x[t]` describes the same
/// predicted token in each of them.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// Natural-log probabilities of the tokens under the model in training.
    pub logp: &'a [f64],
    /// Focus mask: 1 on tokens that the change touches, else 0.
    pub mask: &'a [f64],
    /// 1 on tokens that count as response (reasoning, code, end), 0 on the prompt.
    pub response: &'a [f64],
    /// Natural-log probabilities of the same tokens under the frozen reference model.
    pub reference: Option<&'a [f64]>,
}

/// KL divergence of the model in training from the reference, in nats, per token of each sequence of a pair.
#[derive(Clone, Copy, Debug)]
pub struct Kl<'a> {
    /// For the chosen response (SVEN: under the right control), shape `[n+]`.
    pub chosen: &'a [f64],
    /// For the rejected response (SVEN: under the wrong control), shape `[n-]`.
    pub rejected: &'a [f64],
}

/// Where a single sequence comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// General data, without a security label.
    Standard,
    /// The secure side of a pair.
    Secure,
    /// The insecure side of a pair.
    Insecure,
}

impl Side {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Secure => "secure",
            Self::Insecure => "insecure",
        }
    }
}

/// Which of two disagreeing sources is followed where a paper and its authors' code differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// The paper's formula.
    #[default]
    Paper,
    /// The published implementation.
    Code,
}

/// What the caller must have at hand before it calls an objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// A chosen and a rejected response: call `pair`. Otherwise call `single`.
    pub pair: bool,
    /// Log-probabilities under a reference model.
    pub reference: bool,
    /// KL divergence from the reference, per token: call the `_with_kl` form.
    pub kl: bool,
    /// A focus mask; an objective without this need never reads `mask`.
    pub focus: bool,
    /// The same sequence under the right and the wrong control, given to `pair` in this order.
    pub controls: bool,
}

/// What an objective compares, for the log. Log-probabilities in nats, summed or averaged as the objective does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Of the chosen (secure, standard, right-control) side.
    pub chosen_logp: Option<f64>,
    /// Of the rejected (insecure, wrong-control) side.
    pub rejected_logp: Option<f64>,
    /// Reward margin: by how much chosen stands above rejected, before a target margin is taken off.
    pub margin: Option<f64>,
    /// 1 where the margin is above zero, else 0.
    pub accuracy: Option<f64>,
}

impl Metrics {
    pub(crate) fn compared(chosen: f64, rejected: f64, margin: f64) -> Self {
        Self {
            chosen_logp: Some(chosen),
            rejected_logp: Some(rejected),
            margin: Some(margin),
            accuracy: Some(f64::from(u8::from(margin > 0.0))),
        }
    }

    pub(crate) fn alone(side: Side, logp: f64) -> Self {
        match side {
            Side::Insecure => Self { rejected_logp: Some(logp), ..Self::default() },
            Side::Standard | Side::Secure => Self { chosen_logp: Some(logp), ..Self::default() },
        }
    }
}

/// Loss of a pair, in nats, with its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct PairLoss {
    /// The loss.
    pub loss: f64,
    /// `dLoss / dlogp` of every chosen token, shape `[n+]`.
    pub d_chosen: Vec<f64>,
    /// `dLoss / dlogp` of every rejected token, shape `[n-]`.
    pub d_rejected: Vec<f64>,
    /// `dLoss / dKL` of every chosen token; empty where no KL was used.
    pub d_kl_chosen: Vec<f64>,
    /// `dLoss / dKL` of every rejected token; empty where no KL was used.
    pub d_kl_rejected: Vec<f64>,
    /// For the log.
    pub metrics: Metrics,
}

/// Loss of one sequence, in nats, with its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLoss {
    /// The loss.
    pub loss: f64,
    /// `dLoss / dlogp` of every token, shape `[n]`.
    pub d: Vec<f64>,
    /// `dLoss / dKL` of every token; empty where no KL was used.
    pub d_kl: Vec<f64>,
    /// For the log.
    pub metrics: Metrics,
}

impl<'a> Scored<'a> {
    /// Refuses arrays that do not fit together or hold what no model computes.
    pub(crate) fn check(&self, side: &'static str) -> Result<(), Error> {
        let expected = self.logp.len();
        fit(side, Array::Mask, self.mask.len(), expected)?;
        fit(side, Array::Response, self.response.len(), expected)?;
        log_probs(side, Array::Logp, self.logp)?;
        weights(side, Array::Mask, self.mask)?;
        weights(side, Array::Response, self.response)?;
        if let Some(reference) = self.reference {
            fit(side, Array::Reference, reference.len(), expected)?;
            log_probs(side, Array::Reference, reference)?;
        }
        Ok(())
    }

    /// Number of response tokens.
    pub(crate) fn length(&self, side: &'static str) -> Result<f64, Error> {
        let n: f64 = self.response.iter().sum();
        if n > 0.0 { Ok(n) } else { Err(Error::NoResponse { side, tokens: self.logp.len() }) }
    }

    /// Response tokens inside the mask, as weights. No token at all is the caller's decision.
    pub(crate) fn focus(&self) -> Vec<f64> {
        self.mask.iter().zip(self.response).map(|(m, r)| m * r).collect()
    }

    /// Response tokens outside the mask, as weights.
    pub(crate) fn rest(&self) -> Vec<f64> {
        self.mask.iter().zip(self.response).map(|(m, r)| (1.0 - m) * r).collect()
    }

    /// Weights of the mean over masked response tokens: they sum to 1.
    pub(crate) fn focus_mean(&self, side: &'static str) -> Result<Vec<f64>, Error> {
        normalised(self.focus()).ok_or(Error::NoFocus { side, tokens: self.logp.len() })
    }

    /// Reference log-probabilities.
    pub(crate) fn referenced(&self, objective: &'static str, side: &'static str) -> Result<&'a [f64], Error> {
        self.reference.ok_or(Error::MissingReference { objective, side })
    }
}

/// Divides by the sum; `None` where there is nothing to divide by.
pub(crate) fn normalised(mut w: Vec<f64>) -> Option<Vec<f64>> {
    let sum: f64 = w.iter().sum();
    if sum <= 0.0 {
        return None;
    }
    for w in &mut w {
        *w /= sum;
    }
    Some(w)
}

/// Refuses KL values that do not fit their sequence. Estimates may be slightly negative, so only shape and finiteness count.
pub(crate) fn check_kl(side: &'static str, kl: &[f64], tokens: usize) -> Result<(), Error> {
    fit(side, Array::Kl, kl.len(), tokens)?;
    finite(side, Array::Kl, kl)
}

fn fit(side: &'static str, array: Array, got: usize, expected: usize) -> Result<(), Error> {
    if got == expected { Ok(()) } else { Err(Error::Shape { side, array, got, expected }) }
}

fn finite(side: &'static str, array: Array, x: &[f64]) -> Result<(), Error> {
    match x.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NonFinite { side, array, index, value: x[index] }),
    }
}

fn log_probs(side: &'static str, array: Array, x: &[f64]) -> Result<(), Error> {
    finite(side, array, x)?;
    match x.iter().position(|&x| x > ROUNDING) {
        None => Ok(()),
        Some(index) => Err(Error::Positive { side, array, index, value: x[index] }),
    }
}

fn weights(side: &'static str, array: Array, x: &[f64]) -> Result<(), Error> {
    match x.iter().position(|x| !(0.0..=1.0).contains(x)) {
        None => Ok(()),
        Some(index) => Err(Error::Weight { side, array, index, value: x[index] }),
    }
}
