//! Matrix products on the processor's bf16 tiles, summed in f32.
//!
//! libtorch's own products bring a weight into the tiles' order every time, round every sum that a product adds to, and
//! multiply f32 without the tiles. Here a product is a sum of products ([`Term`]): a weight's and its adapter's, or those of
//! all projections that read one input, added up before anything is rounded. In f32 a value is the sum of two bf16
//! ([`super::panels`]) and a product is three: 2^-16 of a term is what is left out, twice the speed is what it brings.
//!
//! Every value is summed in one order whatever the number of threads.

use super::{
    by_kind,
    panels::{PANEL, Panels, PanelsView, split},
    stored::{Bf16, Corner, Rows, Stored, widest},
    threads,
};
use std::{ffi::c_int, sync::OnceLock};
use tch::{Device, Kind, Tensor};

#[expect(unsafe_code, reason = "declared as in shim/tiles.cpp")]
unsafe extern "C" {
    fn rampart_tiles_serve() -> c_int;
    fn rampart_tiles_product(
        m: i64,
        n: i64,
        k: i64,
        lda: i64,
        ldb: i64,
        ldc: i64,
        add: c_int,
        a: *const Bf16,
        b: *const Bf16,
        c: *mut f32,
    ) -> c_int;
    fn rampart_tiles_release();
}

/// Whether this processor has bf16 tiles that libtorch drives.
#[expect(unsafe_code, reason = "the call into the shim")]
pub(crate) fn tiles_serve() -> bool {
    static SERVE: OnceLock<bool> = OnceLock::new();
    // SAFETY: it takes nothing and catches what it meets.
    *SERVE.get_or_init(|| unsafe { rampart_tiles_serve() } != 0)
}

/// Rows of the largest block: its sums, a panel wide, stay in the second cache.
const BLOCK: usize = 256;

/// Panels that one task multiplies a block of rows with.
const GROUP: usize = 8;

/// Bytes of a block's left side that stay in the second cache beside a panel.
const LEFT_BYTES: usize = 768 << 10;

/// A left side, `[rows, k]`, ready for the tiles.
#[derive(Debug)]
pub(crate) struct Factor {
    high: Tensor,
    low: Option<Tensor>,
    rows: usize,
    k: usize,
}

impl Factor {
    /// Of a contiguous matrix, f32 or bf16; bf16 shares its memory.
    pub(crate) fn of(t: &Tensor) -> Self {
        let size = t.size();
        let (rows, k) = (size[0] as usize, size[1] as usize);
        if t.kind() == Kind::BFloat16 {
            return Self { high: t.shallow_clone(), low: None, rows, k };
        }
        let (high, low) = split(t);
        Self { high, low: Some(low), rows, k }
    }

    fn view(&self) -> FactorView<'_> {
        let low = self.low.as_ref().map(|t| Rows::of(t, self.k));
        FactorView { high: Rows::of(&self.high, self.k), low, k: self.k }
    }
}

/// A [`Factor`] as threads read it.
struct FactorView<'a> {
    high: Rows<'a, Bf16>,
    low: Option<Rows<'a, Bf16>>,
    k: usize,
}

/// One product of a sum.
pub(crate) type Term<'a> = (&'a Factor, &'a Panels);

/// Pointers of a product of bf16, and `k`.
type Piece = (*const Bf16, *const Bf16, usize);

/// The products of bf16 that a block of rows from `row` on and a panel ask for, smallest first.
fn pieces(terms: &[(FactorView, PanelsView)], row: usize, panel: usize) -> impl Iterator<Item = Piece> {
    terms.iter().flat_map(move |(left, right)| {
        let (high, low) = right.panel(panel);
        let whole = left.high.address(row);
        let of_left = left.low.as_ref().map(|rest| (rest.address(row), high, left.k));
        [of_left, low.map(|low| (whole, low, left.k)), Some((whole, high, left.k))].into_iter().flatten()
    })
}

/// Sums of a block and a panel.
struct Sums(Box<[f32]>);

impl Sums {
    fn new() -> Self {
        Self(vec![0.0; BLOCK * PANEL].into_boxed_slice())
    }

    /// Adds up the pieces for `m` rows and `n` columns; rows of sums are [`PANEL`] apart.
    #[expect(unsafe_code, reason = "the call into the shim")]
    fn add_up(&mut self, pieces: impl Iterator<Item = Piece>, m: usize, n: usize) {
        assert!(m <= BLOCK && n <= PANEL, "a block and a panel");
        for (i, (a, b, k)) in pieces.enumerate() {
            // SAFETY: `a` has `m` rows of `k`, `b` is a panel of `n` columns and `k` rows, both alive; the sums are
            // this task's own.
            let done = unsafe {
                rampart_tiles_product(
                    m as i64,
                    n as i64,
                    k as i64,
                    k as i64,
                    n as i64,
                    PANEL as i64,
                    c_int::from(i > 0),
                    a,
                    b,
                    self.0.as_mut_ptr(),
                )
            };
            assert!(done != 0, "libtorch refused a product that it made before");
        }
    }
}

/// `sums = left right`, or added to them: `left` is `[m, k]`, `right` `[k / 2][n][2]`, `sums` `[m, n]`, all without gaps.
#[expect(unsafe_code, reason = "the call into the shim")]
pub(super) fn tile_product([m, n, k]: [usize; 3], left: *const Bf16, right: *const Bf16, sums: &mut [f32], add: bool) {
    assert!(sums.len() >= m * n, "room for the sums");
    let [m, n, k] = [m, n, k].map(|x| x as i64);
    // SAFETY: callers hand over the sides' memory, alive and of these shapes; the sums are theirs alone.
    let done = unsafe { rampart_tiles_product(m, n, k, k, n, n, c_int::from(add), left, right, sums.as_mut_ptr()) };
    assert!(done != 0, "libtorch refused a product that it made before");
}

/// Gives the tiles back when a task ends.
pub(super) struct Tiles;

impl Drop for Tiles {
    #[expect(unsafe_code, reason = "the call into the shim")]
    fn drop(&mut self) {
        // SAFETY: it takes nothing and catches what it meets.
        unsafe { rampart_tiles_release() }
    }
}

/// What a product adds to: nothing, a row for all (`[n]`, f32), or a matrix that becomes the result.
#[derive(Debug)]
pub(crate) enum Onto {
    Nothing,
    Row(Tensor),
    Matrix(Tensor),
}

/// `sum of left right`, `[rows, n]` in `kind`.
pub(crate) fn product(terms: &[Term], onto: Onto, kind: Kind) -> Tensor {
    by_kind!(kind, T => sum_of::<T>(terms, onto))
}

#[expect(unsafe_code, reason = "every block of rows and panels is taken once")]
fn sum_of<T: Stored>(terms: &[Term], onto: Onto) -> Tensor {
    let (rows, n, shape) = (terms[0].0.rows, terms[0].1.n, terms[0].1.shape());
    for (left, right) in terms {
        assert!(left.rows == rows && right.n == n && left.k == right.k, "terms of one shape");
    }
    let terms: Vec<_> = terms.iter().map(|(left, right)| (left.view(), right.view())).collect();
    let (bias, out, add) = match onto {
        Onto::Nothing => (None, None, false),
        Onto::Row(bias) => (Some(bias.to_kind(Kind::Float)), None, false),
        Onto::Matrix(t) => (None, Some(t), true),
    };
    let out = out.unwrap_or_else(|| Tensor::empty([rows as i64, n as i64], (T::KIND, Device::Cpu)));
    let to = Rows::<T>::of(&out, n);
    assert!(to.rows() == rows, "a result of the terms' shape");
    let bias_row = bias.as_ref().map(|b| Rows::<f32>::of(b, n));
    let bytes: usize = terms.iter().map(|(left, _)| left.k * if left.low.is_some() { 4 } else { 2 }).sum();
    let block = (LEFT_BYTES / bytes.max(1) / 32 * 32).clamp(64, BLOCK);
    let panels = shape.count();
    let (blocks, groups) = (rows.div_ceil(block), panels.div_ceil(GROUP));
    threads::each(blocks * groups, |task| {
        let (from, group) = (task / groups * block, task % groups * GROUP);
        let m = block.min(rows - from);
        let mut sums = Sums::new();
        let _tiles = Tiles;
        for panel in group..panels.min(group + GROUP) {
            let (column, width) = (panel * PANEL, shape.width(panel));
            sums.add_up(pieces(&terms, from, panel), m, width);
            // SAFETY: biases are only read.
            let bias = bias_row.as_ref().map(|b| &unsafe { b.chunk(0, 1) }[column..column + width]);
            // SAFETY: these columns of these rows belong to this task alone.
            let y = unsafe { to.corner(from, m, column, width) };
            wide_place(&sums.0, bias, y, add);
        }
    });
    out
}

widest! { fn wide_place<T>(sums: &[f32], bias: Option<&[f32]>, y: Corner<'_, T>, add: bool) = place; }

/// Rounds the sums of a block once, onto what they are added to.
#[inline(always)]
fn place<T: Stored>(sums: &[f32], bias: Option<&[f32]>, mut y: Corner<'_, T>, add: bool) {
    for (row, sums) in sums.chunks_exact(PANEL).take(y.rows()).enumerate() {
        let y = y.row(row);
        let sums = &sums[..y.len()];
        match (bias, add) {
            (_, true) => y.iter_mut().zip(sums).for_each(|(y, s)| *y = T::store(y.load() + s)),
            (None, false) => y.iter_mut().zip(sums).for_each(|(y, s)| *y = T::store(*s)),
            (Some(bias), false) => y.iter_mut().zip(sums).zip(bias).for_each(|((y, s), b)| *y = T::store(s + b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: i64, columns: i64, kind: Kind) -> Tensor {
        Tensor::randn([rows, columns], (Kind::Float, Device::Cpu)).to_kind(kind)
    }

    fn worst(got: &Tensor, want: &Tensor) -> f64 {
        let scale = want.abs().max().double_value(&[]);
        (got.to_kind(Kind::Double) - want).abs().max().double_value(&[]) / scale
    }

    /// Against products in f64 of the same values: sums of three shapes, tails of every side.
    #[test]
    fn products_are_those_of_f64() {
        if !tiles_serve() {
            eprintln!("skipped: this processor has no bf16 tiles");
            return;
        }
        tch::manual_seed(3);
        let exact = |t: &Tensor| t.to_kind(Kind::Double);
        for kind in [Kind::Float, Kind::BFloat16] {
            // Sums are rounded once, to the kind.
            let most = if kind == Kind::Float { 2e-5 } else { 4e-3 };
            for (rows, k, n, r) in
                [(40, 2, 9, 2), (300, 96, 130, 16), (257, 770, 64, 6), (65, 34, 600, 8), (16, 2048, 3, 2)]
            {
                let (x, w) = (random(rows, k, kind), random(n, k, kind));
                let (low, b) = (random(rows, r, kind), random(r, n, kind));
                let bias = random(1, n, Kind::Float).squeeze_dim(0);
                let (fx, fl) = (Factor::of(&x), Factor::of(&low));
                let (pw, pb) = (Panels::of_transposed(&w), Panels::of(&b));
                let want = exact(&x).matmul(&exact(&w).tr()) + exact(&low).matmul(&exact(&b));
                let plain = product(&[(&fx, &pw), (&fl, &pb)], Onto::Nothing, kind);
                assert!(worst(&plain, &want) < most, "{kind:?} {rows} {k} {n}");
                let with_bias = product(&[(&fx, &pw), (&fl, &pb)], Onto::Row(bias.shallow_clone()), kind);
                assert!(worst(&with_bias, &(&want + &bias)) < most, "{kind:?} {rows} {k} {n}");
                let before = random(rows, n, kind);
                let added = product(&[(&fx, &pw), (&fl, &pb)], Onto::Matrix(before.copy()), kind);
                assert!(worst(&added, &(&want + exact(&before))) < most, "{kind:?} {rows} {k} {n}");
            }
        }
    }

    /// A checkpoint of bf16 read as f32 is all in the first half, in either order; one value that is not brings the second back.
    #[test]
    fn weights_of_bf16_need_two_products() {
        if !tiles_serve() {
            return;
        }
        tch::manual_seed(4);
        let (x, w) = (random(70, 96, Kind::Float), random(130, 96, Kind::BFloat16).to_kind(Kind::Float));
        let halves = |w: &Tensor| {
            let packed = [Panels::of_transposed(w), Panels::of(&w.tr().contiguous())];
            let kept = packed.iter().filter(|p| p.view().panel(0).1.is_some()).count();
            let want = x.to_kind(Kind::Double).matmul(&w.to_kind(Kind::Double).tr());
            for panels in packed {
                let got = product(&[(&Factor::of(&x), &panels)], Onto::Nothing, Kind::Float);
                assert!(worst(&got, &want) < 2e-5);
            }
            kept
        };
        assert_eq!(halves(&w), 0);
        let _ = w.get(129).get(95).fill_(0.1f64);
        assert_eq!(halves(&w), 2);
    }

    #[test]
    fn threads_change_nothing() {
        if !tiles_serve() {
            return;
        }
        let (x, w) = (random(700, 256, Kind::Float), random(520, 256, Kind::Float));
        let made = || product(&[(&Factor::of(&x), &Panels::of_transposed(&w))], Onto::Nothing, Kind::Float);
        let before = tch::get_num_threads();
        let several = made();
        tch::set_num_threads(1);
        let one = made();
        tch::set_num_threads(before);
        assert!(several.equal(&one));
    }
}
