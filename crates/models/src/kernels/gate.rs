//! `silu(gate) * up` (SwiGLU, Shazeer 2020) and its derivative.

use super::{
    GRAIN, by_kind,
    stored::{Rows, Stored, sigmoid, widest},
    threads,
};
use tch::{Device, Kind, Tensor};

/// `silu(gate) * up`, in the kind of `gate`.
pub(crate) fn gated(gate: &Tensor, up: &Tensor) -> Tensor {
    if gate.device() != Device::Cpu {
        return gate.silu() * up;
    }
    let (gate, up) = (gate.contiguous(), up.contiguous());
    let out = Tensor::empty_like(&gate);
    by_kind!(gate.kind(), T => forward::<T>(&gate, &up, &out));
    out
}

#[expect(unsafe_code, reason = "every chunk is taken once")]
fn forward<T: Stored>(gate: &Tensor, up: &Tensor, out: &Tensor) {
    let (gate, up, out) = (Rows::<T>::of(gate, 1), Rows::<T>::of(up, 1), Rows::<T>::of(out, 1));
    let n = out.rows();
    threads::each(n.div_ceil(GRAIN), |chunk| {
        let (from, to) = (chunk * GRAIN, n.min((chunk + 1) * GRAIN));
        // SAFETY: the chunk is this call's alone; `gate` and `up` are only read.
        let (gate, up, out) = unsafe { (&*gate.chunk(from, to), &*up.chunk(from, to), out.chunk(from, to)) };
        wide_products(gate, up, out);
    });
}

widest! { fn wide_products<T>(gate: &[T], up: &[T], out: &mut [T]) = products; }

#[inline(always)]
fn products<T: Stored>(gate: &[T], up: &[T], out: &mut [T]) {
    for ((o, g), u) in out.iter_mut().zip(gate).zip(up) {
        let g = g.load();
        *o = T::store(g * sigmoid(g) * u.load());
    }
}

/// The derivative of [`gated`], in the buffers given: `(d_gate, d_up, silu(gate) * up)`.
///
/// With `s = sigmoid(gate)`: `d_gate = d up s (1 + gate (1 - s))`, `d_up = d gate s`.
pub(crate) fn gated_backward(gate: Tensor, up: Tensor, d: Tensor) -> (Tensor, Tensor, Tensor) {
    if gate.device() != Device::Cpu {
        let float = |t: &Tensor| t.to_kind(Kind::Float);
        let (g, u, d) = (float(&gate), float(&up), float(&d));
        let s = g.sigmoid();
        let silu = &g * &s;
        let slope: Tensor = &s + &silu * (1.0 - &s);
        let d_gate: Tensor = &d * &u * slope;
        return (d_gate.to_kind(gate.kind()), (d * &silu).to_kind(gate.kind()), (silu * u).to_kind(gate.kind()));
    }
    let (gate, up, d) = (gate.contiguous(), up.contiguous(), d.contiguous());
    by_kind!(gate.kind(), T => backward::<T>(&gate, &up, &d));
    (gate, up, d)
}

#[expect(unsafe_code, reason = "every chunk is taken once")]
fn backward<T: Stored>(gate: &Tensor, up: &Tensor, d: &Tensor) {
    let (gate, up, d) = (Rows::<T>::of(gate, 1), Rows::<T>::of(up, 1), Rows::<T>::of(d, 1));
    let n = d.rows();
    threads::each(n.div_ceil(GRAIN), |chunk| {
        let (from, to) = (chunk * GRAIN, n.min((chunk + 1) * GRAIN));
        // SAFETY: the chunk is this call's alone, in three tensors of their own.
        let (gate, up, d) = unsafe { (gate.chunk(from, to), up.chunk(from, to), d.chunk(from, to)) };
        wide_derivatives(gate, up, d);
    });
}

widest! { fn wide_derivatives<T>(gate: &mut [T], up: &mut [T], d: &mut [T]) = derivatives; }

#[inline(always)]
fn derivatives<T: Stored>(gate: &mut [T], up: &mut [T], d: &mut [T]) {
    for ((g, u), d) in gate.iter_mut().zip(up).zip(d) {
        let (x, y, dz) = (g.load(), u.load(), d.load());
        let s = sigmoid(x);
        let silu = x * s;
        *g = T::store(dz * y * s * (1.0 + x * (1.0 - s)));
        *u = T::store(dz * silu);
        *d = T::store(silu * y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_autograd() {
        tch::manual_seed(6);
        let random = || Tensor::randn([70, 1001], (Kind::Float, Device::Cpu)) * 5.0;
        let (gate, up, upstream) = (random().set_requires_grad(true), random().set_requires_grad(true), random());
        let want = gate.silu() * &up;
        (&want * &upstream).sum(Kind::Float).backward();
        tch::no_grad(|| {
            let far = |a: &Tensor, b: &Tensor| ((a - b).abs() / (b.abs() + 1.0)).max().double_value(&[]);
            assert!(far(&gated(&gate, &up), &want) < 1e-5);
            let (d_gate, d_up, again) = gated_backward(gate.detach().copy(), up.detach().copy(), upstream.copy());
            assert!(far(&d_gate, &gate.grad()) < 1e-5 && far(&d_up, &up.grad()) < 1e-5 && far(&again, &want) < 1e-5);
            let bf = |t: &Tensor| t.to_kind(Kind::BFloat16);
            let torch = bf(&gate).to_kind(Kind::Float).silu() * bf(&up).to_kind(Kind::Float);
            let rounded = gated(&bf(&gate), &bf(&up)).to_kind(Kind::Float);
            assert!(((rounded - &torch).abs() / (torch.abs() + 1e-3)).max().double_value(&[]) < 1.0 / 256.0);
        });
    }
}
