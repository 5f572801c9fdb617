//! From logits to a token: temperature, top-k, top-p, on plain numbers.

use crate::SamplingParams;

/// SplitMix64: a counter-based generator, so that a sample depends on its own seed and not on its neighbours in a batch.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A stream of its own for every (run, prompt, sample).
    pub(crate) fn new(seed: u64, prompt: u64, sample: u64) -> Self {
        let mut r = Self(seed);
        for part in [prompt, sample] {
            r.0 = r.next_u64() ^ part.wrapping_mul(0xA24B_AED4_963E_E407);
        }
        r
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Draws a token. Filters apply in the order of transformers: temperature, top-k, top-p.
pub(crate) fn draw(logits: &[f32], p: &SamplingParams, random: &mut Random) -> u32 {
    if p.temperature <= 0.0 {
        return greedy(logits);
    }
    let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let weight = |l: f32| ((f64::from(l) - highest) / p.temperature).exp();
    let limit = if p.top_k == 0 { logits.len() } else { p.top_k.min(logits.len()) };
    if limit == logits.len() && p.top_p >= 1.0 {
        let mut at = random.uniform() * logits.iter().map(|&l| weight(l)).sum::<f64>();
        let chosen = logits.iter().position(|&l| {
            at -= weight(l);
            at < 0.0
        });
        return chosen.map_or_else(|| greedy(logits), |i| i as u32);
    }
    let everything = (limit == logits.len()).then(|| logits.iter().map(|&l| weight(l)).sum::<f64>());
    // The share top-p rarely needs more than a few tokens: more are looked up only where it does.
    let mut k = if everything.is_some() { limit.min(64) } else { limit };
    loop {
        let candidates = top(logits, k);
        let mut weights: Vec<f64> = candidates.iter().map(|&(_, l)| weight(l)).collect();
        let total = everything.unwrap_or_else(|| weights.iter().sum());
        let mut sum = 0.0;
        // The token that crosses the threshold stays, as in transformers.
        let crossing = weights.iter().position(|w| {
            sum += w / total;
            sum >= p.top_p
        });
        match crossing {
            None if k < limit => {
                k = k.saturating_mul(8).min(limit);
                continue;
            }
            _ if p.top_p >= 1.0 => {}
            Some(i) => weights.truncate(i + 1),
            None => {}
        }
        let mut at = random.uniform() * weights.iter().sum::<f64>();
        for (i, w) in weights.iter().enumerate() {
            at -= w;
            if at < 0.0 {
                return candidates[i].0;
            }
        }
        return candidates[weights.len() - 1].0;
    }
}

fn greedy(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, &l) in logits.iter().enumerate() {
        if l > logits[best] {
            best = i;
        }
    }
    best as u32
}

/// The `k` largest with their tokens, largest first; ties fall to the smaller token.
fn top(logits: &[f32], k: usize) -> Vec<(u32, f32)> {
    /// Logits that are looked at together: their maximum says whether any of them counts.
    const TOGETHER: usize = 64;
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(2 * k + TOGETHER);
    let mut least = f32::NEG_INFINITY;
    for (block, logits) in logits.chunks(TOGETHER).enumerate() {
        if logits.iter().copied().fold(f32::NEG_INFINITY, f32::max) < least {
            continue;
        }
        let first = (block * TOGETHER) as u32;
        best.extend((first..).zip(logits).filter(|&(_, &l)| l >= least).map(|(i, &l)| (i, l)));
        if best.len() >= 2 * k {
            let (_, kth, _) = best.select_nth_unstable_by(k - 1, order);
            least = kth.1;
            best.truncate(k);
        }
    }
    best.sort_unstable_by(order);
    best.truncate(k);
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(temperature: f64, top_k: usize, top_p: f64) -> SamplingParams {
        SamplingParams { temperature, top_k, top_p, ..SamplingParams::default() }
    }

    #[test]
    fn zero_temperature_takes_the_first_maximum() {
        assert_eq!(draw(&[0.0, 3.0, 3.0, 1.0], &params(0.0, 0, 1.0), &mut Random::new(0, 0, 0)), 1);
    }

    #[test]
    fn frequencies_follow_the_filtered_distribution() {
        let logits = [0.0f32, (3f32).ln(), (6f32).ln(), -50.0];
        let count = |p: SamplingParams| {
            let mut random = Random::new(7, 1, 2);
            let mut n = [0; 4];
            for _ in 0..30_000 {
                n[draw(&logits, &p, &mut random) as usize] += 1;
            }
            n.map(|c| f64::from(c) / 30_000.0)
        };
        let near = |a: [f64; 4], b: [f64; 4]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 0.015);
        assert!(near(count(params(1.0, 0, 1.0)), [0.1, 0.3, 0.6, 0.0]));
        assert!(near(count(params(1.0, 2, 1.0)), [0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0]));
        assert!(near(count(params(1.0, 0, 0.5)), [0.0, 0.0, 1.0, 0.0]));
        assert!(near(count(params(1.0, 0, 0.7)), [0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0]));
        assert!(near(count(params(0.5, 0, 1.0)), [1.0 / 46.0, 9.0 / 46.0, 36.0 / 46.0, 0.0]));
    }

    #[test]
    fn top_is_a_sort_cut_short() {
        let mut random = Random::new(5, 0, 0);
        // Few distinct values, so that ties decide.
        let logits: Vec<f32> = (0..3000).map(|_| (random.uniform() * 40.0).floor() as f32).collect();
        let mut sorted: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for k in [1, 2, 50, 64, 700, 3000] {
            assert_eq!(top(&logits, k), sorted[..k]);
        }
    }

    #[test]
    fn a_nucleus_may_be_wide() {
        let (p, mut random) = (params(1.0, 0, 0.9), Random::new(1, 2, 3));
        let drawn: std::collections::BTreeSet<u32> = (0..60_000).map(|_| draw(&[0.25; 500], &p, &mut random)).collect();
        // 450 tokens hold nine tenths; the sum of 450 shares may fall short of it by a rounding.
        assert!((450..=451).contains(&drawn.len()) && drawn.iter().max() <= Some(&450), "{}", drawn.len());
    }
}
