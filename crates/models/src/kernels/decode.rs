//! Attention of one new row of every text over the keys and values kept of it.
//!
//! Texts in a batch have different lengths. Here each row reads its own and no more: no mask, no padding to the longest,
//! and no copy of keys for query heads that share them.

use super::{
    by_kind,
    stored::{Rows, Stored, exp, sum, widest},
    threads,
};
use std::ops::Range;
use tch::{Device, Tensor};

/// Positions of a block of keys; a loop keeps that many values in registers.
pub(crate) const KEY_BLOCK: usize = 64;
const BLOCK: usize = KEY_BLOCK;

/// Puts the new rows' keys and values at position `at[i]` of slot `i`, and attends to everything up to there.
///
/// `q` is `[rows, heads, head_dim]`, `k` and `v` are `[rows, kv_heads, head_dim]`. The kept keys are
/// `[slots, kv_heads, blocks, head_dim, KEY_BLOCK]`: a block's scores are sums of its rows, read one after another. The
/// kept values are `[slots, kv_heads, blocks * KEY_BLOCK, head_dim]`. Returns `[rows, heads * head_dim]`, zero on rows
/// beyond `at`'s, which fill a batch up. With a window a row sees that many positions, its own included.
pub(crate) fn attend_next(
    [q, k, v]: [&Tensor; 3],
    (keys, values): (&Tensor, &Tensor),
    at: &[usize],
    window: Option<usize>,
) -> Tensor {
    let (n, heads, dim) = (q.size()[0], q.size()[1], q.size()[2]);
    let out = Tensor::zeros([n, heads * dim], (q.kind(), Device::Cpu));
    let [q, k, v] = [q, k, v].map(Tensor::contiguous);
    by_kind!(q.kind(), T => forward::<T>([&q, &k, &v], keys, values, &out, (at, window)));
    out
}

#[expect(unsafe_code, reason = "every key head of every row is taken once, with its query heads")]
fn forward<T: Stored>(
    [q, k, v]: [&Tensor; 3],
    keys: &Tensor,
    values: &Tensor,
    out: &Tensor,
    (at, window): (&[usize], Option<usize>),
) {
    let (heads, kv_heads, dim) = (q.size()[1] as usize, k.size()[1] as usize, q.size()[2] as usize);
    let capacity = values.size()[2] as usize;
    assert!(keys.size()[4] as usize == BLOCK && at.iter().all(|&at| at < capacity), "rows inside their slots");
    let rows = |t| Rows::<T>::of(t, dim);
    let (q, k, v, out) = (rows(q), rows(k), rows(v), rows(out));
    let (keys, values) = (Rows::<T>::of(keys, dim * capacity), Rows::<T>::of(values, dim * capacity));
    let times = heads / kv_heads;
    threads::each(at.len() * kv_heads, |task| {
        let (row, kv) = (task / kv_heads, task % kv_heads);
        let at = at[row];
        // SAFETY: this row's slot of key head `kv`, and these query heads of the row, belong to this task alone.
        let (keys, values, k, v) = unsafe {
            (
                keys.chunk(task, task + 1),
                values.chunk(task, task + 1),
                &*k.chunk(task, task + 1),
                &*v.chunk(task, task + 1),
            )
        };
        for (row, &x) in keys[at / BLOCK * BLOCK * dim..].chunks_exact_mut(BLOCK).zip(k) {
            row[at % BLOCK] = x;
        }
        values[at * dim..][..dim].copy_from_slice(v);
        let mut scores = vec![0f32; (at + 1).next_multiple_of(BLOCK)];
        let seen = window.map_or(0, |w| (at + 1).saturating_sub(w))..at + 1;
        for head in row * heads + kv * times..row * heads + (kv + 1) * times {
            // SAFETY: as above.
            let (q, out) = unsafe { (&*q.chunk(head, head + 1), out.chunk(head, head + 1)) };
            wide_one(q, keys, values, seen.clone(), &mut scores, out);
        }
    });
}

widest! {
    fn wide_one<T>(
        q: &[T], keys: &[T], values: &[T], seen: Range<usize>, scores: &mut [f32], out: &mut [T],
    ) = one;
}

/// One head of one row: `softmax(q k^T / sqrt(dim)) v` over the positions `seen`.
#[inline(always)]
fn one<T: Stored>(q: &[T], keys: &[T], values: &[T], seen: Range<usize>, scores: &mut [f32], out: &mut [T]) {
    let dim = q.len();
    let scale = 1.0 / (dim as f32).sqrt();
    let mut highest = [f32::NEG_INFINITY; BLOCK];
    let blocks = scores.chunks_exact_mut(BLOCK).zip(keys.chunks_exact(BLOCK * dim));
    for (from, (scores, keys)) in (0..).step_by(BLOCK).zip(blocks).skip(seen.start / BLOCK) {
        let mut block = [0f32; BLOCK];
        for (q, keys) in q.iter().zip(keys.chunks_exact(BLOCK)) {
            let q = q.load();
            for (b, k) in block.iter_mut().zip(keys) {
                *b = q.mul_add(k.load(), *b);
            }
        }
        for (j, ((s, b), h)) in scores.iter_mut().zip(block).zip(&mut highest).enumerate() {
            // What stands behind the last position was left by another text.
            *s = if seen.contains(&(from + j)) { b * scale } else { f32::NEG_INFINITY };
            *h = h.max(*s);
        }
    }
    let max = highest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let scores = &mut scores[seen.clone()];
    let values = &values[seen.start * dim..];
    for s in scores.iter_mut() {
        *s = exp(*s - max);
    }
    let inverse = 1.0 / sum(scores.len(), |j| scores[j]);
    for (c, out) in (0..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
        let mut block = [0f32; BLOCK];
        if out.len() == BLOCK {
            for (&w, value) in scores.iter().zip(values.chunks_exact(dim)) {
                for (b, v) in block.iter_mut().zip(&value[c..c + BLOCK]) {
                    *b = w.mul_add(v.load(), *b);
                }
            }
        } else {
            for (&w, value) in scores.iter().zip(values.chunks_exact(dim)) {
                for (b, v) in block.iter_mut().zip(&value[c..]) {
                    *b = w.mul_add(v.load(), *b);
                }
            }
        }
        for (o, b) in out.iter_mut().zip(block) {
            *o = T::store(b * inverse);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    /// libtorch's attention of each row over its own slot.
    fn by_libtorch(
        [q, k, v]: [&Tensor; 3],
        (keys, values): (&Tensor, &Tensor),
        at: &[usize],
        window: Option<usize>,
    ) -> Tensor {
        let times = q.size()[1] / k.size()[1];
        let rows: Vec<Tensor> = (0..at.len() as i64)
            .map(|i| {
                let n = at[i as usize] as i64;
                let seen = |kept: Tensor, new: &Tensor| {
                    let all = Tensor::cat(&[kept.narrow(1, 0, n), new.get(i).unsqueeze(1)], 1);
                    let from = window.map_or(0, |w| (n + 1 - w as i64).max(0));
                    let all = all.narrow(1, from, n + 1 - from);
                    all.repeat_interleave_self_int(times, 0, None::<i64>).unsqueeze(0)
                };
                let q = q.get(i).unsqueeze(1).unsqueeze(0);
                let (k, v) = (seen(keys.get(i).transpose(2, 3).flatten(1, 2), k), seen(values.get(i), v));
                let none = None::<&Tensor>;
                Tensor::scaled_dot_product_attention(&q, &k, &v, none, 0.0, false, None::<f64>, false).flatten(0, -1)
            })
            .collect();
        Tensor::stack(&rows, 0)
    }

    #[test]
    fn rows_of_different_lengths_as_libtorch() {
        tch::manual_seed(3);
        for (kind, bound) in [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)] {
            for (dim, window) in [(16, None), (64, None), (80, None), (128, None), (64, Some(5)), (16, Some(70))] {
                let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu)).to_kind(kind);
                let at = [0usize, 7, 100, 63];
                let (q, k, v) = (random(&[6, 4, dim]), random(&[6, 2, dim]), random(&[6, 2, dim]));
                let (keys, values) = (random(&[5, 2, 2, dim, 64]), random(&[5, 2, 128, dim]));
                let want = by_libtorch([&q, &k, &v], (&keys, &values), &at, window);
                let untouched = keys.get(4).copy();
                let got = attend_next([&q, &k, &v], (&keys, &values), &at, window);
                let worst = (got.narrow(0, 0, 4) - want).abs().max().double_value(&[]);
                assert!(worst < bound, "head_dim {dim}, {kind:?}: {worst}");
                assert_eq!(got.narrow(0, 4, 2).abs().max().double_value(&[]), 0.0, "rows that fill up");
                assert!(keys.get(2).select(1, 1).select(2, 36).equal(&k.get(2)) && keys.get(4).equal(&untouched));
            }
        }
    }
}
