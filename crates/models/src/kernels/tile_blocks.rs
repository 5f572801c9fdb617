//! A head's rows of bf16 cut into blocks of 64, in the four orders in which the processor's tiles read the sides of products.

use super::stored::{Bf16, Stored};

/// Rows of a block: queries or keys.
pub(super) const SIDE: usize = 64;

/// Sixteen words of four bytes, a row of a tile.
#[derive(Clone, Copy)]
#[repr(align(64))]
#[expect(dead_code, reason = "lines are read as words, many at once")]
struct Line([u32; 16]);

/// Zeroed memory whose rows stand where tiles read them fastest.
pub(super) struct Words(Vec<Line>);

#[expect(unsafe_code, reason = "lines are words without padding")]
impl Words {
    pub(super) fn new(words: usize) -> Self {
        Self(vec![Line([0; 16]); words.div_ceil(16)])
    }

    pub(super) fn words(&mut self) -> &mut [u32] {
        // SAFETY: a line is sixteen words, and nothing else.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 16) }
    }

    pub(super) fn floats(&mut self) -> &mut [f32] {
        // SAFETY: as above; any bits are an f32.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 16) }
    }

    pub(super) fn halves(&mut self) -> &mut [Bf16] {
        // SAFETY: as above, two values a word; any bits are a bf16.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 32) }
    }

    /// Address of a word, to read from.
    pub(super) fn at(&self, word: usize) -> *const Bf16 {
        assert!(word <= self.0.len() * 16, "inside the memory");
        self.0.as_ptr().cast::<u32>().wrapping_add(word).cast()
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

    /// Words of a block in bf16, whatever its order.
    pub(super) const fn block(self) -> usize {
        SIDE * self.dim / 2
    }

    pub(super) fn words(self) -> Words {
        Words::new(self.blocks * self.block())
    }

    pub(super) fn rows_of(self, block: usize) -> std::ops::Range<usize> {
        block * SIDE..self.rows.min((block + 1) * SIDE)
    }
}

/// A head's rows, `[rows, dim]`, in the orders in which products read them; missing rows are zero.
pub(super) struct Head<'a> {
    pub(super) shape: Shape,
    pub(super) row: &'a dyn Fn(usize) -> &'a [Bf16],
}

impl Head<'_> {
    /// `[block][row][dim]`: the left side of products over `dim`.
    pub(super) fn by_rows(&self) -> Words {
        let mut out = self.shape.words();
        for (i, to) in (0..self.shape.rows).zip(out.halves().chunks_exact_mut(self.shape.dim)) {
            to.copy_from_slice((self.row)(i));
        }
        out
    }

    /// `[block][dim][row]`: the left side of products over rows.
    pub(super) fn by_columns(&self) -> Words {
        let mut out = self.shape.words();
        for (block, to) in out.halves().chunks_exact_mut(SIDE * self.shape.dim).enumerate() {
            for (i, row) in self.shape.rows_of(block).enumerate() {
                for (column, &x) in to.chunks_exact_mut(SIDE).zip((self.row)(row)) {
                    column[i] = x;
                }
            }
        }
        out
    }

    /// `[block][dim / 2][row][2]`: the right side of products over `dim`.
    pub(super) fn pairs_of_columns(&self) -> Words {
        let mut out = self.shape.words();
        for (block, to) in out.words().chunks_exact_mut(self.shape.block()).enumerate() {
            for (i, row) in self.shape.rows_of(block).enumerate() {
                for (pair, of) in to.chunks_exact_mut(SIDE).zip((self.row)(row).as_chunks::<2>().0) {
                    pair[i] = both(of[0], of[1]);
                }
            }
        }
        out
    }

    /// `[block][row / 2][dim][2]`: the right side of products over rows.
    pub(super) fn pairs_of_rows(&self) -> Words {
        let mut out = self.shape.words();
        let none = vec![Bf16::store(0.0); self.shape.dim];
        for (block, to) in out.words().chunks_exact_mut(self.shape.block()).enumerate() {
            let rows = self.shape.rows_of(block);
            for (even, to) in rows.clone().step_by(2).zip(to.chunks_exact_mut(self.shape.dim)) {
                let odd = if even + 1 < rows.end { (self.row)(even + 1) } else { &none };
                for ((to, &a), &b) in to.iter_mut().zip((self.row)(even)).zip(odd) {
                    *to = both(a, b);
                }
            }
        }
        out
    }
}

/// Two values as one word, the first below.
#[inline(always)]
pub(super) fn both(a: Bf16, b: Bf16) -> u32 {
    u32::from(a.halves().0) | u32::from(b.halves().0) << 16
}
