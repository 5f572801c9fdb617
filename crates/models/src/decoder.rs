//! The shared decoder: pre-norm RMSNorm, rotary attention with grouped keys and values, gated feed-forward.
//!
//! Everything runs on packed rows `[n, hidden]`. The residual stream and the norms are f32; products run in the
//! compute kind. The derivative is in [`crate::tape`].

use crate::{
    Compute, DecoderConfig, LoraConfig, Packed,
    families::Projection,
    kernels::{self, Norm},
    linear::{Linear, LowRank, cast},
    packing::Placed,
    tape::BlockTape,
};
use tch::{Kind, Tensor, no_grad};

pub(crate) use crate::attention::Attended;
pub use crate::linear::Pass;

/// One block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) input_norm: Tensor,
    pub(crate) post_norm: Tensor,
    /// In the order of [`Projection::ALL`].
    pub(crate) projections: [Linear; 7],
}

impl Block {
    pub(crate) const fn projection(&self, p: Projection) -> &Linear {
        &self.projections[p as usize]
    }
}

/// Keys and values of one block after rotary embedding, `[rows, kv_heads, head_dim]`.
pub(crate) type KeyValue = (Tensor, Tensor);

/// A decoder with its weights.
#[derive(Debug)]
pub struct Decoder {
    /// Dimensions.
    pub config: DecoderConfig,
    /// Device and kind of products.
    pub compute: Compute,
    /// `[vocab, hidden]`, f32: what enters the residual stream is not rounded.
    pub(crate) embedding: Tensor,
    /// The embedding in the compute kind where it serves as a frozen head, so that it is not cast at every step.
    pub(crate) tied_head: Option<Tensor>,
    /// `None` where the head is the embedding.
    pub(crate) head: Option<Tensor>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Tensor,
    pub(crate) inverse_frequencies: Tensor,
    /// The adapter that trains or was loaded, if any.
    pub(crate) lora: Option<LoraConfig>,
}

impl Decoder {
    /// Hidden states after the last norm, `[rows, hidden]` in f32, of a pass that nothing is learnt from.
    pub fn forward(&self, packed: &Packed, pass: Pass) -> Tensor {
        no_grad(|| {
            let (cos, sin) = self.rotary(&packed.positions);
            self.run(packed, pass, (&cos, &sin), None, None).y
        })
    }

    /// The pass itself: it hands out each block's keys and values, and what the way back needs, where they are asked for.
    pub(crate) fn run(
        &self,
        packed: &Packed,
        pass: Pass,
        angles: (&Tensor, &Tensor),
        mut cache: Option<&mut Vec<KeyValue>>,
        mut tape: Option<&mut Vec<BlockTape>>,
    ) -> Norm {
        let mut x = self.embed(&packed.ids);
        let mut pending = None;
        for block in &self.blocks {
            let before = self.norm(&x, pending.as_ref(), &block.input_norm);
            let project = |p, h: &Tensor| block.projection(p).forward_keeping(h, self.compute, pass);
            let [(q, kept_q), (k, kept_k), (v, kept_v)] =
                [Projection::Q, Projection::K, Projection::V].map(|p| project(p, &before.y));
            let (q, k, v) = self.rotated(q, k, v, angles);
            if let Some(cache) = cache.as_deref_mut() {
                cache.push((k.shallow_clone(), v.shallow_clone()));
            }
            let attended = self.attend(packed, q, k, v, tape.is_some());
            let (o, kept_o) = project(Projection::O, &attended.out);
            let middle = self.norm(&before.x, Some(&o), &block.post_norm);
            let (gate, kept_gate) = project(Projection::Gate, &middle.y);
            let (up, kept_up) = project(Projection::Up, &middle.y);
            let (down, kept_down) = project(Projection::Down, &kernels::gated(&gate, &up));
            x = middle.x.shallow_clone();
            pending = Some(down);
            if let Some(tape) = tape.as_deref_mut() {
                tape.push(BlockTape {
                    x: [(before.x, before.scale), (middle.x, middle.scale)],
                    attended,
                    gate,
                    up,
                    kept: [kept_q, kept_k, kept_v, kept_o, kept_gate, kept_up, kept_down],
                });
            }
        }
        kernels::norm(&x, pending.as_ref(), &self.final_norm, self.config.norm_eps, Kind::Float)
    }

    /// Rows of the embedding, `[n, hidden]`, f32: what enters the residual stream.
    pub(crate) fn embed(&self, ids: &Tensor) -> Tensor {
        Tensor::embedding(&self.embedding, ids, -1, false, false).to_kind(Kind::Float)
    }

    /// Norm of the residual stream after a pending sum, in the compute kind.
    pub(crate) fn norm(&self, x: &Tensor, pending: Option<&Tensor>, weight: &Tensor) -> Norm {
        kernels::norm(x, pending, weight, self.config.norm_eps, self.compute.kind)
    }

    /// Queries and keys by their heads, turned to their positions, and values: `[n, heads, head_dim]` each.
    pub(crate) fn rotated(
        &self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        (cos, sin): (&Tensor, &Tensor),
    ) -> (Tensor, Tensor, Tensor) {
        let c = &self.config;
        let heads = |t: Tensor, heads: i64| t.view([-1, heads, c.head_dim]);
        let q = kernels::rotate(heads(q, c.heads), cos, sin, false);
        let k = kernels::rotate(heads(k, c.kv_heads), cos, sin, false);
        (q, k, heads(v, c.kv_heads))
    }

    /// Cosine and sine of each row's angles, `[n, head_dim / 2]`.
    pub(crate) fn rotary(&self, positions: &Tensor) -> (Tensor, Tensor) {
        let angles = positions.to_kind(Kind::Float).unsqueeze(-1) * &self.inverse_frequencies;
        (angles.cos(), angles.sin())
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

    /// Makes every weight trainable, as f32 masters.
    pub fn train_all(&mut self) {
        let wake = |t: &mut Tensor| *t = t.to_kind(Kind::Float).detach().copy().set_requires_grad(true);
        wake(&mut self.embedding);
        self.tied_head = None;
        wake(&mut self.final_norm);
        if let Some(head) = &mut self.head {
            wake(head);
        }
        for block in &mut self.blocks {
            wake(&mut block.input_norm);
            wake(&mut block.post_norm);
            for linear in &mut block.projections {
                wake(&mut linear.weight);
                if let Some(bias) = &mut linear.bias {
                    wake(bias);
                }
            }
        }
    }

    /// Merges the adapter into the weights.
    pub fn merge_adapter(&mut self) {
        no_grad(|| self.blocks.iter_mut().flat_map(|b| &mut b.projections).for_each(Linear::merge));
        self.lora = None;
    }

    /// Puts a low-rank adapter on the targets; `init` gives `(A, B)` of a projection by its shape `[out, in]`.
    pub(crate) fn attach(
        &mut self,
        lora: LoraConfig,
        mut init: impl FnMut(i64, Projection, [i64; 2]) -> crate::Result<(Tensor, Tensor)>,
    ) -> crate::Result<()> {
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            for (linear, &p) in block.projections.iter_mut().zip(&Projection::ALL) {
                // One adapter at a time: what another one left behind would not be in the file that is saved.
                linear.adapter = None;
                if !lora.targets_module(&(self.config.family().projection)(layer as i64, p)) {
                    continue;
                }
                let (a, b) = init(layer as i64, p, p.shape(&self.config))?;
                let train =
                    |t: Tensor| t.to_device(self.compute.device).to_kind(Kind::Float).detach().set_requires_grad(true);
                linear.adapter = Some(LowRank { a: train(a), b: train(b), scale: lora.scale(), dropout: lora.dropout });
            }
        }
        self.lora = Some(lora);
        Ok(())
    }

    /// The adapter on this model.
    #[must_use]
    pub const fn lora(&self) -> Option<&LoraConfig> {
        self.lora.as_ref()
    }

    /// Every trainable tensor with its name on disk, in a fixed order.
    #[must_use]
    pub fn trainable(&self) -> Vec<(String, Tensor)> {
        self.named().into_iter().filter(|(_, t)| t.requires_grad()).collect()
    }

    /// Every tensor with its name on disk; adapters under PEFT's names.
    #[must_use]
    pub fn named(&self) -> Vec<(String, Tensor)> {
        use crate::families::Slot;
        let family = self.config.family();
        let slot = |s| (family.slot)(s);
        let mut all = vec![(slot(Slot::Embedding), self.embedding.shallow_clone())];
        for (l, block) in self.blocks.iter().enumerate() {
            let l = l as i64;
            all.push((slot(Slot::InputNorm(l)), block.input_norm.shallow_clone()));
            all.push((slot(Slot::PostNorm(l)), block.post_norm.shallow_clone()));
            for (linear, &p) in block.projections.iter().zip(&Projection::ALL) {
                let name = (family.projection)(l, p);
                all.push((format!("{name}.weight"), linear.weight.shallow_clone()));
                if let Some(bias) = &linear.bias {
                    all.push((format!("{name}.bias"), bias.shallow_clone()));
                }
                if let Some(lora) = &linear.adapter {
                    all.push((format!("base_model.model.{name}.lora_A.weight"), lora.a.shallow_clone()));
                    all.push((format!("base_model.model.{name}.lora_B.weight"), lora.b.shallow_clone()));
                }
            }
        }
        all.push((slot(Slot::FinalNorm), self.final_norm.shallow_clone()));
        if let Some(head) = &self.head {
            all.push((slot(Slot::Head), head.shallow_clone()));
        }
        all
    }
}

/// `theta^(-2i/d)`, `[head_dim / 2]`, scaled as the configuration says.
pub(crate) fn inverse_frequencies(c: &DecoderConfig, compute: Compute) -> Tensor {
    let values: Vec<f32> = (0..c.head_dim / 2)
        .map(|i| {
            // transformers computes these in f32; f64 rounded once is within one unit of it.
            let f = 1.0 / c.rope_theta.powf(2.0 * i as f64 / c.head_dim as f64);
            let scaled = match c.rope_scaling {
                None => f,
                Some(s) if s.linear => f / s.factor,
                Some(s) => {
                    let wavelength = 2.0 * std::f64::consts::PI / f;
                    if wavelength > s.original / s.low_freq_factor {
                        f / s.factor
                    } else if wavelength < s.original / s.high_freq_factor {
                        f
                    } else {
                        let smooth =
                            (s.original / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
                        (1.0 - smooth) * f / s.factor + smooth * f
                    }
                }
            };
            scaled as f32
        })
        .collect();
    Tensor::from_slice(&values).to_device(compute.device)
}

/// Row of every predicted position of a sequence: row `t - 1` predicts token `t`.
#[must_use]
pub fn predicting_row(place: &Placed, sequence: usize, t: usize) -> usize {
    place.row(sequence, t - 1)
}
