//! Hinge loss on DPO's implicit rewards.
//!
//! Zhao et al., "SLiC-HF", 2023, in the form TRL gives it: `max(0, 1 - βΔ)` with DPO's difference of log-ratios `Δ`.

use serde::{Deserialize, Serialize};

use crate::dpo::LogRatio;
use crate::numeric::positive;
use crate::{Error, Kl, Loss, Needs, PairLoss, Scored};

/// The hinge's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hinge {
    /// Reciprocal of the difference in nats at which a pair counts as learned.
    pub beta: f64,
}

impl Default for Hinge {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

impl Loss for Hinge {
    const NAME: &'static str = "hinge";
    const ABOUT: &'static str = "hinge loss on the difference of implicit rewards over a reference model";

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
        let (loss, d) = if margin < 1.0 { (1.0 - margin, -self.beta) } else { (0.0, 0.0) };
        Ok(r.finish(loss, d, margin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpo::golden;

    #[test]
    fn golden_value() -> Result<(), Error> {
        let (c, r) = golden();
        let l = Hinge { beta: 0.1 }.pair(c, r, None)?;
        assert!((l.loss - 0.96).abs() < 1e-12, "{}", l.loss);
        Ok(())
    }

    #[test]
    fn a_learned_pair_rests() -> Result<(), Error> {
        let (c, r) = golden();
        let l = Hinge { beta: 3.0 }.pair(c, r, None)?;
        assert_eq!(l.loss, 0.0);
        assert!(l.d_chosen.iter().chain(&l.d_rejected).all(|&d| d == 0.0));
        Ok(())
    }
}
