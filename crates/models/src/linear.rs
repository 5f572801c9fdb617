//! A projection with an optional low-rank adapter.

use crate::Compute;
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

/// `y = x W^T + bias`, plus the adapter's share.
#[derive(Debug)]
pub(crate) struct Linear {
    /// `[out, in]`; in the compute kind when frozen, f32 when trained.
    pub(crate) weight: Tensor,
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

impl Linear {
    /// Applies the projection to `x` of shape `[n, in]` in the compute kind.
    pub(crate) fn forward(&self, x: &Tensor, compute: Compute, pass: Pass) -> Tensor {
        let bias = self.bias.as_ref().map(|b| cast(b, compute));
        let y = x.linear(&cast(&self.weight, compute), bias.as_ref());
        match &self.adapter {
            Some(lora) if pass.adapters => {
                let x =
                    if pass.training && lora.dropout > 0.0 { x.dropout(lora.dropout, true) } else { x.shallow_clone() };
                let low = x.linear::<&Tensor>(&cast(&lora.a, compute), None);
                // The scale goes onto the narrow side: r columns instead of `out`.
                let low = if (lora.scale - 1.0).abs() > f64::EPSILON { low * lora.scale } else { low };
                y + low.linear::<&Tensor>(&cast(&lora.b, compute), None)
            }
            _ => y,
        }
    }

    /// Adds the adapter into the weight, in f32, and drops it.
    pub(crate) fn merge(&mut self) {
        if let Some(lora) = self.adapter.take() {
            let kind = self.weight.kind();
            let update = lora.b.matmul(&lora.a) * lora.scale;
            self.weight = (self.weight.to_kind(Kind::Float) + update).to_kind(kind).detach();
        }
    }
}
