//! Log-softmax of a logit chunk and its derivative, fused: two reads and one write a value, in place.
//!
//! libtorch needs eight passes over the chunk for the same (to f32, log-softmax, gather, exp, scale, scatter, to bf16);
//! with a large vocabulary those passes cost more than the matrix products. Processor only; elsewhere [`crate::head`]
//! uses libtorch's own.

use rayon::prelude::*;
use tch::{Kind, Tensor};

/// A stored logit.
trait Stored: Copy + Send + Sync {
    fn load(self) -> f32;
    fn store(x: f32) -> Self;
}

impl Stored for f32 {
    #[inline(always)]
    fn load(self) -> f32 {
        self
    }
    #[inline(always)]
    fn store(x: f32) -> Self {
        x
    }
}

/// bf16 by its bits.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Bf16(u16);

impl Stored for Bf16 {
    #[inline(always)]
    fn load(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
    /// Round to nearest even; logits and their gradients are finite.
    #[inline(always)]
    fn store(x: f32) -> Self {
        let bits = x.to_bits();
        Self(((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16)
    }
}

/// `e^x` for `x <= 0` within two units in the last place, without a branch, so that the compiler vectorises it.
///
/// Cody-Waite reduction by `ln 2` and a polynomial of degree 6 on `[-ln2/2, ln2/2]`.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    let x = x.max(-87.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = n.mul_add(-0.693_145_75, x);
    let r = n.mul_add(-1.428_606_8e-6, r);
    let mut p = 1.0f32 / 720.0;
    for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p.mul_add(r, c);
    }
    // The integer sits in the low bits of the shifted value; moved into the exponent it scales by 2^n.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    p * scale
}

/// Eight running values, so that a reduction has no chain through every element.
const LANES: usize = 16;

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

macro_rules! multiversion {
    ($($name:ident: $feature:literal),*) => {$(
        #[target_feature(enable = $feature)]
        fn $name<T: Stored>(logits: &mut [T], token: usize, g: Option<f32>) -> f32 {
            row(logits, token, g)
        }
    )*};
}
multiversion!(row_avx512: "avx512f,avx512bw,avx512vl,avx512dq,fma", row_avx2: "avx2,fma");

#[expect(unsafe_code, reason = "calls of functions whose processor features were just detected")]
fn best<T: Stored>(logits: &mut [T], token: usize, g: Option<f32>) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
        {
            // SAFETY: the features are there.
            return unsafe { row_avx512(logits, token, g) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the features are there.
            return unsafe { row_avx2(logits, token, g) };
        }
    }
    row(logits, token, g)
}

fn rows<T: Stored>(logits: &mut [T], tokens: &[i64], g: Option<&[f64]>) -> Vec<f64> {
    let width = logits.len() / tokens.len().max(1);
    logits
        .par_chunks_mut(width.max(1))
        .zip(tokens)
        .enumerate()
        .map(|(i, (row, &token))| f64::from(best(row, token as usize, g.map(|g| g[i] as f32))))
        .collect()
}

/// Log-probability of each row's token; with `g = dLoss/dlogp`, the chunk becomes `dLoss/dlogits = g (onehot - softmax)`.
///
/// `logits` is `[n, vocab]`, contiguous, f32 or bf16, on the processor; tokens are below `vocab`.
#[expect(unsafe_code, reason = "a tensor's own memory; the argument stands at the call")]
pub(crate) fn fused(logits: &Tensor, tokens: &[i64], g: Option<&[f64]>) -> Vec<f64> {
    assert!(logits.is_contiguous() && logits.size()[0] as usize == tokens.len(), "a whole chunk");
    let width = logits.size()[1];
    assert!(tokens.iter().all(|&t| (0..width).contains(&t)), "tokens inside the vocabulary");
    let n = logits.numel();
    // SAFETY: the tensor is contiguous, of the matched kind and size, on the processor, and nothing else holds it: it
    // was made by the caller's product and is not part of a graph.
    unsafe {
        match logits.kind() {
            Kind::BFloat16 => rows(std::slice::from_raw_parts_mut(logits.data_ptr().cast::<Bf16>(), n), tokens, g),
            _ => rows(std::slice::from_raw_parts_mut(logits.data_ptr().cast::<f32>(), n), tokens, g),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units() {
        for i in 0..200_000 {
            let x = -(i as f32) * 87.0 / 200_000.0;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!(((got - want) / want).abs() < 2.5e-7, "exp({x}) = {got}, expected {want}");
        }
    }

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
