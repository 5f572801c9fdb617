//! Log-probabilities of labels, and their gradient, a chunk of rows at a time: the logit matrix is never stored.
//!
//! Forward keeps only `log p(label)`. Backward computes the chunk's logits again and turns `dLoss/dlogp` into the
//! gradient of the hidden states, and of the head where it trains:
//! `dlogits = g (onehot - softmax)`, `dhidden = dlogits W`, `dW = dlogits^T hidden`.

use crate::{
    Compute, Decoder,
    kernels::{self, Factor, Onto, Panels, product},
    linear::cast,
    packing::even,
};
use std::cell::OnceCell;
use tch::{Device, Kind, Tensor, no_grad};

/// Values of a logit chunk: 4 MiB in bf16 stays in the caches between the product and the fused pass over it.
const CHUNK_VALUES: i64 = 2 << 20;

/// Rows of a chunk where a vocabulary is so large that [`CHUNK_VALUES`] holds fewer: with 42 rows of 50,304 logits products
/// spend most of their time on bringing the head's weight into their own order, once a chunk.
const CHUNK_ROWS: i64 = 512;

/// Values of such a chunk at most: 128 MiB in f32.
const LARGEST_CHUNK: i64 = 32 << 20;

/// Which rows are asked for which label.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// Packed row that predicts.
    pub rows: Vec<i64>,
    /// Token it should predict.
    pub tokens: Vec<i64>,
}

impl Labels {
    /// Number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Gradients that [`Head::backward`] returns.
#[derive(Debug)]
pub struct HeadGradient {
    /// `[rows, hidden]`, f32.
    pub hidden: Tensor,
    /// `[vocab, hidden]`, f32, where the head trains.
    pub weight: Option<Tensor>,
    /// `[vocab]`, f32, where the head trains and has a bias.
    pub bias: Option<Tensor>,
}

/// The output head of a decoder for one step.
#[derive(Debug)]
pub struct Head {
    weight: Tensor,
    /// The weight as the tiles read it on the way forward and back, made once a step.
    panels: [OnceCell<Panels>; 2],
    bias: Option<Tensor>,
    trains: bool,
    compute: Compute,
}

impl Head {
    /// The head of a decoder; its weight is cast once a step, not once a chunk.
    #[must_use]
    pub fn new(decoder: &Decoder) -> Self {
        Self {
            weight: decoder.head_in_compute(),
            panels: Default::default(),
            bias: no_grad(|| decoder.head_bias.as_ref().map(|b| cast(b, decoder.compute).detach())),
            trains: decoder.head_weight().requires_grad(),
            compute: decoder.compute,
        }
    }

    fn chunks(&self, labels: &Labels) -> impl Iterator<Item = (usize, usize)> + use<> {
        let vocab = self.weight.size()[0];
        let size = (CHUNK_VALUES / vocab).max(CHUNK_ROWS.min(LARGEST_CHUNK / vocab)).max(16);
        let size = usize::try_from(size).unwrap_or(16);
        let n = labels.len();
        (0..n).step_by(size).map(move |from| (from, size.min(n - from)))
    }

    /// A chunk's rows and tokens, filled up to an [`even`] number with a row that asks nothing, and its hidden states.
    fn pick(&self, from: usize, n: usize, labels: &Labels, hidden: &Tensor) -> (Tensor, Vec<i64>, Tensor) {
        let mut tokens = labels.tokens[from..from + n].to_vec();
        let mut rows = labels.rows[from..from + n].to_vec();
        let filled = even(n, self.compute);
        tokens.resize(filled, 0);
        rows.resize(filled, 0);
        let rows = Tensor::from_slice(&rows).to_device(self.compute.device);
        let h = cast(&hidden.index_select(0, &rows), self.compute);
        (rows, tokens, h)
    }

    fn tiles(&self, rows: i64) -> bool {
        self.compute.tiles(rows, &self.weight.size())
    }

    fn logits(&self, h: &Tensor) -> Tensor {
        if !self.tiles(h.size()[0]) {
            return h.linear(&self.weight, self.bias.as_ref());
        }
        let panels = self.panels[0].get_or_init(|| Panels::of_transposed(&self.weight));
        let onto = self.bias.as_ref().map_or(Onto::Nothing, |b| Onto::Row(b.shallow_clone()));
        product(&[(&Factor::of(h), panels)], onto, self.compute.kind)
    }

    /// `dlogits W`, f32.
    fn hidden_gradient(&self, d_logits: &Tensor) -> Tensor {
        if !self.tiles(d_logits.size()[0]) {
            return d_logits.matmul(&self.weight).to_kind(Kind::Float);
        }
        let panels = self.panels[1].get_or_init(|| Panels::of(&self.weight));
        product(&[(&Factor::of(d_logits), panels)], Onto::Nothing, Kind::Float)
    }

    fn on_device(&self, tokens: &[i64]) -> Tensor {
        Tensor::from_slice(tokens).to_device(self.compute.device).unsqueeze(1)
    }

    /// Natural-log probability of every label.
    #[must_use]
    pub fn log_probs(&self, hidden: &Tensor, labels: &Labels) -> Vec<f64> {
        no_grad(|| {
            let mut out = Vec::with_capacity(labels.len());
            for (from, n) in self.chunks(labels) {
                let (_, tokens, h) = self.pick(from, n, labels, hidden);
                let logits = self.logits(&h);
                if self.compute.device == Device::Cpu {
                    out.extend(kernels::label_log_probs(&logits, &tokens, None).into_iter().take(n));
                    continue;
                }
                let logits = logits.to_kind(Kind::Float);
                let chosen = logits.gather(1, &self.on_device(&tokens), false).squeeze_dim(1);
                out.extend(values(&(chosen - logits.logsumexp(&[1i64][..], false))));
            }
            out
        })
    }

    /// Gradient of the hidden states for `d[i] = dLoss/dlogp[i]`; rows asked twice add up. Labels whose derivative is zero
    /// (an objective that looks at some tokens only) cost nothing.
    #[must_use]
    pub fn backward(&self, hidden: &Tensor, labels: &Labels, d: &[f64]) -> HeadGradient {
        let told: Vec<usize> = (0..labels.len()).filter(|&i| d[i] != 0.0).collect();
        let only = |all: &[i64]| told.iter().map(|&i| all[i]).collect();
        let labels = Labels { rows: only(&labels.rows), tokens: only(&labels.tokens) };
        let d: Vec<f64> = told.iter().map(|&i| d[i]).collect();
        self.fused(hidden, &labels, &d).1
    }

    /// [`Self::log_probs`] and [`Self::backward`] in one pass over the chunks, for objectives whose derivative is known
    /// beforehand (likelihood): the logits are computed once.
    #[must_use]
    pub fn fused(&self, hidden: &Tensor, labels: &Labels, d: &[f64]) -> (Vec<f64>, HeadGradient) {
        no_grad(|| {
            let mut logps = Vec::with_capacity(labels.len());
            let mut d_hidden = Tensor::zeros_like(hidden);
            let mut d_weight =
                self.trains.then(|| Tensor::zeros(self.weight.size(), (Kind::Float, self.compute.device)));
            let mut d_bias = self.bias.as_ref().filter(|_| self.trains).map(|b| b.to_kind(Kind::Float).zeros_like());
            for (from, n) in self.chunks(labels) {
                let (rows, tokens, h) = self.pick(from, n, labels, hidden);
                let logits = self.logits(&h);
                let mut g = d[from..from + n].to_vec();
                g.resize(tokens.len(), 0.0);
                let d_logits = if self.compute.device == Device::Cpu {
                    logps.extend(kernels::label_log_probs(&logits, &tokens, Some(&g)).into_iter().take(n));
                    logits
                } else {
                    let tokens = self.on_device(&tokens);
                    let g: Vec<f32> = g.iter().map(|&x| x as f32).collect();
                    let g = Tensor::from_slice(&g).to_device(self.compute.device).unsqueeze(1);
                    let logp = logits.to_kind(Kind::Float).log_softmax(1, None::<Kind>);
                    logps.extend(values(&logp.gather(1, &tokens, false).squeeze_dim(1)));
                    // g (onehot - softmax), in place.
                    let mut d_logits = logp;
                    let _ = d_logits.exp_();
                    let _ = d_logits.g_mul_(&g.neg());
                    let _ = d_logits.scatter_add_(1, &tokens, &g);
                    cast(&d_logits, self.compute)
                };
                let dh = self.hidden_gradient(&d_logits);
                let _ = d_hidden.index_add_(0, &rows, &dh);
                if let Some(d_weight) = &mut d_weight {
                    let _ = d_weight.g_add_(&d_logits.tr().matmul(&h));
                }
                if let Some(d_bias) = &mut d_bias {
                    let _ = d_bias.g_add_(&d_logits.sum_dim_intlist(&[0i64][..], false, Kind::Float));
                }
            }
            (logps, HeadGradient { hidden: d_hidden, weight: d_weight, bias: d_bias })
        })
    }
}

/// The values of a one-dimensional tensor.
pub(crate) fn values(t: &Tensor) -> Vec<f64> {
    let t = t.to_device(tch::Device::Cpu).to_kind(Kind::Float).contiguous();
    let mut out = vec![0f32; t.numel()];
    t.copy_data(&mut out, t.numel());
    out.into_iter().map(f64::from).collect()
}
