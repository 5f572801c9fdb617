//! SVEN: one prefix writes securely, the other insecurely.
//!
//! He and Vechev, "Large Language Models for Code: Security Hardening and Adversarial Testing", CCS 2023, section 4.2.
//! The same sequence is scored under the right control (`chosen`) and under the wrong one (`rejected`):
//!
//! `L = mean_m(-lr) + w mean_m(-log(p_r / (p_r + p_w))) + k mean_{1-m}(KL_r + KL_w)`
//!
//! Means run over response tokens inside (`m`) and outside (`1-m`) the mask. `KL` is the divergence from the model
//! without prefix, which the caller computes over the whole vocabulary and gives per token; what comes back for it is
//! `dLoss/dKL`, the weight the caller multiplies into its gradient.

use serde::{Deserialize, Serialize};

use crate::numeric::{dot, log_sigmoid, not_negative, scaled, sigmoid};
use crate::scored::{check_kl, normalised};
use crate::{Error, Kl, Loss, Metrics, Needs, PairLoss, Scored, Side};

/// SVEN's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sven {
    /// Weight `w` of the contrastive term; the published code has 4.
    pub contrast_weight: f64,
    /// Weight `k` of the KL term: 1.6 for CodeGen 350M and 2B, 2.0 for 6B (the published flag is a thousand times this).
    /// 0 leaves the term out, and with it the need for a reference.
    pub kl_weight: f64,
}

impl Default for Sven {
    fn default() -> Self {
        Self { contrast_weight: 4.0, kl_weight: 1.6 }
    }
}

impl Loss for Sven {
    const NAME: &'static str = "sven";
    const ABOUT: &'static str =
        "likelihood under the right control, contrast with the wrong one, KL where nothing changed";

    fn needs(&self) -> Needs {
        Needs { controls: true, focus: true, kl: self.kl_weight > 0.0, ..Needs::default() }
    }

    fn looks(&self, _side: Side, focus: f64) -> bool {
        focus > 0.0
    }

    fn check(&self) -> Result<(), Error> {
        not_negative("contrast-weight", self.contrast_weight)?;
        not_negative("kl-weight", self.kl_weight)
    }

    fn variants() -> Vec<Self> {
        vec![Self::default(), Self { kl_weight: 0.0, ..Self::default() }, Self { contrast_weight: 0.0, kl_weight: 0.0 }]
    }

    fn pair(&self, right: Scored<'_>, wrong: Scored<'_>, kl: Option<Kl<'_>>) -> Result<PairLoss, Error> {
        right.check("chosen")?;
        wrong.check("rejected")?;
        if right.logp.len() != wrong.logp.len() {
            return Err(Error::Controls { right: right.logp.len(), wrong: wrong.logp.len() });
        }
        // The mask belongs to the sequence, and the sequence is one: the right side's is used for both.
        let w = right.focus_mean("chosen")?;
        let (c, r) = (dot(&w, right.logp), dot(&w, wrong.logp));
        let mut loss = -c;
        let mut d_right = scaled(&w, -1.0);
        let mut d_wrong = vec![0.0; w.len()];
        for (t, &w) in w.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            let (token, d) = contrast(right.logp[t], wrong.logp[t]);
            loss += self.contrast_weight * w * token;
            d_right[t] += self.contrast_weight * w * d;
            d_wrong[t] = -self.contrast_weight * w * d;
        }
        let mut d_kl = Vec::new();
        if self.kl_weight > 0.0 {
            let kl = kl.ok_or(Error::MissingKl { objective: Self::NAME, weight: self.kl_weight })?;
            check_kl("chosen", kl.chosen, w.len())?;
            check_kl("rejected", kl.rejected, w.len())?;
            let rest = right.rest();
            // A sequence that changed everywhere has nothing to hold in place.
            d_kl = scaled(&normalised(rest.clone()).unwrap_or(rest), self.kl_weight);
            loss += dot(&d_kl, kl.chosen) + dot(&d_kl, kl.rejected);
        }
        Ok(PairLoss {
            loss,
            d_chosen: d_right,
            d_rejected: d_wrong,
            d_kl_chosen: d_kl.clone(),
            d_kl_rejected: d_kl,
            metrics: Metrics::compared(c, r, c - r),
        })
    }
}

/// `-log(p_r / (p_r + p_w))` from the two log-probs, and its derivative by the first (the second's is its negative).
fn contrast(right: f64, wrong: f64) -> (f64, f64) {
    (-log_sigmoid(right - wrong), -sigmoid(wrong - right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_contrast() -> Result<(), Error> {
        let right = [0.5f64, 0.4, 0.9].map(f64::ln);
        let wrong = [0.25f64, 0.6, 0.1].map(f64::ln);
        let s = |logp| Scored { logp, mask: &[1.0; 3], response: &[1.0; 3], reference: None };
        let with = |contrast_weight| Sven { contrast_weight, kl_weight: 0.0 }.pair(s(&right), s(&wrong), None);
        let alone = with(0.0)?.loss;
        assert!((alone + right.iter().sum::<f64>() / 3.0).abs() < 1e-12);
        assert!((with(1.0)?.loss - alone - 0.475705452).abs() < 5e-10);
        assert!((with(4.0)?.loss - alone - 1.902821808).abs() < 2e-9);
        Ok(())
    }

    #[test]
    fn the_kl_term_is_a_mean_over_what_did_not_change() -> Result<(), Error> {
        let s =
            Scored { logp: &[-1.0; 4], mask: &[1.0, 0.0, 0.0, 1.0], response: &[1.0, 1.0, 1.0, 1.0], reference: None };
        let kl = Kl { chosen: &[9.0, 0.1, 0.3, 9.0], rejected: &[9.0, 0.5, 0.7, 9.0] };
        let p = Sven { contrast_weight: 0.0, kl_weight: 2.0 };
        let l = p.pair(s, s, Some(kl))?;
        assert!((l.loss - (1.0 + 2.0 * (0.2 + 0.6))).abs() < 1e-12, "{}", l.loss);
        assert_eq!(l.d_kl_chosen, [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(p.pair(s, s, None), Err(Error::MissingKl { objective: "sven", weight: 2.0 }));
        Ok(())
    }
}
