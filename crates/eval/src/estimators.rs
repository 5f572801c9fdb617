//! Unbiased estimators of success within k samples.
//!
//! pass@k is that of Chen et al. 2021 (section 2.1); secure-pass@k and secure@k_pass are those of CodeGuard+ (Fu et al.
//! 2024, section 4), which apply the same estimator to other counts.

/// Share of the `k`-subsets of `n` samples that hold at least one of `c` successes: 1 - C(n-c, k) / C(n, k).
///
/// `None` where it is undefined: `k` is 0 or above `n`, or `c` above `n`.
#[must_use]
pub fn pass_at_k(n: usize, c: usize, k: usize) -> Option<f64> {
    if k == 0 || k > n || c > n {
        return None;
    }
    if n - c < k {
        return Some(1.0);
    }
    // C(n-c, k) / C(n, k) as a product: the binomials themselves overflow.
    Some(1.0 - (n - c + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product::<f64>())
}

/// secure-pass@k: at least one of `k` samples is secure and passes, of `n` samples of which `both` are and do.
#[must_use]
pub fn secure_pass_at_k(n: usize, both: usize, k: usize) -> Option<f64> {
    pass_at_k(n, both, k)
}

/// secure@k_pass: at least one of `k` passing samples is secure, of `passing` samples of which `both` are secure.
///
/// `None` also where fewer than `k` samples pass.
#[must_use]
pub fn secure_at_k_pass(passing: usize, both: usize, k: usize) -> Option<f64> {
    pass_at_k(passing, both, k)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Option<f64>, expect: f64) {
        assert!(found.is_some_and(|x| (x - expect).abs() < 5e-7), "{found:?}, expected {expect}");
    }

    #[test]
    fn published_values() {
        // methods.md, section 7.
        near(pass_at_k(10, 3, 1), 0.3);
        near(pass_at_k(10, 3, 5), 0.916_666_667);
        near(pass_at_k(100, 7, 10), 0.533_259_586);
        near(pass_at_k(5, 3, 5), 1.0);
        let (n, passing, both) = (10, 6, 4);
        near(pass_at_k(n, passing, 1), 0.6);
        near(secure_at_k_pass(passing, both, 1), 0.666_666_667);
        near(secure_pass_at_k(n, both, 1), 0.4);
        near(secure_at_k_pass(passing, both, 2), 0.933_333_333);
        near(secure_pass_at_k(n, both, 5), 0.976_190_476);
    }

    #[test]
    fn equals_the_definition_by_enumeration() {
        for n in 1..=8usize {
            for c in 0..=n {
                for k in 1..=n {
                    let (mut hits, mut all) = (0u32, 0u32);
                    for subset in 0..1u32 << n {
                        if subset.count_ones() as usize == k {
                            all += 1;
                            hits += u32::from(subset & ((1 << c) - 1) != 0);
                        }
                    }
                    near(pass_at_k(n, c, k), f64::from(hits) / f64::from(all));
                }
            }
        }
    }

    #[test]
    fn undefined_is_said() {
        for (n, c, k) in [(5, 1, 0), (5, 1, 6), (5, 6, 1), (0, 0, 1)] {
            assert_eq!(pass_at_k(n, c, k), None, "{n} {c} {k}");
        }
        assert_eq!(secure_at_k_pass(0, 0, 1), None);
    }
}
