//! A head's rows cut into blocks of 64, in the orders in which the processor's kernels read the sides of products.

use super::{
    stored::{Stored, exchange, widest},
    tiles::Multiplied,
};
use std::marker::PhantomData;

/// Rows of a block: queries or keys.
pub(super) const SIDE: usize = 64;

/// Sixteen words of four bytes, a row of a tile.
#[derive(Clone, Copy)]
#[repr(align(64))]
#[expect(dead_code, reason = "lines are read as values, many at once")]
struct Line([u32; 16]);

/// Zeroed memory whose rows stand where tiles read them fastest.
pub(super) struct Values<T> {
    lines: Vec<Line>,
    values: usize,
    of: PhantomData<T>,
}

#[expect(unsafe_code, reason = "lines are words without padding")]
impl<T: Multiplied> Values<T> {
    pub(super) fn new(values: usize) -> Self {
        let lines = (values * size_of::<T>()).div_ceil(size_of::<Line>());
        Self { lines: vec![Line([0; 16]); lines], values, of: PhantomData }
    }

    pub(super) fn all(&mut self) -> &mut [T] {
        // SAFETY: there are lines for so many values, and any bits are an f32 or a bf16, which is all that is multiplied.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.values) }
    }

    /// Address of a value, to read from.
    pub(super) fn at(&self, value: usize) -> *const T {
        assert!(value <= self.values, "inside the memory");
        self.lines.as_ptr().cast::<T>().wrapping_add(value)
    }
}

/// How blocks of rows of a head are laid out.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) dim: usize,
    pub(super) blocks: usize,
}

impl Shape {
    pub(super) fn new(rows: usize, dim: usize) -> Self {
        Self { rows, dim, blocks: rows.div_ceil(SIDE) }
    }

    /// Values of a block, whatever its order.
    pub(super) const fn block(self) -> usize {
        SIDE * self.dim
    }

    fn values<T: Multiplied>(self) -> Values<T> {
        Values::new(self.blocks * self.block())
    }

    pub(super) fn rows_of(self, block: usize) -> std::ops::Range<usize> {
        block * SIDE..self.rows.min((block + 1) * SIDE)
    }
}

/// A head's rows, `[rows, dim]`, in the orders in which products read them; missing rows are zero.
pub(super) struct Head<'a, T> {
    pub(super) shape: Shape,
    pub(super) row: &'a dyn Fn(usize) -> &'a [T],
}

impl<T: Multiplied> Head<'_, T> {
    /// `[block][row][dim]`: the left side of products over `dim`.
    pub(super) fn by_rows(&self) -> Values<T> {
        let mut out = self.shape.values();
        for (i, to) in (0..self.shape.rows).zip(out.all().chunks_exact_mut(self.shape.dim)) {
            to.copy_from_slice((self.row)(i));
        }
        out
    }

    /// `[block][dim][row]`: the left side of products over rows.
    pub(super) fn by_columns(&self) -> Values<T> {
        self.turned::<1>()
    }

    /// `[block][dim / 2][row][2]`, or of f32 `[block][dim][row]`: the right side of products over `dim`.
    pub(super) fn right_by_columns(&self) -> Values<T> {
        if T::TOGETHER == 2 { self.turned::<2>() } else { self.turned::<1>() }
    }

    /// `[block][dim / N][row][N]`.
    fn turned<const N: usize>(&self) -> Values<T> {
        let mut out = self.shape.values();
        let mut rows = [&[][..]; SIDE];
        for (block, to) in out.all().chunks_exact_mut(self.shape.block()).enumerate() {
            let here = self.shape.rows_of(block);
            let rows = &mut rows[..here.len()];
            rows.iter_mut().zip(here).for_each(|(row, i)| *row = (self.row)(i));
            if N == 2 { wide_pairs(rows, to) } else { wide_singles(rows, to) }
        }
        out
    }

    /// `[block][row / 2][dim][2]`, or of f32 `[block][row][dim]`: the right side of products over rows.
    pub(super) fn right_by_rows(&self) -> Values<T> {
        if T::TOGETHER == 1 {
            return self.by_rows();
        }
        let mut out = self.shape.values();
        let none = vec![T::store(0.0); self.shape.dim];
        for (block, to) in out.all().chunks_exact_mut(self.shape.block()).enumerate() {
            let rows = self.shape.rows_of(block);
            for (even, to) in rows.clone().step_by(2).zip(to.chunks_exact_mut(2 * self.shape.dim)) {
                let odd = if even + 1 < rows.end { (self.row)(even + 1) } else { &none };
                for ((to, &a), &b) in to.as_chunks_mut::<2>().0.iter_mut().zip((self.row)(even)).zip(odd) {
                    *to = [a, b];
                }
            }
        }
        out
    }
}

widest! { fn wide_pairs<T: Multiplied>(rows: &[&[T]], to: &mut [T]) = pairs; }
widest! { fn wide_singles<T: Multiplied>(rows: &[&[T]], to: &mut [T]) = singles; }

#[inline(always)]
fn pairs<T: Multiplied>(rows: &[&[T]], to: &mut [T]) {
    turn::<T, 2>(rows, to);
}

#[inline(always)]
fn singles<T: Multiplied>(rows: &[&[T]], to: &mut [T]) {
    turn::<T, 1>(rows, to);
}

/// Columns of `N` values as rows, [`SIDE`] columns long.
#[inline(always)]
fn turn<T: Multiplied, const N: usize>(rows: &[&[T]], to: &mut [T]) {
    let to = to.as_chunks_mut::<N>().0;
    exchange([rows.len(), to.len() / SIDE], |i| rows[i].as_chunks::<N>().0, to, SIDE);
}
