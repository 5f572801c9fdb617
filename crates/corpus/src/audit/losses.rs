//! What a trained model makes of each pair: its losses come in, pairs whose secure side surprises it go out.
//!
//! A model that was trained on trusted pairs finds the change of a good pair more likely on its secure side than on its insecure
//! one. What stands out is the pair where it is the other way round, measured against the set itself: by how many spreads
//! (median absolute deviation, made comparable to a standard deviation) the gap lies above the middle.

/// Mean negative log-probability of the tokens that change, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Of the secure side.
    pub secure: f64,
    /// Of the insecure side.
    pub insecure: f64,
}

impl Loss {
    /// How much less likely the secure side is.
    #[must_use]
    pub fn gap(self) -> f64 {
        self.secure - self.insecure
    }
}

/// A median absolute deviation times this is a standard deviation, were the values normal.
const SPREAD: f64 = 1.4826;

/// Pairs whose gap is above zero and more than `limit` spreads above the middle, with the gap and the spreads. Pairs without a
/// loss (too long for the model, say) are never among them.
#[must_use]
pub fn outliers(losses: &[Option<Loss>], limit: f64) -> Vec<(usize, f64, f64)> {
    let gaps: Vec<(usize, f64)> = losses
        .iter()
        .enumerate()
        .filter_map(|(i, l)| Some((i, l.as_ref()?.gap())))
        .filter(|(_, gap)| gap.is_finite())
        .collect();
    let middle = median(gaps.iter().map(|(_, g)| *g).collect());
    let spread = SPREAD * median(gaps.iter().map(|(_, g)| (g - middle).abs()).collect());
    // Where more than half of the gaps are the same, any other would be infinitely far out.
    let far = |gap: f64| (gap - middle) / spread.max(1e-3);
    gaps.into_iter().map(|(i, gap)| (i, gap, far(gap))).filter(|&(_, gap, far)| gap > 0.0 && far > limit).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(gaps: &[f64], limit: f64, expect: &[usize]) {
        let losses: Vec<Option<Loss>> =
            gaps.iter().map(|g| (!g.is_nan()).then_some(Loss { secure: 1.0 + g, insecure: 1.0 })).collect();
        let found: Vec<usize> = outliers(&losses, limit).into_iter().map(|(i, ..)| i).collect();
        assert_eq!(found, expect, "{gaps:?}");
    }

    #[test]
    fn what_stands_out_against_the_set() {
        check(&[], 3.0, &[]);
        check(&[-1.0, -1.2, -0.8, -1.1, 2.0], 3.0, &[4]);
        // Far above the middle and still the right way round.
        check(&[-9.0, -9.1, -8.9, -9.0, -0.1], 3.0, &[]);
        // A set in which every second pair is wrong has no middle to stand out from.
        check(&[-1.0, 1.0, -1.1, 1.1], 3.0, &[]);
        check(&[f64::NAN, -1.0, -1.0, -1.0, 0.5], 3.0, &[4]);
        assert!((median(vec![3.0, 1.0, 2.0, 4.0]) - 2.5).abs() < 1e-12);
    }
}
