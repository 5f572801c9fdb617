//! Localized preference optimization (LPO).
//!
//! Prefers the secure response only where the two differ, and keeps ordinary likelihood elsewhere
//! (Saqib et al., ACL 2025, section 5.2). The two published forms are not the same objective, and `beta` and `gamma`
//! do not carry over from one to the other:
//!
//! | | [`Compat::Paper`] | [`Compat::Code`] |
//! |---|---|---|
//! | reward of a response | `β/\|y\| Σ m l` | `β Σ w l / Σ w`, `w = v` on changed tokens, else `1 - v` |
//! | loss | `-log σ(Δ - γ) - α Σ (1 - m₊) lc` | `-log σ(Δ - γ) - α mean over (1 - m₊) of lc` |
//! | usual `α` | 0.05 | 1 |
//!
//! `|y|` counts the response tokens. Reasoning is response with mask 0: it enters the regulariser and not the reward.
//!
//! A pure addition has no changed token on the insecure side. The paper's reward of that side is then 0; the code's
//! weights are all `1 - v`, so that it becomes the plain mean over the response. Both are followed. A pair in which
//! neither side has a changed token teaches nothing and is refused.

use serde::{Deserialize, Serialize};

use crate::numeric::{dot, finite, log_sigmoid, not_negative, positive, scaled, sigmoid};
use crate::scored::normalised;
use crate::{Compat, Error, Kl, Loss, Metrics, Needs, PairLoss, Scored, Side, SimPo};

/// LPO's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lpo {
    /// Which published form.
    pub compat: Compat,
    /// Scale of the reward.
    pub beta: f64,
    /// Target reward margin.
    pub gamma: f64,
    /// Weight of the regulariser; 0 is the ablation without it. Unset, it is 0.05 in the paper's form and 1 in the code's.
    pub alpha: Option<f64>,
    /// `v`, the weight of a changed token in the code's form; unused in the paper's.
    pub mask_value: f64,
    /// `false` is the ablation without localisation: every response token counts as changed, which leaves SimPO.
    pub localise: bool,
}

impl Default for Lpo {
    fn default() -> Self {
        Self { compat: Compat::Paper, beta: 10.0, gamma: 5.4, alpha: None, mask_value: 0.999_999, localise: true }
    }
}

impl Lpo {
    /// The weight of the regulariser in force.
    pub fn alpha(&self) -> f64 {
        self.alpha.unwrap_or(match self.compat {
            Compat::Paper => 0.05,
            Compat::Code => 1.0,
        })
    }

    /// Weights that turn a response's log-probs into the number compared, before `beta`.
    fn weights(&self, side: &'static str, s: Scored<'_>) -> Result<Vec<f64>, Error> {
        match self.compat {
            Compat::Paper => Ok(scaled(&s.focus(), s.length(side)?.recip())),
            Compat::Code => {
                s.length(side)?;
                let v = self.mask_value;
                let w = s.mask.iter().zip(s.response);
                normalised(w.map(|(&m, r)| if m > 0.0 { v * r } else { (1.0 - v) * r }).collect())
                    // Only v = 1 with no changed token leaves nothing to divide by.
                    .ok_or(Error::NoFocus { side, tokens: s.logp.len() })
            }
        }
    }

    /// Weights of the regulariser, which rewards the likelihood of what did not change.
    fn regulariser(&self, chosen: Scored<'_>) -> Vec<f64> {
        let rest = chosen.rest();
        match self.compat {
            Compat::Paper => rest,
            Compat::Code => {
                // The published code clamps the count, so that a response changed everywhere contributes nothing.
                let n = rest.iter().sum::<f64>().max(1.0);
                scaled(&rest, n.recip())
            }
        }
    }
}

impl Loss for Lpo {
    const NAME: &'static str = "lpo";
    const ABOUT: &'static str = "preference on the changed tokens, likelihood on the others";

    fn needs(&self) -> Needs {
        Needs { pair: true, focus: self.localise, ..Needs::default() }
    }

    fn looks(&self, side: Side, focus: f64) -> bool {
        let likelihood = side != Side::Insecure && self.alpha() > 0.0;
        // The code's form gives every token a weight, if a small one, and the ablation is SimPO.
        !self.localise || self.compat == Compat::Code || focus > 0.0 || likelihood
    }

    fn check(&self) -> Result<(), Error> {
        positive("beta", self.beta)?;
        finite("gamma", self.gamma)?;
        not_negative("alpha", self.alpha())?;
        if !(self.mask_value > 0.0 && self.mask_value <= 1.0) {
            return Err(Error::BadParameter {
                name: "mask-value",
                value: self.mask_value,
                allowed: "above 0 and at most 1",
            });
        }
        Ok(())
    }

    fn variants() -> Vec<Self> {
        let paper = Self::default();
        let code = Self { compat: Compat::Code, ..paper };
        vec![
            paper,
            code,
            Self { mask_value: 0.9, beta: 2.0, gamma: 1.0, ..code },
            Self { alpha: Some(0.0), ..paper },
            Self { alpha: Some(0.0), ..code },
            Self { localise: false, ..paper },
        ]
    }

    /// Loss of one pair and its derivative with respect to every token's log-probability.
    ///
    /// # Errors
    /// [`Error::NoFocus`] when neither mask selects a response token: such a pair must be dropped and reported.
    fn pair(&self, chosen: Scored<'_>, rejected: Scored<'_>, kl: Option<Kl<'_>>) -> Result<PairLoss, Error> {
        if !self.localise {
            return SimPo { beta: self.beta, gamma: self.gamma }.pair(chosen, rejected, kl);
        }
        chosen.check("chosen")?;
        rejected.check("rejected")?;
        let changed = |s: Scored<'_>| s.focus().iter().any(|&w| w > 0.0);
        if !changed(chosen) && !changed(rejected) {
            let tokens = chosen.logp.len() + rejected.logp.len();
            return Err(Error::NoFocus { side: "chosen and rejected", tokens });
        }
        let (w_chosen, w_rejected) = (self.weights("chosen", chosen)?, self.weights("rejected", rejected)?);
        let (c, r) = (dot(&w_chosen, chosen.logp), dot(&w_rejected, rejected.logp));
        let margin = self.beta * (c - r);
        let rest = scaled(&self.regulariser(chosen), self.alpha());
        let d = -self.beta * sigmoid(self.gamma - margin);
        Ok(PairLoss {
            loss: -log_sigmoid(margin - self.gamma) - dot(&rest, chosen.logp),
            d_chosen: w_chosen.iter().zip(&rest).map(|(w, rest)| d * w - rest).collect(),
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

    fn code(mask_value: f64, beta: f64, gamma: f64) -> Lpo {
        Lpo { compat: Compat::Code, beta, gamma, mask_value, ..Lpo::default() }
    }

    fn check(
        p: Lpo,
        means: Option<(f64, f64)>,
        margin: Option<f64>,
        preference: Option<f64>,
        total: f64,
    ) -> Result<(), Error> {
        let (c, r) = golden();
        let near = |got: f64, expect: f64| assert!((got - expect).abs() < 6e-10, "{p:?}: {got} is not {expect}");
        let l = p.pair(c, r, None)?;
        near(l.loss, total);
        if let (Some((ec, er)), Some(gc), Some(gr)) = (means, l.metrics.chosen_logp, l.metrics.rejected_logp) {
            near(gc, ec);
            near(gr, er);
        }
        if let Some(expect) = margin {
            near(l.metrics.margin.unwrap_or(f64::NAN), expect);
        }
        if let Some(expect) = preference {
            near(Lpo { alpha: Some(0.0), ..p }.pair(c, r, None)?.loss, expect);
        }
        Ok(())
    }

    #[test]
    fn golden_values() -> Result<(), Error> {
        let means = Some((-1.499998150, -1.799998550));
        check(code(0.999999, 10.0, 5.4), means, None, Some(2.486832485), 2.753499152)?;
        check(code(0.9, 10.0, 5.4), Some((-1.323809524, -1.655)), None, None, 2.471587108)?;
        check(code(0.9, 2.0, 1.0), None, None, None, 1.142804537)?;
        check(code(0.999999, 2.0, 1.0), means, None, None, 1.179681440)?;
        check(Lpo::default(), None, Some(3.0), Some(2.486836152), 2.526836152)
    }

    #[test]
    fn the_regulariser_of_the_code_form_is_a_mean() -> Result<(), Error> {
        let (c, _) = golden();
        let rest = code(0.999999, 10.0, 5.4).regulariser(c);
        assert!((dot(&rest, c.logp) + 0.266666667).abs() < 5e-10);
        Ok(())
    }

    #[test]
    fn without_localisation_it_is_simpo() -> Result<(), Error> {
        let (c, r) = golden();
        let simpo = SimPo { beta: 10.0, gamma: 5.4 }.pair(c, r, None)?;
        for compat in [Compat::Paper, Compat::Code] {
            assert_eq!(Lpo { compat, localise: false, ..Lpo::default() }.pair(c, r, None)?, simpo);
        }
        Ok(())
    }

    #[test]
    fn a_pure_addition_compares_with_the_mean_of_the_other_side_in_the_code_form() -> Result<(), Error> {
        let (c, r) = golden();
        let r = Scored { mask: &[0.0; 4], ..r };
        let l = code(0.999999, 10.0, 5.4).pair(c, r, None)?;
        assert!(l.metrics.rejected_logp.is_some_and(|x| (x + 1.075).abs() < 1e-9));
        let l = Lpo::default().pair(c, r, None)?;
        assert_eq!(l.metrics.rejected_logp, Some(0.0));
        assert!(l.d_rejected.iter().all(|&d| d == 0.0));
        Ok(())
    }

    #[test]
    fn a_mask_on_the_prompt_alone_is_no_focus() {
        let (c, r) = golden();
        let c = Scored { response: &[1.0, 0.0, 1.0, 0.0, 1.0], ..c };
        let r = Scored { mask: &[0.0; 4], ..r };
        for p in [Lpo::default(), code(0.9, 2.0, 1.0)] {
            let error = p.pair(c, r, None);
            assert_eq!(error, Err(Error::NoFocus { side: "chosen and rejected", tokens: 9 }));
        }
    }
}
