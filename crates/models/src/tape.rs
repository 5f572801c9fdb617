//! The derivative of the decoder, written out: what a training pass keeps, and the way back through it.
//!
//! libtorch's own graph would keep every intermediate and walk it an operation at a time. Here a block keeps what its
//! derivative cannot make again cheaply: the residual stream at its two norms, rotated queries, keys and values,
//! attention's output, and the two halves of the gated unit. Norm outputs and the gated product are made again on the way
//! back, in the kernels that need them anyway. A frozen weight has no gradient, and nothing runs below the lowest block that trains.

use crate::{
    Decoder, Packed,
    config::{Activation, Arrangement},
    decoder::{Angles, Attended, Block, NormTensors, Pass, Stream, gelu_or_silu},
    families::Projection::{self, Down, Gate, GateUp, K, O, Q, Qkv, Up, V},
    head::HeadGradient,
    kernels::{self, Norm, NormGradient},
    linear::{Back, Input, Kept, Linear, LowGradient, accumulate},
};
use tch::{Kind, Tensor, no_grad};

/// What a norm leaves: its input, and the input's statistics.
pub(crate) struct Normed {
    x: Tensor,
    scale: Tensor,
}

impl Normed {
    pub(crate) fn of(norm: Norm) -> Self {
        Self { x: norm.x, scale: norm.scale }
    }
}

/// What a block keeps of its pass.
pub(crate) struct BlockTape {
    /// The residual stream before attention.
    pub(crate) before: Normed,
    /// And before the feed-forward half, where that has a norm of its own.
    pub(crate) middle: Option<Normed>,
    /// Heads of queries and keys before their norms.
    pub(crate) heads: Option<[Normed; 2]>,
    pub(crate) attended: Attended,
    /// `None` where the feed-forward half has no gate.
    pub(crate) gate: Option<Tensor>,
    pub(crate) up: Tensor,
    /// By [`Projection`].
    pub(crate) kept: [Option<Kept>; Projection::COUNT],
}

/// What a pass saves of a block.
pub(crate) enum Saved {
    /// All that its derivative needs.
    Whole(Box<BlockTape>),
    /// What flowed in, to run it again (Chen et al. 2016), and the seed of its dropout.
    Input { stream: Stream, seed: Option<i64> },
}

impl Saved {
    /// The input of a block that is about to run; with `drops` it draws its dropout from a seed of its own, so that it
    /// draws the same once more.
    pub(crate) fn input(stream: &Stream, drops: bool) -> Self {
        let seed = drops.then(|| {
            let seed = Tensor::randint(i64::MAX, [1], (Kind::Int64, tch::Device::Cpu)).int64_value(&[0]);
            tch::manual_seed(seed);
            seed
        });
        let stream =
            Stream { x: stream.x.shallow_clone(), pending: stream.pending.as_ref().map(Tensor::shallow_clone) };
        Self::Input { stream, seed }
    }
}

/// A training pass: its hidden states, and what the way back needs.
pub struct Tape {
    /// Hidden states after the last norm, `[rows, hidden]`, f32.
    pub hidden: Tensor,
    ids: Tensor,
    positions: Tensor,
    angles: Angles,
    blocks: Vec<Saved>,
    last: Normed,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").field("hidden", &self.hidden.size()).finish_non_exhaustive()
    }
}

/// Gradients of projections that read one input: they learn once the norm has made that input again.
type Learning = Vec<(Projection, Tensor, LowGradient)>;

impl Decoder {
    /// A training pass over packed sequences.
    #[must_use]
    pub fn record(&self, packed: &Packed) -> Tape {
        no_grad(|| {
            let mut blocks = Vec::with_capacity(self.blocks.len());
            let angles = self.angles(&packed.positions);
            let last = self.run(packed, Pass::TRAINING, &angles, None, Some(&mut blocks));
            let (ids, positions) = (packed.ids.shallow_clone(), packed.positions.shallow_clone());
            Tape { hidden: last.y.shallow_clone(), ids, positions, angles, blocks, last: Normed::of(last) }
        })
    }

    /// Sends the head's gradient back through the pass; trainable tensors accumulate into their `.grad`.
    pub fn backward(&self, packed: &Packed, tape: Tape, gradient: HeadGradient) {
        no_grad(|| {
            if let Some(d_weight) = gradient.weight {
                accumulate(self.head_weight(), &d_weight);
            }
            if let (Some(bias), Some(d_bias)) = (&self.head_bias, gradient.bias) {
                accumulate(bias, &d_bias);
            }
            if let (Some(low), Some([d_a, d_b])) = (&self.head_adapter, gradient.low) {
                accumulate(&low.a, &d_a);
                accumulate(&low.b, &d_b);
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
            let kept = match kept {
                Saved::Whole(kept) => *kept,
                Saved::Input { stream, seed } => {
                    if let Some(seed) = seed {
                        tch::manual_seed(seed);
                    }
                    let mut attend = |qkv: [Tensor; 3]| self.attend_after_prefixes(packed, block, qkv, true, true);
                    self.through(block, stream, &tape.angles, Pass::TRAINING, &mut attend).1
                }
            };
            let deeper = i > lowest || self.embedding_trains();
            d = self.block_back(packed, block, kept, &mut d_x, &d, &tape.angles, deeper);
        }
        if !self.embedding_trains() {
            return;
        }
        let add = |table: &Tensor, at: &Tensor, d: &Tensor| {
            let mut grad = table.grad();
            if !grad.defined() {
                accumulate(table, &table.zeros_like());
                grad = table.grad();
            }
            let _ = grad.index_add_(0, at, d);
        };
        if let Some(positions) = self.positions.as_ref().filter(|t| t.requires_grad()) {
            add(positions, &tape.positions, &d_x);
        }
        if (self.config.embedding_scale - 1.0).abs() > f64::EPSILON {
            let _ = d_x.g_mul_scalar_(self.config.embedding_scale);
        }
        if self.embedding.requires_grad() {
            add(&self.embedding, &tape.ids, &d_x);
        }
        if let Some(low) = &self.embedding_adapter {
            let d_x = d_x * low.scale;
            accumulate(&low.b, &d_x.tr().matmul(&low.a.index_select(1, &tape.ids).tr()));
            let mut d_a = low.a.zeros_like();
            let _ = d_a.index_add_(1, &tape.ids, &d_x.matmul(&low.b).tr());
            accumulate(&low.a, &d_a);
        }
    }

    fn embedding_trains(&self) -> bool {
        self.embedding.requires_grad() || self.embedding_adapter.is_some()
    }

    /// Number of the first block that something trains in; the embedding lies under block 0.
    fn lowest_that_trains(&self) -> Option<usize> {
        if self.embedding_trains() {
            return Some(0);
        }
        let lowest = self.blocks.iter().position(Block::trains);
        lowest.or_else(|| self.final_norm.trains().then_some(self.blocks.len()))
    }

    fn norm_back(&self, d_x: &mut Tensor, d_y: &Tensor, x: &Normed, norm: &NormTensors) -> NormGradient {
        let kind = self.compute.kind;
        let d = kernels::norm_backward(d_x, d_y, &x.x, &x.scale, &self.weights(norm), kind, norm.trains());
        if let Some(d_weight) = &d.weight {
            accumulate(&norm.weight, d_weight);
        }
        if let (Some(bias), Some(d_bias)) = (&norm.bias, &d.bias) {
            accumulate(bias, d_bias);
        }
        d
    }

    /// Back through a block: `d_x` becomes the gradient of its input, returned in the compute kind as well.
    #[expect(clippy::too_many_arguments, reason = "a block's own inputs and the gradient that passes through")]
    fn block_back(
        &self,
        packed: &Packed,
        block: &Block,
        mut tape: BlockTape,
        d_x: &mut Tensor,
        above: &NormGradient,
        angles: &Angles,
        deeper: bool,
    ) -> NormGradient {
        let (d_feed, feed) = self.feed_back(block, &mut tape, &above.cast);
        let sequential = self.config.arrangement == Arrangement::Sequential;
        let mut rest = Some((d_feed, feed));
        let middle = match (&tape.middle, &block.post_norm) {
            // The feed-forward half reads what attention added: its gradient is part of what comes back to attention.
            (Some(x), Some(norm)) if sequential => rest.take().map(|(d, feed)| {
                let middle = self.norm_back(d_x, &d, x, norm);
                self.learn_all(block, &tape, &middle.y, feed);
                middle
            }),
            _ => None,
        };
        let from = middle.as_ref().map_or(&above.cast, |m| &m.cast);
        let d_qkv = self.attention_back(packed, block, &tape, from, angles);
        drop(middle);
        if !deeper && !block.input_norm.trains() && rest.is_none() {
            // Nothing below trains: the adapters here need their input, and no gradient of it.
            let h = kernels::norm(&tape.before.x, None, &self.weights(&block.input_norm), self.compute.kind).y;
            self.learn_all(block, &tape, &h, d_qkv.into_iter().map(|(p, d)| (p, d, None)).collect());
            return NormGradient { cast: h.shallow_clone(), y: h, weight: None, bias: None };
        }
        // Halves that stand beside each other and read one norm add up before it.
        let (into, feed) = match (rest, &tape.middle) {
            (Some((d, feed)), None) => (Some(d), feed),
            (Some((d, feed)), Some(x)) => {
                let own = self.through_projections(block, &tape, d_qkv, None);
                return self.two_norms_back(block, &tape, d_x, x, (d, feed), own);
            }
            (None, _) => (None, Learning::new()),
        };
        let (d_h, mut learning) = self.through_projections(block, &tape, d_qkv, into);
        learning.extend(feed);
        let out = self.norm_back(d_x, &d_h, &tape.before, &block.input_norm);
        self.learn_all(block, &tape, &out.y, learning);
        out
    }

    /// Back through the two norms of halves that stand beside each other.
    fn two_norms_back(
        &self,
        block: &Block,
        tape: &BlockTape,
        d_x: &mut Tensor,
        middle: &Normed,
        (d_feed, feed): (Tensor, Learning),
        (d_attention, attention): (Tensor, Learning),
    ) -> NormGradient {
        if let Some(norm) = &block.post_norm {
            let of_feed = self.norm_back(d_x, &d_feed, middle, norm);
            self.learn_all(block, tape, &of_feed.y, feed);
        }
        let out = self.norm_back(d_x, &d_attention, &tape.before, &block.input_norm);
        self.learn_all(block, tape, &out.y, attention);
        out
    }

    /// A projection on the way back.
    fn way<'a>(block: &'a Block, tape: &'a BlockTape, p: Projection, d_y: &'a Tensor) -> Back<'a> {
        Back { linear: block.projection(p), kept: tape.kept[p as usize].as_ref(), d_y }
    }

    /// Back through a projection that reads what it learns from already.
    fn back(&self, block: &Block, tape: &BlockTape, p: Projection, d: &Tensor) -> (Tensor, LowGradient) {
        let (d_x, mut lows) = Linear::input_gradient(&[Self::way(block, tape, p, d)], None, self.compute);
        (d_x, lows.pop().flatten())
    }

    fn learn(&self, block: &Block, tape: &BlockTape, p: Projection, x: &Input, d: &Tensor, low: LowGradient) {
        Linear::learn(Self::way(block, tape, p, d), x, low, self.compute);
    }

    fn learn_all(&self, block: &Block, tape: &BlockTape, x: &Tensor, learning: Learning) {
        let input = Input::new(x);
        for (p, d, low) in learning {
            self.learn(block, tape, p, &input, &d, low);
        }
    }

    /// Gradients through several projections of one input, added up.
    fn through_projections(
        &self,
        block: &Block,
        tape: &BlockTape,
        gradients: Vec<(Projection, Tensor)>,
        into: Option<Tensor>,
    ) -> (Tensor, Learning) {
        let ways: Vec<Back> = gradients.iter().map(|(p, d)| Self::way(block, tape, *p, d)).collect();
        let (sum, lows) = Linear::input_gradient(&ways, into, self.compute);
        (sum, gradients.into_iter().zip(lows).map(|((p, d), low)| (p, d, low)).collect())
    }

    /// Back through the feed-forward half, to its input; the gate's buffers are used up.
    fn feed_back(&self, block: &Block, tape: &mut BlockTape, d: &Tensor) -> (Tensor, Learning) {
        let (d_active, low) = self.back(block, tape, Down, d);
        let up = std::mem::take(&mut tape.up);
        let (gradients, active) = match (tape.gate.take(), self.config.activation) {
            (Some(gate), Activation::Silu) => {
                let (d_gate, d_up, gated) = kernels::gated_backward(gate, up, d_active);
                (vec![(Gate, d_gate), (Up, d_up)], gated)
            }
            (Some(gate), other) => {
                let bent = gelu_or_silu(&gate, other);
                let d_gate = slope(&gate, &(&d_active * &up), other);
                (vec![(Gate, d_gate), (Up, d_active * &bent)], bent * up)
            }
            (None, other) => (vec![(Up, slope(&up, &d_active, other))], gelu_or_silu(&up, other)),
        };
        self.learn(block, tape, Down, &Input::new(&active), d, low);
        drop(active);
        let gradients = match (block.get(GateUp), gradients.as_slice()) {
            (Some(_), [(_, d_gate), (_, d_up)]) => vec![(GateUp, Tensor::cat(&[d_gate, d_up], 1))],
            _ => gradients,
        };
        self.through_projections(block, tape, gradients, None)
    }

    /// Back through attention, to what its projections put out.
    fn attention_back(
        &self,
        packed: &Packed,
        block: &Block,
        tape: &BlockTape,
        d: &Tensor,
        angles: &Angles,
    ) -> Vec<(Projection, Tensor)> {
        let (d_a, low) = self.back(block, tape, O, d);
        self.learn(block, tape, O, &Input::new(&tape.attended.out), d, low);
        let (mut d_q, mut d_k, mut d_v) = self.attend_back(packed, &tape.attended, &d_a);
        Self::learn_prefixes(packed, block, [&mut d_k, &mut d_v], tape.attended.kept_of_prefixes.as_ref());
        if let Some((cos, sin)) = angles {
            (d_q, d_k) = (kernels::rotate(d_q, cos, sin, true), kernels::rotate(d_k, cos, sin, true));
        }
        if let (Some(norms), Some(kept)) = (&block.head_norms, &tape.heads) {
            let through = |d: Tensor, norm: &NormTensors, kept: &Normed| {
                let mut d_heads = kept.x.zeros_like();
                let rows = d.reshape([-1, self.config.head_dim]);
                self.norm_back(&mut d_heads, &rows, kept, norm).cast.view_as(&d)
            };
            (d_q, d_k) = (through(d_q, &norms[0], &kept[0]), through(d_k, &norms[1], &kept[1]));
        }
        let [d_q, d_k, d_v] = [d_q, d_k, d_v].map(|d| d.flatten(1, 2));
        match block.get(Qkv) {
            Some(_) => vec![(Qkv, Tensor::cat(&[d_q, d_k, d_v], 1))],
            None => vec![(Q, d_q), (K, d_k), (V, d_v)],
        }
    }
}

/// Gradient of a non-linearity's argument.
fn slope(x: &Tensor, d: &Tensor, activation: Activation) -> Tensor {
    match activation {
        Activation::Silu => d.silu_backward(x),
        Activation::GeluTanh => x.gelu_backward(d, "tanh"),
        Activation::Gelu => x.gelu_backward(d, "none"),
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
