//! Supervised fine-tuning: the mean cross-entropy of the response.
//!
//! `L = -1/|y| Σ_response log p(y_t)`. Which tokens are response is the template's decision: with security reasoning
//! (DiSCo) the reasoning and the end of sequence belong to it. Any side is fitted alike: what to imitate is a matter
//! of the data.

use serde::{Deserialize, Serialize};

use crate::numeric::{dot, scaled};
use crate::scored::normalised;
use crate::{Error, Loss, Metrics, Needs, Scored, Side, TokenLoss};

/// Supervised fine-tuning; it has no parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sft {}

impl Loss for Sft {
    const NAME: &'static str = "sft";
    const ABOUT: &'static str = "mean cross-entropy of the response tokens";

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    fn variants() -> Vec<Self> {
        vec![Self::default()]
    }

    fn single(&self, sample: Scored<'_>, side: Side, _kl: Option<&[f64]>) -> Result<TokenLoss, Error> {
        sample.check(side.word())?;
        cross_entropy(sample, side)
    }
}

/// Mean cross-entropy over the response of a checked sample.
pub(crate) fn cross_entropy(sample: Scored<'_>, side: Side) -> Result<TokenLoss, Error> {
    let w = normalised(sample.response.to_vec())
        .ok_or(Error::NoResponse { side: side.word(), tokens: sample.logp.len() })?;
    let mean = dot(&w, sample.logp);
    Ok(TokenLoss { loss: -mean, d: scaled(&w, -1.0), d_kl: Vec::new(), metrics: Metrics::alone(side, mean) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_response_counts() -> Result<(), Error> {
        let sample = Scored { logp: &[-9.0, -1.0, -3.0], mask: &[0.0; 3], response: &[0.0, 1.0, 1.0], reference: None };
        let l = Sft {}.single(sample, Side::Secure, None)?;
        assert_eq!(l.loss, 2.0);
        assert_eq!(l.d, [0.0, -0.5, -0.5]);
        assert_eq!(l.metrics.chosen_logp, Some(-2.0));
        Ok(())
    }

    #[test]
    fn a_prompt_without_response_is_an_error() {
        let sample = Scored { logp: &[-9.0], mask: &[0.0], response: &[0.0], reference: None };
        let error = Sft {}.single(sample, Side::Standard, None);
        assert_eq!(error, Err(Error::NoResponse { side: "standard", tokens: 1 }));
    }
}
