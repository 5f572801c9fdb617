//! Direct preference optimization (DPO).
//!
//! Rafailov et al., NeurIPS 2023, equation 7: `-log σ(β [(Σ lc - Σ ref_c) - (Σ lr - Σ ref_r)])`, sums over the response.

use serde::{Deserialize, Serialize};

use crate::numeric::{dot, log_sigmoid, positive, scaled, sigmoid};
use crate::{Error, Kl, Loss, Metrics, Needs, PairLoss, Scored};

/// DPO's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dpo {
    /// How strongly the model is held to the reference; 0.1 is usual.
    pub beta: f64,
}

impl Default for Dpo {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

impl Loss for Dpo {
    const NAME: &'static str = "dpo";
    const ABOUT: &'static str = "logistic loss on the difference of implicit rewards over a reference model";

    fn needs(&self) -> Needs {
        Needs { pair: true, reference: true, ..Needs::default() }
    }

    fn check(&self) -> Result<(), Error> {
        positive("beta", self.beta)
    }

    fn variants() -> Vec<Self> {
        vec![Self::default(), Self { beta: 2.0 }]
    }

    fn pair(&self, chosen: Scored<'_>, rejected: Scored<'_>, _kl: Option<Kl<'_>>) -> Result<PairLoss, Error> {
        let r = LogRatio::sums(Self::NAME, chosen, rejected)?;
        let margin = self.beta * r.delta;
        Ok(r.finish(-log_sigmoid(margin), -self.beta * sigmoid(-margin), margin))
    }
}

/// Difference of log-ratios to the reference, `Δ = (lc - ref_c) - (lr - ref_r)`, with the weights it was taken with.
pub(crate) struct LogRatio {
    /// `Δ` in nats.
    pub(crate) delta: f64,
    chosen: f64,
    rejected: f64,
    w_chosen: Vec<f64>,
    w_rejected: Vec<f64>,
}

impl LogRatio {
    /// `Δ` of sums over the response.
    pub(crate) fn sums(objective: &'static str, c: Scored<'_>, r: Scored<'_>) -> Result<Self, Error> {
        Self::weighted(objective, c, r, |_| 1.0)
    }

    /// `Δ` of means over the response.
    pub(crate) fn means(objective: &'static str, c: Scored<'_>, r: Scored<'_>) -> Result<Self, Error> {
        Self::weighted(objective, c, r, f64::recip)
    }

    fn weighted(
        objective: &'static str,
        c: Scored<'_>,
        r: Scored<'_>,
        weight: impl Fn(f64) -> f64,
    ) -> Result<Self, Error> {
        c.check("chosen")?;
        r.check("rejected")?;
        let (ref_c, ref_r) = (c.referenced(objective, "chosen")?, r.referenced(objective, "rejected")?);
        let w_chosen = scaled(c.response, weight(c.length("chosen")?));
        let w_rejected = scaled(r.response, weight(r.length("rejected")?));
        let (chosen, rejected) = (dot(&w_chosen, c.logp), dot(&w_rejected, r.logp));
        let delta = (chosen - dot(&w_chosen, ref_c)) - (rejected - dot(&w_rejected, ref_r));
        Ok(Self { delta, chosen, rejected, w_chosen, w_rejected })
    }

    /// The loss of a pair from the loss, its derivative by `Δ`, and the reward margin.
    pub(crate) fn finish(self, loss: f64, d_delta: f64, margin: f64) -> PairLoss {
        PairLoss {
            loss,
            d_chosen: scaled(&self.w_chosen, d_delta),
            d_rejected: scaled(&self.w_rejected, -d_delta),
            d_kl_chosen: Vec::new(),
            d_kl_rejected: Vec::new(),
            metrics: Metrics::compared(self.chosen, self.rejected, margin),
        }
    }
}

/// The pair of reference/methods.md, section 5, with references that sum to -4.0 and -4.1.
#[cfg(test)]
pub(crate) fn golden() -> (Scored<'static>, Scored<'static>) {
    let chosen = Scored {
        logp: &[-0.5, -1.0, -0.2, -2.0, -0.1],
        mask: &[0.0, 1.0, 0.0, 1.0, 0.0],
        response: &[1.0; 5],
        reference: Some(&[-0.6, -1.0, -0.3, -1.9, -0.2]),
    };
    let rejected = Scored {
        logp: &[-0.4, -0.3, -3.0, -0.6],
        mask: &[0.0, 0.0, 1.0, 1.0],
        response: &[1.0; 4],
        reference: Some(&[-0.4, -0.3, -2.8, -0.6]),
    };
    (chosen, rejected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_value() -> Result<(), Error> {
        let (c, r) = golden();
        let l = Dpo { beta: 0.1 }.pair(c, r, None)?;
        assert!((l.loss - 0.673347167).abs() < 5e-10, "{}", l.loss);
        assert!(l.metrics.margin.is_some_and(|m| (m - 0.04).abs() < 1e-12));
        assert_eq!(l.metrics.accuracy, Some(1.0));
        Ok(())
    }

    #[test]
    fn without_a_reference_it_says_so() {
        let (c, r) = golden();
        let error = Dpo::default().pair(c, Scored { reference: None, ..r }, None);
        assert_eq!(error, Err(Error::MissingReference { objective: "dpo", side: "rejected" }));
    }
}
