//! Attention of long enough groups and its derivative through the kernels of [`super::tiles`], 64 queries against 64 keys at a
//! time.
//!
//! Blocks of scores stand with a key a row and a query a column. So a query's maximum and sum are taken down the columns, all
//! queries of a block at once, and what leaves the exponential lies as the kernels read the right side of the next product: of
//! bf16 two rows of it, interleaved. Probabilities and their derivatives are rounded to the tensors' kind between products, as in
//! libtorch's flash kernels; sums stay in f32.

use super::{
    stored::{Rows, Stored, exchange, exp, widest},
    threads,
    tile_blocks::{Head, SIDE, Shape, Values},
    tiles::{Multiplied, Tiles, reads},
};
use crate::packing::{Placed, Seen, seen};
use tch::Tensor;

/// Score of a key that a query does not see.
const UNSEEN: f32 = -1e30;

/// Rows of a group below which blocks are mostly empty.
const ROWS: usize = 64;

/// Whether a group's heads are computed here.
pub(super) fn serves<T: Multiplied>(place: &Placed, q: &Tensor) -> bool {
    let dim = q.size()[2] as usize;
    dim.is_multiple_of(32) && dim <= 256 && place.rows() >= ROWS && reads(T::FORM)
}

/// What the queries of a block see, by query; nothing where there is none.
struct Sight {
    from: [[i32; SIDE]; 2],
    to: [[i32; SIDE]; 2],
    /// Blocks of keys that some query sees.
    blocks: Vec<usize>,
}

impl Sight {
    fn of(seen: &[Seen]) -> Self {
        let (mut from, mut to) = ([[0; SIDE]; 2], [[0; SIDE]; 2]);
        let mut blocks = Vec::new();
        for part in 0..2 {
            let ranges = || seen.iter().map(|s| s[part]).filter(|(a, b)| a < b);
            for (i, s) in seen.iter().enumerate() {
                (from[part][i], to[part][i]) = (s[part].0 as i32, s[part].1 as i32);
            }
            if let (Some(first), Some(last)) = (ranges().map(|r| r.0).min(), ranges().map(|r| r.1).max()) {
                blocks.extend(first / SIDE..last.div_ceil(SIDE));
            }
        }
        blocks.sort_unstable();
        blocks.dedup();
        Self { from, to, blocks }
    }

    /// Whether every query sees all keys of a block.
    fn whole(&self, block: usize) -> bool {
        let (first, last) = ((block * SIDE) as i32, ((block + 1) * SIDE) as i32);
        (0..SIDE).all(|i| (0..2).any(|p| self.from[p][i] <= first && last <= self.to[p][i]))
    }

    /// Hides what is not seen of a block of scores.
    #[inline(always)]
    fn hide(&self, block: usize, scores: &mut [f32]) {
        for (j, row) in (block * SIDE..).zip(scores.chunks_exact_mut(SIDE)) {
            let j = j as i32;
            for (i, s) in row.iter_mut().enumerate() {
                let first = self.from[0][i] <= j && j < self.to[0][i];
                let second = self.from[1][i] <= j && j < self.to[1][i];
                *s = if first | second { *s } else { UNSEEN };
            }
        }
    }
}

/// Output `[n, heads * dim]` and normalisers `[n, heads]` of the groups' rows.
#[expect(unsafe_code, reason = "every key head of every group is taken once, with its query heads")]
pub(super) fn forward<T: Multiplied>(
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
        let kv = head * kv_heads / heads;
        let shape = Shape::new(place.rows(), dim);
        let at = |i: usize, heads: usize, head: usize| (place.start + i) * heads + head;
        // SAFETY: queries, keys and values are only read.
        let row = |t: &Rows<'_, T>, i: usize| unsafe { &*std::ptr::from_mut(t.chunk(i, i + 1)) };
        let queries = Head { shape, row: &|i| row(&q, at(i, heads, head)) }.right_by_columns();
        let keys = Head { shape, row: &|i| row(&k, at(i, kv_heads, kv)) }.by_rows();
        let values = Head { shape, row: &|i| row(&v, at(i, kv_heads, kv)) }.by_columns();
        let seen = seen(place, window);
        let mut scores = Values::<f32>::new(shape.blocks * SIDE * SIDE);
        let mut shares = Values::<T>::new(SIDE * SIDE);
        let [mut sums, mut turned] = [(); 2].map(|()| Values::<f32>::new(dim * SIDE));
        let _tiles = Tiles;
        for block in 0..shape.blocks {
            let own = shape.rows_of(block);
            let sight = Sight::of(&seen[own.clone()]);
            let mut column = Columns::new(dim);
            for (&keys_of, scores) in sight.blocks.iter().zip(scores.all().chunks_exact_mut(SIDE * SIDE)) {
                let (left, right) = (keys.at(keys_of * shape.block()), queries.at(block * shape.block()));
                T::product([SIDE, SIDE, dim], left, right, scores, false);
                wide_highest(&sight, keys_of, scores, &mut column);
            }
            for (n, &keys_of) in sight.blocks.iter().enumerate() {
                wide_share(&scores.all()[n * SIDE * SIDE..][..SIDE * SIDE], shares.all(), &mut column);
                let left = values.at(keys_of * shape.block());
                T::product([dim, SIDE, SIDE], left, shares.at(0), sums.all(), n > 0);
            }
            wide_turn(sums.all(), turned.all());
            for (i, row) in own.enumerate() {
                let row = at(row, heads, head);
                // SAFETY: this row of this head belongs to this task alone.
                let (out, normaliser) = unsafe { (out.chunk(row, row + 1), normaliser.chunk(row, row + 1)) };
                normaliser[0] = column.highest[i].mul_add(column.scale, column.total[i].ln());
                let inverse = 1.0 / column.total[i];
                for (o, s) in out.iter_mut().zip(&turned.all()[i * dim..]) {
                    *o = T::store(s * inverse);
                }
            }
        }
    });
}

widest! { fn wide_turn<>(columns: &[f32], rows: &mut [f32]) = turn; }

/// `[dim][SIDE]` as `[SIDE][dim]`.
#[inline(always)]
fn turn(columns: &[f32], rows: &mut [f32]) {
    let dim = columns.len() / SIDE;
    exchange([dim, SIDE], |c| &columns[c * SIDE..(c + 1) * SIDE], rows, dim);
}

/// What softmax knows of the queries of a block.
struct Columns {
    scale: f32,
    highest: [f32; SIDE],
    total: [f32; SIDE],
}

impl Columns {
    fn new(dim: usize) -> Self {
        Self { scale: 1.0 / (dim as f32).sqrt(), highest: [UNSEEN; SIDE], total: [0.0; SIDE] }
    }
}

widest! {
    fn wide_highest<>(sight: &Sight, block: usize, scores: &mut [f32], column: &mut Columns) = highest;
}
widest! {
    fn wide_share<T: Multiplied>(scores: &[f32], shares: &mut [T], column: &mut Columns) = share;
}

/// Hides what is not seen and takes the maxima.
#[inline(always)]
fn highest(sight: &Sight, block: usize, scores: &mut [f32], column: &mut Columns) {
    if !sight.whole(block) {
        sight.hide(block, scores);
    }
    let mut highest = column.highest;
    for row in scores.as_chunks::<SIDE>().0 {
        for (h, s) in highest.iter_mut().zip(row) {
            *h = h.max(*s);
        }
    }
    column.highest = highest;
}

/// Exponentials of a block as a right side, and their sums.
#[inline(always)]
fn share<T: Multiplied>(scores: &[f32], shares: &mut [T], column: &mut Columns) {
    let (mut total, scale) = (column.total, column.scale);
    let less: [f32; SIDE] = column.highest.map(|h| -h * scale);
    let rows = scores.as_chunks::<SIDE>().0.as_chunks::<2>().0;
    for ([even, odd], to) in rows.iter().zip(shares.chunks_exact_mut(2 * SIDE)) {
        let (mut a, mut b) = ([0f32; SIDE], [0f32; SIDE]);
        for i in 0..SIDE {
            a[i] = exp(even[i].mul_add(scale, less[i]).min(0.0));
            b[i] = exp(odd[i].mul_add(scale, less[i]).min(0.0));
            total[i] += a[i] + b[i];
        }
        T::weave(&a, &b, to);
    }
    column.total = total;
}

/// What [`backward`] reads, and where its gradients go.
pub(super) struct Backward<'a> {
    pub(super) inputs: [&'a Tensor; 3],
    pub(super) out: &'a Tensor,
    pub(super) d_out: &'a Tensor,
    pub(super) normaliser: &'a Tensor,
    pub(super) gradients: [&'a Tensor; 3],
}

/// Gradients of queries, keys and values on the groups' rows.
#[expect(unsafe_code, reason = "every key head of every group is taken once, with its query heads")]
pub(super) fn backward<T: Multiplied>(of: &Backward<'_>, groups: &[Placed], window: Option<usize>) {
    let [q, k, v] = of.inputs;
    let (heads, kv_heads, dim) = (q.size()[1] as usize, k.size()[1] as usize, q.size()[2] as usize);
    let rows = |t| Rows::<T>::of(t, dim);
    let (q, k, v, out, d_out) = (rows(q), rows(k), rows(v), rows(of.out), rows(of.d_out));
    let [d_q, d_k, d_v] = of.gradients.map(rows);
    let normaliser = Rows::<f32>::of(of.normaliser, 1);
    let times = heads / kv_heads;
    threads::each(groups.len() * kv_heads, |task| {
        let (place, kv) = (&groups[task / kv_heads], task % kv_heads);
        let shape = Shape::new(place.rows(), dim);
        let at = |i: usize, heads: usize, head: usize| (place.start + i) * heads + head;
        // SAFETY: what is read here is not written.
        let row = |t: &Rows<'_, T>, i: usize| unsafe { &*std::ptr::from_mut(t.chunk(i, i + 1)) };
        let keys = Head { shape, row: &|i| row(&k, at(i, kv_heads, kv)) };
        let values = Head { shape, row: &|i| row(&v, at(i, kv_heads, kv)) };
        let (key_rows, key_columns, value_rows) = (keys.by_rows(), keys.by_columns(), values.by_rows());
        let [mut d_keys, mut d_values] = [(); 2].map(|()| Values::<f32>::new(shape.blocks * SIDE * dim));
        let [mut scores, mut slopes] = [(); 2].map(|()| Values::<f32>::new(SIDE * SIDE));
        let [mut p, mut ds, mut ds_right] = [(); 3].map(|()| Values::<T>::new(SIDE * SIDE));
        let [mut d_queries, mut turned] = [(); 2].map(|()| Values::<f32>::new(dim * SIDE));
        let seen = seen(place, window);
        let _tiles = Tiles;
        for head in kv * times..(kv + 1) * times {
            let queries = Head { shape, row: &|i| row(&q, at(i, heads, head)) };
            let outward = Head { shape, row: &|i| row(&d_out, at(i, heads, head)) };
            let (query_columns, query_rows) = (queries.right_by_columns(), queries.right_by_rows());
            let (outward_columns, outward_rows) = (outward.right_by_columns(), outward.right_by_rows());
            for block in 0..shape.blocks {
                let own = shape.rows_of(block);
                let sight = Sight::of(&seen[own.clone()]);
                let mut column = Slopes::new(dim);
                for (i, r) in own.clone().enumerate() {
                    let r = at(r, heads, head);
                    // SAFETY: normalisers are only read.
                    column.log[i] = unsafe { normaliser.chunk(r, r + 1)[0] };
                    column.along[i] = wide_dot(row(&out, r), row(&d_out, r));
                }
                let here = block * shape.block();
                for (n, &keys_of) in sight.blocks.iter().enumerate() {
                    let there = keys_of * shape.block();
                    T::product([SIDE, SIDE, dim], key_rows.at(there), query_columns.at(here), scores.all(), false);
                    let right = outward_columns.at(here);
                    T::product([SIDE, SIDE, dim], value_rows.at(there), right, slopes.all(), false);
                    if !sight.whole(keys_of) {
                        wide_hide(&sight, keys_of, scores.all());
                    }
                    let to = [p.all(), ds.all(), ds_right.all()];
                    wide_slope(scores.all(), slopes.all(), &column, to);
                    let sums = keys_of * SIDE * dim..(keys_of + 1) * SIDE * dim;
                    let d_values = &mut d_values.all()[sums.clone()];
                    T::product([SIDE, dim, SIDE], p.at(0), outward_rows.at(here), d_values, true);
                    T::product([SIDE, dim, SIDE], ds.at(0), query_rows.at(here), &mut d_keys.all()[sums], true);
                    let left = key_columns.at(there);
                    let right = if T::TOGETHER == 1 { ds.at(0) } else { ds_right.at(0) };
                    T::product([dim, SIDE, SIDE], left, right, d_queries.all(), n > 0);
                }
                wide_turn(d_queries.all(), turned.all());
                for (i, r) in own.enumerate() {
                    let r = at(r, heads, head);
                    // SAFETY: this row of this head belongs to this task alone.
                    let d_q = unsafe { d_q.chunk(r, r + 1) };
                    for (d, s) in d_q.iter_mut().zip(&turned.all()[i * dim..]) {
                        *d = T::store(*s);
                    }
                }
            }
        }
        for (t, sums) in [(&d_k, d_keys.all()), (&d_v, d_values.all())] {
            for (i, sums) in (0..shape.rows).zip(sums.chunks_exact(dim)) {
                let r = at(i, kv_heads, kv);
                // SAFETY: rows of this key head belong to this task alone.
                let to = unsafe { t.chunk(r, r + 1) };
                to.iter_mut().zip(sums).for_each(|(d, s)| *d = T::store(*s));
            }
        }
    });
}

/// What the derivative of softmax knows of the queries of a block.
struct Slopes {
    scale: f32,
    log: [f32; SIDE],
    /// `d_out . out`.
    along: [f32; SIDE],
}

impl Slopes {
    fn new(dim: usize) -> Self {
        Self { scale: 1.0 / (dim as f32).sqrt(), log: [0.0; SIDE], along: [0.0; SIDE] }
    }
}

widest! { fn wide_dot<T>(a: &[T], b: &[T]) -> f32 = dot; }

#[inline(always)]
fn dot<T: Stored>(a: &[T], b: &[T]) -> f32 {
    super::stored::sum(a.len().min(b.len()), |i| a[i].load() * b[i].load())
}

widest! { fn wide_hide<>(sight: &Sight, block: usize, scores: &mut [f32]) = hide; }

#[inline(always)]
fn hide(sight: &Sight, block: usize, scores: &mut [f32]) {
    sight.hide(block, scores);
}

widest! {
    fn wide_slope<T: Multiplied>(scores: &[f32], slopes: &[f32], column: &Slopes, to: [&mut [T]; 3]) = slope;
}

/// With `p = exp(s scale - log)`: `p`, and `ds = p (dp - along) scale` by rows and as a right side.
#[inline(always)]
fn slope<T: Multiplied>(scores: &[f32], slopes: &[f32], column: &Slopes, [p, ds, right]: [&mut [T]; 3]) {
    let (scale, log, along) = (column.scale, &column.log, &column.along);
    let rows = scores.as_chunks::<SIDE>().0.iter().zip(slopes.as_chunks::<SIDE>().0);
    for ((s, d), (p, ds)) in rows.zip(p.as_chunks_mut::<SIDE>().0.iter_mut().zip(ds.as_chunks_mut::<SIDE>().0)) {
        for i in 0..SIDE {
            let share = exp((s[i] * scale - log[i]).min(0.0));
            p[i] = T::store(share);
            ds[i] = T::store(share * (d[i] - along[i]) * scale);
        }
    }
    if T::TOGETHER == 2 {
        for ([even, odd], to) in
            ds.as_chunks::<SIDE>().0.as_chunks::<2>().0.iter().zip(right.as_chunks_mut::<2>().0.chunks_exact_mut(SIDE))
        {
            for i in 0..SIDE {
                to[i] = [even[i], odd[i]];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{attention, attention_backward, stored::Bf16};
    use tch::{Device, Kind};

    /// Attention and its gradients in f32 by libtorch's graph, from the same rounded inputs.
    fn exactly(
        [q, k, v]: [&Tensor; 3],
        d_out: &Tensor,
        groups: &[Placed],
        window: Option<usize>,
    ) -> (Tensor, [Tensor; 3]) {
        let leaves = [q, k, v].map(|t| t.to_kind(Kind::Float).set_requires_grad(true));
        let times = q.size()[1] / k.size()[1];
        let n = q.size()[0];
        let mut outs = Vec::new();
        for place in groups {
            let rows = |t: &Tensor| t.narrow(0, place.start as i64, place.rows() as i64).transpose(0, 1);
            let many = |t: &Tensor| rows(t).repeat_interleave_self_int(times, 0, None::<i64>);
            let size = place.rows();
            let mut mask = vec![f32::NEG_INFINITY; size * size];
            for (row, ranges) in mask.chunks_exact_mut(size).zip(seen(place, window)) {
                ranges.into_iter().for_each(|(from, to)| row[from..to].fill(0.0));
            }
            let mask = Tensor::from_slice(&mask).view([size as i64, size as i64]);
            let scores = rows(&leaves[0]).matmul(&many(&leaves[1]).transpose(1, 2)) / (q.size()[2] as f64).sqrt();
            let out = (scores + mask).softmax(2, Kind::Float).matmul(&many(&leaves[2]));
            outs.push(out.transpose(0, 1).flatten(1, 2));
        }
        let out = Tensor::cat(&outs, 0);
        (&out * d_out.narrow(0, 0, out.size()[0])).sum(Kind::Float).backward();
        let rest = n - out.size()[0];
        let out = out.detach().constant_pad_nd([0, 0, 0, rest]);
        (out, leaves.map(|t| t.grad()))
    }

    /// Trees, windows, shared keys, lengths that fill no block, rows of no group: as exact as rounding to the kind allows.
    #[test]
    fn blocks_are_attention() {
        blocks_are_attention_of::<Bf16>(6e-3);
        blocks_are_attention_of::<f32>(5e-6);
    }

    fn blocks_are_attention_of<T: Multiplied>(most: f64) {
        if !reads(T::FORM) {
            eprintln!("skipped: this processor has no units for {:?}", T::KIND);
            return;
        }
        tch::manual_seed(5);
        let place = |start, shared, rests: &[usize]| Placed { start, prefix: 0, shared, rests: rests.to_vec() };
        for (heads, kv_heads, dim, window) in
            [(8, 8, 64, None), (8, 2, 64, Some(70)), (4, 4, 128, None), (16, 4, 32, Some(200))]
        {
            let groups = [place(0, 100, &[61, 90]), place(251, 0, &[128]), place(379, 130, &[1, 300])];
            let n = 379 + 431 + 6;
            let random = |heads: i64| Tensor::randn([n, heads, dim], (Kind::Float, Device::Cpu)).to_kind(T::KIND);
            let (q, k, v) = (random(heads), random(kv_heads), random(kv_heads));
            let d_out = random(heads).flatten(1, 2);
            assert!(groups.iter().all(|g| serves::<T>(g, &q)), "this is what is tested");
            let (want, gradients) = exactly([&q, &k, &v], &d_out.to_kind(Kind::Float), &groups, window);
            let (out, log) = attention(&q, &k, &v, &groups, window);
            let got = attention_backward([&q, &k, &v], &out, &log, &d_out, &groups, window);
            let names = ["out", "d_q", "d_k", "d_v"];
            let pairs = [(&out, &want), (&got[0], &gradients[0]), (&got[1], &gradients[1]), (&got[2], &gradients[2])];
            for (name, (got, want)) in names.iter().zip(pairs) {
                let apart = (got.to_kind(Kind::Float) - want).norm().double_value(&[]) / want.norm().double_value(&[]);
                assert!(apart < most, "{name} of {heads} heads of {dim}, window {window:?}: {apart}");
            }
        }
    }
}
