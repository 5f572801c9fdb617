//! The shared decoder: pre-norm RMSNorm, rotary attention with grouped keys and values, gated feed-forward.
//!
//! Everything runs on packed rows `[n, hidden]`. Attention is called once a group, on the group's own rows. The residual
//! stream and the norms are f32; products run in the compute kind.

use crate::{
    Compute, DecoderConfig, LoraConfig, Packed,
    families::Projection,
    linear::{Linear, LowRank, cast},
    packing::Placed,
};
use tch::{Kind, Tensor, no_grad};

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
    fn projection(&self, p: Projection) -> &Linear {
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
    /// Hidden states after the last norm, `[rows, hidden]` in f32; with a graph in a training pass where weights train.
    pub fn forward(&self, packed: &Packed, pass: Pass) -> Tensor {
        if pass.training { self.run(packed, pass, None) } else { no_grad(|| self.run(packed, pass, None)) }
    }

    /// [`Self::forward`] that also hands out each block's keys and values.
    pub(crate) fn run(&self, packed: &Packed, pass: Pass, mut keep: Option<&mut Vec<KeyValue>>) -> Tensor {
        let (cos, sin) = self.rotary(&packed.positions);
        let mut x = Tensor::embedding(&self.embedding, &packed.ids, -1, false, false).to_kind(Kind::Float);
        for block in &self.blocks {
            let h = cast(&self.norm(&x, &block.input_norm), self.compute);
            let (q, k, v) = self.queries_keys_values(block, &h, &cos, &sin, pass);
            if let Some(keep) = keep.as_deref_mut() {
                keep.push((k.shallow_clone(), v.shallow_clone()));
            }
            let a = self.attend(packed, &q, &k, &v);
            x = &x + block.projection(Projection::O).forward(&a, self.compute, pass);
            x = self.feed_forward(block, &x, pass);
        }
        self.norm(&x, &self.final_norm)
    }

    /// The second half of a block, residual included.
    pub(crate) fn feed_forward(&self, block: &Block, x: &Tensor, pass: Pass) -> Tensor {
        let h = cast(&self.norm(x, &block.post_norm), self.compute);
        let gate = block.projection(Projection::Gate).forward(&h, self.compute, pass);
        let up = block.projection(Projection::Up).forward(&h, self.compute, pass);
        x + block.projection(Projection::Down).forward(&(gate.silu() * up), self.compute, pass)
    }

    /// Attention output projection.
    pub(crate) fn attention_out(&self, block: &Block, a: &Tensor, pass: Pass) -> Tensor {
        block.projection(Projection::O).forward(a, self.compute, pass)
    }

    /// Rotated queries and keys, and values: `[n, heads, head_dim]` each, in the compute kind.
    pub(crate) fn queries_keys_values(
        &self,
        block: &Block,
        h: &Tensor,
        cos: &Tensor,
        sin: &Tensor,
        pass: Pass,
    ) -> (Tensor, Tensor, Tensor) {
        let c = &self.config;
        let project = |p: Projection, heads: i64| {
            block.projection(p).forward(h, self.compute, pass).view([-1, heads, c.head_dim])
        };
        let q = rotate(&project(Projection::Q, c.heads), cos, sin);
        let k = rotate(&project(Projection::K, c.kv_heads), cos, sin);
        (cast(&q, self.compute), cast(&k, self.compute), project(Projection::V, c.kv_heads))
    }

    /// `x / rms(x) * weight`, in f32.
    pub(crate) fn norm(&self, x: &Tensor, weight: &Tensor) -> Tensor {
        let mean_square = x.square().mean_dim(&[-1i64][..], true, Kind::Float);
        x * (mean_square + self.config.norm_eps).rsqrt() * weight
    }

    /// Cosine and sine of each row's position, `[n, 1, head_dim]`, the halves repeated as `rotate` wants them.
    pub(crate) fn rotary(&self, positions: &Tensor) -> (Tensor, Tensor) {
        let angles = positions.to_kind(Kind::Float).unsqueeze(-1) * &self.inverse_frequencies;
        let angles = Tensor::cat(&[&angles, &angles], -1).unsqueeze(1);
        (angles.cos(), angles.sin())
    }

    fn attend(&self, packed: &Packed, q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
        let sizes: Vec<i64> = packed.groups.iter().map(|g| g.rows() as i64).collect();
        // One split instead of a slice a group: the backward of a split is one concatenation.
        let split = |t: &Tensor| t.split_with_sizes(&sizes, 0);
        let outs: Vec<Tensor> = split(q)
            .iter()
            .zip(split(k))
            .zip(split(v))
            .zip(&packed.masks)
            .map(|(((q, k), v), mask)| self.attend_group(q, &k, &v, mask.as_ref()))
            .collect();
        Tensor::cat(&outs, 0)
    }

    fn attend_group(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let heads = |t: &Tensor| t.transpose(0, 1).unsqueeze(0);
        let out = Tensor::scaled_dot_product_attention(
            &heads(q),
            &heads(&self.repeat_kv(k, 1)),
            &heads(&self.repeat_kv(v, 1)),
            mask,
            0.0,
            mask.is_none(),
            None::<f64>,
            false,
        );
        out.squeeze_dim(0).transpose(0, 1).reshape([-1, self.config.heads * self.config.head_dim])
    }

    /// Repeats key or value heads so that each query head has its own.
    pub(crate) fn repeat_kv(&self, t: &Tensor, dim: i64) -> Tensor {
        let times = self.config.heads / self.config.kv_heads;
        if times == 1 { t.shallow_clone() } else { t.repeat_interleave_self_int(times, dim, None::<i64>) }
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

/// Rotary embedding in the half-split form of Hugging Face checkpoints: `x cos + [-x2, x1] sin`.
fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Tensor {
    let halves = x.chunk(2, -1);
    let turned = Tensor::cat(&[&halves[1].neg(), &halves[0]], -1);
    x * cos + turned * sin
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
