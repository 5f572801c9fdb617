//! Identity preference optimization (IPO).
//!
//! Azar et al., AISTATS 2024, equation 17: `(Δ - 1/(2β))²`, where `Δ` is DPO's difference of log-ratios. TRL divides
//! the log-ratios by the length of the response, which the authors confirmed; that is the default here.

use serde::{Deserialize, Serialize};

use crate::dpo::LogRatio;
use crate::numeric::positive;
use crate::{Error, Kl, Loss, Needs, PairLoss, Scored};

/// How a response's log-ratios become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpoReduction {
    /// Their mean, as TRL has it.
    #[default]
    Mean,
    /// Their sum, as the paper writes it.
    Sum,
}

/// IPO's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ipo {
    /// Regularisation: the target difference is `1 / (2β)`.
    pub beta: f64,
    /// Mean or sum over the response.
    pub reduction: IpoReduction,
}

impl Default for Ipo {
    fn default() -> Self {
        Self { beta: 0.1, reduction: IpoReduction::Mean }
    }
}

impl Loss for Ipo {
    const NAME: &'static str = "ipo";
    const ABOUT: &'static str = "squared distance of the difference of log-ratios to a target";

    fn needs(&self) -> Needs {
        Needs { pair: true, reference: true, ..Needs::default() }
    }

    fn check(&self) -> Result<(), Error> {
        positive("beta", self.beta)
    }

    fn variants() -> Vec<Self> {
        vec![Self::default(), Self { reduction: IpoReduction::Sum, ..Self::default() }]
    }

    fn pair(&self, chosen: Scored<'_>, rejected: Scored<'_>, _kl: Option<Kl<'_>>) -> Result<PairLoss, Error> {
        let r = match self.reduction {
            IpoReduction::Mean => LogRatio::means(Self::NAME, chosen, rejected)?,
            IpoReduction::Sum => LogRatio::sums(Self::NAME, chosen, rejected)?,
        };
        let miss = r.delta - 0.5 / self.beta;
        let margin = self.beta * r.delta;
        Ok(r.finish(miss * miss, 2.0 * miss, margin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpo::golden;

    #[test]
    fn golden_values() -> Result<(), Error> {
        let (c, r) = golden();
        for (reduction, expect) in [(IpoReduction::Sum, 21.16), (IpoReduction::Mean, 24.1081)] {
            let l = Ipo { beta: 0.1, reduction }.pair(c, r, None)?;
            assert!((l.loss - expect).abs() < 1e-10, "{reduction:?}: {}", l.loss);
        }
        Ok(())
    }
}
