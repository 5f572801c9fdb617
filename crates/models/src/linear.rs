//! A projection with an optional low-rank adapter.

use crate::{Compute, nf4::Nf4};
use tch::{Kind, Tensor};

/// Low-rank update `scale * B A` of a frozen weight (Hu et al. 2021, arXiv:2106.09685).
#[derive(Debug)]
pub(crate) struct LowRank {
    /// `A`, `[r, in]`, f32.
    pub(crate) a: Tensor,
    /// `B`, `[out, r]`, f32.
    pub(crate) b: Tensor,
    /// `alpha / r`, or `alpha / sqrt(r)` for rsLoRA.
    pub(crate) scale: f64,
    /// Dropout on the adapter's input, training only.
    pub(crate) dropout: f64,
}

/// A projection's weight `[out, in]`.
#[derive(Debug)]
pub(crate) enum Weight {
    /// In the compute kind when frozen, f32 when trained.
    Dense(Tensor),
    /// Frozen, in four bits: made again for every product.
    Nf4(Nf4),
}

impl Weight {
    /// The weight as products take it; shares storage when it is there already.
    fn get(&self, compute: Compute) -> Tensor {
        match self {
            Self::Dense(t) => cast(t, compute),
            Self::Nf4(t) => t.weight(compute),
        }
    }

    /// The tensor, unless it stands in four bits.
    pub(crate) const fn dense(&self) -> Option<&Tensor> {
        match self {
            Self::Dense(t) => Some(t),
            Self::Nf4(_) => None,
        }
    }

    fn trains(&self) -> bool {
        self.dense().is_some_and(Tensor::requires_grad)
    }

    pub(crate) fn numel(&self) -> usize {
        match self {
            Self::Dense(t) => t.numel(),
            Self::Nf4(t) => t.numel(),
        }
    }
}

/// `y = x W^T + bias`, plus the adapter's share.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Weight,
    /// `[out]`.
    pub(crate) bias: Option<Tensor>,
    /// Adapter, if this projection is a target.
    pub(crate) adapter: Option<LowRank>,
}

/// What a forward pass does besides computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Whether adapters take part; without them the model is its own reference.
    pub adapters: bool,
    /// Whether dropout is active.
    pub training: bool,
}

impl Pass {
    /// Inference with adapters.
    pub const INFERENCE: Self = Self { adapters: true, training: false };
    /// Training with adapters.
    pub const TRAINING: Self = Self { adapters: true, training: true };
    /// The frozen model under the adapters: the reference of preference objectives.
    pub const REFERENCE: Self = Self { adapters: false, training: false };
}

/// A tensor in the compute kind; shares storage when it is there already.
pub(crate) fn cast(t: &Tensor, compute: Compute) -> Tensor {
    if t.kind() == compute.kind { t.shallow_clone() } else { t.to_kind(compute.kind) }
}

/// What a training pass keeps of an adapter's way: nothing `[n, out]` wide.
#[derive(Debug)]
pub(crate) struct Kept {
    /// `scale * x A^T`, `[n, r]`.
    low: Tensor,
    /// The input after dropout, and which of its values stayed.
    dropped: Option<(Tensor, Tensor)>,
}

/// Gradient of an adapter's narrow side, `scale * dy B`, `[n, r]`.
pub(crate) type LowGradient = Option<Tensor>;

impl Linear {
    /// Applies the projection to `x` of shape `[n, in]` in the compute kind; hands out what [`Self::weight_gradients`] wants
    /// of the adapter.
    pub(crate) fn forward_keeping(&self, x: &Tensor, compute: Compute, pass: Pass) -> (Tensor, Option<Kept>) {
        let bias = self.bias.as_ref().map(|b| cast(b, compute));
        let mut y = x.linear(&self.weight.get(compute), bias.as_ref());
        let Some(lora) = self.adapter.as_ref().filter(|_| pass.adapters) else { return (y, None) };
        let dropped = (pass.training && lora.dropout > 0.0).then(|| x.native_dropout(lora.dropout, true));
        let mut low = dropped.as_ref().map_or(x, |d| &d.0).linear::<&Tensor>(&cast(&lora.a, compute), None);
        // The scale goes onto the narrow side: r columns instead of `out`.
        if (lora.scale - 1.0).abs() > f64::EPSILON {
            let _ = low.g_mul_scalar_(lora.scale);
        }
        let _ = y.addmm_(&low, &cast(&lora.b, compute).tr());
        (y, Some(Kept { low, dropped }))
    }

    /// `dy W`, plus the adapter's share, added to `into` where another projection of the same input left its own.
    pub(crate) fn input_gradient(
        &self,
        kept: Option<&Kept>,
        d_y: &Tensor,
        into: Option<Tensor>,
        compute: Compute,
    ) -> (Tensor, LowGradient) {
        let weight = self.weight.get(compute);
        let mut d_x = match into {
            Some(mut d_x) => d_x.addmm_(d_y, &weight),
            None => d_y.matmul(&weight),
        };
        let (Some(lora), Some(kept)) = (&self.adapter, kept) else { return (d_x, None) };
        let d_low = self.low_gradient(lora, d_y, compute);
        let a = cast(&lora.a, compute);
        match &kept.dropped {
            None => drop(d_x.addmm_(&d_low, &a)),
            Some((_, stayed)) => {
                let d = Tensor::native_dropout_backward(&d_low.matmul(&a), stayed, 1.0 / (1.0 - lora.dropout));
                let _ = d_x.g_add_(&d);
            }
        }
        (d_x, Some(d_low))
    }

    fn low_gradient(&self, lora: &LowRank, d_y: &Tensor, compute: Compute) -> Tensor {
        let mut d_low = d_y.matmul(&cast(&lora.b, compute));
        if (lora.scale - 1.0).abs() > f64::EPSILON {
            let _ = d_low.g_mul_scalar_(lora.scale);
        }
        d_low
    }

    /// Adds the gradients of whatever trains here; `d_low` is what [`Self::input_gradient`] returned, where it was called.
    pub(crate) fn weight_gradients(
        &self,
        x: &Tensor,
        kept: Option<&Kept>,
        d_y: &Tensor,
        d_low: LowGradient,
        compute: Compute,
    ) {
        if let Some(weight) = self.weight.dense().filter(|w| w.requires_grad()) {
            accumulate(weight, &d_y.tr().matmul(x));
        }
        if let Some(bias) = self.bias.as_ref().filter(|b| b.requires_grad()) {
            accumulate(bias, &d_y.sum_dim_intlist(&[0i64][..], false, Kind::Float));
        }
        if let (Some(lora), Some(kept)) = (&self.adapter, kept) {
            let d_low = d_low.unwrap_or_else(|| self.low_gradient(lora, d_y, compute));
            accumulate(&lora.b, &d_y.tr().matmul(&kept.low));
            accumulate(&lora.a, &d_low.tr().matmul(kept.dropped.as_ref().map_or(x, |d| &d.0)));
        }
    }

    /// Whether anything here trains.
    pub(crate) fn trains(&self) -> bool {
        self.adapter.is_some() || self.weight.trains()
    }

    /// Adds the adapter into the weight, in f32, and drops it.
    pub(crate) fn merge(&mut self) {
        if let Some(lora) = self.adapter.take() {
            let update = lora.b.matmul(&lora.a) * lora.scale;
            let merged = |t: &Tensor| t.to_kind(Kind::Float) + &update;
            self.weight = match &self.weight {
                Weight::Dense(t) => Weight::Dense(merged(t).to_kind(t.kind()).detach()),
                Weight::Nf4(t) => {
                    let (device, kind) = (t.codes.device(), Kind::Float);
                    let whole = t.weight(Compute { device, kind, nf4: true });
                    Weight::Nf4(Nf4::of(&merged(&whole), device))
                }
            };
        }
    }
}

/// Adds `d` to the gradient of a trainable tensor.
pub(crate) fn accumulate(t: &Tensor, d: &Tensor) {
    let mut grad = t.grad();
    if grad.defined() {
        let _ = grad.g_add_(d);
    } else {
        // libtorch's interface here cannot set a first gradient; differentiating `sum(t * d)` does.
        tch::with_grad(|| (t * d).sum(Kind::Float).backward());
    }
}
