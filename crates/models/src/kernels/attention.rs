//! Attention of short groups and its derivative, a head of a group at a time, in f32.
//!
//! libtorch's flash kernels cut every head into products of a few rows, and oneDNN prepares each of them anew: for
//! sequences of some hundred tokens that takes several times as long as the products. Here a head's keys and values stand
//! in the cache, and who sees whom follows from where a row stands, so that no mask is needed either.

use super::{
    by_kind,
    stored::{LANES, Rows, Stored, exp, sum, widest},
    threads,
};
use crate::packing::{Placed, Seen, seen};
use tch::{Device, Kind, Tensor};

/// Rows up to which a group's attention is computed here: its time grows with their square.
pub(crate) const SHORT: usize = 1024;

/// Values a loop keeps in registers.
const BLOCK: usize = 64;

/// Sizes that all heads of a group share.
#[derive(Clone, Copy)]
struct Sizes {
    rows: usize,
    head_dim: usize,
    /// `head_dim` in whole blocks.
    wide: usize,
    /// Length of a row of transposed keys: a block may begin at the last of them.
    long: usize,
    scale: f32,
}

impl Sizes {
    fn new(rows: usize, head_dim: usize) -> Self {
        let wide = head_dim.next_multiple_of(BLOCK);
        Self { rows, head_dim, wide, long: rows + BLOCK, scale: 1.0 / (head_dim as f32).sqrt() }
    }
}

/// Attention's output `[n, heads * head_dim]`, zero on rows of no group, and the log of each row's normaliser `[n, heads]`.
///
/// `q` is `[n, heads, head_dim]`; `k` and `v` may have fewer heads, each for as many of `q`.
pub(crate) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    groups: &[Placed],
    window: Option<usize>,
) -> (Tensor, Tensor) {
    let (n, heads, dim) = (q.size()[0], q.size()[1], q.size()[2]);
    let out = Tensor::zeros([n, heads * dim], (q.kind(), Device::Cpu));
    let normaliser = Tensor::empty([n, heads], (Kind::Float, Device::Cpu));
    let [q, k, v] = [q, k, v].map(Tensor::contiguous);
    by_kind!(q.kind(), T => forward::<T>([&q, &k, &v], &out, &normaliser, groups, window));
    (out, normaliser)
}

#[expect(unsafe_code, reason = "every head of every group is taken once")]
fn forward<T: Stored>(
    [q, k, v]: [&Tensor; 3],
    out: &Tensor,
    normaliser: &Tensor,
    groups: &[Placed],
    window: Option<usize>,
) {
    let (heads, kv_heads, dim) = (q.size()[1] as usize, k.size()[1] as usize, q.size()[2] as usize);
    let rows = |t| Rows::<T>::of(t, dim);
    let (q, k, v, out, normaliser) = (rows(q), rows(k), rows(v), rows(out), Rows::<f32>::of(normaliser, 1));
    threads::each(groups.len() * heads, |task| {
        let (place, head) = (&groups[task / heads], task % heads);
        let size = Sizes::new(place.rows(), dim);
        let at = |i: usize, heads: usize, head: usize| (place.start + i) * heads + head;
        // SAFETY: queries, keys and values are only read.
        let read = |t: &Rows<'_, T>, heads: usize, head: usize| unsafe {
            gather(size, |i| &*t.chunk(at(i, heads, head), at(i, heads, head) + 1))
        };
        let kv = head * kv_heads / heads;
        let (q, k, v) = (read(&q, heads, head), read(&k, kv_heads, kv), read(&v, kv_heads, kv));
        let keys = transposed(size, &k);
        let mut scores = vec![0f32; size.long + BLOCK];
        let mut sum = vec![0f32; size.wide];
        for (i, seen) in seen(place, window).into_iter().enumerate() {
            // SAFETY: this row of this head belongs to this task alone.
            let (out, log) = unsafe {
                (
                    out.chunk(at(i, heads, head), at(i, heads, head) + 1),
                    normaliser.chunk(at(i, heads, head), at(i, heads, head) + 1),
                )
            };
            log[0] = wide_attend(size, &q[i * size.wide..][..size.wide], &keys, &v, seen, &mut scores, &mut sum);
            for (o, s) in out.iter_mut().zip(&sum) {
                *o = T::store(*s);
            }
        }
    });
}

/// Gradients of queries, keys and values, in their kinds and shapes; zero on rows of no group.
pub(crate) fn attention_backward(
    [q, k, v]: [&Tensor; 3],
    out: &Tensor,
    normaliser: &Tensor,
    d_out: &Tensor,
    groups: &[Placed],
    window: Option<usize>,
) -> [Tensor; 3] {
    let tensors = [q, k, v, out, d_out].map(Tensor::contiguous);
    let gradients = [q, k, v].map(|t| Tensor::zeros(t.size(), (t.kind(), Device::Cpu)));
    by_kind!(q.kind(), T => backward::<T>(&tensors, normaliser, &gradients, groups, window));
    gradients
}

#[expect(unsafe_code, reason = "every key head of every group is taken once, with its query heads")]
fn backward<T: Stored>(
    [q, k, v, out, d_out]: &[Tensor; 5],
    normaliser: &Tensor,
    d: &[Tensor; 3],
    groups: &[Placed],
    window: Option<usize>,
) {
    let (heads, kv_heads, dim) = (q.size()[1] as usize, k.size()[1] as usize, q.size()[2] as usize);
    let rows = |t| Rows::<T>::of(t, dim);
    let (q, k, v, out, d_out) = (rows(q), rows(k), rows(v), rows(out), rows(d_out));
    let [d_q, d_k, d_v] = [&d[0], &d[1], &d[2]].map(rows);
    let normaliser = Rows::<f32>::of(normaliser, 1);
    let times = heads / kv_heads;
    threads::each(groups.len() * kv_heads, |task| {
        let (place, kv) = (&groups[task / kv_heads], task % kv_heads);
        let size = Sizes::new(place.rows(), dim);
        let seen = seen(place, window);
        let at = |i: usize, heads: usize, head: usize| (place.start + i) * heads + head;
        // SAFETY: what is read here is not written.
        let read = |t: &Rows<'_, T>, heads: usize, head: usize| unsafe {
            gather(size, |i| &*t.chunk(at(i, heads, head), at(i, heads, head) + 1))
        };
        let (k, v) = (read(&k, kv_heads, kv), read(&v, kv_heads, kv));
        let (keys, values) = (transposed(size, &k), transposed(size, &v));
        let (mut d_keys, mut d_values) = (vec![0f32; k.len()], vec![0f32; v.len()]);
        let mut buffers = [vec![0f32; size.long + BLOCK], vec![0f32; size.long + BLOCK]];
        let mut d_query = vec![0f32; size.wide];
        for head in kv * times..(kv + 1) * times {
            let (q, out, d_out) = (read(&q, heads, head), read(&out, heads, head), read(&d_out, heads, head));
            for (i, &seen) in seen.iter().enumerate() {
                // SAFETY: this row of this head belongs to this task alone; the normaliser is only read.
                let (d_q, log) = unsafe {
                    (
                        d_q.chunk(at(i, heads, head), at(i, heads, head) + 1),
                        normaliser.chunk(at(i, heads, head), at(i, heads, head) + 1)[0],
                    )
                };
                let row =
                    |t: &[f32]| -> std::ops::Range<usize> { i * size.wide..(i * size.wide + size.wide).min(t.len()) };
                let fixed = Fixed { keys: &keys, values: &values, k: &k };
                let (q, out, d_out) = (&q[row(&q)], &out[row(&out)], &d_out[row(&d_out)]);
                wide_attend_back(
                    size,
                    q,
                    out,
                    d_out,
                    log,
                    fixed,
                    seen,
                    &mut buffers,
                    &mut d_query,
                    &mut d_keys,
                    &mut d_values,
                );
                for (d, x) in d_q.iter_mut().zip(&d_query) {
                    *d = T::store(*x);
                }
            }
        }
        for i in 0..size.rows {
            // SAFETY: rows of this key head belong to this task alone.
            let (d_k, d_v) = unsafe {
                let at = at(i, kv_heads, kv);
                (d_k.chunk(at, at + 1), d_v.chunk(at, at + 1))
            };
            for (d, x) in d_k.iter_mut().zip(&d_keys[i * size.wide..]) {
                *d = T::store(*x);
            }
            for (d, x) in d_v.iter_mut().zip(&d_values[i * size.wide..]) {
                *d = T::store(*x);
            }
        }
    });
}

/// A head's rows in f32, each filled up with zeros to whole blocks.
fn gather<'a, T: Stored + 'a>(size: Sizes, row: impl Fn(usize) -> &'a [T]) -> Vec<f32> {
    let mut out = vec![0f32; size.rows * size.wide];
    for (i, out) in out.chunks_exact_mut(size.wide).enumerate() {
        for (o, x) in out.iter_mut().zip(row(i)) {
            *o = x.load();
        }
    }
    out
}

/// `[head_dim, long]` of `[rows, wide]`.
fn transposed(size: Sizes, rows: &[f32]) -> Vec<f32> {
    let mut out = vec![0f32; size.head_dim * size.long];
    for (i, row) in rows.chunks_exact(size.wide).enumerate() {
        for (c, &x) in row[..size.head_dim].iter().enumerate() {
            out[c * size.long + i] = x;
        }
    }
    out
}

/// `out[j] = x . column j` for the seen `j`; later values of `out` are left undefined.
#[inline(always)]
fn dots(size: Sizes, x: &[f32], columns: &[f32], seen: Seen, out: &mut [f32]) {
    // The second range comes second: what a block of the first writes beyond its end is overwritten.
    for (from, to) in seen {
        let mut j = from;
        while j < to {
            let mut block = [0f32; BLOCK];
            for (c, &x) in x[..size.head_dim].iter().enumerate() {
                let column = &columns[c * size.long + j..][..BLOCK];
                for (b, y) in block.iter_mut().zip(column) {
                    *b = x.mul_add(*y, *b);
                }
            }
            out[j..j + BLOCK].copy_from_slice(&block);
            j += BLOCK;
        }
    }
}

/// `out = sum over seen j of weight[j] * rows[j]`.
#[inline(always)]
fn combine(size: Sizes, weights: &[f32], rows: &[f32], seen: Seen, out: &mut [f32]) {
    for c in (0..size.wide).step_by(BLOCK) {
        let mut block = [0f32; BLOCK];
        for (from, to) in seen {
            for j in from..to {
                let (w, row) = (weights[j], &rows[j * size.wide + c..][..BLOCK]);
                for (b, x) in block.iter_mut().zip(row) {
                    *b = w.mul_add(*x, *b);
                }
            }
        }
        out[c..c + BLOCK].copy_from_slice(&block);
    }
}

widest! {
    fn wide_attend<>(
        size: Sizes, q: &[f32], keys: &[f32], v: &[f32], seen: Seen, scores: &mut [f32], out: &mut [f32],
    ) -> f32 = attend;
}

/// A row's output; returns the log of its normaliser.
#[inline(always)]
fn attend(size: Sizes, q: &[f32], keys: &[f32], v: &[f32], seen: Seen, scores: &mut [f32], out: &mut [f32]) -> f32 {
    dots(size, q, keys, seen, scores);
    let mut highest = [f32::NEG_INFINITY; LANES];
    for (from, to) in seen {
        for (j, s) in scores[from..to].iter_mut().enumerate() {
            *s *= size.scale;
            highest[j % LANES] = highest[j % LANES].max(*s);
        }
    }
    let max = highest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for (from, to) in seen {
        let scores = &mut scores[from..to];
        for s in scores.iter_mut() {
            *s = exp(*s - max);
        }
        total += sum(scores.len(), |j| scores[j]);
    }
    combine(size, scores, v, seen, out);
    let inverse = 1.0 / total;
    for o in out.iter_mut() {
        *o *= inverse;
    }
    max + total.ln()
}

/// What the derivative of every row of a key head reads.
#[derive(Clone, Copy)]
struct Fixed<'a> {
    /// `[head_dim, long]`.
    keys: &'a [f32],
    values: &'a [f32],
    /// `[rows, wide]`.
    k: &'a [f32],
}

widest! {
    #[expect(clippy::too_many_arguments, reason = "one row of each tensor")]
    fn wide_attend_back<>(
        size: Sizes, q: &[f32], out: &[f32], d_out: &[f32], log: f32, fixed: Fixed<'_>, seen: Seen,
        buffers: &mut [Vec<f32>; 2], d_q: &mut [f32], d_k: &mut [f32], d_v: &mut [f32],
    ) = attend_back;
}

/// With `p = exp(s - log)` and `dp = d_out v^T`: `ds = p (dp - d_out . out) scale`, `dq = ds k`, `dk += ds^T q`,
/// `dv += p^T d_out`.
#[expect(clippy::too_many_arguments, reason = "one row of each tensor")]
#[inline(always)]
fn attend_back(
    size: Sizes,
    q: &[f32],
    out: &[f32],
    d_out: &[f32],
    log: f32,
    fixed: Fixed<'_>,
    seen: Seen,
    buffers: &mut [Vec<f32>; 2],
    d_q: &mut [f32],
    d_k: &mut [f32],
    d_v: &mut [f32],
) {
    let [p, ds] = buffers;
    dots(size, q, fixed.keys, seen, p);
    dots(size, d_out, fixed.values, seen, ds);
    let along = sum(size.wide, |c| d_out[c] * out[c]);
    for (from, to) in seen {
        for (p, ds) in p[from..to].iter_mut().zip(&mut ds[from..to]) {
            *p = exp((*p * size.scale - log).min(0.0));
            *ds = *p * (*ds - along) * size.scale;
        }
    }
    combine(size, ds, fixed.k, seen, d_q);
    for (from, to) in seen {
        for j in from..to {
            let (p, ds) = (p[j], ds[j]);
            let (d_k, d_v) = (&mut d_k[j * size.wide..][..size.wide], &mut d_v[j * size.wide..][..size.wide]);
            for ((d_k, d_v), (q, d_out)) in d_k.iter_mut().zip(d_v).zip(q.iter().zip(d_out)) {
                *d_k = ds.mul_add(*q, *d_k);
                *d_v = p.mul_add(*d_out, *d_v);
            }
        }
    }
}
