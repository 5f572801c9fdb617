//! Group-relative advantages.
//!
//! Shao et al., "DeepSeekMath", 2024, section 4.1.2, with TRL's constants: a rollout is better or worse than the others
//! of its prompt, `A = (r - mean) / (std + 1e-4)`, with the sample standard deviation.

use crate::Error;

/// Keeps a group in which every rollout earned the same from dividing by zero.
const EPSILON: f64 = 1e-4;

/// Advantages of a group of rollouts of one prompt, from their rewards; shape `[group]` in and out.
///
/// # Errors
/// [`Error::SmallGroup`] for fewer than two rollouts; [`Error::BadParameter`] for a reward that is not finite.
pub fn advantages(rewards: &[f64]) -> Result<Vec<f64>, Error> {
    let n = rewards.len();
    if n < 2 {
        return Err(Error::SmallGroup { size: n });
    }
    if let Some(&value) = rewards.iter().find(|r| !r.is_finite()) {
        return Err(Error::BadParameter { name: "reward", value, allowed: "a finite number" });
    }
    let mean = rewards.iter().sum::<f64>() / n as f64;
    let variance = rewards.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    Ok(rewards.iter().map(|r| (r - mean) / (variance.sqrt() + EPSILON)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_value() -> Result<(), Error> {
        let r = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0];
        for (a, r) in advantages(&r)?.into_iter().zip(r) {
            let expect = if r > 0.0 { 1.207381 } else { -0.724429 };
            assert!((a - expect).abs() < 5e-7, "{a}");
        }
        Ok(())
    }

    #[test]
    fn equal_rewards_teach_nothing() -> Result<(), Error> {
        assert_eq!(advantages(&[0.3; 8])?, [0.0; 8]);
        assert_eq!(advantages(&[1.0]), Err(Error::SmallGroup { size: 1 }));
        Ok(())
    }
}
