//! A matrix in the order in which the processor reads the right side of a product.
//!
//! Columns are cut into panels of [`PANEL`]. In one of bf16 two values of a column that follow each other stand together:
//! `[panel][k / 2][column][2]`; one of f32 is `[panel][k][column]`. Values of f32 may be stood for by two of bf16, the nearest one
//! and the nearest to what that leaves, so that 16 bits of the significand remain ("high" precision in PyTorch's words). Where all
//! values are bf16 as they are, as those of most checkpoints, nothing is left and the second is not kept: products with
//! them are two and not three.

use super::{
    by_kind,
    stored::{Bf16, Rows, SQUARE, Stored, exchange, turn_square, widest},
    threads,
};
use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};
use tch::{Device, Kind, Tensor};

/// Columns of a panel.
pub(super) const PANEL: usize = 64;

/// Rows that are packed at a time: 32 of 64 values and their panels stay in the first cache.
const ROWS: usize = 32;

/// What products multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// bf16, two values at a time; a value of f32 as the sum of two.
    Pairs,
    /// f32 as it is.
    Whole,
}

/// A packed right side, `[k, n]`.
#[derive(Debug)]
pub(crate) struct Panels {
    /// In the form's kind.
    values: Tensor,
    /// What rounding f32 to that left, if anything.
    rest: Option<Tensor>,
    pub(super) k: usize,
    pub(super) n: usize,
}

/// Uninitialised values.
fn room(values: usize, kind: Kind) -> Tensor {
    Tensor::empty([values as i64], (kind, Device::Cpu))
}

impl Panels {
    /// Of a contiguous `[k, n]`, f32 or bf16; `k` even in pairs.
    pub(crate) fn of(t: &Tensor, form: Form) -> Self {
        match form {
            Form::Pairs => by_kind!(t.kind(), T => by_rows::<T>(t)),
            Form::Whole => whole_by_rows(t),
        }
    }

    /// Of the transpose of a contiguous `[n, k]`; `k` even in pairs.
    pub(crate) fn of_transposed(t: &Tensor, form: Form) -> Self {
        match form {
            Form::Pairs => by_kind!(t.kind(), T => by_columns::<T>(t)),
            Form::Whole => whole_by_columns(t),
        }
    }

    fn pairs<T: Stored>(k: usize, n: usize) -> Self {
        assert!(k.is_multiple_of(2), "pairs of rows");
        let room = || room(k * n, Kind::BFloat16);
        Self { values: room(), rest: T::SPLIT.then(room), k, n }
    }

    fn whole(k: usize, n: usize) -> Self {
        Self { values: room(k * n, Kind::Float), rest: None, k, n }
    }

    /// Without the second half where rounding left nothing.
    fn without_empty_half(self, left: &AtomicBool) -> Self {
        Self { rest: self.rest.filter(|_| left.load(Ordering::Relaxed)), ..self }
    }

    pub(super) fn form(&self) -> Form {
        if self.values.kind() == Kind::BFloat16 { Form::Pairs } else { Form::Whole }
    }

    pub(super) const fn shape(&self) -> Shape {
        Shape { n: self.n }
    }

    /// Its memory, for threads to read.
    pub(super) fn view(&self) -> PanelsView<'_> {
        match self.form() {
            Form::Pairs => PanelsView::Pairs {
                high: Rows::of(&self.values, 1),
                low: self.rest.as_ref().map(|t| Rows::of(t, 1)),
                k: self.k,
            },
            Form::Whole => PanelsView::Whole { values: Rows::of(&self.values, 1), k: self.k },
        }
    }
}

/// How columns are cut.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    n: usize,
}

impl Shape {
    /// Number of panels.
    pub(super) const fn count(self) -> usize {
        self.n.div_ceil(PANEL)
    }

    /// Columns of a panel.
    pub(super) const fn width(self, panel: usize) -> usize {
        let rest = self.n - panel * PANEL;
        if rest < PANEL { rest } else { PANEL }
    }
}

/// [`Panels`] as threads read them.
pub(super) enum PanelsView<'a> {
    Pairs { high: Rows<'a, Bf16>, low: Option<Rows<'a, Bf16>>, k: usize },
    Whole { values: Rows<'a, f32>, k: usize },
}

/// Pairs of values as their tiles hold them.
#[expect(unsafe_code, reason = "a pair is two values of half its size")]
fn pairs(t: Option<&Tensor>) -> Option<Rows<'_, u32>> {
    // SAFETY: `room` makes tensors of an even number of values, aligned to 64 bytes.
    t.map(|t| unsafe { Rows::<u32>::of_pairs(t) })
}

widest! { fn wide_interleave<T>(even: &[T], odd: &[T], high: &mut [u32], low: &mut [u32]) -> bool = interleave; }

/// Two rows of a panel, and whether rounding left anything of them.
#[inline(always)]
fn interleave<T: Stored>(even: &[T], odd: &[T], high: &mut [u32], low: &mut [u32]) -> bool {
    let n = high.len();
    let (even, odd) = (&even[..n], &odd[..n]);
    for (i, high) in high.iter_mut().enumerate() {
        let ((a, _), (b, _)) = (even[i].halves(), odd[i].halves());
        *high = u32::from(a) | u32::from(b) << 16;
    }
    let mut left = 0;
    if T::SPLIT {
        let low = &mut low[..n];
        for (i, low) in low.iter_mut().enumerate() {
            let ((_, a), (_, b)) = (even[i].halves(), odd[i].halves());
            *low = u32::from(a) | u32::from(b) << 16;
            left |= *low;
        }
    }
    left != 0
}

#[expect(unsafe_code, reason = "every pair of rows is taken once")]
fn by_rows<T: Stored>(t: &Tensor) -> Panels {
    let (k, n) = sides(t);
    let (packed, left) = (Panels::pairs::<T>(k, n), AtomicBool::new(false));
    let source = Rows::<T>::of(t, n);
    let (high, low, shape) = (pairs(Some(&packed.values)), pairs(packed.rest.as_ref()), packed.shape());
    threads::each(k.div_ceil(ROWS), |chunk| {
        for pair in chunk * ROWS / 2..k.min((chunk + 1) * ROWS) / 2 {
            // SAFETY: the source is only read.
            let rows: &[T] = unsafe { source.chunk(2 * pair, 2 * pair + 2) };
            let (even, odd) = rows.split_at(n);
            for panel in 0..shape.count() {
                let (from, width) = (panel * PANEL, shape.width(panel));
                let at = from * k / 2 + pair * width;
                // SAFETY: this pair's rows of every panel are written here alone.
                let high = high.as_ref().map(|rows| unsafe { rows.chunk(at, at + width) }).unwrap_or_default();
                let low = low.as_ref().map(|rows| unsafe { rows.chunk(at, at + width) }).unwrap_or_default();
                if wide_interleave(&even[from..], &odd[from..], high, low) {
                    left.store(true, Ordering::Relaxed);
                }
            }
        }
    });
    packed.without_empty_half(&left)
}

widest! { fn wide_turn<T>(rows: &[T], k: usize, high: &mut [u32], low: &mut [u32]) -> bool = turn; }

/// A panel out of its columns, which are the source's rows, and whether rounding left anything of them.
#[inline(always)]
fn turn<T: Stored>(rows: &[T], k: usize, high: &mut [u32], low: &mut [u32]) -> bool {
    let mut left = 0;
    let width = rows.len() / k;
    let pair = |column: usize, pair: usize| {
        let of = &rows[column * k + 2 * pair..][..2];
        let ((a, c), (b, d)) = (of[0].halves(), of[1].halves());
        (u32::from(a) | u32::from(b) << 16, u32::from(c) | u32::from(d) << 16)
    };
    let squares = |sides: usize| sides - sides % SQUARE;
    for column in (0..squares(width)).step_by(SQUARE) {
        for from in (0..squares(k / 2)).step_by(SQUARE) {
            let (mut of_high, mut of_low) = ([[0u32; SQUARE]; SQUARE], [[0u32; SQUARE]; SQUARE]);
            for i in 0..SQUARE {
                for j in 0..SQUARE {
                    (of_high[i][j], of_low[i][j]) = pair(column + i, from + j);
                }
            }
            let at = from * width + column;
            turn_square(&of_high, &mut high[at..], width);
            if T::SPLIT {
                turn_square(&of_low, &mut low[at..], width);
                left |= of_low.iter().flatten().fold(0, |all, x| all | x);
            }
        }
    }
    // What fills no square: the last pairs of all columns, and all pairs of the last columns.
    for column in 0..width {
        let from = if column < squares(width) { squares(k / 2) } else { 0 };
        for i in from..k / 2 {
            let (of_high, of_low) = pair(column, i);
            high[i * width + column] = of_high;
            if T::SPLIT {
                low[i * width + column] = of_low;
                left |= of_low;
            }
        }
    }
    left != 0
}

#[expect(unsafe_code, reason = "every panel is taken once")]
fn by_columns<T: Stored>(t: &Tensor) -> Panels {
    let (n, k) = sides(t);
    let (packed, left) = (Panels::pairs::<T>(k, n), AtomicBool::new(false));
    let source = Rows::<T>::of(t, k);
    let (high, low, shape) = (pairs(Some(&packed.values)), pairs(packed.rest.as_ref()), packed.shape());
    threads::each(shape.count(), |panel| {
        let (from, width) = (panel * PANEL, shape.width(panel));
        let (at, values) = (from * k / 2, width * k / 2);
        // SAFETY: the source is only read, and this panel is written here alone.
        let rows: &[T] = unsafe { source.chunk(from, from + width) };
        let high = high.as_ref().map(|rows| unsafe { rows.chunk(at, at + values) }).unwrap_or_default();
        let low = low.as_ref().map(|rows| unsafe { rows.chunk(at, at + values) }).unwrap_or_default();
        if wide_turn(rows, k, high, low) {
            left.store(true, Ordering::Relaxed);
        }
    });
    packed.without_empty_half(&left)
}

#[expect(unsafe_code, reason = "every row is taken once")]
fn whole_by_rows(t: &Tensor) -> Panels {
    let (k, n) = sides(t);
    let packed = Panels::whole(k, n);
    let (source, to, shape) = (Rows::<f32>::of(t, n), Rows::<f32>::of(&packed.values, 1), packed.shape());
    threads::each(k.div_ceil(ROWS), |chunk| {
        for row in chunk * ROWS..k.min((chunk + 1) * ROWS) {
            // SAFETY: the source is only read.
            let values: &[f32] = unsafe { source.chunk(row, row + 1) };
            for panel in 0..shape.count() {
                let (from, width) = (panel * PANEL, shape.width(panel));
                let at = from * k + row * width;
                // SAFETY: this row of every panel is written here alone.
                unsafe { to.chunk(at, at + width) }.copy_from_slice(&values[from..from + width]);
            }
        }
    });
    packed
}

/// Longest stretch of [`turned`]'s rows.
pub(super) const SLAB: usize = 512;

/// What `k` is cut into where kernels should be few: whole slabs, and powers of two of the rest.
pub(super) fn stretches(k: usize) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let length = (k - from).checked_ilog2().map(|log| SLAB.min(1 << log))?;
        from += length;
        Some(from - length..from)
    })
}

/// A contiguous `[k, n]` with its sides exchanged, in [`stretches`] of `k`: each is `[n, its length]`, one after the other. So how
/// far rows are apart does not depend on `k`.
#[expect(unsafe_code, reason = "every corner of a stretch is taken once")]
pub(super) fn turned<T: Stored>(t: &Tensor) -> Tensor {
    let (k, n) = sides(t);
    let out = room(k * n, T::KIND);
    let (source, to) = (Rows::<T>::of(t, n), Rows::<T>::of(&out, 1));
    let stretches: Vec<Range<usize>> = stretches(k).collect();
    let chunks = n.div_ceil(ROWS);
    threads::each(stretches.len() * chunks, |task| {
        let (stretch, from) = (&stretches[task / chunks], task % chunks * ROWS);
        let (length, rows) = (stretch.len(), ROWS.min(n - from));
        let at = n * stretch.start + from * length;
        // SAFETY: the source is only read, and these rows of this stretch are written here alone.
        let (values, to): (&[T], _) =
            unsafe { (source.chunk(stretch.start, stretch.end), to.chunk(at, at + rows * length)) };
        wide_corner(values, n, from, to);
    });
    out
}

widest! { fn wide_corner<T>(values: &[T], n: usize, from: usize, to: &mut [T]) = corner; }

/// Columns from `from` on as the rows of `to`, as many as it has room for.
#[inline(always)]
fn corner<T: Stored>(values: &[T], n: usize, from: usize, to: &mut [T]) {
    let length = values.len() / n;
    exchange([length, to.len() / length], |row| &values[row * n + from..(row + 1) * n], to, length);
}

widest! { fn wide_stretch<>(rows: &[f32], k: usize, from: usize, to: &mut [f32]) = stretch; }

/// Columns from `from` on as the rows of `to`.
#[inline(always)]
fn stretch(rows: &[f32], k: usize, from: usize, to: &mut [f32]) {
    let n = rows.len() / k;
    exchange([n, to.len() / n], |row| &rows[row * k + from..(row + 1) * k], to, n);
}

#[expect(unsafe_code, reason = "every panel is taken once")]
fn whole_by_columns(t: &Tensor) -> Panels {
    let (n, k) = sides(t);
    let packed = Panels::whole(k, n);
    let (source, to, shape) = (Rows::<f32>::of(t, k), Rows::<f32>::of(&packed.values, 1), packed.shape());
    threads::each(shape.count(), |panel| {
        let (from, width) = (panel * PANEL, shape.width(panel));
        // SAFETY: the source is only read, and this panel is written here alone.
        let (rows, to): (&[f32], _) =
            unsafe { (source.chunk(from, from + width), to.chunk(from * k, (from + width) * k)) };
        for (chunk, to) in to.chunks_mut(ROWS * width).enumerate() {
            wide_stretch(rows, k, chunk * ROWS, to);
        }
    });
    packed
}

fn sides(t: &Tensor) -> (usize, usize) {
    let size = t.size();
    assert!(size.len() == 2, "a matrix");
    (size[0] as usize, size[1] as usize)
}

/// A matrix as its bf16 halves, in its own order.
pub(super) fn split(t: &Tensor) -> (Tensor, Tensor) {
    let (high, low) = (room(t.numel(), Kind::BFloat16), room(t.numel(), Kind::BFloat16));
    let (rows, width) = sides(t);
    let (source, h, l) = (Rows::<f32>::of(t, width), Rows::<Bf16>::of(&high, width), Rows::<Bf16>::of(&low, width));
    let step = super::rows_a_chunk(width);
    threads::each(rows.div_ceil(step), |chunk| split_rows(&source, &h, &l, chunk * step, rows.min((chunk + 1) * step)));
    let shape = [rows as i64, width as i64];
    (high.view(shape), low.view(shape))
}

#[expect(unsafe_code, reason = "every chunk of rows is taken once")]
fn split_rows(source: &Rows<'_, f32>, high: &Rows<'_, Bf16>, low: &Rows<'_, Bf16>, from: usize, to: usize) {
    // SAFETY: the source is only read, and rows `from..to` are written here alone.
    let (x, high, low) = unsafe { (source.chunk(from, to), high.chunk(from, to), low.chunk(from, to)) };
    wide_halve(x, high, low);
}

widest! { fn wide_halve<>(x: &[f32], high: &mut [Bf16], low: &mut [Bf16]) = halve; }

#[inline(always)]
fn halve(x: &[f32], high: &mut [Bf16], low: &mut [Bf16]) {
    for ((x, high), low) in x.iter().zip(high).zip(low) {
        *high = Bf16::store(*x);
        *low = Bf16::store(*x - high.load());
    }
}
