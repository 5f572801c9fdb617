//! Attention of short groups and its derivative, a head of a group at a time, in f32.
//!
//! libtorch's flash kernels cut every head into products of a few rows, and oneDNN prepares each of them anew: for
//! sequences of some hundred tokens that takes several times as long as the products. Here a head's keys and values stand
//! in the cache, and who sees whom follows from where a row stands, so that no mask is needed either.

use super::{
    by_kind,
    stored::{LANES, Rows, Stored, exp, sum, widest},
    threads,
    tile_attention::{self, Backward},
    tiles::Multiplied,
};
use crate::packing::{Placed, Seen, seen};
use tch::{Device, Kind, Tensor};

/// Rows up to which a group's attention is computed here: its time grows with their square.
pub(crate) const SHORT: usize = 1024;

/// Values of a row that a loop keeps in registers.
const BLOCK: usize = 64;

/// Rows of queries that go through a head's keys together: with one alone each sum waits for the multiply-add before it.
/// Every row's sums are taken in the same order as alone.
const TOGETHER: usize = 4;

/// Sizes that all heads of a group share.
#[derive(Clone, Copy)]
struct Sizes {
    rows: usize,
    head_dim: usize,
    /// `head_dim` in whole blocks.
    wide: usize,
    /// `rows` in whole blocks: length of a row of scores.
    long: usize,
    scale: f32,
}

impl Sizes {
    fn new(rows: usize, head_dim: usize) -> Self {
        let wide = head_dim.next_multiple_of(BLOCK);
        Self { rows, head_dim, wide, long: rows.next_multiple_of(BLOCK), scale: 1.0 / (head_dim as f32).sqrt() }
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
    by_kind!(q.kind(), T => {
        let (blocked, others) = divided::<T>(groups, &q);
        tile_attention::forward::<T>([&q, &k, &v], &out, &normaliser, &blocked, window);
        forward::<T>([&q, &k, &v], &out, &normaliser, &others, window);
    });
    (out, normaliser)
}

/// Groups whose heads are multiplied in blocks, and the others.
fn divided<T: Multiplied>(groups: &[Placed], q: &Tensor) -> (Vec<Placed>, Vec<Placed>) {
    groups.iter().cloned().partition(|place| tile_attention::serves::<T>(place, q))
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
        let seen = seen(place, window);
        let mut scores = vec![0f32; TOGETHER * size.long];
        let mut sums = vec![0f32; TOGETHER * size.wide];
        let mut logs = [0f32; TOGETHER];
        for rows in together(place) {
            let n = rows.len();
            let q = &q[rows.start * size.wide..rows.end * size.wide];
            wide_attend(size, q, &keys, &v, &seen[rows.clone()], &mut scores, &mut sums, &mut logs);
            for ((i, sum), &log) in rows.zip(sums.chunks_exact(size.wide)).zip(&logs[..n]) {
                let row = at(i, heads, head);
                // SAFETY: this row of this head belongs to this task alone.
                let (out, normaliser) = unsafe { (out.chunk(row, row + 1), normaliser.chunk(row, row + 1)) };
                normaliser[0] = log;
                for (o, s) in out.iter_mut().zip(sum) {
                    *o = T::store(*s);
                }
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
    by_kind!(q.kind(), T => {
        let (blocked, others) = divided::<T>(groups, q);
        let [q, k, v, out, d_out] = &tensors;
        let [d_q, d_k, d_v] = &gradients;
        let of = Backward { inputs: [q, k, v], out, d_out, normaliser, gradients: [d_q, d_k, d_v] };
        tile_attention::backward::<T>(&of, &blocked, window);
        backward::<T>(&tensors, normaliser, &gradients, &others, window);
    });
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
        let mut buffers = [const { Vec::new() }; 2].map(|_: Vec<f32>| vec![0f32; TOGETHER * size.long]);
        let mut d_queries = vec![0f32; TOGETHER * size.wide];
        for head in kv * times..(kv + 1) * times {
            let (q, out, d_out) = (read(&q, heads, head), read(&out, heads, head), read(&d_out, heads, head));
            for rows in together(place) {
                let mut logs = [0f32; TOGETHER];
                for (log, i) in logs.iter_mut().zip(rows.clone()) {
                    // SAFETY: the normalisers are only read.
                    *log = unsafe { normaliser.chunk(at(i, heads, head), at(i, heads, head) + 1)[0] };
                }
                let of = |t: &[f32]| -> std::ops::Range<usize> {
                    rows.start * size.wide..(rows.end * size.wide).min(t.len())
                };
                let upper = Upper { q: &q[of(&q)], out: &out[of(&out)], d_out: &d_out[of(&d_out)], logs };
                let fixed = Fixed { keys: &keys, values: &values, k: &k };
                let seen = &seen[rows.clone()];
                wide_attend_back(size, upper, fixed, seen, &mut buffers, &mut d_queries, &mut d_keys, &mut d_values);
                for (i, d_query) in rows.zip(d_queries.chunks_exact(size.wide)) {
                    // SAFETY: this row of this head belongs to this task alone.
                    let d_q = unsafe { d_q.chunk(at(i, heads, head), at(i, heads, head) + 1) };
                    for (d, x) in d_q.iter_mut().zip(d_query) {
                        *d = T::store(*x);
                    }
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

/// `[blocks, head_dim, BLOCK]` of `[rows, wide]`: a block of columns is read from one end to the other.
fn transposed(size: Sizes, rows: &[f32]) -> Vec<f32> {
    let mut out = vec![0f32; size.head_dim * size.long];
    for (i, row) in rows.chunks_exact(size.wide).enumerate() {
        let block = &mut out[i / BLOCK * BLOCK * size.head_dim..];
        for (column, &x) in block.chunks_exact_mut(BLOCK).zip(&row[..size.head_dim]) {
            column[i % BLOCK] = x;
        }
    }
    out
}

/// Rows that go through the keys together: [`TOGETHER`] neighbours of one sequence, and what is left of it one by one.
fn together(place: &Placed) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut start = 0;
    std::iter::once(&place.shared).chain(&place.rests).flat_map(move |&n| {
        let from = start;
        start += n;
        let whole = n - n % TOGETHER;
        let blocks = (0..whole).step_by(TOGETHER).map(move |i| from + i..from + i + TOGETHER);
        blocks.chain((whole..n).map(move |i| from + i..from + i + 1))
    })
}

/// What any of the rows sees.
fn union(seen: &[Seen]) -> Seen {
    [0, 1].map(|part| {
        let ranges = seen.iter().map(|s| s[part]);
        ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((0, 0))
    })
}

/// Zero at what the others of its block see and this row does not.
#[inline(always)]
fn blank(row: &mut [f32], own: Seen, all: Seen) {
    for ((from, to), (first, last)) in own.into_iter().zip(all) {
        row[first..from].fill(0.0);
        row[to..last].fill(0.0);
    }
}

/// `out[r][j] = x[r] . column j` for the seen `j` and what shares their blocks. `x` is `[R, wide]`, `out` `[R, long]`.
#[inline(always)]
fn dots<const R: usize>(size: Sizes, x: &[f32], columns: &[f32], seen: Seen, out: &mut [f32]) {
    let x: [&[f32]; R] = std::array::from_fn(|r| &x[r * size.wide..][..size.head_dim]);
    let mut done = 0;
    for (from, to) in seen {
        for j in (done.max(from / BLOCK * BLOCK)..to).step_by(BLOCK) {
            let mut block = [[0f32; BLOCK]; R];
            let columns = columns[j * size.head_dim..][..BLOCK * size.head_dim].as_chunks::<BLOCK>().0;
            for (c, column) in columns.iter().enumerate() {
                for (block, x) in block.iter_mut().zip(x) {
                    let x = x[c];
                    for (b, y) in block.iter_mut().zip(column) {
                        *b = x.mul_add(*y, *b);
                    }
                }
            }
            for (r, block) in block.iter().enumerate() {
                out[r * size.long + j..][..BLOCK].copy_from_slice(block);
            }
            done = j + BLOCK;
        }
    }
}

/// `out[r] = sum over seen j of weights[r][j] * rows[j]`; `weights` is `[R, long]`, `out` `[R, wide]`.
#[inline(always)]
fn combine<const R: usize>(size: Sizes, weights: &[f32], rows: &[f32], seen: Seen, out: &mut [f32]) {
    let weights: [&[f32]; R] = std::array::from_fn(|r| &weights[r * size.long..][..size.long]);
    for c in (0..size.wide).step_by(BLOCK) {
        let mut block = [[0f32; BLOCK]; R];
        for (from, to) in seen {
            for j in from..to {
                let row = &rows[j * size.wide + c..][..BLOCK];
                for (block, weights) in block.iter_mut().zip(weights) {
                    let w = weights[j];
                    for (b, x) in block.iter_mut().zip(row) {
                        *b = w.mul_add(*x, *b);
                    }
                }
            }
        }
        for (r, block) in block.iter().enumerate() {
            out[r * size.wide + c..][..BLOCK].copy_from_slice(block);
        }
    }
}

widest! {
    #[expect(clippy::too_many_arguments, reason = "one block of each tensor")]
    fn wide_attend<>(
        size: Sizes, q: &[f32], keys: &[f32], v: &[f32], seen: &[Seen], scores: &mut [f32], out: &mut [f32],
        logs: &mut [f32; TOGETHER],
    ) = attend;
}

/// The outputs of a block's rows, and the logs of their normalisers.
#[expect(clippy::too_many_arguments, reason = "one block of each tensor")]
#[inline(always)]
fn attend(
    size: Sizes,
    q: &[f32],
    keys: &[f32],
    v: &[f32],
    seen: &[Seen],
    scores: &mut [f32],
    out: &mut [f32],
    logs: &mut [f32; TOGETHER],
) {
    let all = union(seen);
    wide_dots(size, seen.len(), q, keys, all, scores);
    let mut inverse = [0f32; TOGETHER];
    for (r, &seen) in seen.iter().enumerate() {
        let scores = &mut scores[r * size.long..][..size.long];
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
        blank(scores, seen, all);
        inverse[r] = 1.0 / total;
        logs[r] = max + total.ln();
    }
    wide_combine(size, seen.len(), scores, v, all, out);
    for (out, inverse) in out.chunks_exact_mut(size.wide).zip(inverse) {
        for o in out {
            *o *= inverse;
        }
    }
}

/// What the derivative of every row of a key head reads.
#[derive(Clone, Copy)]
struct Fixed<'a> {
    /// [`transposed`].
    keys: &'a [f32],
    values: &'a [f32],
    /// `[rows, wide]`.
    k: &'a [f32],
}

/// What the derivative reads of the rows of a block, `[R, wide]`, and the logs of their normalisers.
#[derive(Clone, Copy)]
struct Upper<'a> {
    q: &'a [f32],
    out: &'a [f32],
    d_out: &'a [f32],
    logs: [f32; TOGETHER],
}

widest! {
    #[expect(clippy::too_many_arguments, reason = "one block of each tensor")]
    fn wide_attend_back<>(
        size: Sizes, upper: Upper<'_>, fixed: Fixed<'_>, seen: &[Seen], buffers: &mut [Vec<f32>; 2], d_q: &mut [f32],
        d_k: &mut [f32], d_v: &mut [f32],
    ) = attend_back;
}

/// With `p = exp(s - log)` and `dp = d_out v^T`: `ds = p (dp - d_out . out) scale`, `dq = ds k`, `dk += ds^T q`,
/// `dv += p^T d_out`.
#[expect(clippy::too_many_arguments, reason = "one block of each tensor")]
#[inline(always)]
fn attend_back(
    size: Sizes,
    upper: Upper<'_>,
    fixed: Fixed<'_>,
    seen: &[Seen],
    buffers: &mut [Vec<f32>; 2],
    d_q: &mut [f32],
    d_k: &mut [f32],
    d_v: &mut [f32],
) {
    let all = union(seen);
    let [p, ds] = buffers;
    wide_dots(size, seen.len(), upper.q, fixed.keys, all, p);
    wide_dots(size, seen.len(), upper.d_out, fixed.values, all, ds);
    for (r, &seen) in seen.iter().enumerate() {
        let [p, ds] = [&mut *p, &mut *ds].map(|t| &mut t[r * size.long..][..size.long]);
        let (d_out, out) = (&upper.d_out[r * size.wide..][..size.wide], &upper.out[r * size.wide..][..size.wide]);
        let along = sum(size.wide, |c| d_out[c] * out[c]);
        let log = upper.logs[r];
        for (from, to) in seen {
            for (p, ds) in p[from..to].iter_mut().zip(&mut ds[from..to]) {
                *p = exp((*p * size.scale - log).min(0.0));
                *ds = *p * (*ds - along) * size.scale;
            }
        }
        blank(p, seen, all);
        blank(ds, seen, all);
    }
    wide_combine(size, seen.len(), ds, fixed.k, all, d_q);
    wide_outer(size, seen.len(), ds, upper.q, all, d_k);
    wide_outer(size, seen.len(), p, upper.d_out, all, d_v);
}

/// `out[j] += sum over r of weights[r][j] * x[r]` for the seen `j`; `weights` is `[R, long]`, `x` `[R, wide]`.
#[inline(always)]
fn add_outer<const R: usize>(size: Sizes, weights: &[f32], x: &[f32], seen: Seen, out: &mut [f32]) {
    let weights: [&[f32]; R] = std::array::from_fn(|r| &weights[r * size.long..][..size.long]);
    for c in (0..size.wide).step_by(BLOCK) {
        // Lengths that the compiler knows: with them the sums stay in registers.
        let x: [&[f32; BLOCK]; R] =
            std::array::from_fn(|r| x[r * size.wide + c..].first_chunk().unwrap_or(&[0.0; BLOCK]));
        for (from, to) in seen {
            for j in from..to {
                let Some(out) = out[j * size.wide + c..].first_chunk_mut::<BLOCK>() else { continue };
                let w: [f32; R] = std::array::from_fn(|r| weights[r][j]);
                for i in 0..BLOCK {
                    out[i] = (0..R).fold(out[i], |sum, r| w[r].mul_add(x[r][i], sum));
                }
            }
        }
    }
}

// Each a function of its own: inside one large one the compiler runs out of registers for their sums.
widest! {
    fn wide_dots<>(size: Sizes, rows: usize, x: &[f32], columns: &[f32], seen: Seen, out: &mut [f32]) = some_dots;
}
widest! {
    fn wide_combine<>(size: Sizes, n: usize, weights: &[f32], rows: &[f32], seen: Seen, out: &mut [f32]) = some_combine;
}
widest! {
    fn wide_outer<>(size: Sizes, rows: usize, weights: &[f32], x: &[f32], seen: Seen, out: &mut [f32]) = some_outer;
}

#[inline(always)]
fn some_dots(size: Sizes, rows: usize, x: &[f32], columns: &[f32], seen: Seen, out: &mut [f32]) {
    match rows {
        TOGETHER => dots::<TOGETHER>(size, x, columns, seen, out),
        _ => dots::<1>(size, x, columns, seen, out),
    }
}

#[inline(always)]
fn some_combine(size: Sizes, n: usize, weights: &[f32], rows: &[f32], seen: Seen, out: &mut [f32]) {
    match n {
        TOGETHER => combine::<TOGETHER>(size, weights, rows, seen, out),
        _ => combine::<1>(size, weights, rows, seen, out),
    }
}

#[inline(always)]
fn some_outer(size: Sizes, rows: usize, weights: &[f32], x: &[f32], seen: Seen, out: &mut [f32]) {
    match rows {
        TOGETHER => add_outer::<TOGETHER>(size, weights, x, seen, out),
        _ => add_outer::<1>(size, weights, x, seen, out),
    }
}
