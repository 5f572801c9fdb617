//! 95 % intervals: exact where samples are independent, bootstrapped over clusters where they are not.
//!
//! Samples of one prompt resemble each other, so treating them as independent would make intervals too narrow. Three cases:
//! 1. Every cluster holds one sample: Clopper-Pearson (exact binomial), Garwood (exact Poisson) for rates.
//! 2. Enough clusters that differ: percentile bootstrap, whole clusters drawn anew.
//! 3. Few clusters, or clusters that all agree (the bootstrap would answer with an interval of no width): the exact
//!    interval again, with the number of clusters as the number of cases, which is the cautious end of the truth.

use lexicon::Figure;
use statrs::function::{beta::beta_reg, gamma::gamma_lr};

/// Bootstrap resamples.
pub const RESAMPLES: usize = 2000;
/// Below this many clusters the bootstrap is not trusted.
pub const FEWEST_CLUSTERS: usize = 10;
/// Probability left out on each side.
const TAIL: f64 = 0.025;

/// What one cluster (the samples of one prompt, or of one lesson) adds to a share or rate.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Cluster {
    /// Cases that count.
    pub hits: f64,
    /// Cases in the denominator.
    pub of: f64,
}

/// Exact (Clopper-Pearson) 95 % interval of a proportion, as shares. `hits` need not be whole.
#[must_use]
pub fn clopper_pearson(hits: f64, n: f64) -> (f64, f64) {
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let hits = hits.clamp(0.0, n);
    let low = if hits <= 0.0 { 0.0 } else { root(0.0, 1.0, |x| beta_reg(hits, n - hits + 1.0, x) - TAIL) };
    let high = if hits >= n { 1.0 } else { root(0.0, 1.0, |x| beta_reg(hits + 1.0, n - hits, x) - (1.0 - TAIL)) };
    (low, high)
}

/// Exact (Garwood) 95 % interval of a Poisson mean from one count. `count` need not be whole.
#[must_use]
pub fn garwood(count: f64) -> (f64, f64) {
    let most = count + 10.0 * (count + 1.0).sqrt() + 10.0;
    let low =
        if count <= 0.0 { 0.0 } else { root(0.0, most, |x| if x > 0.0 { gamma_lr(count, x) } else { 0.0 } - TAIL) };
    let high = root(0.0, most, |x| if x > 0.0 { gamma_lr(count + 1.0, x) } else { 0.0 } - (1.0 - TAIL));
    (low, high)
}

/// Where a rising function crosses zero. Bisection to the last bit: slow beside Newton, never wrong.
fn root(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..200 {
        let middle = low.midpoint(high);
        if middle <= low || middle >= high {
            break;
        }
        if f(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low.midpoint(high)
}

/// A share in percent over clusters. Without any case the interval is everything: 0 to 100, `n` 0.
#[must_use]
pub fn share(clusters: &[Cluster], seed: u64) -> Figure {
    let (hits, of, clusters) = totals(clusters);
    if of <= 0.0 {
        return Figure { value: 0.0, low: 0.0, high: 100.0, n: 0 };
    }
    let value = hits / of;
    let (low, high) = match plan(&clusters) {
        Plan::Exact => clopper_pearson(hits, of),
        Plan::Bootstrap => bootstrap(&clusters, seed),
        Plan::Cautious => clopper_pearson(value * clusters.len() as f64, clusters.len() as f64),
    };
    figure(value, low, high, of)
}

/// A rate per hundred cases over clusters; unlike a share it may exceed 100. Without any case all is 0, `n` too.
#[must_use]
pub fn rate(clusters: &[Cluster], seed: u64) -> Figure {
    let (hits, of, clusters) = totals(clusters);
    if of <= 0.0 {
        return Figure { value: 0.0, low: 0.0, high: 0.0, n: 0 };
    }
    let value = hits / of;
    let poisson = |cases: f64| {
        let (low, high) = garwood(value * cases);
        (low / cases, high / cases)
    };
    let (low, high) = match plan(&clusters) {
        Plan::Exact => poisson(of),
        Plan::Bootstrap => bootstrap(&clusters, seed),
        Plan::Cautious => poisson(clusters.len() as f64),
    };
    figure(value, low, high, of)
}

/// The mean of shares with Student's 95 % interval, in percent: how SVEN treats scenarios. `n` is the number of shares.
#[must_use]
pub fn student(shares: &[f64]) -> Figure {
    let n = shares.len();
    if n == 0 {
        return Figure { value: 0.0, low: 0.0, high: 100.0, n: 0 };
    }
    let mean = shares.iter().sum::<f64>() / n as f64;
    if n == 1 {
        return Figure { value: 100.0 * mean, low: 0.0, high: 100.0, n };
    }
    let variance = shares.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    let freedom = (n - 1) as f64;
    // P(T > t) = I(v / (v + t^2); v/2, 1/2) / 2, which falls in t.
    let tail = |t: f64| beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t)) / 2.0;
    let t = root(0.0, 1000.0, |t| TAIL - tail(t));
    let half = t * (variance / n as f64).sqrt();
    Figure { value: 100.0 * mean, low: 100.0 * (mean - half).max(0.0), high: 100.0 * (mean + half).min(1.0), n }
}

/// 95 % interval of a statistic of two runs on the same prompts: prompts are drawn anew, each with both of its sides.
///
/// None below [`FEWEST_CLUSTERS`] prompts, or where the statistic is often undefined (`None`).
#[must_use]
pub fn paired(
    pairs: &[(Cluster, Cluster)],
    seed: u64,
    statistic: impl Fn(Cluster, Cluster) -> Option<f64>,
) -> Option<(f64, f64)> {
    if pairs.len() < FEWEST_CLUSTERS {
        return None;
    }
    let mut random = SplitMix(seed ^ 0x7061_6972_6564_2121);
    let mut values = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let (mut base, mut tuned) = (Cluster::default(), Cluster::default());
        for _ in pairs {
            let (b, t) = pairs[random.below(pairs.len())];
            (base.hits, base.of) = (base.hits + b.hits, base.of + b.of);
            (tuned.hits, tuned.of) = (tuned.hits + t.hits, tuned.of + t.of);
        }
        values.extend(statistic(base, tuned));
    }
    if values.len() * 20 < RESAMPLES * 19 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some((quantile(&values, TAIL), quantile(&values, 1.0 - TAIL)))
}

fn figure(value: f64, low: f64, high: f64, of: f64) -> Figure {
    Figure { value: 100.0 * value, low: 100.0 * low.min(value), high: 100.0 * high.max(value), n: of.round() as usize }
}

/// Sums, and the clusters that have a case at all.
fn totals(clusters: &[Cluster]) -> (f64, f64, Vec<Cluster>) {
    let clusters: Vec<Cluster> = clusters.iter().copied().filter(|c| c.of > 0.0).collect();
    (clusters.iter().map(|c| c.hits).sum(), clusters.iter().map(|c| c.of).sum(), clusters)
}

enum Plan {
    Exact,
    Bootstrap,
    Cautious,
}

fn plan(clusters: &[Cluster]) -> Plan {
    let first = clusters[0].hits / clusters[0].of;
    if clusters.iter().all(|c| c.of <= 1.0) {
        Plan::Exact
    } else if clusters.len() < FEWEST_CLUSTERS || clusters.iter().all(|c| (c.hits / c.of - first).abs() < 1e-12) {
        Plan::Cautious
    } else {
        Plan::Bootstrap
    }
}

/// Percentile bootstrap of the ratio of sums, whole clusters drawn anew.
fn bootstrap(clusters: &[Cluster], seed: u64) -> (f64, f64) {
    let mut random = SplitMix(seed ^ 0x7261_6d70_6172_7421);
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let (mut hits, mut of) = (0.0, 0.0);
            for _ in 0..clusters.len() {
                let drawn = clusters[random.below(clusters.len())];
                hits += drawn.hits;
                of += drawn.of;
            }
            hits / of
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    (quantile(&ratios, TAIL), quantile(&ratios, 1.0 - TAIL))
}

/// Linear interpolation between order statistics of a sorted, non-empty list.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

/// Steele, Lea and Flood's SplitMix64: eight bytes of state, the same numbers on every machine.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; the bias of the multiplication is below 2^-50 for any number of clusters we meet.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(found: (f64, f64), expect: (f64, f64)) {
        assert!(
            (found.0 - expect.0).abs() < 6e-5 && (found.1 - expect.1).abs() < 6e-5,
            "{found:?}, expected {expect:?}"
        );
    }

    #[test]
    fn exact_intervals_equal_the_published_tables() {
        // Clopper-Pearson as R's binom.test prints it, four digits.
        near(clopper_pearson(0.0, 10.0), (0.0, 0.3085));
        near(clopper_pearson(5.0, 10.0), (0.1871, 0.8129));
        near(clopper_pearson(8.0, 10.0), (0.4439, 0.9748));
        near(clopper_pearson(10.0, 10.0), (0.6915, 1.0));
        near(clopper_pearson(1.0, 20.0), (0.0013, 0.2487));
        near(clopper_pearson(50.0, 100.0), (0.3983, 0.6017));
        assert_eq!(clopper_pearson(0.0, 0.0), (0.0, 1.0));
        // Garwood's table: 0 -> 3.689, 1 -> 0.0253 to 5.572, 10 -> 4.795 to 18.390.
        let (low, high) = garwood(0.0);
        assert!(low == 0.0 && (high - 3.6889).abs() < 1e-3);
        let (low, high) = garwood(1.0);
        assert!((low - 0.0253).abs() < 1e-4 && (high - 5.5716).abs() < 1e-3, "{low} {high}");
        let (low, high) = garwood(10.0);
        assert!((low - 4.7954).abs() < 1e-3 && (high - 18.3904).abs() < 1e-3, "{low} {high}");
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // First outputs for seed 1234567, as in the reference C program.
        let mut random = SplitMix(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    fn clusters(pattern: &[(u32, u32)]) -> Vec<Cluster> {
        pattern.iter().map(|&(h, n)| Cluster { hits: f64::from(h), of: f64::from(n) }).collect()
    }

    #[test]
    fn each_case_takes_its_interval() {
        let single: Vec<_> = clusters(&[(1, 1), (0, 1)].repeat(25));
        let exact = share(&single, 0);
        near((exact.low / 100.0, exact.high / 100.0), clopper_pearson(25.0, 50.0));

        // Ten samples a prompt that all agree hold no more than one sample a prompt.
        let agreeing: Vec<_> = clusters(&[(10, 10), (0, 10)].repeat(25));
        let wide = share(&agreeing, 0);
        assert_eq!((wide.value, wide.n), (50.0, 500));
        assert!(wide.high - wide.low > 24.0, "{wide:?}");
        let mixed = share(&clusters(&[(6, 10), (4, 10)].repeat(25)), 0);
        assert!(mixed.high - mixed.low < 8.0, "{mixed:?}");

        let none = share(&clusters(&[(0, 10)].repeat(50)), 0);
        near((none.low / 100.0, none.high / 100.0), clopper_pearson(0.0, 50.0));
        let few = share(&clusters(&[(3, 10), (1, 10)]), 0);
        near((few.low / 100.0, few.high / 100.0), clopper_pearson(0.4, 2.0));
        assert_eq!(share(&[], 0), Figure { value: 0.0, low: 0.0, high: 100.0, n: 0 });
    }

    #[test]
    fn student_equals_the_tables() {
        // t(0.975, 9) = 2.262157, t(0.975, 1) = 12.7062.
        let shares: Vec<f64> = (0..10).map(|i| 0.4 + 0.02 * f64::from(i)).collect();
        let found = student(&shares);
        let half = 2.262_157 * 0.060_553_007 / 10f64.sqrt();
        near((found.low / 100.0, found.high / 100.0), (0.49 - half, 0.49 + half));
        let two = student(&[0.5, 0.51]);
        near((two.low / 100.0, two.high / 100.0), (0.505 - 12.7062 * 0.005, 0.505 + 12.7062 * 0.005));
        assert_eq!((student(&[]).n, student(&[0.3]).high), (0, 100.0));
    }

    #[test]
    fn pairing_takes_the_prompts_difficulty_out() {
        // Prompts differ much, sides by one answer in ten on every prompt: the difference is sure.
        let pairs: Vec<_> = (0..20)
            .map(|i| {
                let hits = f64::from(i % 10);
                (Cluster { hits: hits + 1.0, of: 10.0 }, Cluster { hits, of: 10.0 })
            })
            .collect();
        let difference = |b: Cluster, t: Cluster| Some(t.hits / t.of - b.hits / b.of);
        let (low, high) = paired(&pairs, 0, difference).expect("enough prompts");
        assert!((low + 0.1).abs() < 1e-9 && (high + 0.1).abs() < 1e-9, "{low} {high}");
        assert_eq!(paired(&pairs[..9], 0, difference), None);
        assert_eq!(paired(&pairs, 0, |_, _| None), None);
    }

    #[test]
    fn rates_may_exceed_a_hundred() {
        let many = rate(&clusters(&[(5, 2), (1, 2)].repeat(10)), 3);
        assert!((many.value - 150.0).abs() < 1e-9 && many.low > 100.0 && many.high < 200.0, "{many:?}");
        let none = rate(&clusters(&[(0, 4)].repeat(20)), 3);
        assert!(none.low == 0.0 && (none.high - 100.0 * 3.6889 / 20.0).abs() < 1e-2, "{none:?}");
        assert_eq!(rate(&[], 0).n, 0);
    }

    #[test]
    fn the_bootstrap_is_deterministic_and_covers() {
        let data = clusters(&[(3, 5), (0, 5), (5, 5), (1, 5), (2, 5)].repeat(8));
        assert_eq!(share(&data, 7), share(&data, 7));
        assert_ne!(share(&data, 7), share(&data, 8));
        // Shares drawn from a known law lie in the interval about 95 times in a hundred.
        let mut random = SplitMix(11);
        let covered = (0..300)
            .filter(|&trial| {
                let drawn: Vec<Cluster> = (0..40)
                    .map(|_| {
                        // Half of the prompts have share 0.2, half 0.6: the mean is 0.4.
                        let limit = if random.below(2) == 0 { 2 } else { 6 };
                        let hits = (0..5).filter(|_| random.below(10) < limit).count();
                        Cluster { hits: hits as f64, of: 5.0 }
                    })
                    .collect();
                let figure = share(&drawn, trial);
                figure.low <= 40.0 && 40.0 <= figure.high
            })
            .count();
        assert!((270..=298).contains(&covered), "{covered} of 300");
    }

    proptest! {
        #[test]
        fn intervals_hold_their_value(data in proptest::collection::vec((0u32..6, 1u32..6), 1..30), seed in 0u64..9) {
            let data: Vec<_> = data.iter().map(|&(h, n)| (h.min(n), n)).collect();
            let figure = share(&clusters(&data), seed);
            prop_assert!(0.0 <= figure.low && figure.low <= figure.value && figure.value <= figure.high);
            prop_assert!(figure.high <= 100.0 + 1e-9);
            let figure = rate(&clusters(&data), seed);
            prop_assert!(0.0 <= figure.low && figure.low <= figure.value && figure.value <= figure.high);
        }
    }
}
