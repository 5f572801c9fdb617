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
    let mut candidates: Vec<(u32, f32)> = match p.top_k {
        k if k > 0 && k < logits.len() => top(logits, k),
        _ => logits.iter().enumerate().map(|(i, &l)| (i as u32, l)).collect(),
    };
    // Ties fall to the smaller id, so that the order never depends on the sort.
    candidates.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let highest = f64::from(candidates[0].1);
    let mut weights: Vec<f64> =
        candidates.iter().map(|&(_, l)| ((f64::from(l) - highest) / p.temperature).exp()).collect();
    if p.top_p < 1.0 {
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        // The token that crosses the threshold stays, as in transformers.
        let keep = weights.iter().position(|w| {
            sum += w / total;
            sum >= p.top_p
        });
        weights.truncate(keep.map_or(weights.len(), |i| i + 1));
    }
    let mut at = random.uniform() * weights.iter().sum::<f64>();
    for (i, w) in weights.iter().enumerate() {
        at -= w;
        if at < 0.0 {
            return candidates[i].0;
        }
    }
    candidates[weights.len() - 1].0
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

/// The `k` largest, unsorted.
fn top(logits: &[f32], k: usize) -> Vec<(u32, f32)> {
    let mut all: Vec<(u32, f32)> = logits.iter().enumerate().map(|(i, &l)| (i as u32, l)).collect();
    all.select_nth_unstable_by(k - 1, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(k);
    all
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
}
