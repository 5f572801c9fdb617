//! The few functions of one number that the objectives share, each stable at both ends.

use crate::Error;

/// Natural logarithm of the logistic function; exact to rounding for every finite `x`.
pub(crate) fn log_sigmoid(x: f64) -> f64 {
    // For x >= 0 the exponential is at most 1; for x < 0 the identity keeps it so.
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// The logistic function.
pub(crate) fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// `Σ wᵢ xᵢ`.
pub(crate) fn dot(w: &[f64], x: &[f64]) -> f64 {
    w.iter().zip(x).map(|(w, x)| w * x).sum()
}

/// `x` scaled by `factor`.
pub(crate) fn scaled(x: &[f64], factor: f64) -> Vec<f64> {
    x.iter().map(|x| x * factor).collect()
}

/// Refuses a parameter that is not finite and above zero.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::BadParameter { name, value, allowed: "a finite number above 0" })
}

/// Refuses a parameter that is not finite and at least zero.
pub(crate) fn not_negative(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::BadParameter { name, value, allowed: "a finite number, at least 0" })
}

/// Refuses a parameter that is not finite.
pub(crate) fn finite(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() {
        return Ok(());
    }
    Err(Error::BadParameter { name, value, allowed: "a finite number" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logistic_function_survives_both_ends() {
        for x in [-1e4, -745.0, -30.0, -1.0, 0.0, 1.0, 30.0, 745.0, 1e4] {
            let (l, s) = (log_sigmoid(x), sigmoid(x));
            assert!(l.is_finite() && l <= 0.0 && (0.0..=1.0).contains(&s), "{x}: {l} {s}");
            if x > -700.0 {
                assert!((l.exp() - s).abs() <= 1e-15, "{x}: {} {s}", l.exp());
            }
        }
        assert_eq!(log_sigmoid(-1e4), -1e4);
        assert!((log_sigmoid(0.0) + std::f64::consts::LN_2).abs() < 1e-16);
    }
}
