//! RMSNorm (Zhang and Sennrich 2019) with the residual sum before it, and its derivative.

use super::{
    by_kind, rows_a_chunk,
    stored::{Rows, Stored, sum, widest},
    threads,
};
use tch::{Device, Kind, Tensor};

/// What [`norm`] returns.
pub(crate) struct Norm {
    /// The residual stream with the pending sum, `[n, hidden]`, f32.
    pub(crate) x: Tensor,
    /// `x / rms(x) * weight` in the kind asked for.
    pub(crate) y: Tensor,
    /// `1 / rms(x)`, `[n, 1]`, f32: all that the derivative needs besides `x`.
    pub(crate) scale: Tensor,
}

/// `x + pending`, and its norm: `(x + pending) / sqrt(mean((x + pending)^2) + eps) * weight`.
pub(crate) fn norm(x: &Tensor, pending: Option<&Tensor>, weight: &Tensor, eps: f64, kind: Kind) -> Norm {
    if x.device() != Device::Cpu {
        let x = pending.map_or_else(|| x.shallow_clone(), |p| x + p);
        let scale = (x.square().mean_dim(&[-1i64][..], true, Kind::Float) + eps).rsqrt();
        let y = (&x * &scale * weight).to_kind(kind);
        return Norm { x, y, scale };
    }
    let (x, weight) = (x.contiguous(), weight.to_kind(Kind::Float).contiguous());
    let (n, width) = (x.size()[0], x.size()[1]);
    let y = Tensor::empty([n, width], (kind, Device::Cpu));
    let scale = Tensor::empty([n, 1], (Kind::Float, Device::Cpu));
    let out = Norm { x: if pending.is_some() { Tensor::empty_like(&x) } else { x.shallow_clone() }, y, scale };
    by_kind!(kind, Y => match pending {
        Some(p) => {
            let p = p.contiguous();
            by_kind!(p.kind(), P => forward::<P, Y>(&x, Some(&p), &weight, eps as f32, &out))
        }
        None => forward::<f32, Y>(&x, None, &weight, eps as f32, &out),
    });
    out
}

#[expect(unsafe_code, reason = "every chunk of rows is taken once")]
fn forward<P: Stored, Y: Stored>(x: &Tensor, pending: Option<&Tensor>, weight: &Tensor, eps: f32, out: &Norm) {
    let width = x.size()[1] as usize;
    let (x, sums, scales) = (Rows::<f32>::of(x, width), Rows::<f32>::of(&out.x, width), Rows::<f32>::of(&out.scale, 1));
    let (pending, y) = (pending.map(|p| Rows::<P>::of(p, width)), Rows::<Y>::of(&out.y, width));
    let weight = Rows::<f32>::of(weight, width);
    let (n, size) = (x.rows(), rows_a_chunk(width));
    threads::each(n.div_ceil(size), |chunk| {
        // SAFETY: `weight` is only read.
        let weight = unsafe { weight.chunk(0, 1) };
        for i in chunk * size..n.min((chunk + 1) * size) {
            // SAFETY: row `i` belongs to this chunk alone; `x` and `pending` are only read.
            let (y, scale) = unsafe { (y.chunk(i, i + 1), &mut scales.chunk(i, i + 1)[0]) };
            *scale = match &pending {
                Some(pending) => {
                    // SAFETY: as above; with a pending sum `sums` is a tensor of its own.
                    let (x, p, s) = unsafe { (&*x.chunk(i, i + 1), &*pending.chunk(i, i + 1), sums.chunk(i, i + 1)) };
                    wide_row(x, Some(p), weight, eps, s, y)
                }
                // SAFETY: as above.
                None => wide_row::<P, Y>(unsafe { &*x.chunk(i, i + 1) }, None, weight, eps, &mut [], y),
            };
        }
    });
}

widest! {
    fn wide_row<P, Y>(
        x: &[f32], pending: Option<&[P]>, weight: &[f32], eps: f32, s: &mut [f32], y: &mut [Y],
    ) -> f32 = row;
}

#[inline(always)]
fn row<P: Stored, Y: Stored>(
    x: &[f32],
    pending: Option<&[P]>,
    weight: &[f32],
    eps: f32,
    s: &mut [f32],
    y: &mut [Y],
) -> f32 {
    let n = x.len();
    let (weight, y) = (&weight[..n], &mut y[..n]);
    let x = match pending {
        Some(p) => {
            let (p, s) = (&p[..n], &mut s[..n]);
            for i in 0..n {
                s[i] = x[i] + p[i].load();
            }
            &*s
        }
        None => x,
    };
    let x = &x[..n];
    let scale = 1.0 / (sum(n, |i| x[i] * x[i]) / n as f32 + eps).sqrt();
    for i in 0..n {
        y[i] = Y::store(x[i] * scale * weight[i]);
    }
    scale
}

/// What [`norm_backward`] returns besides the residual gradient.
pub(crate) struct NormGradient {
    /// The residual gradient in the compute kind, for the products below.
    pub(crate) cast: Tensor,
    /// The norm's output, made again.
    pub(crate) y: Tensor,
    /// `[hidden]`, f32.
    pub(crate) weight: Option<Tensor>,
}

/// Adds to `d_x` (`[n, hidden]`, f32) what comes back through the norm of `x`.
///
/// With `g = d_y * weight` and `s = 1 / rms(x)`: `d_x += s (g - x s^2 mean(g x))`, `d_weight = sum over rows of d_y x s`.
pub(crate) fn norm_backward(
    d_x: &mut Tensor,
    d_y: &Tensor,
    x: &Tensor,
    scale: &Tensor,
    weight: &Tensor,
    kind: Kind,
    weight_trains: bool,
) -> NormGradient {
    if x.device() != Device::Cpu {
        let d_y = d_y.to_kind(Kind::Float);
        let normal = x * scale;
        let g = &d_y * weight;
        let along = (&g * &normal).mean_dim(&[-1i64][..], true, Kind::Float);
        let _ = d_x.g_add_(&((g - &normal * along) * scale));
        return NormGradient {
            cast: d_x.to_kind(kind),
            weight: weight_trains.then(|| (d_y * &normal).sum_dim_intlist(&[0i64][..], false, Kind::Float)),
            y: (normal * weight).to_kind(kind),
        };
    }
    let (d_y, weight) = (d_y.contiguous(), weight.to_kind(Kind::Float).contiguous());
    let size = x.size();
    // In f32 the products read the residual gradient itself.
    let cast = if kind == Kind::Float { d_x.shallow_clone() } else { Tensor::empty(&size, (kind, Device::Cpu)) };
    let y = Tensor::empty(&size, (kind, Device::Cpu));
    let chunks = (size[0] as usize).div_ceil(rows_a_chunk(size[1] as usize));
    let partial = weight_trains.then(|| Tensor::zeros([chunks as i64, size[1]], (Kind::Float, Device::Cpu)));
    let out = NormGradient { cast, y, weight: partial };
    by_kind!(kind, Y => by_kind!(d_y.kind(), D => backward::<D, Y>(d_x, &d_y, x, scale, &weight, &out)));
    // Partial sums are added in the order of the rows, whichever thread made them.
    let weight = out.weight.map(|partial| partial.sum_dim_intlist(&[0i64][..], false, Kind::Float));
    NormGradient { cast: out.cast, y: out.y, weight }
}

#[expect(unsafe_code, reason = "every chunk of rows is taken once")]
fn backward<D: Stored, Y: Stored>(
    d_x: &Tensor,
    d_y: &Tensor,
    x: &Tensor,
    scale: &Tensor,
    weight: &Tensor,
    out: &NormGradient,
) {
    let width = x.size()[1] as usize;
    let (d_x, x, scale) = (Rows::<f32>::of(d_x, width), Rows::<f32>::of(x, width), Rows::<f32>::of(scale, 1));
    let (d_y, weight) = (Rows::<D>::of(d_y, width), Rows::<f32>::of(weight, width));
    let separate = Y::KIND != Kind::Float;
    let cast = separate.then(|| Rows::<Y>::of(&out.cast, width));
    let y = Rows::<Y>::of(&out.y, width);
    let partial = out.weight.as_ref().map(|w| Rows::<f32>::of(w, width));
    let (n, size) = (x.rows(), rows_a_chunk(width));
    threads::each(n.div_ceil(size), |chunk| {
        // SAFETY: `weight` is only read; row `chunk` of the partial sums is this chunk's.
        let (weight, d_weight) =
            unsafe { (&*weight.chunk(0, 1), partial.as_ref().map_or(&mut [][..], |p| p.chunk(chunk, chunk + 1))) };
        for i in chunk * size..n.min((chunk + 1) * size) {
            // SAFETY: row `i` belongs to this chunk alone; `x`, `scale` and `d_y` are only read.
            unsafe {
                let (d_x, cast) = (d_x.chunk(i, i + 1), cast.as_ref().map_or(&mut [][..], |c| c.chunk(i, i + 1)));
                let (d_y, x, scale) = (&*d_y.chunk(i, i + 1), &*x.chunk(i, i + 1), scale.chunk(i, i + 1)[0]);
                let y = y.chunk(i, i + 1);
                wide_row_backward(d_x, d_y, x, scale, weight, cast, y, d_weight);
            }
        }
    });
}

widest! {
    #[expect(clippy::too_many_arguments, reason = "one row of each tensor")]
    fn wide_row_backward<D, Y>(
        d_x: &mut [f32], d_y: &[D], x: &[f32], scale: f32, weight: &[f32], cast: &mut [Y], y: &mut [Y],
        d_weight: &mut [f32],
    ) = row_backward;
}

#[expect(clippy::too_many_arguments, reason = "one row of each tensor")]
#[inline(always)]
fn row_backward<D: Stored, Y: Stored>(
    d_x: &mut [f32],
    d_y: &[D],
    x: &[f32],
    scale: f32,
    weight: &[f32],
    cast: &mut [Y],
    y: &mut [Y],
    d_weight: &mut [f32],
) {
    let n = x.len();
    let (d_x, d_y, weight, y) = (&mut d_x[..n], &d_y[..n], &weight[..n], &mut y[..n]);
    let along = sum(n, |i| d_y[i].load() * weight[i] * x[i]) * scale * scale / n as f32;
    for i in 0..n {
        d_x[i] += scale * (d_y[i].load() * weight[i] - x[i] * along);
        y[i] = Y::store(x[i] * scale * weight[i]);
    }
    if !cast.is_empty() {
        for (c, d) in cast.iter_mut().zip(&*d_x) {
            *c = Y::store(*d);
        }
    }
    if !d_weight.is_empty() {
        let d_weight = &mut d_weight[..n];
        for i in 0..n {
            d_weight[i] += d_y[i].load() * x[i] * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::stored::LANES;

    #[test]
    fn equals_autograd() {
        tch::manual_seed(5);
        for width in [LANES as i64 * 3, 37] {
            let random = || Tensor::randn([300, width], (Kind::Float, Device::Cpu));
            let (x, pending, upstream, residual) = (random(), random(), random(), random());
            let weight = (Tensor::randn([width], (Kind::Float, Device::Cpu)) + 1.0).set_requires_grad(true);
            let sum = (&x + &pending).set_requires_grad(true);
            let want = &sum * (sum.square().mean_dim(&[-1i64][..], true, Kind::Float) + 1e-5).rsqrt() * &weight;
            (&want * &upstream).sum(Kind::Float).backward();
            tch::no_grad(|| {
                let got = norm(&x, Some(&pending), &weight, 1e-5, Kind::Float);
                let far = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
                assert!(far(&got.y, &want) < 1e-5 && far(&got.x, &sum) < 1e-6);
                let mut d_x = residual.copy();
                let d = norm_backward(&mut d_x, &upstream, &got.x, &got.scale, &weight, Kind::Float, true);
                assert!(far(&d_x, &(&residual + sum.grad())) < 1e-5);
                assert!(far(&d.weight.unwrap_or_default(), &weight.grad()) < 2e-4 && far(&d.y, &want) < 1e-5);
                let half = norm(&x, Some(&pending.to_kind(Kind::BFloat16)), &weight, 1e-5, Kind::BFloat16);
                let error = far(&half.y.to_kind(Kind::Float), &want);
                assert!(half.y.kind() == Kind::BFloat16 && error < 0.1, "{error}");
            });
        }
    }
}
