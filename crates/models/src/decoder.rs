//! The shared decoder: pre-norm blocks of attention with grouped keys and values and a feed-forward half.
//!
//! Everything runs on packed rows `[n, hidden]`. The residual stream and the norms are f32; products run in the
//! compute kind. The derivative is in [`crate::tape`]. What families do otherwise stands in [`DecoderConfig`].

use crate::{
    Adapter, Compute, DecoderConfig, Error, Packed, Result,
    config::{Activation, Arrangement, NormKind},
    families::{Projection, Slot},
    kernels::{self, Norm, NormWeights},
    linear::{Input, Linear, LowRank, Weight, cast},
    packing::Placed,
    tape::{BlockTape, Normed, Saved},
};
use tch::{Kind, Tensor, no_grad};

pub(crate) use crate::attention::Attended;
pub use crate::linear::Pass;

/// A norm's weight as it is stored, and its bias where it centres.
#[derive(Debug)]
pub(crate) struct NormTensors {
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
}

impl NormTensors {
    pub(crate) fn trains(&self) -> bool {
        self.weight.requires_grad()
    }
}

/// One block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) input_norm: NormTensors,
    /// `None` where both halves read the same norm.
    pub(crate) post_norm: Option<NormTensors>,
    /// Norms of each head's queries and keys.
    pub(crate) head_norms: Option<[NormTensors; 2]>,
    /// In the order of the family's names.
    pub(crate) projections: Vec<(Projection, Linear)>,
    /// Keys and values before every text, `[controls, 2, tokens, kv_heads, head_dim]`, f32.
    pub(crate) prefix: Option<Tensor>,
}

impl Block {
    pub(crate) fn get(&self, p: Projection) -> Option<&Linear> {
        self.projections.iter().find(|(own, _)| *own == p).map(|(_, linear)| linear)
    }

    #[expect(clippy::panic, reason = "a family's names hold what its blocks compute; every family is tested")]
    pub(crate) fn projection(&self, p: Projection) -> &Linear {
        self.get(p).unwrap_or_else(|| panic!("a block without {p:?}"))
    }

    fn norms(&self) -> impl Iterator<Item = &NormTensors> {
        std::iter::once(&self.input_norm).chain(&self.post_norm).chain(self.head_norms.iter().flatten())
    }

    pub(crate) fn trains(&self) -> bool {
        self.prefix.is_some()
            || self.norms().any(NormTensors::trains)
            || self.projections.iter().any(|(_, p)| p.trains())
    }
}

/// A module that may have a low-rank adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Projection(Projection),
    Embedding,
    Head,
}

/// Keys and values of one block after rotary embedding, `[rows, kv_heads, head_dim]`.
pub(crate) type KeyValue = (Tensor, Tensor);

/// Cosine and sine of each row's angles, `[n, dims / 2]`, where queries and keys are turned.
pub(crate) type Angles = Option<(Tensor, Tensor)>;

/// What flows from block to block: the residual stream, f32, and what is still to be added to it.
pub(crate) struct Stream {
    pub(crate) x: Tensor,
    pub(crate) pending: Option<Tensor>,
}

/// A decoder with its weights.
#[derive(Debug)]
pub struct Decoder {
    /// Dimensions.
    pub config: DecoderConfig,
    /// Device and kind of products.
    pub compute: Compute,
    /// `[vocab, hidden]`, f32: what enters the residual stream is not rounded.
    pub(crate) embedding: Tensor,
    /// `[max_positions, hidden]`, f32, where positions are learned.
    pub(crate) positions: Option<Tensor>,
    /// The embedding in the compute kind where it serves as a frozen head, so that it is not cast at every step.
    pub(crate) tied_head: Option<Tensor>,
    /// `None` where the head is the embedding.
    pub(crate) head: Option<Tensor>,
    /// `[vocab]`.
    pub(crate) head_bias: Option<Tensor>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: NormTensors,
    /// Low-rank update of the embedding, `A` `[r, vocab]` and `B` `[hidden, r]`.
    pub(crate) embedding_adapter: Option<LowRank>,
    /// And of a head of its own, `A` `[r, hidden]` and `B` `[vocab, r]`.
    pub(crate) head_adapter: Option<LowRank>,
    /// Where positions are rotary: how fast pairs turn, `[dims / 2]`, and the length of what is turned.
    pub(crate) turns: Option<(Tensor, f64)>,
    /// Whether a training pass keeps the input of every block alone and runs the block again on the way back: a third more
    /// products for a fraction of the memory.
    pub recompute: bool,
    /// The adapter that trains or was loaded, if any.
    pub(crate) adapter: Option<Adapter>,
}

impl Decoder {
    /// Hidden states after the last norm, `[rows, hidden]` in f32, of a pass that nothing is learnt from.
    pub fn forward(&self, packed: &Packed, pass: Pass) -> Tensor {
        no_grad(|| self.run(packed, pass, &self.angles(&packed.positions), None, None).y)
    }

    /// The pass itself: it hands out each block's keys and values, and what the way back needs, where they are asked for.
    pub(crate) fn run(
        &self,
        packed: &Packed,
        pass: Pass,
        angles: &Angles,
        mut cache: Option<&mut Vec<KeyValue>>,
        mut tape: Option<&mut Vec<Saved>>,
    ) -> Norm {
        let mut stream = Stream { x: self.embed(&packed.ids, &packed.positions, pass), pending: None };
        for block in &self.blocks {
            let input = (tape.is_some() && self.recompute).then(|| Saved::input(&stream, self.drops()));
            let mut attend = |qkv: [Tensor; 3]| {
                let attended = self.attend_after_prefixes(packed, block, qkv, pass.training, tape.is_some());
                if let Some(cache) = cache.as_deref_mut() {
                    let [_, k, v] = &attended.inputs;
                    cache.push((k.shallow_clone(), v.shallow_clone()));
                }
                attended
            };
            let (next, kept) = self.through(block, stream, angles, pass, &mut attend);
            stream = next;
            if let Some(tape) = tape.as_deref_mut() {
                tape.push(input.unwrap_or_else(|| Saved::Whole(Box::new(kept))));
            }
        }
        self.last_norm(&stream)
    }

    /// One block; `attend` is what differs between whole sequences and a step of each.
    pub(crate) fn through(
        &self,
        block: &Block,
        stream: Stream,
        angles: &Angles,
        pass: Pass,
        attend: &mut dyn FnMut([Tensor; 3]) -> Attended,
    ) -> (Stream, BlockTape) {
        let mut kept = [const { None }; Projection::COUNT];
        let mut project = |p: Projection, h: &Input| {
            let (y, low) = block.projection(p).forward_keeping(h, self.compute, pass);
            kept[p as usize] = low;
            y
        };
        let before = self.norm(&stream.x, stream.pending.as_ref(), &block.input_norm);
        drop(stream);
        let h = Input::new(&before.y);
        let qkv = match block.get(Projection::Qkv) {
            None => [Projection::Q, Projection::K, Projection::V].map(|p| project(p, &h)),
            Some(_) => self.split(&project(Projection::Qkv, &h)),
        };
        drop(h);
        let (qkv, heads) = self.placed(qkv, block, angles);
        let attended = attend(qkv);
        let o = project(Projection::O, &Input::new(&attended.out));
        let middle = match (&block.post_norm, self.config.arrangement) {
            (Some(norm), Arrangement::Sequential) => Some(self.norm(&before.x, Some(&o), norm)),
            (Some(norm), _) => Some(self.norm(&before.x, None, norm)),
            (None, _) => None,
        };
        let h = &Input::new(middle.as_ref().map_or(&before.y, |m| &m.y));
        let (gate, up) = match (block.get(Projection::GateUp), block.get(Projection::Gate)) {
            (Some(_), _) => {
                let halves = project(Projection::GateUp, h).chunk(2, 1);
                (Some(halves[0].contiguous()), halves[1].contiguous())
            }
            (None, Some(_)) => (Some(project(Projection::Gate, h)), project(Projection::Up, h)),
            (None, None) => (None, project(Projection::Up, h)),
        };
        let down = project(Projection::Down, &Input::new(&self.activated(gate.as_ref(), &up)));
        let x = match (self.config.arrangement, &middle) {
            (Arrangement::Sequential, Some(middle)) => middle.x.shallow_clone(),
            _ => &before.x + o,
        };
        let tape =
            BlockTape { before: Normed::of(before), middle: middle.map(Normed::of), heads, attended, gate, up, kept };
        (Stream { x, pending: Some(down) }, tape)
    }

    /// Whether a training pass draws random numbers.
    fn drops(&self) -> bool {
        match &self.adapter {
            Some(Adapter::Lora(lora)) => lora.dropout > 0.0,
            Some(Adapter::Prefix(prefix)) => prefix.dropout > 0.0,
            None => false,
        }
    }

    /// What the feed-forward half computes between its projections.
    fn activated(&self, gate: Option<&Tensor>, up: &Tensor) -> Tensor {
        match (gate, self.config.activation) {
            (Some(gate), Activation::Silu) => kernels::gated(gate, up),
            (Some(gate), other) => gelu_or_silu(gate, other) * up,
            (None, other) => gelu_or_silu(up, other),
        }
    }

    /// Queries, keys and values out of one product, `[n, heads * head_dim]` each.
    fn split(&self, qkv: &Tensor) -> [Tensor; 3] {
        let c = &self.config;
        let (queries, keys) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        [(0, queries), (queries, keys), (queries + keys, keys)].map(|(from, n)| qkv.narrow(1, from, n))
    }

    /// Rows of the embedding, `[n, hidden]`, f32: what enters the residual stream.
    pub(crate) fn embed(&self, ids: &Tensor, positions: &Tensor, pass: Pass) -> Tensor {
        let rows = |table: &Tensor, at: &Tensor| Tensor::embedding(table, at, -1, false, false).to_kind(Kind::Float);
        let mut x = rows(&self.embedding, ids);
        if let Some(low) = self.embedding_adapter.as_ref().filter(|_| pass.adapters) {
            let _ = x.g_add_(&(low.a.index_select(1, ids).tr().matmul(&low.b.tr()) * low.scale));
        }
        if (self.config.embedding_scale - 1.0).abs() > f64::EPSILON {
            let _ = x.g_mul_scalar_(self.config.embedding_scale);
        }
        if let Some(table) = &self.positions {
            let _ = x.g_add_(&rows(table, positions));
        }
        x
    }

    /// A norm's weights as the kernels take them.
    pub(crate) fn weights<'a>(&self, norm: &'a NormTensors) -> NormWeights<'a> {
        NormWeights {
            weight: match self.config.norm {
                NormKind::RmsFromZero => norm.weight.detach() + 1.0,
                NormKind::Rms | NormKind::Layer => norm.weight.shallow_clone(),
            },
            bias: norm.bias.as_ref(),
            eps: self.config.norm_eps,
        }
    }

    /// Norm of the residual stream after a pending sum, in the compute kind.
    pub(crate) fn norm(&self, x: &Tensor, pending: Option<&Tensor>, norm: &NormTensors) -> Norm {
        kernels::norm(x, pending, &self.weights(norm), self.compute.kind)
    }

    /// The last norm, in f32.
    pub(crate) fn last_norm(&self, stream: &Stream) -> Norm {
        kernels::norm(&stream.x, stream.pending.as_ref(), &self.weights(&self.final_norm), Kind::Float)
    }

    /// Queries and keys by their heads, normed where the family does so and turned to their positions, and values:
    /// `[n, heads, head_dim]` each; and what the heads' norms leave for the way back.
    fn placed(&self, [q, k, v]: [Tensor; 3], block: &Block, angles: &Angles) -> ([Tensor; 3], Option<[Normed; 2]>) {
        let c = &self.config;
        let (q, k) = (q.view([-1, c.heads, c.head_dim]), k.view([-1, c.kv_heads, c.head_dim]));
        let v = v.view([-1, c.kv_heads, c.head_dim]);
        let (q, k, kept) = match &block.head_norms {
            None => (q, k, None),
            Some([q_norm, k_norm]) => {
                let normed =
                    |t: &Tensor, norm| self.norm(&t.reshape([-1, c.head_dim]).to_kind(Kind::Float), None, norm);
                let (of_q, of_k) = (normed(&q, q_norm), normed(&k, k_norm));
                let (q, k) = (of_q.y.view_as(&q), of_k.y.view_as(&k));
                (q, k, Some([Normed::of(of_q), Normed::of(of_k)]))
            }
        };
        let Some((cos, sin)) = angles else { return ([q, k, v], kept) };
        ([kernels::rotate(q, cos, sin, false), kernels::rotate(k, cos, sin, false), v], kept)
    }

    /// Refuses a sequence of so many tokens where, after a prefix, it goes on beyond the last position.
    ///
    /// # Errors
    /// [`Error::TooLong`]
    pub fn reaches(&self, tokens: usize) -> Result<()> {
        let tokens = self.prefix_tokens() + tokens;
        match self.config.reach() {
            Some(reach) if tokens > reach => Err(Error::TooLong { tokens, reach }),
            _ => Ok(()),
        }
    }

    /// Cosine and sine of each row's angles.
    pub(crate) fn angles(&self, positions: &Tensor) -> Angles {
        let (frequencies, length) = self.turns.as_ref()?;
        let angles = positions.to_kind(Kind::Float).unsqueeze(-1) * frequencies;
        let (mut cos, mut sin) = (angles.cos(), angles.sin());
        if (length - 1.0).abs() > f64::EPSILON {
            (cos, sin) = (cos * *length, sin * *length);
        }
        Some((cos, sin))
    }

    /// Weight of the output head, `[vocab, hidden]`.
    pub fn head_weight(&self) -> &Tensor {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// The head's weight in the compute kind, without a graph.
    pub(crate) fn head_in_compute(&self) -> Tensor {
        match &self.tied_head {
            Some(head) => head.shallow_clone(),
            None => no_grad(|| cast(self.head_weight(), self.compute).detach()),
        }
    }

    /// Logits of hidden states, in the compute kind; `weight` is [`Self::head_in_compute`].
    pub(crate) fn head_logits(&self, hidden: &Tensor, weight: &Tensor) -> Tensor {
        let bias = self.head_bias.as_ref().map(|b| cast(b, self.compute));
        let h = cast(hidden, self.compute);
        let mut logits = h.linear(weight, bias.as_ref());
        if let Some(low) = &self.head_adapter {
            let (a, b) = (low.scaled(&low.a, self.compute), cast(&low.b, self.compute));
            let _ = logits.g_add_(&h.linear(&a, None::<Tensor>).linear(&b, None::<Tensor>));
        }
        logits
    }

    /// Makes every weight trainable, as f32 masters.
    pub fn train_all(&mut self) {
        fn wake(t: &mut Tensor) {
            *t = t.to_kind(Kind::Float).detach().copy().set_requires_grad(true);
        }
        fn wake_norm(norm: &mut NormTensors) {
            wake(&mut norm.weight);
            norm.bias.iter_mut().for_each(wake);
        }
        wake(&mut self.embedding);
        self.positions.iter_mut().for_each(wake);
        self.tied_head = None;
        wake_norm(&mut self.final_norm);
        self.head.iter_mut().chain(&mut self.head_bias).for_each(wake);
        for block in &mut self.blocks {
            wake_norm(&mut block.input_norm);
            block.post_norm.iter_mut().chain(block.head_norms.iter_mut().flatten()).for_each(wake_norm);
            for (_, linear) in &mut block.projections {
                // Whole training keeps no weight in four bits (`train` refuses it).
                if let Weight::Dense(weight) = &mut linear.weight {
                    wake(weight);
                }
                linear.bias.iter_mut().for_each(wake);
            }
        }
    }

    /// Every trainable tensor with its name on disk, in a fixed order. Rows and sides are as they stand here, which is
    /// not always as they stand on disk ([`crate::families::Layout`]).
    #[must_use]
    pub fn trainable(&self) -> Vec<(String, Tensor)> {
        self.named().into_iter().map(|(name, t, _)| (name, t)).filter(|(_, t)| t.requires_grad()).collect()
    }

    /// Number of values, adapters included.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let linears = || self.blocks.iter().flat_map(|b| &b.projections).map(|(_, linear)| &linear.weight);
        let four_bits: usize = linears().filter(|w| w.dense().is_none()).map(Weight::numel).sum();
        self.named().iter().map(|(_, t, _)| t.numel()).sum::<usize>() + four_bits
    }

    /// Every tensor but weights in four bits with its name on disk, and the projection it belongs to; adapters under PEFT's
    /// names.
    pub(crate) fn named(&self) -> Vec<(String, Tensor, Option<Projection>)> {
        let family = self.config.family();
        let mut all = Vec::new();
        let mut add = |name: String, t: &Tensor, p: Option<Projection>| all.push((name, t.shallow_clone(), p));
        fn norm(slot: &str, norm: &NormTensors, add: &mut impl FnMut(String, &Tensor, Option<Projection>)) {
            add(format!("{slot}.weight"), &norm.weight, None);
            if let Some(bias) = &norm.bias {
                add(format!("{slot}.bias"), bias, None);
            }
        }
        add(format!("{}.weight", family.slot(Slot::Embedding)), &self.embedding, None);
        if let Some(low) = &self.embedding_adapter {
            let name = format!("{}{}", crate::adapter::PREFIX, family.slot(Slot::Embedding));
            add(format!("{name}.lora_embedding_A"), &low.a, None);
            add(format!("{name}.lora_embedding_B"), &low.b, None);
        }
        if let Some(positions) = &self.positions {
            add(format!("{}.weight", family.slot(Slot::Positions)), positions, None);
        }
        for (l, block) in self.blocks.iter().enumerate() {
            let l = l as i64;
            norm(&family.slot(Slot::InputNorm(l)), &block.input_norm, &mut add);
            if let Some(post) = &block.post_norm {
                norm(&family.slot(Slot::PostNorm(l)), post, &mut add);
            }
            if let Some([q, k]) = &block.head_norms {
                norm(&family.slot(Slot::QueryNorm(l)), q, &mut add);
                norm(&family.slot(Slot::KeyNorm(l)), k, &mut add);
            }
            for ((p, linear), (_, name)) in block.projections.iter().zip(family.projections(l)) {
                if let Some(weight) = linear.weight.dense() {
                    add(format!("{name}.weight"), weight, Some(*p));
                }
                if let Some(bias) = &linear.bias {
                    add(format!("{name}.bias"), bias, Some(*p));
                }
                if let Some(lora) = &linear.adapter {
                    add(format!("{}{name}.lora_A.weight", crate::adapter::PREFIX), &lora.a, Some(*p));
                    add(format!("{}{name}.lora_B.weight", crate::adapter::PREFIX), &lora.b, Some(*p));
                }
            }
            if let Some(prefix) = &block.prefix {
                add(format!("{}prefix.{l}", crate::adapter::PREFIX), prefix, None);
            }
        }
        norm(&family.slot(Slot::FinalNorm), &self.final_norm, &mut add);
        let head = family.slot(Slot::Head);
        if let Some(weight) = &self.head {
            add(format!("{head}.weight"), weight, None);
        }
        if let Some(bias) = &self.head_bias {
            add(format!("{head}.bias"), bias, None);
        }
        if let Some(low) = &self.head_adapter {
            add(format!("{}{head}.lora_A.weight", crate::adapter::PREFIX), &low.a, None);
            add(format!("{}{head}.lora_B.weight", crate::adapter::PREFIX), &low.b, None);
        }
        all
    }
}

/// The non-linearity alone, in its argument's kind.
pub(crate) fn gelu_or_silu(x: &Tensor, activation: Activation) -> Tensor {
    match activation {
        Activation::Silu => x.silu(),
        Activation::GeluTanh => x.gelu("tanh"),
        Activation::Gelu => x.gelu("none"),
    }
}

/// Row of every predicted position of a sequence: row `t - 1` predicts token `t`.
#[must_use]
pub fn predicting_row(place: &Placed, sequence: usize, t: usize) -> usize {
    place.row(sequence, t - 1)
}
