//! RMSNorm (Zhang and Sennrich 2019) and layer norm (Ba et al. 2016) with the residual sum before them, and their
//! derivatives.

use super::{
    by_kind, rows_a_chunk,
    stored::{Rows, Stored, sum, widest},
    threads,
};
use tch::{Device, Kind, Tensor};

/// A norm's weights.
pub(crate) struct NormWeights<'a> {
    /// `[hidden]`.
    pub(crate) weight: Tensor,
    /// `[hidden]`: a norm with a bias centres, one without does not.
    pub(crate) bias: Option<&'a Tensor>,
    /// Added to the mean square.
    pub(crate) eps: f64,
}

/// What [`norm`] returns.
pub(crate) struct Norm {
    /// The residual stream with the pending sum, `[n, hidden]`, f32.
    pub(crate) x: Tensor,
    /// `x / rms(x) * weight`, or `(x - mean) / deviation * weight + bias`, in the kind asked for.
    pub(crate) y: Tensor,
    /// `1 / rms(x)`, `[n, 1]`, or `1 / deviation` and the mean, `[n, 2]`, f32: all that the derivative needs besides `x`.
    pub(crate) scale: Tensor,
}

/// `x + pending`, and its norm: `(x + pending) / sqrt(mean((x + pending)^2) + eps) * weight`, centred where there is a bias.
pub(crate) fn norm(x: &Tensor, pending: Option<&Tensor>, w: &NormWeights<'_>, kind: Kind) -> Norm {
    if x.device() != Device::Cpu {
        let x = pending.map_or_else(|| x.shallow_clone(), |p| x + p);
        let mean = |t: &Tensor| t.mean_dim(&[-1i64][..], true, Kind::Float);
        return match w.bias {
            None => {
                let scale = (mean(&x.square()) + w.eps).rsqrt();
                let y = (&x * &scale * &w.weight).to_kind(kind);
                Norm { x, y, scale }
            }
            Some(bias) => {
                let middle = mean(&x);
                let centred = &x - &middle;
                let scale = (mean(&centred.square()) + w.eps).rsqrt();
                let y = (centred * &scale * &w.weight + bias).to_kind(kind);
                Norm { x, y, scale: Tensor::cat(&[scale, middle], 1) }
            }
        };
    }
    let float = |t: &Tensor| t.to_kind(Kind::Float).contiguous();
    let (x, weight, bias) = (x.contiguous(), float(&w.weight), w.bias.map(float));
    let (n, width) = (x.size()[0], x.size()[1]);
    let y = Tensor::empty([n, width], (kind, Device::Cpu));
    let scale = Tensor::empty([n, if bias.is_some() { 2 } else { 1 }], (Kind::Float, Device::Cpu));
    let out = Norm { x: if pending.is_some() { Tensor::empty_like(&x) } else { x.shallow_clone() }, y, scale };
    let weights = (&weight, bias.as_ref());
    by_kind!(kind, Y => match pending {
        Some(p) => {
            let p = p.contiguous();
            by_kind!(p.kind(), P => forward::<P, Y>(&x, Some(&p), weights, w.eps as f32, &out))
        }
        None => forward::<f32, Y>(&x, None, weights, w.eps as f32, &out),
    });
    out
}

#[expect(unsafe_code, reason = "every chunk of rows is taken once")]
fn forward<P: Stored, Y: Stored>(
    x: &Tensor,
    pending: Option<&Tensor>,
    (weight, bias): (&Tensor, Option<&Tensor>),
    eps: f32,
    out: &Norm,
) {
    let width = x.size()[1] as usize;
    let (x, sums) = (Rows::<f32>::of(x, width), Rows::<f32>::of(&out.x, width));
    let scales = Rows::<f32>::of(&out.scale, if bias.is_some() { 2 } else { 1 });
    let (pending, y) = (pending.map(|p| Rows::<P>::of(p, width)), Rows::<Y>::of(&out.y, width));
    let (weight, bias) = (Rows::<f32>::of(weight, width), bias.map(|b| Rows::<f32>::of(b, width)));
    let (n, size) = (x.rows(), rows_a_chunk(width));
    threads::each(n.div_ceil(size), |chunk| {
        // SAFETY: `weight` and `bias` are only read.
        let (weight, bias) = unsafe { (&*weight.chunk(0, 1), bias.as_ref().map_or(&[][..], |b| &*b.chunk(0, 1))) };
        for i in chunk * size..n.min((chunk + 1) * size) {
            // SAFETY: row `i` belongs to this chunk alone; `x` and `pending` are only read.
            let (y, scale) = unsafe { (y.chunk(i, i + 1), scales.chunk(i, i + 1)) };
            match &pending {
                Some(pending) => {
                    // SAFETY: as above; with a pending sum `sums` is a tensor of its own.
                    let (x, p, s) = unsafe { (&*x.chunk(i, i + 1), &*pending.chunk(i, i + 1), sums.chunk(i, i + 1)) };
                    wide_row(x, Some(p), weight, bias, eps, s, y, scale);
                }
                None => {
                    // SAFETY: as above.
                    let x = unsafe { &*x.chunk(i, i + 1) };
                    wide_row::<P, Y>(x, None, weight, bias, eps, &mut [], y, scale);
                }
            }
        }
    });
}

widest! {
    #[expect(clippy::too_many_arguments, reason = "one row of each tensor")]
    fn wide_row<P, Y>(
        x: &[f32], pending: Option<&[P]>, weight: &[f32], bias: &[f32], eps: f32, s: &mut [f32], y: &mut [Y],
        scale: &mut [f32],
    ) = row;
}

#[expect(clippy::too_many_arguments, reason = "one row of each tensor")]
#[inline(always)]
fn row<P: Stored, Y: Stored>(
    x: &[f32],
    pending: Option<&[P]>,
    weight: &[f32],
    bias: &[f32],
    eps: f32,
    s: &mut [f32],
    y: &mut [Y],
    scale: &mut [f32],
) {
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
    if bias.is_empty() {
        let inverse = 1.0 / (sum(n, |i| x[i] * x[i]) / n as f32 + eps).sqrt();
        for i in 0..n {
            y[i] = Y::store(x[i] * inverse * weight[i]);
        }
        scale[0] = inverse;
        return;
    }
    let bias = &bias[..n];
    let mean = sum(n, |i| x[i]) / n as f32;
    let inverse = 1.0 / (sum(n, |i| (x[i] - mean) * (x[i] - mean)) / n as f32 + eps).sqrt();
    for i in 0..n {
        y[i] = Y::store((x[i] - mean) * inverse * weight[i] + bias[i]);
    }
    (scale[0], scale[1]) = (inverse, mean);
}

/// What [`norm_backward`] returns besides the residual gradient.
pub(crate) struct NormGradient {
    /// The residual gradient in the compute kind, for the products below.
    pub(crate) cast: Tensor,
    /// The norm's output, made again.
    pub(crate) y: Tensor,
    /// `[hidden]`, f32.
    pub(crate) weight: Option<Tensor>,
    /// `[hidden]`, f32.
    pub(crate) bias: Option<Tensor>,
}

/// Adds to `d_x` (`[n, hidden]`, f32) what comes back through the norm of `x`.
///
/// With `g = d_y * weight`, `s` the row's scale and `h` its normed values: `d_x += s (g - h mean(g h))`, less `s mean(g)` where
/// the norm centres; `d_weight = sum over rows of d_y h`, `d_bias = sum over rows of d_y`.
pub(crate) fn norm_backward(
    d_x: &mut Tensor,
    d_y: &Tensor,
    x: &Tensor,
    scale: &Tensor,
    w: &NormWeights<'_>,
    kind: Kind,
    trains: bool,
) -> NormGradient {
    if x.device() != Device::Cpu {
        return on_device(d_x, d_y, x, scale, w, kind, trains);
    }
    let float = |t: &Tensor| t.to_kind(Kind::Float).contiguous();
    let (d_y, weight, bias) = (d_y.contiguous(), float(&w.weight), w.bias.map(float));
    let size = x.size();
    // In f32 the products read the residual gradient itself.
    let cast = if kind == Kind::Float { d_x.shallow_clone() } else { Tensor::empty(&size, (kind, Device::Cpu)) };
    let y = Tensor::empty(&size, (kind, Device::Cpu));
    let chunks = (size[0] as usize).div_ceil(rows_a_chunk(size[1] as usize));
    let partial = || Tensor::zeros([chunks as i64, size[1]], (Kind::Float, Device::Cpu));
    let partial_bias = bias.as_ref().filter(|_| trains).map(|_| partial());
    let out = NormGradient { cast, y, weight: trains.then(partial), bias: partial_bias };
    let weights = (&weight, bias.as_ref());
    by_kind!(kind, Y => by_kind!(d_y.kind(), D => backward::<D, Y>(d_x, &d_y, x, scale, weights, &out)));
    // Partial sums are added in the order of the rows, whichever thread made them.
    let added = |partial: Option<Tensor>| partial.map(|p| p.sum_dim_intlist(&[0i64][..], false, Kind::Float));
    NormGradient { cast: out.cast, y: out.y, weight: added(out.weight), bias: added(out.bias) }
}

/// [`norm_backward`] by libtorch's operations.
fn on_device(
    d_x: &mut Tensor,
    d_y: &Tensor,
    x: &Tensor,
    scale: &Tensor,
    w: &NormWeights<'_>,
    kind: Kind,
    trains: bool,
) -> NormGradient {
    let mean = |t: &Tensor| t.mean_dim(&[-1i64][..], true, Kind::Float);
    let rows = |t: Tensor| t.sum_dim_intlist(&[0i64][..], false, Kind::Float);
    let d_y = d_y.to_kind(Kind::Float);
    let inverse = scale.narrow(1, 0, 1);
    let normal = if w.bias.is_some() { (x - scale.narrow(1, 1, 1)) * &inverse } else { x * &inverse };
    let mut g = &d_y * &w.weight;
    let along = mean(&(&g * &normal));
    if w.bias.is_some() {
        g = &g - mean(&g);
    }
    let _ = d_x.g_add_(&((g - &normal * along) * inverse));
    let y = &normal * &w.weight;
    NormGradient {
        cast: d_x.to_kind(kind),
        y: w.bias.map_or_else(|| y.shallow_clone(), |b| &y + b).to_kind(kind),
        weight: trains.then(|| rows(&d_y * &normal)),
        bias: w.bias.filter(|_| trains).map(|_| rows(d_y)),
    }
}

#[expect(unsafe_code, reason = "every chunk of rows is taken once")]
fn backward<D: Stored, Y: Stored>(
    d_x: &Tensor,
    d_y: &Tensor,
    x: &Tensor,
    scale: &Tensor,
    (weight, bias): (&Tensor, Option<&Tensor>),
    out: &NormGradient,
) {
    let width = x.size()[1] as usize;
    let (d_x, x) = (Rows::<f32>::of(d_x, width), Rows::<f32>::of(x, width));
    let scale = Rows::<f32>::of(scale, if bias.is_some() { 2 } else { 1 });
    let (d_y, weight) = (Rows::<D>::of(d_y, width), Rows::<f32>::of(weight, width));
    let bias = bias.map(|b| Rows::<f32>::of(b, width));
    let separate = Y::KIND != Kind::Float;
    let cast = separate.then(|| Rows::<Y>::of(&out.cast, width));
    let y = Rows::<Y>::of(&out.y, width);
    let [d_weight, d_bias] = [&out.weight, &out.bias].map(|t| t.as_ref().map(|t| Rows::<f32>::of(t, width)));
    let (n, size) = (x.rows(), rows_a_chunk(width));
    threads::each(n.div_ceil(size), |chunk| {
        // SAFETY: `weight` and `bias` are only read; row `chunk` of the partial sums is this chunk's.
        let (weight, bias, d_weight, d_bias) = unsafe {
            (
                &*weight.chunk(0, 1),
                bias.as_ref().map_or(&[][..], |b| &*b.chunk(0, 1)),
                d_weight.as_ref().map_or(&mut [][..], |p| p.chunk(chunk, chunk + 1)),
                d_bias.as_ref().map_or(&mut [][..], |p| p.chunk(chunk, chunk + 1)),
            )
        };
        for i in chunk * size..n.min((chunk + 1) * size) {
            // SAFETY: row `i` belongs to this chunk alone; `x`, `scale` and `d_y` are only read.
            unsafe {
                let (d_x, cast) = (d_x.chunk(i, i + 1), cast.as_ref().map_or(&mut [][..], |c| c.chunk(i, i + 1)));
                let (d_y, x, scale) = (&*d_y.chunk(i, i + 1), &*x.chunk(i, i + 1), &*scale.chunk(i, i + 1));
                let y = y.chunk(i, i + 1);
                if bias.is_empty() {
                    wide_row_backward(d_x, d_y, x, scale[0], weight, y, d_weight);
                } else {
                    wide_centred_backward(d_x, d_y, x, scale, weight, bias, y, d_weight, d_bias);
                }
                wide_copy(d_x, cast);
            }
        }
    });
}

widest! {
    fn wide_row_backward<D, Y>(
        d_x: &mut [f32], d_y: &[D], x: &[f32], scale: f32, weight: &[f32], y: &mut [Y], d_weight: &mut [f32],
    ) = row_backward;
}
widest! {
    #[expect(clippy::too_many_arguments, reason = "one row of each tensor")]
    fn wide_centred_backward<D, Y>(
        d_x: &mut [f32], d_y: &[D], x: &[f32], scale: &[f32], weight: &[f32], bias: &[f32], y: &mut [Y],
        d_weight: &mut [f32], d_bias: &mut [f32],
    ) = centred_backward;
}
widest! { fn wide_copy<Y>(from: &[f32], to: &mut [Y]) = copy; }

#[inline(always)]
fn row_backward<D: Stored, Y: Stored>(
    d_x: &mut [f32],
    d_y: &[D],
    x: &[f32],
    scale: f32,
    weight: &[f32],
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
    if !d_weight.is_empty() {
        let d_weight = &mut d_weight[..n];
        for i in 0..n {
            d_weight[i] += d_y[i].load() * x[i] * scale;
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one row of each tensor")]
#[inline(always)]
fn centred_backward<D: Stored, Y: Stored>(
    d_x: &mut [f32],
    d_y: &[D],
    x: &[f32],
    scale: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [Y],
    d_weight: &mut [f32],
    d_bias: &mut [f32],
) {
    let n = x.len();
    let (d_x, d_y, weight, bias, y) = (&mut d_x[..n], &d_y[..n], &weight[..n], &bias[..n], &mut y[..n]);
    let (scale, mean) = (scale[0], scale[1]);
    let level = sum(n, |i| d_y[i].load() * weight[i]) / n as f32;
    let along = sum(n, |i| d_y[i].load() * weight[i] * (x[i] - mean)) * scale * scale / n as f32;
    for i in 0..n {
        let centred = x[i] - mean;
        d_x[i] += scale * (d_y[i].load() * weight[i] - level - centred * along);
        y[i] = Y::store(centred * scale * weight[i] + bias[i]);
    }
    if !d_weight.is_empty() {
        let (d_weight, d_bias) = (&mut d_weight[..n], &mut d_bias[..n]);
        for i in 0..n {
            d_weight[i] += d_y[i].load() * (x[i] - mean) * scale;
            d_bias[i] += d_y[i].load();
        }
    }
}

#[inline(always)]
fn copy<Y: Stored>(from: &[f32], to: &mut [Y]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = Y::store(*from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::stored::LANES;

    #[test]
    fn equals_autograd() {
        tch::manual_seed(5);
        for (width, centred) in [(LANES as i64 * 3, false), (37, false), (LANES as i64 * 3, true), (37, true)] {
            let random = || Tensor::randn([300, width], (Kind::Float, Device::Cpu));
            let vector = || Tensor::randn([width], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let (x, pending, upstream, residual) = (random(), random(), random(), random());
            let (weight, bias) = (vector(), centred.then(vector));
            let sum = (&x + &pending).set_requires_grad(true);
            let want = match &bias {
                None => &sum * (sum.square().mean_dim(&[-1i64][..], true, Kind::Float) + 1e-5).rsqrt() * &weight,
                Some(_) => Tensor::layer_norm(&sum, [width], Some(&weight), bias.as_ref(), 1e-5, false),
            };
            (&want * &upstream).sum(Kind::Float).backward();
            tch::no_grad(|| {
                let w = NormWeights { weight: weight.detach(), bias: bias.as_ref(), eps: 1e-5 };
                let got = norm(&x, Some(&pending), &w, Kind::Float);
                let far = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
                assert!(far(&got.y, &want) < 1e-5 && far(&got.x, &sum) < 1e-6);
                let mut d_x = residual.copy();
                let d = norm_backward(&mut d_x, &upstream, &got.x, &got.scale, &w, Kind::Float, true);
                let mut again = residual.copy();
                let by_libtorch = on_device(&mut again, &upstream, &got.x, &got.scale, &w, Kind::Float, true);
                for (d_x, d) in [(d_x, d), (again, by_libtorch)] {
                    assert!(far(&d_x, &(&residual + sum.grad())) < 1e-5, "{}", far(&d_x, &(&residual + sum.grad())));
                    assert!(far(&d.weight.unwrap_or_default(), &weight.grad()) < 2e-4 && far(&d.y, &want) < 1e-5);
                    assert_eq!(d.bias.is_some(), centred);
                    if let (Some(d), Some(bias)) = (d.bias, &bias) {
                        assert!(far(&d, &bias.grad()) < 2e-4);
                    }
                }
                let half = norm(&x, Some(&pending.to_kind(Kind::BFloat16)), &w, Kind::BFloat16);
                let error = far(&half.y.to_kind(Kind::Float), &want);
                assert!(half.y.kind() == Kind::BFloat16 && error < 0.1, "{error}");
            });
        }
    }
}
