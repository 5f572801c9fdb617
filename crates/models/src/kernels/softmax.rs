//! Log-softmax of a logit chunk and its derivative, fused: two reads and one write a value, in place.
//!
//! libtorch needs eight passes over the chunk for the same (to f32, log-softmax, gather, exp, scale, scatter, to bf16);
//! with a large vocabulary those passes cost more than the matrix products. Processor only; elsewhere [`crate::head`]
//! uses libtorch's own.

use super::{
    by_kind,
    stored::{LANES, Rows, Stored, exp, widest},
    threads,
};
use std::sync::Mutex;
use tch::Tensor;

/// Rows of a chunk: a row of logits is long.
const ROWS: usize = 4;

widest! { fn wide_row<T>(logits: &mut [T], token: usize, g: Option<f32>) -> f32 = row; }

#[inline(always)]
fn row<T: Stored>(logits: &mut [T], token: usize, g: Option<f32>) -> f32 {
    let mut highest = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        for (h, x) in highest.iter_mut().zip(chunk) {
            *h = h.max(x.load());
        }
    }
    let mut max = highest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    for x in rest {
        max = max.max(x.load());
    }
    let mut sums = [0f32; LANES];
    for chunk in chunks {
        for (s, x) in sums.iter_mut().zip(chunk) {
            *s += exp(x.load() - max);
        }
    }
    let mut sum = f64::from(sums.iter().sum::<f32>());
    for x in rest {
        sum += f64::from(exp(x.load() - max));
    }
    let logp = logits[token].load() - max - sum.ln() as f32;
    if let Some(g) = g {
        let scale = -g / sum as f32;
        let at = g + scale * exp(logits[token].load() - max);
        for x in logits.iter_mut() {
            *x = T::store(scale * exp(x.load() - max));
        }
        logits[token] = T::store(at);
    }
    logp
}

/// Log-probability of each row's token; with `g = dLoss/dlogp`, the chunk becomes `dLoss/dlogits = g (onehot - softmax)`.
///
/// `logits` is `[n, vocab]`, contiguous, f32 or bf16, on the processor; tokens are below `vocab`.
pub(crate) fn fused(logits: &Tensor, tokens: &[i64], g: Option<&[f64]>) -> Vec<f64> {
    let width = logits.size()[1];
    assert!(logits.size()[0] as usize == tokens.len(), "a token a row");
    assert!(tokens.iter().all(|&t| (0..width).contains(&t)), "tokens inside the vocabulary");
    by_kind!(logits.kind(), T => rows::<T>(logits, tokens, g))
}

#[expect(unsafe_code, reason = "every chunk of rows is taken once")]
fn rows<T: Stored>(logits: &Tensor, tokens: &[i64], g: Option<&[f64]>) -> Vec<f64> {
    let logits = Rows::<T>::of(logits, logits.size()[1] as usize);
    let n = tokens.len();
    let out = Mutex::new(vec![0f64; n]);
    threads::each(n.div_ceil(ROWS), |chunk| {
        let mut logp = [0f64; ROWS];
        let rows = chunk * ROWS..n.min((chunk + 1) * ROWS);
        for (i, logp) in rows.clone().zip(&mut logp) {
            // SAFETY: row `i` belongs to this chunk alone.
            let logits = unsafe { logits.chunk(i, i + 1) };
            *logp = f64::from(wide_row(logits, tokens[i] as usize, g.map(|g| g[i] as f32)));
        }
        if let Ok(mut out) = out.lock() {
            out[rows.clone()].copy_from_slice(&logp[..rows.len()]);
        }
    });
    out.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn agrees_with_libtorch() {
        let (n, v) = (5, 1003);
        tch::manual_seed(1);
        let logits = Tensor::randn([n, v], (Kind::Float, tch::Device::Cpu)) * 4.0;
        let tokens = [0i64, 1002, 17, 500, 16];
        let g = [-0.5f64, 0.25, -1.0, 0.0, 2.0];
        let index = Tensor::from_slice(&tokens).unsqueeze(1);
        let expect = logits.log_softmax(1, None::<Kind>);
        let logp = expect.gather(1, &index, false).squeeze_dim(1);
        let g32: Vec<f32> = g.iter().map(|&x| x as f32).collect();
        let g_t = Tensor::from_slice(&g32).unsqueeze(1);
        let d = (expect.exp() * &g_t.neg()).scatter_add(1, &index, &g_t);
        let own = logits.copy();
        let got = fused(&own, &tokens, Some(&g));
        for (a, b) in got.iter().zip(crate::head::values(&logp)) {
            assert!((a - b).abs() < 2e-6, "{a} {b}");
        }
        assert!((&own - &d).abs().max().double_value(&[]) < 1e-6);
        let bf = logits.to_kind(Kind::BFloat16);
        let expect = bf.to_kind(Kind::Float).log_softmax(1, None::<Kind>).gather(1, &index, false).squeeze_dim(1);
        for (a, b) in fused(&bf, &tokens, None).iter().zip(crate::head::values(&expect)) {
            assert!((a - b).abs() < 2e-6, "{a} {b}");
        }
    }
}
