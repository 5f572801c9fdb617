//! Rotary position embedding (Su et al. 2021) in the half-split form of Hugging Face checkpoints.

use super::{
    by_kind, rows_a_chunk,
    stored::{Rows, Stored, widest},
    threads,
};
use tch::{Device, Kind, Tensor};

/// Turns `x` (`[n, heads, head_dim]`) by the angles whose `cos` and `sin` (`[n, dims / 2]`, f32) are given, `back` by their
/// opposites: the derivative of a turn is the turn back. Dimensions of a head beyond `dims` stand still.
///
/// On the processor `x` is turned in place.
pub(crate) fn rotate(x: Tensor, cos: &Tensor, sin: &Tensor, back: bool) -> Tensor {
    if x.device() != Device::Cpu {
        let dims = 2 * cos.size()[1];
        let halves = x.narrow(-1, 0, dims).to_kind(Kind::Float).chunk(2, -1);
        let (cos, sin) = (cos.unsqueeze(1), if back { -sin.unsqueeze(1) } else { sin.unsqueeze(1) });
        let first = &halves[0] * &cos - &halves[1] * &sin;
        let second = &halves[1] * &cos + &halves[0] * &sin;
        let turned = Tensor::cat(&[first, second], -1).to_kind(x.kind());
        return Tensor::cat(&[turned, x.narrow(-1, dims, x.size()[2] - dims)], -1);
    }
    let x = x.contiguous();
    by_kind!(x.kind(), T => turn::<T>(&x, cos, sin, if back { -1.0 } else { 1.0 }));
    x
}

#[expect(unsafe_code, reason = "every chunk of rows is taken once")]
fn turn<T: Stored>(x: &Tensor, cos: &Tensor, sin: &Tensor, sign: f32) {
    let (heads, dim) = (x.size()[1] as usize, x.size()[2] as usize);
    let half = cos.size()[1] as usize;
    let x = Rows::<T>::of(x, heads * dim);
    let (cos, sin) = (Rows::<f32>::of(cos, half), Rows::<f32>::of(sin, half));
    let (n, size) = (x.rows(), rows_a_chunk(heads * dim));
    threads::each(n.div_ceil(size), |chunk| {
        for i in chunk * size..n.min((chunk + 1) * size) {
            // SAFETY: row `i` belongs to this chunk alone; `cos` and `sin` are only read.
            let (x, cos, sin) = unsafe { (x.chunk(i, i + 1), &*cos.chunk(i, i + 1), &*sin.chunk(i, i + 1)) };
            wide_heads(x, dim, cos, sin, sign);
        }
    });
}

widest! { fn wide_heads<T>(x: &mut [T], dim: usize, cos: &[f32], sin: &[f32], sign: f32) = heads; }

#[inline(always)]
fn heads<T: Stored>(x: &mut [T], dim: usize, cos: &[f32], sin: &[f32], sign: f32) {
    let half = cos.len();
    for head in x.chunks_exact_mut(dim) {
        let (first, second) = head.split_at_mut(half);
        let second = &mut second[..half];
        for (((a, b), c), s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            let (x, y, s) = (a.load(), b.load(), s * sign);
            *a = T::store(x * c - y * s);
            *b = T::store(y * c + x * s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_and_its_way_back() {
        tch::manual_seed(7);
        let x = Tensor::randn([50, 3, 8], (Kind::Float, Device::Cpu));
        let angles = Tensor::randn([50, 4], (Kind::Float, Device::Cpu));
        let (cos, sin) = (angles.cos(), angles.sin());
        let turned = rotate(x.copy(), &cos, &sin, false);
        // x cos + [-x2, x1] sin, as transformers writes it.
        let twice = |t: &Tensor| Tensor::cat(&[t, t], -1).unsqueeze(1);
        let halves = x.chunk(2, -1);
        let want = &x * twice(&cos) + Tensor::cat(&[&halves[1].neg(), &halves[0]], -1) * twice(&sin);
        assert!((&turned - want).abs().max().double_value(&[]) < 1e-6);
        assert!((rotate(turned, &cos, &sin, true) - &x).abs().max().double_value(&[]) < 1e-6);
        let (cos, sin) = (cos.narrow(1, 0, 3).contiguous(), sin.narrow(1, 0, 3).contiguous());
        let (some, rest) = (rotate(x.copy(), &cos, &sin, false), x.narrow(2, 6, 2));
        let six = rotate(x.narrow(2, 0, 6).copy(), &cos, &sin, false);
        assert!(some.narrow(2, 6, 2).equal(&rest) && some.narrow(2, 0, 6).equal(&six));
    }
}
