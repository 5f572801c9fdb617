//! Contrastive margin ranking.
//!
//! The design document's objective: `max(0, m - (s_secure - s_insecure))`, where a response's score `s` is the mean, the
//! sum or the mean over changed tokens of its log-probs. A pair that stands `m` apart has nothing left to teach.

use serde::{Deserialize, Serialize};

use crate::numeric::{dot, not_negative, scaled};
use crate::{Error, Kl, Loss, Metrics, Needs, PairLoss, Scored};

/// How a response's log-probs become its score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarginReduction {
    /// Mean over the response.
    #[default]
    Mean,
    /// Sum over the response.
    Sum,
    /// Mean over the changed tokens of the response.
    MaskedMean,
}

/// Margin ranking's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Margin {
    /// `m`, in nats of the score.
    pub margin: f64,
    /// What the score is.
    pub reduction: MarginReduction,
}

impl Default for Margin {
    fn default() -> Self {
        Self { margin: 1.0, reduction: MarginReduction::Mean }
    }
}

impl Margin {
    fn weights(&self, side: &'static str, s: Scored<'_>) -> Result<Vec<f64>, Error> {
        s.check(side)?;
        let n = s.length(side)?;
        match self.reduction {
            MarginReduction::Mean => Ok(scaled(s.response, n.recip())),
            MarginReduction::Sum => Ok(s.response.to_vec()),
            MarginReduction::MaskedMean => s.focus_mean(side),
        }
    }
}

impl Loss for Margin {
    const NAME: &'static str = "margin";
    const ABOUT: &'static str = "hinge on the difference of the two responses' scores";

    fn needs(&self) -> Needs {
        Needs { pair: true, focus: self.reduction == MarginReduction::MaskedMean, ..Needs::default() }
    }

    fn check(&self) -> Result<(), Error> {
        not_negative("margin", self.margin)
    }

    fn variants() -> Vec<Self> {
        use MarginReduction::{MaskedMean, Mean, Sum};
        [Mean, Sum, MaskedMean].map(|reduction| Self { reduction, ..Self::default() }).to_vec()
    }

    fn pair(&self, chosen: Scored<'_>, rejected: Scored<'_>, _kl: Option<Kl<'_>>) -> Result<PairLoss, Error> {
        let w_chosen = self.weights("chosen", chosen)?;
        let w_rejected = self.weights("rejected", rejected)?;
        let (c, r) = (dot(&w_chosen, chosen.logp), dot(&w_rejected, rejected.logp));
        let short = self.margin - (c - r);
        let d = if short > 0.0 { -1.0 } else { 0.0 };
        Ok(PairLoss {
            loss: short.max(0.0),
            d_chosen: scaled(&w_chosen, d),
            d_rejected: scaled(&w_rejected, -d),
            d_kl_chosen: Vec::new(),
            d_kl_rejected: Vec::new(),
            metrics: Metrics::compared(c, r, c - r),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpo::golden;

    #[test]
    fn each_reduction_by_hand() -> Result<(), Error> {
        use MarginReduction::{MaskedMean, Mean, Sum};
        let (c, r) = golden();
        // Scores: means -0.76 and -1.075, sums -3.8 and -4.3, masked means -1.5 and -1.8.
        for (reduction, gap) in [(Mean, 0.315), (Sum, 0.5), (MaskedMean, 0.3)] {
            let l = Margin { margin: 1.0, reduction }.pair(c, r, None)?;
            assert!((l.loss - (1.0 - gap)).abs() < 1e-12, "{reduction:?}: {}", l.loss);
            let l = Margin { margin: 0.1, reduction }.pair(c, r, None)?;
            assert_eq!(l.loss, 0.0);
            assert!(l.d_chosen.iter().chain(&l.d_rejected).all(|&d| d == 0.0));
        }
        Ok(())
    }
}
