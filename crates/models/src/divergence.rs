//! How far the next token's distribution has moved from a reference's, over the whole vocabulary, and the gradient of it.
//!
//! `KL(reference || model)` of a row, in nats: `sum over v of p_ref(v) (log p_ref(v) - log p(v))`; by the model's logits its
//! derivative is `p - p_ref`. Both passes compute a chunk's logits anew: none are stored.

use crate::{
    head::{Head, HeadGradient, values},
    linear::cast,
};
use tch::{Kind, Tensor, no_grad};

/// Rows of a chunk.
const CHUNK: usize = 256;

/// Hidden states of the model and of its reference, `[rows, hidden]` each, and which rows of theirs are compared.
#[derive(Debug)]
pub struct Compared<'a> {
    /// Of the model.
    pub hidden: &'a Tensor,
    /// Of the reference.
    pub reference: &'a Tensor,
    /// Row of the model, and row of the reference.
    pub rows: &'a [(i64, i64)],
}

impl Compared<'_> {
    fn chunk(&self, head: &Head, rows: &[(i64, i64)]) -> Chunk {
        let device = self.hidden.device();
        let (own, theirs): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
        let [own, theirs] = [own, theirs].map(|rows| Tensor::from_slice(&rows).to_device(device));
        let states = |hidden: &Tensor, rows: &Tensor| cast(&hidden.index_select(0, rows), head.compute());
        let log = |logits: Tensor| logits.to_kind(Kind::Float).log_softmax(1, None::<Kind>);
        let (h, below) = (states(self.hidden, &own), states(self.reference, &theirs));
        Chunk { rows: own, own: log(head.logits(&h)), theirs: log(head.frozen_logits(&below)), h }
    }
}

/// A chunk's rows and hidden states in the model, and both log-distributions, `[rows, vocab]` in f32.
struct Chunk {
    rows: Tensor,
    h: Tensor,
    own: Tensor,
    theirs: Tensor,
}

impl Head {
    /// Divergence of every pair of rows, `[rows]`.
    #[must_use]
    pub fn divergences(&self, compared: &Compared<'_>) -> Vec<f64> {
        no_grad(|| {
            let of = |rows| {
                let Chunk { own, theirs, .. } = compared.chunk(self, rows);
                values(&(theirs.exp() * (theirs - own)).sum_dim_intlist(&[1i64][..], false, Kind::Float))
            };
            compared.rows.chunks(CHUNK).flat_map(of).collect()
        })
    }

    /// Adds to a gradient what `d[i] = dLoss/dKL[i]` sends back. The reference's head is the frozen one below an adapter.
    pub fn divergence_backward(&self, compared: &Compared<'_>, d: &[f64], gradient: &mut HeadGradient) {
        no_grad(|| {
            for (rows, d) in compared.rows.chunks(CHUNK).zip(d.chunks(CHUNK)) {
                if d.iter().all(|&d| d == 0.0) {
                    continue;
                }
                let Chunk { rows, h, own, theirs } = compared.chunk(self, rows);
                let d: Vec<f32> = d.iter().map(|&d| d as f32).collect();
                let d = Tensor::from_slice(&d).to_device(rows.device()).unsqueeze(1);
                let d_logits = cast(&((own.exp() - theirs.exp()) * d), self.compute());
                self.send_back(&d_logits, &rows, &h, gradient);
            }
        });
    }
}
