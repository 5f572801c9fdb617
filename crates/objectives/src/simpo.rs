//! Simple preference optimization (SimPO).
//!
//! Meng, Xia, Chen, NeurIPS 2024, equation 6: `-log σ(β (mean lc - mean lr) - γ)`. No reference model. The authors tune
//! `γ / β`; the parameter here is `γ` itself, in reward units.

use serde::{Deserialize, Serialize};

use crate::numeric::{dot, finite, log_sigmoid, positive, scaled, sigmoid};
use crate::{Error, Kl, Loss, Metrics, Needs, PairLoss, Scored};

/// SimPO's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SimPo {
    /// Scale of the reward, the mean log-prob of a response.
    pub beta: f64,
    /// Target reward margin.
    pub gamma: f64,
}

impl Default for SimPo {
    fn default() -> Self {
        Self { beta: 2.0, gamma: 1.0 }
    }
}

impl Loss for SimPo {
    const NAME: &'static str = "simpo";
    const ABOUT: &'static str = "logistic loss on the difference of mean log-probs, less a target margin";

    fn needs(&self) -> Needs {
        Needs { pair: true, ..Needs::default() }
    }

    fn check(&self) -> Result<(), Error> {
        positive("beta", self.beta)?;
        finite("gamma", self.gamma)
    }

    fn variants() -> Vec<Self> {
        vec![Self::default(), Self { beta: 10.0, gamma: 5.4 }]
    }

    fn pair(&self, chosen: Scored<'_>, rejected: Scored<'_>, _kl: Option<Kl<'_>>) -> Result<PairLoss, Error> {
        chosen.check("chosen")?;
        rejected.check("rejected")?;
        let w_chosen = scaled(chosen.response, chosen.length("chosen")?.recip());
        let w_rejected = scaled(rejected.response, rejected.length("rejected")?.recip());
        let (c, r) = (dot(&w_chosen, chosen.logp), dot(&w_rejected, rejected.logp));
        let margin = self.beta * (c - r);
        let d = -self.beta * sigmoid(self.gamma - margin);
        Ok(PairLoss {
            loss: -log_sigmoid(margin - self.gamma),
            d_chosen: scaled(&w_chosen, d),
            d_rejected: scaled(&w_rejected, -d),
            d_kl_chosen: Vec::new(),
            d_kl_rejected: Vec::new(),
            metrics: Metrics::compared(c, r, margin),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpo::golden;

    #[test]
    fn golden_value() -> Result<(), Error> {
        let (c, r) = golden();
        let l = SimPo { beta: 2.0, gamma: 1.0 }.pair(c, r, None)?;
        assert!((l.loss - 0.895162950).abs() < 5e-10, "{}", l.loss);
        assert!(l.metrics.chosen_logp.is_some_and(|x| (x + 0.76).abs() < 1e-12));
        assert!(l.metrics.rejected_logp.is_some_and(|x| (x + 1.075).abs() < 1e-12));
        Ok(())
    }
}
