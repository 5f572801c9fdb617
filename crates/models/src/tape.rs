//! The derivative of the decoder, written out: what a training pass keeps, and the way back through it.
//!
//! libtorch's own graph would keep every intermediate and walk it an operation at a time. Here a block keeps what its
//! derivative cannot make again cheaply: the residual stream at its two norms, rotated queries, keys and values,
//! attention's output, and the two halves of the gated unit. Norm outputs and the gated product are made again on the way
//! back, in the kernels that need them anyway. A frozen weight has no gradient, and nothing runs below the lowest block that trains.

use crate::{
    Decoder, Packed,
    decoder::{Attended, Block, Pass},
    families::Projection,
    head::HeadGradient,
    kernels::{self, NormGradient},
    linear::{Kept, LowGradient, accumulate},
};
use tch::{Kind, Tensor, no_grad};

/// What a block keeps of its pass.
pub(crate) struct BlockTape {
    /// The residual stream and its `1 / rms` before attention and before the feed-forward half.
    pub(crate) x: [(Tensor, Tensor); 2],
    pub(crate) attended: Attended,
    pub(crate) gate: Tensor,
    pub(crate) up: Tensor,
    /// In the order of [`Projection::ALL`].
    pub(crate) kept: [Option<Kept>; 7],
}

/// A training pass: its hidden states, and what the way back needs.
pub struct Tape {
    /// Hidden states after the last norm, `[rows, hidden]`, f32.
    pub hidden: Tensor,
    pub(crate) ids: Tensor,
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
    pub(crate) blocks: Vec<BlockTape>,
    pub(crate) last: (Tensor, Tensor),
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").field("hidden", &self.hidden.size()).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A training pass over packed sequences.
    #[must_use]
    pub fn record(&self, packed: &Packed) -> Tape {
        no_grad(|| {
            let mut blocks = Vec::with_capacity(self.blocks.len());
            let (cos, sin) = self.rotary(&packed.positions);
            let last = self.run(packed, Pass::TRAINING, (&cos, &sin), None, Some(&mut blocks));
            Tape { hidden: last.y, ids: packed.ids.shallow_clone(), cos, sin, blocks, last: (last.x, last.scale) }
        })
    }

    /// Sends the head's gradient back through the pass; trainable tensors accumulate into their `.grad`.
    pub fn backward(&self, packed: &Packed, tape: Tape, gradient: HeadGradient) {
        no_grad(|| {
            if let Some(d_weight) = gradient.weight {
                accumulate(self.head_weight(), &d_weight);
            }
            self.descend(packed, tape, &gradient.hidden);
        });
    }

    fn descend(&self, packed: &Packed, tape: Tape, d_hidden: &Tensor) {
        let Some(lowest) = self.lowest_that_trains() else { return };
        let mut d_x = d_hidden.zeros_like();
        let mut d = self.norm_back(&mut d_x, d_hidden, &tape.last, &self.final_norm);
        for (i, (block, kept)) in self.blocks.iter().zip(tape.blocks).enumerate().rev() {
            if i < lowest {
                return;
            }
            d = self.block_back(
                packed,
                block,
                kept,
                &mut d_x,
                &d,
                (&tape.cos, &tape.sin),
                i > lowest || self.embedding.requires_grad(),
            );
        }
        if self.embedding.requires_grad() {
            let mut grad = self.embedding.grad();
            if !grad.defined() {
                accumulate(&self.embedding, &self.embedding.zeros_like());
                grad = self.embedding.grad();
            }
            let _ = grad.index_add_(0, &tape.ids, &d_x);
        }
    }

    /// Number of the first block that something trains in; the embedding lies under block 0.
    fn lowest_that_trains(&self) -> Option<usize> {
        let trains = |b: &Block| b.input_norm.requires_grad() || b.projections.iter().any(|p| p.trains());
        let lowest = self.blocks.iter().position(trains);
        if self.embedding.requires_grad() {
            Some(0)
        } else {
            lowest.or_else(|| self.final_norm.requires_grad().then_some(self.blocks.len()))
        }
    }

    fn norm_back(&self, d_x: &mut Tensor, d_y: &Tensor, x: &(Tensor, Tensor), weight: &Tensor) -> NormGradient {
        let kind = self.compute.kind;
        let d = kernels::norm_backward(d_x, d_y, &x.0, &x.1, weight, kind, weight.requires_grad());
        if let Some(d_weight) = &d.weight {
            accumulate(weight, d_weight);
        }
        d
    }

    /// Back through a block: `d_x` becomes the gradient of its input, returned in the compute kind as well.
    #[expect(clippy::too_many_arguments, reason = "a block's own inputs and the gradient that passes through")]
    fn block_back(
        &self,
        packed: &Packed,
        block: &Block,
        tape: BlockTape,
        d_x: &mut Tensor,
        above: &NormGradient,
        (cos, sin): (&Tensor, &Tensor),
        deeper: bool,
    ) -> NormGradient {
        use Projection::{Down, Gate, K, O, Q, Up, V};
        let kept = |p: Projection| tape.kept[p as usize].as_ref();
        let back = |p: Projection, d: &Tensor, into: Option<Tensor>| {
            block.projection(p).input_gradient(kept(p), d, into, self.compute)
        };
        let learn = |p: Projection, x: &Tensor, d: &Tensor, low: LowGradient| {
            block.projection(p).weight_gradients(x, kept(p), d, low, self.compute);
        };

        let (d_gated, low) = back(Down, &above.cast, None);
        let (d_gate, d_up, gated) = kernels::gated_backward(tape.gate, tape.up, d_gated);
        learn(Down, &gated, &above.cast, low);
        drop(gated);
        let (d_h, low_gate) = back(Gate, &d_gate, None);
        let (d_h, low_up) = back(Up, &d_up, Some(d_h));
        let mid = self.norm_back(d_x, &d_h, &tape.x[1], &block.post_norm);
        learn(Gate, &mid.y, &d_gate, low_gate);
        learn(Up, &mid.y, &d_up, low_up);
        drop((d_gate, d_up));

        let (d_a, low) = back(O, &mid.cast, None);
        learn(O, &tape.attended.out, &mid.cast, low);
        let (d_q, d_k, d_v) = self.attend_back(packed, &tape.attended, &d_a);
        let (d_q, d_k) = (kernels::rotate(d_q, cos, sin, true), kernels::rotate(d_k, cos, sin, true));
        let flat = |d: Tensor| d.flatten(1, 2);
        let (d_q, d_k, d_v) = (flat(d_q), flat(d_k), flat(d_v));
        if !deeper && !block.input_norm.requires_grad() {
            // Nothing below trains: the adapters here need their input, and no gradient of it.
            let h = kernels::norm(&tape.x[0].0, None, &block.input_norm, self.config.norm_eps, self.compute.kind).y;
            for (p, d) in [(Q, &d_q), (K, &d_k), (V, &d_v)] {
                learn(p, &h, d, None);
            }
            return NormGradient { cast: h.shallow_clone(), y: h, weight: None };
        }
        let (d_h, low_q) = back(Q, &d_q, None);
        let (d_h, low_k) = back(K, &d_k, Some(d_h));
        let (d_h, low_v) = back(V, &d_v, Some(d_h));
        let out = self.norm_back(d_x, &d_h, &tape.x[0], &block.input_norm);
        learn(Q, &out.y, &d_q, low_q);
        learn(K, &out.y, &d_k, low_k);
        learn(V, &out.y, &d_v, low_v);
        out
    }
}

/// Gradients of `out = attention(q, k, v)` by libtorch's graph, for devices without a derivative that can be called.
pub(crate) fn by_graph(
    forward: impl FnOnce(&[Tensor; 3]) -> Tensor,
    leaves: [&Tensor; 3],
    d_out: &Tensor,
) -> [Tensor; 3] {
    tch::with_grad(|| {
        let leaves = leaves.map(|t| t.detach().set_requires_grad(true));
        (forward(&leaves) * d_out).sum(Kind::Float).backward();
        leaves.map(|t| t.grad())
    })
}
