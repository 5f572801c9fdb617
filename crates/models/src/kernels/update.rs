//! The optimizer's passes over its values: the sum of squared gradients, and AdamW's update in one pass of the five.

use super::{
    GRAIN,
    stored::{LANES, Rows, widest},
    threads,
};
use std::sync::Mutex;
use tch::{Device, Kind, Tensor};

/// Factors of one AdamW step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamStep {
    /// Decay of the first and second moment.
    pub(crate) beta: [f64; 2],
    /// Added to the root of the second moment.
    pub(crate) eps: f64,
    /// What a weight is multiplied with before its update.
    pub(crate) keep: f64,
    /// `learning rate / (1 - beta1^t)`.
    pub(crate) rate: f64,
    /// `sqrt(1 - beta2^t)`.
    pub(crate) correct: f64,
    /// What gradients are multiplied with (clipping).
    pub(crate) scale: f64,
}

fn plain(t: &Tensor) -> bool {
    t.device() == Device::Cpu && t.kind() == Kind::Float && t.is_contiguous()
}

/// One AdamW update; the gradient is zeroed.
pub(crate) fn adam(weight: &mut Tensor, first: &mut Tensor, second: &mut Tensor, grad: &mut Tensor, s: AdamStep) {
    if [&*weight, &*first, &*second, &*grad].into_iter().all(plain) {
        fused(weight, first, second, grad, s);
        return;
    }
    let _ = grad.g_mul_scalar_(s.scale);
    let _ = weight.g_mul_scalar_(s.keep);
    let _ = first.lerp_(grad, 1.0 - s.beta[0]);
    let _ = second.g_mul_scalar_(s.beta[1]);
    let _ = second.addcmul_(grad, &(&*grad * (1.0 - s.beta[1])));
    let update = &*first / (second.sqrt() / s.correct + s.eps) * -s.rate;
    let _ = weight.g_add_(&update);
    let _ = grad.zero_();
}

#[expect(unsafe_code, reason = "every chunk is taken once")]
fn fused(weight: &Tensor, first: &Tensor, second: &Tensor, grad: &Tensor, s: AdamStep) {
    let of = |t| Rows::<f32>::of(t, 1);
    let (weight, first, second, grad) = (of(weight), of(first), of(second), of(grad));
    let n = grad.rows();
    threads::each(n.div_ceil(GRAIN), |chunk| {
        let (from, to) = (chunk * GRAIN, n.min((chunk + 1) * GRAIN));
        // SAFETY: the chunk is this call's alone, in four tensors of their own.
        let (w, m, v, g) =
            unsafe { (weight.chunk(from, to), first.chunk(from, to), second.chunk(from, to), grad.chunk(from, to)) };
        wide_update(w, m, v, g, s);
    });
}

widest! { fn wide_update<>(w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &mut [f32], s: AdamStep) = update; }

#[inline(always)]
fn update(w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &mut [f32], s: AdamStep) {
    let (new1, keep2, new2) = ((1.0 - s.beta[0]) as f32, s.beta[1] as f32, (1.0 - s.beta[1]) as f32);
    let (keep, rate, eps, scale) = (s.keep as f32, s.rate as f32, s.eps as f32, s.scale as f32);
    let correct = (1.0 / s.correct) as f32;
    for (((w, m), v), g) in w.iter_mut().zip(m).zip(v).zip(g) {
        let d = *g * scale;
        *m += new1 * (d - *m);
        *v = keep2 * *v + new2 * d * d;
        *w = keep * *w - rate * *m / (v.sqrt() * correct + eps);
        *g = 0.0;
    }
}

/// Sum of squares, in f64.
#[expect(unsafe_code, reason = "the tensor is only read")]
pub(crate) fn square_sum(t: &Tensor) -> f64 {
    if !plain(t) {
        return t.square().sum(Kind::Double).double_value(&[]);
    }
    let values = Rows::<f32>::of(t, 1);
    let n = values.rows();
    let sums = Mutex::new(vec![0f64; n.div_ceil(GRAIN)]);
    threads::each(n.div_ceil(GRAIN), |chunk| {
        // SAFETY: only read.
        let values = unsafe { &*values.chunk(chunk * GRAIN, n.min((chunk + 1) * GRAIN)) };
        let sum = wide_squares(values);
        if let Ok(mut sums) = sums.lock() {
            sums[chunk] = sum;
        }
    });
    sums.into_inner().unwrap_or_default().into_iter().sum()
}

widest! { fn wide_squares<>(values: &[f32]) -> f64 = squares; }

#[inline(always)]
fn squares(values: &[f32]) -> f64 {
    let mut lanes = [0f64; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for (lane, &x) in lanes.iter_mut().zip(values) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_equals_libtorchs_operations() {
        tch::manual_seed(8);
        let random = || Tensor::randn([70_001], (Kind::Float, Device::Cpu));
        let (weight, first, second, grad) = (random(), random(), random().square(), random());
        let step = AdamStep { beta: [0.9, 0.95], eps: 1e-8, keep: 0.999, rate: 0.01, correct: 0.3, scale: 0.7 };
        let double = |t: &Tensor| t.to_kind(Kind::Double);
        let mut slow = [double(&weight), double(&first), double(&second), double(&grad)];
        let [w, m, v, g] = &mut slow;
        adam(w, m, v, g, step);
        let mut fast = [weight, first, second, grad.copy()];
        let [w, m, v, g] = &mut fast;
        adam(w, m, v, g, step);
        for (fast, slow) in fast.iter().zip(&slow) {
            assert!((fast - slow).abs().max().double_value(&[]) < 2e-6);
        }
        let want = double(&grad).square().sum(Kind::Double).double_value(&[]);
        assert!((square_sum(&grad) / want - 1.0).abs() < 1e-12);
    }
}
