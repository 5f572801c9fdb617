//! SafeCoder: imitate the secure change, unlearn the insecure one, keep everything else.
//!
//! He, Vero, Krasnopolska, Vechev, "Instruction Tuning for Secure Code Generation", ICML 2024, equations 1-3.
//! Standard data: cross-entropy of the response. Secure side: cross-entropy of the changed tokens. Insecure side:
//! unlikelihood of the changed tokens, `-log max(1 - p, 1e-5)`. The published code takes means over the selected
//! tokens ([`Compat::Code`], the default here because the published hyper-parameters belong to it); the paper sums.
//! An optional KL term holds the response tokens outside the mask to the reference.

use serde::{Deserialize, Serialize};

use crate::numeric::{dot, not_negative, scaled};
use crate::scored::{check_kl, normalised};
use crate::sft::cross_entropy;
use crate::{Compat, Error, Loss, Metrics, Needs, Scored, Side, TokenLoss};

/// Probability mass left to the other tokens below which the published code stops pushing.
const FLOOR: f64 = 1e-5;

/// SafeCoder's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SafeCoder {
    /// Means (`code`) or sums (`paper`) over the selected tokens.
    pub compat: Compat,
    /// Weight of the KL divergence from the reference on unmasked response tokens; 0 leaves it out.
    pub kl_weight: f64,
}

impl Default for SafeCoder {
    fn default() -> Self {
        Self { compat: Compat::Code, kl_weight: 0.0 }
    }
}

impl Loss for SafeCoder {
    const NAME: &'static str = "safecoder";
    const ABOUT: &'static str =
        "cross-entropy of secure changes, unlikelihood of insecure ones, cross-entropy of general data";

    fn needs(&self) -> Needs {
        Needs { focus: true, kl: self.kl_weight > 0.0, ..Needs::default() }
    }

    fn looks(&self, side: Side, focus: f64) -> bool {
        side == Side::Standard || focus > 0.0
    }

    fn check(&self) -> Result<(), Error> {
        not_negative("kl-weight", self.kl_weight)
    }

    fn variants() -> Vec<Self> {
        vec![
            Self::default(),
            Self { compat: Compat::Paper, ..Self::default() },
            Self { kl_weight: 0.3, ..Self::default() },
            Self { compat: Compat::Paper, kl_weight: 0.3 },
        ]
    }

    fn single(&self, sample: Scored<'_>, side: Side, kl: Option<&[f64]>) -> Result<TokenLoss, Error> {
        sample.check(side.word())?;
        let mut out = match (side, self.compat) {
            (Side::Standard, Compat::Code) => return cross_entropy(sample, side),
            (Side::Standard, Compat::Paper) => {
                let mut out = cross_entropy(sample, side)?;
                let n = sample.length(side.word())?;
                out.loss *= n;
                out.d = scaled(&out.d, n);
                return Ok(out);
            }
            (Side::Secure, _) => changed(sample, side, self.compat, |logp| (-logp, -1.0))?,
            (Side::Insecure, _) => changed(sample, side, self.compat, unlikelihood)?,
        };
        if self.kl_weight > 0.0 {
            let kl = kl.ok_or(Error::MissingKl { objective: Self::NAME, weight: self.kl_weight })?;
            check_kl(side.word(), kl, sample.logp.len())?;
            let rest = sample.rest();
            let rest = match self.compat {
                // A sample that changed everywhere has nothing to hold in place.
                Compat::Code => normalised(rest.clone()).unwrap_or(rest),
                Compat::Paper => rest,
            };
            out.loss += self.kl_weight * dot(&rest, kl);
            out.d_kl = scaled(&rest, self.kl_weight);
        }
        Ok(out)
    }
}

/// Sum or mean of a token loss over the changed tokens; `token` returns the loss and its derivative.
fn changed(
    sample: Scored<'_>,
    side: Side,
    compat: Compat,
    token: impl Fn(f64) -> (f64, f64),
) -> Result<TokenLoss, Error> {
    let mean = sample.focus_mean(side.word())?;
    let w = match compat {
        Compat::Code => mean.clone(),
        Compat::Paper => sample.focus(),
    };
    let mut loss = 0.0;
    let mut d = vec![0.0; w.len()];
    for (t, &w) in w.iter().enumerate() {
        // A token without weight must not contribute, not even an infinity times zero.
        if w > 0.0 {
            let (l, dl) = token(sample.logp[t]);
            loss += w * l;
            d[t] = w * dl;
        }
    }
    let metrics = Metrics::alone(side, dot(&mean, sample.logp));
    Ok(TokenLoss { loss, d, d_kl: Vec::new(), metrics })
}

/// `-log max(1 - p, 1e-5)` and its derivative by `log p`, which is `p / (1 - p)` above the floor and 0 below it.
fn unlikelihood(logp: f64) -> (f64, f64) {
    let other = -logp.exp_m1();
    if other <= FLOOR { (-FLOOR.ln(), 0.0) } else { (-other.ln(), logp.exp() / other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LC: [f64; 5] = [-0.5, -1.0, -0.2, -2.0, -0.1];
    const FC: [f64; 5] = [0.0, 1.0, 0.0, 1.0, 0.0];
    const LR: [f64; 4] = [-0.4, -0.3, -3.0, -0.6];
    const FR: [f64; 4] = [0.0, 0.0, 1.0, 1.0];

    fn check(p: SafeCoder, side: Side, expect: f64) -> Result<(), Error> {
        let chosen = Scored { logp: &LC, mask: &FC, response: &[1.0; 5], reference: None };
        let rejected = Scored { logp: &LR, mask: &FR, response: &[1.0; 4], reference: None };
        let sample = if side == Side::Insecure { rejected } else { chosen };
        let got = p.single(sample, side, None)?.loss;
        assert!((got - expect).abs() < 1e-9, "{side:?}: {got} is not {expect}");
        Ok(())
    }

    #[test]
    fn golden_values() -> Result<(), Error> {
        let paper = SafeCoder { compat: Compat::Paper, ..SafeCoder::default() };
        check(SafeCoder::default(), Side::Insecure, 0.423469775)?;
        check(SafeCoder::default(), Side::Secure, 1.5)?;
        check(SafeCoder::default(), Side::Standard, 0.76)?;
        check(paper, Side::Insecure, 2.0 * 0.423469775)?;
        check(paper, Side::Secure, 3.0)?;
        check(paper, Side::Standard, 3.8)
    }

    #[test]
    fn golden_unlikelihood_of_single_tokens() {
        for (logp, expect) in [(-3.0, 0.051069), (-0.6, 0.795870)] {
            assert!((unlikelihood(logp).0 - expect).abs() < 5e-7);
        }
    }

    #[test]
    fn a_certain_token_stops_pushing() {
        let (loss, d) = unlikelihood(-1e-9);
        assert!((loss - 11.512925464970229).abs() < 1e-12);
        assert_eq!(d, 0.0);
        // Rounding in single precision can leave a log-prob slightly above zero.
        assert_eq!(unlikelihood(5e-5).1, 0.0);
    }

    #[test]
    fn a_change_that_only_deletes_has_no_secure_sample() {
        let sample = Scored { logp: &LC, mask: &[0.0; 5], response: &[1.0; 5], reference: None };
        let error = SafeCoder::default().single(sample, Side::Secure, None);
        assert_eq!(error, Err(Error::NoFocus { side: "secure", tokens: 5 }));
    }
}
