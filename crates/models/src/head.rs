//! Log-probabilities of labels, and their gradient, a chunk of rows at a time: a large logit matrix is never stored.
//!
//! With `g = dLoss/dlogp` the way back is `dlogits = g (onehot - softmax)`, `dhidden = dlogits W`, and `dW = dlogits^T hidden`
//! where the head trains. An objective that compares sequences knows `g` only when it has seen them all. Under a frozen head
//! that costs nothing: `dhidden` is linear in `g`, a row at a time, so that each label's share is made for `g = 1` while its
//! logits are there, and scaled afterwards ([`Head::log_probs_keeping`]). A head that trains keeps its logits where they are
//! few, and makes them again where they are not.

use crate::{
    Compute, Decoder,
    kernels::{self, Factor, Onto, Panels, product},
    linear::{cast, weight_gradient},
    packing::few,
};
use std::cell::{OnceCell, RefCell};
use tch::{Device, Kind, Tensor, no_grad};

/// Values of a logit chunk: 4 MiB in bf16 stays in the caches between the product and the fused pass over it.
const CHUNK_VALUES: i64 = 2 << 20;

/// Rows of a chunk where a vocabulary is so large that [`CHUNK_VALUES`] holds fewer: with 42 rows of 50,304 logits products
/// spend most of their time on bringing the head's weight into their own order, once a chunk.
const CHUNK_ROWS: i64 = 512;

/// Values of such a chunk at most: 128 MiB in f32.
const LARGEST_CHUNK: i64 = 32 << 20;

/// Logits of a head that trains stay between the two passes up to so many bytes: less than the tape of the blocks below, and
/// a third of the head's products.
const KEPT_BYTES: i64 = 512 << 20;

/// Logits of some labels, on their way to a gradient.
#[derive(Debug)]
struct Chunk {
    /// First label.
    from: usize,
    /// Labels; rows beyond them ask nothing.
    n: usize,
    rows: Tensor,
    tokens: Vec<i64>,
    h: Tensor,
    logits: Tensor,
}

/// What [`Head::log_probs_keeping`] leaves for [`Head::backward`].
#[derive(Debug)]
pub struct Kept(Keeping);

#[derive(Debug)]
enum Keeping {
    /// `dlogp/dhidden` of every label, `[labels, hidden]` in f32, a chunk at a time.
    Slopes(Vec<Tensor>),
    /// All logits, of a head that trains.
    Logits(Vec<Chunk>),
}

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
    /// Of `A` and `B`, f32, where the head has an adapter.
    pub low: Option<[Tensor; 2]>,
}

/// The output head of a decoder for one step.
#[derive(Debug)]
pub struct Head {
    weight: Tensor,
    /// The weight as the tiles read it on the way forward, made once a step; gone where no more logits are made.
    forward: RefCell<Option<Panels>>,
    /// And on the way back.
    back: OnceCell<Panels>,
    bias: Option<Tensor>,
    low: Option<Low>,
    trains: bool,
    compute: Compute,
}

/// The head's adapter in the compute kind.
#[derive(Debug)]
struct Low {
    /// `scale A`, `[r, hidden]`.
    a: Tensor,
    /// `B`, `[vocab, r]`.
    b: Tensor,
    scale: f64,
}

impl Head {
    /// The head of a decoder; its weight is cast once a step, not once a chunk.
    #[must_use]
    pub fn new(decoder: &Decoder) -> Self {
        let compute = decoder.compute;
        let low = decoder.head_adapter.as_ref().map(|low| {
            no_grad(|| Low {
                a: low.scaled(&low.a, compute).detach(),
                b: cast(&low.b, compute).detach(),
                scale: low.scale,
            })
        });
        Self { low, ..Self::frozen(decoder) }
    }

    /// The head below an adapter: the reference's.
    #[must_use]
    pub fn frozen(decoder: &Decoder) -> Self {
        Self {
            low: None,
            weight: decoder.head_in_compute(),
            forward: RefCell::default(),
            back: OnceCell::new(),
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

    /// A chunk's rows and tokens, filled up to one of a [`few`] numbers with a row that asks nothing, and its hidden states.
    fn pick(&self, from: usize, n: usize, labels: &Labels, hidden: &Tensor) -> (Tensor, Vec<i64>, Tensor) {
        let mut tokens = labels.tokens[from..from + n].to_vec();
        let mut rows = labels.rows[from..from + n].to_vec();
        let filled = few(n, self.compute);
        tokens.resize(filled, 0);
        rows.resize(filled, 0);
        let rows = Tensor::from_slice(&rows).to_device(self.compute.device);
        let h = cast(&hidden.index_select(0, &rows), self.compute);
        (rows, tokens, h)
    }

    fn tiles(&self, rows: i64) -> bool {
        self.compute.tiles(rows, &self.weight.size())
    }

    pub(crate) const fn compute(&self) -> Compute {
        self.compute
    }

    /// Logits of hidden states in the compute kind.
    pub(crate) fn logits(&self, h: &Tensor) -> Tensor {
        let mut logits = self.frozen_logits(h);
        if let Some(low) = &self.low {
            let _ = logits.g_add_(&h.linear(&low.a, None::<Tensor>).linear(&low.b, None::<Tensor>));
        }
        logits
    }

    /// [`Self::logits`] without the adapter.
    pub(crate) fn frozen_logits(&self, h: &Tensor) -> Tensor {
        if !self.tiles(h.size()[0]) {
            return h.linear(&self.weight, self.bias.as_ref());
        }
        let mut forward = self.forward.borrow_mut();
        let panels = &*forward.get_or_insert_with(|| Panels::of_transposed(&self.weight, self.compute.form()));
        let onto = self.bias.as_ref().map_or(Onto::Nothing, |b| Onto::Row(b.shallow_clone()));
        product(&[(&Factor::of(h, self.compute.form()), panels)], onto, self.compute.kind)
    }

    /// Gradients that nothing has been added to yet.
    fn no_gradient(&self, hidden: &Tensor) -> HeadGradient {
        let trained = self.trains.then_some(&self.weight);
        let zeros = |t: &Tensor| Tensor::zeros(t.size(), (Kind::Float, self.compute.device));
        HeadGradient {
            hidden: hidden.zeros_like(),
            weight: trained.map(zeros),
            bias: self.bias.as_ref().filter(|_| self.trains).map(zeros),
            low: self.low.as_ref().map(|low| [zeros(&low.a), zeros(&low.b)]),
        }
    }

    /// Adds what the gradient of a chunk's logits sends to its hidden states `h`, which are `rows` of all, and to what
    /// trains of the head.
    pub(crate) fn send_back(&self, d_logits: &Tensor, rows: &Tensor, h: &Tensor, to: &mut HeadGradient) {
        let mut d_h = self.hidden_gradient(d_logits);
        if let (Some(low), Some([d_a, d_b])) = (&self.low, &mut to.low) {
            let d_low = d_logits.matmul(&low.b);
            let _ = d_h.g_add_(&d_low.matmul(&low.a));
            let _ = d_a.g_add_(&(d_low.tr().matmul(h).to_kind(Kind::Float) * low.scale));
            let _ = d_b.g_add_(&d_logits.tr().matmul(&h.linear(&low.a, None::<Tensor>)));
        }
        let _ = to.hidden.index_add_(0, rows, &d_h);
        if let Some(d_weight) = &mut to.weight {
            let _ = weight_gradient(d_logits, h, Some(d_weight.shallow_clone()), self.compute);
        }
        if let Some(d_bias) = &mut to.bias {
            let _ = d_bias.g_add_(&d_logits.sum_dim_intlist(&[0i64][..], false, Kind::Float));
        }
    }

    /// `dlogits W`, f32.
    fn hidden_gradient(&self, d_logits: &Tensor) -> Tensor {
        if !self.tiles(d_logits.size()[0]) {
            return d_logits.matmul(&self.weight).to_kind(Kind::Float);
        }
        let panels = self.back.get_or_init(|| Panels::of(&self.weight, self.compute.form()));
        product(&[(&Factor::of(d_logits, self.compute.form()), panels)], Onto::Nothing, Kind::Float)
    }

    fn on_device(&self, tokens: &[i64]) -> Tensor {
        Tensor::from_slice(tokens).to_device(self.compute.device).unsqueeze(1)
    }

    /// Natural-log probability of every label.
    #[must_use]
    pub fn log_probs(&self, hidden: &Tensor, labels: &Labels) -> Vec<f64> {
        no_grad(|| {
            let chunks = self.chunks(labels).map(|(from, n)| self.chunk(from, n, labels, hidden));
            chunks.flat_map(|chunk| self.chunk_log_probs(&chunk)).collect()
        })
    }

    /// [`Self::log_probs`], and what spares [`Self::backward`] to make the logits again.
    #[must_use]
    pub fn log_probs_keeping(&self, hidden: &Tensor, labels: &Labels) -> (Vec<f64>, Option<Kept>) {
        if !self.trains && self.low.is_none() {
            let (logps, slopes) = no_grad(|| self.slopes(hidden, labels));
            return (logps, Some(Kept(Keeping::Slopes(slopes))));
        }
        let bytes = if self.compute.kind == Kind::Float { 4 } else { 2 };
        if labels.len() as i64 * self.weight.size()[0] * bytes > KEPT_BYTES {
            return (self.log_probs(hidden, labels), None);
        }
        no_grad(|| {
            let chunks: Vec<Chunk> = self.chunks(labels).map(|(from, n)| self.chunk(from, n, labels, hidden)).collect();
            // The way back packs the weight once more, in another order: two of them are a third of a gigabyte.
            self.forward.take();
            let logps = chunks.iter().flat_map(|chunk| self.chunk_log_probs(chunk)).collect();
            (logps, Some(Kept(Keeping::Logits(chunks))))
        })
    }

    /// Log-probabilities, and their derivatives by the hidden states.
    fn slopes(&self, hidden: &Tensor, labels: &Labels) -> (Vec<f64>, Vec<Tensor>) {
        let mut logps = Vec::with_capacity(labels.len());
        let mut slopes = Vec::new();
        for (from, n) in self.chunks(labels) {
            let Chunk { tokens, logits, .. } = self.chunk(from, n, labels, hidden);
            let (logp, d_logits) = self.derive(logits, &tokens, &vec![1.0; tokens.len()]);
            logps.extend(logp.into_iter().take(n));
            slopes.push(self.hidden_gradient(&d_logits).narrow(0, 0, n as i64));
        }
        (logps, slopes)
    }

    fn chunk(&self, from: usize, n: usize, labels: &Labels, hidden: &Tensor) -> Chunk {
        let (rows, tokens, h) = self.pick(from, n, labels, hidden);
        let logits = self.logits(&h);
        Chunk { from, n, rows, tokens, h, logits }
    }

    fn chunk_log_probs(&self, chunk: &Chunk) -> Vec<f64> {
        let mut logps = if self.compute.device == Device::Cpu {
            kernels::label_log_probs(&chunk.logits, &chunk.tokens, None)
        } else {
            let logits = chunk.logits.to_kind(Kind::Float);
            let chosen = logits.gather(1, &self.on_device(&chunk.tokens), false).squeeze_dim(1);
            values(&(chosen - logits.logsumexp(&[1i64][..], false)))
        };
        logps.truncate(chunk.n);
        logps
    }

    /// Gradient of the hidden states for `d[i] = dLoss/dlogp[i]`; rows asked twice add up. Without `kept` logits are made
    /// again, and labels whose derivative is zero (an objective that looks at some tokens only) cost nothing.
    #[must_use]
    pub fn backward(&self, hidden: &Tensor, labels: &Labels, d: &[f64], kept: Option<Kept>) -> HeadGradient {
        let told: Vec<usize> = (0..labels.len()).filter(|&i| d[i] != 0.0).collect();
        match kept {
            Some(Kept(Keeping::Slopes(slopes))) => return no_grad(|| self.scaled(hidden, labels, d, slopes)),
            // Chunks of the told labels alone are other chunks, and round otherwise: what is kept must not change a digit.
            Some(Kept(Keeping::Logits(chunks))) if told.len() == labels.len() => {
                return self.gradient(hidden, chunks.into_iter(), d).1;
            }
            _ => {}
        }
        let only = |all: &[i64]| told.iter().map(|&i| all[i]).collect();
        let labels = Labels { rows: only(&labels.rows), tokens: only(&labels.tokens) };
        let d: Vec<f64> = told.iter().map(|&i| d[i]).collect();
        self.fused(hidden, &labels, &d).1
    }

    /// The gradient out of every label's derivative by its hidden state.
    fn scaled(&self, hidden: &Tensor, labels: &Labels, d: &[f64], slopes: Vec<Tensor>) -> HeadGradient {
        let mut gradient = self.no_gradient(hidden);
        let mut from = 0;
        for mut slopes in slopes {
            let upto = from + slopes.size()[0] as usize;
            let d: Vec<f32> = d[from..upto].iter().map(|&d| d as f32).collect();
            let [d, rows] = [Tensor::from_slice(&d).unsqueeze(1), Tensor::from_slice(&labels.rows[from..upto])]
                .map(|t| t.to_device(self.compute.device));
            let _ = gradient.hidden.index_add_(0, &rows, &slopes.g_mul_(&d));
            from = upto;
        }
        gradient
    }

    /// [`Self::log_probs`] and [`Self::backward`] in one pass over the chunks, for objectives whose derivative is known
    /// beforehand (likelihood): the logits are computed once.
    #[must_use]
    pub fn fused(&self, hidden: &Tensor, labels: &Labels, d: &[f64]) -> (Vec<f64>, HeadGradient) {
        let chunks = self.chunks(labels).map(|(from, n)| no_grad(|| self.chunk(from, n, labels, hidden)));
        self.gradient(hidden, chunks, d)
    }

    /// Log-probabilities of a chunk's tokens, and its logits turned into `g (onehot - softmax)`.
    fn derive(&self, logits: Tensor, tokens: &[i64], g: &[f64]) -> (Vec<f64>, Tensor) {
        if self.compute.device == Device::Cpu {
            return (kernels::label_log_probs(&logits, tokens, Some(g)), logits);
        }
        let tokens = self.on_device(tokens);
        let g: Vec<f32> = g.iter().map(|&x| x as f32).collect();
        let g = Tensor::from_slice(&g).to_device(self.compute.device).unsqueeze(1);
        let mut d_logits = logits.to_kind(Kind::Float).log_softmax(1, None::<Kind>);
        let logps = values(&d_logits.gather(1, &tokens, false).squeeze_dim(1));
        let _ = d_logits.exp_();
        let _ = d_logits.g_mul_(&g.neg());
        let _ = d_logits.scatter_add_(1, &tokens, &g);
        (logps, cast(&d_logits, self.compute))
    }

    fn gradient(&self, hidden: &Tensor, chunks: impl Iterator<Item = Chunk>, d: &[f64]) -> (Vec<f64>, HeadGradient) {
        no_grad(|| {
            let mut logps = Vec::with_capacity(d.len());
            let mut gradient = self.no_gradient(hidden);
            for Chunk { from, n, rows, tokens, h, logits } in chunks {
                let mut g = d[from..from + n].to_vec();
                g.resize(tokens.len(), 0.0);
                let (logp, d_logits) = self.derive(logits, &tokens, &g);
                logps.extend(logp.into_iter().take(n));
                self.send_back(&d_logits, &rows, &h, &mut gradient);
            }
            (logps, gradient)
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
