//! Matrix products through the small kernels that libtorch generates for its own attention, summed in f32.
//!
//! libtorch's own products bring a weight into the units' order every time and round every sum that a product adds to. Here a
//! product is a sum of products ([`Term`]): a weight's and its adapter's, or those of all projections that read one input,
//! added up before anything is rounded.
//!
//! What is multiplied is a [`Form`]. bf16 goes to the processor's matrix tiles (AMX) or to its dot products (AVX-512). Where there
//! are tiles a value of f32 is the sum of two bf16 ([`super::panels`]) and a product is three: 2^-16 of a term is what
//! is left out, twice the speed is what it brings. Elsewhere f32 is multiplied as it is, all its bits, by AVX-512; the library that
//! libtorch asks otherwise leaves half of that unused on processors of other makers than its own (95 against 215 GFLOP/s on
//! a core of Zen 5, measured).
//!
//! Every value is summed in one order whatever the number of threads.

use super::{
    by_kind,
    panels::{Form, PANEL, Panels, PanelsView, SLAB, split, stretches, turned},
    stored::{Bf16, Corner, Rows, Stored, widest},
    threads,
};
use std::{ffi::c_int, ops::Range, sync::OnceLock};
use tch::{Device, Kind, Tensor};

#[expect(unsafe_code, reason = "declared as in shim/tiles.cpp")]
unsafe extern "C" {
    fn rampart_tiles_there() -> c_int;
    fn rampart_tiles_serve_pairs() -> c_int;
    fn rampart_tiles_serve_whole() -> c_int;
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
    fn rampart_tiles_whole_product(
        m: i64,
        n: i64,
        k: i64,
        lda: i64,
        ldb: i64,
        ldc: i64,
        add: c_int,
        a: *const f32,
        b: *const f32,
        c: *mut f32,
    ) -> c_int;
    fn rampart_tiles_release();
}

/// Whether this processor has matrix tiles for bf16 that libtorch drives.
#[expect(unsafe_code, reason = "the call into the shim")]
pub(crate) fn matrix_tiles() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    // SAFETY: it takes nothing and catches what it meets.
    *THERE.get_or_init(|| unsafe { rampart_tiles_there() } != 0)
}

/// Whether products of a form are made here, and faster than libtorch makes them.
pub(crate) fn multiplies(form: Form) -> bool {
    // Beside tiles f32 goes to them in halves, or to the library of their maker.
    reads(form) && (form == Form::Pairs || !matrix_tiles())
}

/// Whether this processor has units for a form that libtorch drives.
#[expect(unsafe_code, reason = "the calls into the shim")]
pub(super) fn reads(form: Form) -> bool {
    static READS: OnceLock<[bool; 2]> = OnceLock::new();
    let [pairs, whole] = *READS.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        let [dot, wide] = [is_x86_feature_detected!("avx512bf16"), is_x86_feature_detected!("avx512f")];
        #[cfg(not(target_arch = "x86_64"))]
        let [dot, wide] = [false; 2];
        // SAFETY: they take nothing and catch what they meet.
        unsafe {
            [(matrix_tiles() || dot) && rampart_tiles_serve_pairs() != 0, wide && rampart_tiles_serve_whole() != 0]
        }
    });
    match form {
        Form::Pairs => pairs,
        Form::Whole => whole,
    }
}

/// Rows of the largest block: its sums, a panel wide, stay in the second cache.
const BLOCK: usize = 256;

/// And of the smallest: a kernel of fewer rows spends its time on reading the right side.
const LEAST: usize = 64;

/// Panels that one task multiplies a block of rows with at most.
const GROUP: usize = 8;

/// Bytes of a block's left side that stay in the second cache beside a panel.
const LEFT_BYTES: usize = 768 << 10;

/// Longest `k` of one product: every few rows of a block read all of their panel, which has to stay in the second cache.
///
/// A longer one is cut into slabs of [`SLAB`], for all panels of a task before the next: half of the time of products over a
/// vocabulary (455 and 875 GFLOP/s of bf16 on two cores of Zen 5, measured).
const LONG: usize = 2048;

/// A left side, `[rows, k]`, ready for the tiles.
#[derive(Debug)]
pub(crate) struct Factor {
    /// In the form's kind.
    values: Tensor,
    /// What rounding f32 to that left.
    rest: Option<Tensor>,
    rows: usize,
    k: usize,
    /// Whether it stands as [`turned`] left it.
    turned: bool,
}

impl Factor {
    /// Of a contiguous matrix, f32 or bf16; shares its memory where it is in the form's kind.
    pub(crate) fn of(t: &Tensor, form: Form) -> Self {
        let size = t.size();
        let (rows, k) = (size[0] as usize, size[1] as usize);
        if form == Form::Whole || t.kind() == Kind::BFloat16 {
            return Self { values: t.shallow_clone(), rest: None, rows, k, turned: false };
        }
        let (high, low) = split(t);
        Self { values: high, rest: Some(low), rows, k, turned: false }
    }

    /// Of the transpose of a contiguous matrix in the form's kind. A sum over the rows of a batch, of which there is another
    /// number every time, is made by a few kernels.
    pub(crate) fn of_transposed(t: &Tensor) -> Self {
        let size = t.size();
        let values = by_kind!(t.kind(), T => turned::<T>(t));
        Self { values, rest: None, rows: size[1] as usize, k: size[0] as usize, turned: true }
    }

    fn view(&self) -> FactorView<'_> {
        match self.values.kind() {
            Kind::BFloat16 => {
                FactorView::Pairs { high: Rows::of(&self.values, 1), low: self.rest.as_ref().map(|t| Rows::of(t, 1)) }
            }
            _ => FactorView::Whole(Rows::of(&self.values, 1)),
        }
    }

    /// What `k` is cut into.
    fn slabs(&self, term: usize) -> Vec<Slab> {
        if self.turned {
            return stretches(self.k)
                .map(|at| Slab { term, from: at.start, k: at.len(), left: self.rows * at.start, apart: at.len() })
                .collect();
        }
        let (k, most) = (self.k, if self.k <= LONG { self.k.max(1) } else { SLAB });
        (0..k).step_by(most).map(|from| Slab { term, from, k: most.min(k - from), left: from, apart: k }).collect()
    }

    /// Bytes of a row.
    const fn row_bytes(&self, form: Form) -> usize {
        self.k * if self.rest.is_some() || matches!(form, Form::Whole) { 4 } else { 2 }
    }
}

/// A [`Factor`] as threads read it.
enum FactorView<'a> {
    Pairs { high: Rows<'a, Bf16>, low: Option<Rows<'a, Bf16>> },
    Whole(Rows<'a, f32>),
}

/// One product of a sum.
pub(crate) type Term<'a> = (&'a Factor, &'a Panels);

/// A part of a term, `k` values long from `from` on.
#[derive(Clone, Copy, Debug)]
struct Slab {
    term: usize,
    from: usize,
    k: usize,
    /// Where its first row stands in the left side, and how far its rows are apart.
    left: usize,
    apart: usize,
}

/// What terms are cut into; the second is whether a panel needs them one right after the other.
fn slabs(terms: &[Term]) -> (Vec<Slab>, bool) {
    let cut = terms.iter().enumerate().flat_map(|(term, (left, _))| left.slabs(term)).collect();
    (cut, terms.iter().all(|(left, _)| left.k <= LONG))
}

/// What one kernel makes of a block's `m` rows: all of a whole block, and powers of two of a last one that is shorter. libtorch
/// compiles a kernel for every number of rows, and keeps it; of few rows each (sampling) there are few numbers anyway.
fn parts(m: usize, block: usize, rows: usize) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = m - from;
        let next = if m == block || rows <= LEAST { rest } else { rest.checked_ilog2().map_or(0, |log| 1 << log) };
        from += next;
        (next > 0).then(|| from - next..from)
    })
}

/// The sides of a product that one kernel makes, its `k`, and how far rows of the left side are apart.
enum Piece {
    Pairs(*const Bf16, *const Bf16, usize, usize),
    Whole(*const f32, *const f32, usize, usize),
}

/// The products that a block of rows from `row` on and a panel ask for, smallest first.
fn pieces(
    (left, right): &(FactorView, PanelsView),
    slab: Slab,
    row: usize,
    panel: usize,
    width: usize,
) -> [Option<Piece>; 3] {
    let Slab { from, k: part, left: first, apart, .. } = slab;
    let first = first + row * apart;
    match (left, right) {
        (FactorView::Pairs { high, low }, PanelsView::Pairs { high: right, low: right_low, k }) => {
            let at = panel * PANEL * k + from * width;
            let of_left = low.as_ref().map(|rest| Piece::Pairs(rest.address(first), right.address(at), part, apart));
            let of_right =
                right_low.as_ref().map(|rest| Piece::Pairs(high.address(first), rest.address(at), part, apart));
            [of_left, of_right, Some(Piece::Pairs(high.address(first), right.address(at), part, apart))]
        }
        (FactorView::Whole(left), PanelsView::Whole { values, k }) => {
            let right = values.address(panel * PANEL * k + from * width);
            [Some(Piece::Whole(left.address(first), right, part, apart)), None, None]
        }
        _ => [None, None, None],
    }
}

/// Adds a piece to the sums of a block and a panel, `m` rows and `n` columns with rows [`PANEL`] apart, or puts it there.
#[expect(unsafe_code, reason = "the call into the shim")]
fn add_up(piece: &Piece, m: usize, n: usize, sums: &mut [f32], add: bool) {
    assert!(m <= BLOCK && n <= PANEL && sums.len() >= m * PANEL, "a block and a panel");
    let ([m, n, apart], sums, add) = ([m, n, PANEL].map(|x| x as i64), sums.as_mut_ptr(), c_int::from(add));
    // SAFETY: `a` has `m` rows of at least `k`, `b` is `k` rows of a panel of `n` columns, both alive; the sums are this task's own.
    let done = unsafe {
        match *piece {
            Piece::Pairs(a, b, k, lda) => rampart_tiles_product(m, n, k as i64, lda as i64, n, apart, add, a, b, sums),
            Piece::Whole(a, b, k, lda) => {
                rampart_tiles_whole_product(m, n, k as i64, lda as i64, n, apart, add, a, b, sums)
            }
        }
    };
    assert!(done != 0, "libtorch refused a product that it made before");
}

/// A value that the kernels multiply as it is.
pub(super) trait Multiplied: Stored {
    const FORM: Form;
    /// Values of a column that stand together in a right side.
    const TOGETHER: usize;

    /// `sums = left right`, or added to them: `left` is `[m, k]`, `right` `[k / t][n][t]` with `t` [`Self::TOGETHER`], `sums`
    /// `[m, n]`, all without gaps.
    fn product(sides: [usize; 3], left: *const Self, right: *const Self, sums: &mut [f32], add: bool);

    /// Two neighbouring rows of a right side.
    fn weave<const N: usize>(even: &[f32; N], odd: &[f32; N], to: &mut [Self]);
}

impl Multiplied for Bf16 {
    const FORM: Form = Form::Pairs;
    const TOGETHER: usize = 2;

    #[expect(unsafe_code, reason = "the call into the shim")]
    fn product([m, n, k]: [usize; 3], left: *const Self, right: *const Self, sums: &mut [f32], add: bool) {
        assert!(sums.len() >= m * n, "room for the sums");
        let [m, n, k] = [m, n, k].map(|x| x as i64);
        // SAFETY: callers hand over the sides' memory, alive and of these shapes; the sums are theirs alone.
        let done = unsafe { rampart_tiles_product(m, n, k, k, n, n, c_int::from(add), left, right, sums.as_mut_ptr()) };
        assert!(done != 0, "libtorch refused a product that it made before");
    }

    #[inline(always)]
    fn weave<const N: usize>(even: &[f32; N], odd: &[f32; N], to: &mut [Self]) {
        for ((to, a), b) in to.as_chunks_mut::<2>().0.iter_mut().zip(even).zip(odd) {
            *to = [Self::store(*a), Self::store(*b)];
        }
    }
}

impl Multiplied for f32 {
    const FORM: Form = Form::Whole;
    const TOGETHER: usize = 1;

    #[expect(unsafe_code, reason = "the call into the shim")]
    fn product([m, n, k]: [usize; 3], left: *const Self, right: *const Self, sums: &mut [f32], add: bool) {
        assert!(sums.len() >= m * n, "room for the sums");
        let ([m, n, k], sums) = ([m, n, k].map(|x| x as i64), sums.as_mut_ptr());
        // SAFETY: as above.
        let done = unsafe { rampart_tiles_whole_product(m, n, k, k, n, n, c_int::from(add), left, right, sums) };
        assert!(done != 0, "libtorch refused a product that it made before");
    }

    #[inline(always)]
    fn weave<const N: usize>(even: &[f32; N], odd: &[f32; N], to: &mut [Self]) {
        to[..N].copy_from_slice(even);
        to[N..2 * N].copy_from_slice(odd);
    }
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
    let form = terms[0].1.form();
    for (left, right) in terms {
        assert!(left.rows == rows && right.n == n && left.k == right.k, "terms of one shape");
        let whole = left.values.kind() == Kind::Float;
        assert!(right.form() == form && whole == (form == Form::Whole), "terms of one form");
    }
    let bytes: usize = terms.iter().map(|(left, _)| left.row_bytes(form)).sum();
    let (slabs, whole) = slabs(terms);
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
    let panels = shape.count();
    let (mut block, mut group) = if whole {
        ((LEFT_BYTES / bytes.max(1) / 32 * 32).clamp(LEAST, BLOCK), GROUP)
    } else {
        (BLOCK, panels.div_ceil(panels.div_ceil(GROUP)))
    };
    // Work for every thread; no sum depends on how it is cut.
    while rows.div_ceil(block) * panels.div_ceil(group) < 2 * tch::get_num_threads().max(1) as usize
        && (block > LEAST || group > 1)
    {
        if block > LEAST {
            block = (block / 2).max(LEAST);
        } else {
            group /= 2;
        }
    }
    let together = if whole { 1 } else { group };
    let groups = panels.div_ceil(group);
    threads::each(rows.div_ceil(block) * groups, |task| {
        let (from, group_from) = (task / groups * block, task % groups * group);
        let m = block.min(rows - from);
        let mut sums = vec![0f32; together * block * PANEL];
        let _tiles = Tiles;
        let end = panels.min(group_from + group);
        for first in (group_from..end).step_by(together) {
            let here = first..end.min(first + together);
            for (nth, slab) in slabs.iter().enumerate() {
                for (panel, sums) in here.clone().zip(sums.chunks_exact_mut(block * PANEL)) {
                    let width = shape.width(panel);
                    for part in parts(m, block, rows) {
                        let made = pieces(&terms[slab.term], *slab, from + part.start, panel, width);
                        let sums = &mut sums[part.start * PANEL..part.end * PANEL];
                        for (i, piece) in made.iter().flatten().enumerate() {
                            add_up(piece, part.len(), width, sums, nth + i > 0);
                        }
                    }
                }
            }
            for (panel, sums) in here.zip(sums.chunks_exact(block * PANEL)) {
                let (column, width) = (panel * PANEL, shape.width(panel));
                // SAFETY: biases are only read.
                let bias = bias_row.as_ref().map(|b| &unsafe { b.chunk(0, 1) }[column..column + width]);
                // SAFETY: these columns of these rows belong to this task alone.
                let y = unsafe { to.corner(from, m, column, width) };
                wide_place(sums, bias, y, add);
            }
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

    /// What this processor multiplies, and how far it may be from exact products.
    fn forms() -> Vec<(Kind, Form, f64)> {
        // Sums are rounded once, to the kind.
        let all =
            [(Kind::Float, Form::Pairs, 2e-5), (Kind::Float, Form::Whole, 4e-6), (Kind::BFloat16, Form::Pairs, 4e-3)];
        let here: Vec<_> = all.into_iter().filter(|(_, form, _)| multiplies(*form)).collect();
        if here.is_empty() {
            eprintln!("skipped: this processor has neither bf16 units nor AVX-512");
        }
        here
    }

    /// Against products in f64 of the same values: sums of three shapes, tails of every side.
    #[test]
    fn products_are_those_of_f64() {
        tch::manual_seed(3);
        let exact = |t: &Tensor| t.to_kind(Kind::Double);
        for (kind, form, most) in forms() {
            for (rows, k, n, r) in [
                (40, 2, 9, 2),
                (300, 96, 130, 16),
                (257, 770, 64, 6),
                (65, 34, 600, 8),
                (16, 2048, 3, 2),
                (300, 2562, 700, 4),
            ] {
                let (x, w) = (random(rows, k, kind), random(n, k, kind));
                let (low, b) = (random(rows, r, kind), random(r, n, kind));
                let bias = random(1, n, Kind::Float).squeeze_dim(0);
                let (fx, fl) = (Factor::of(&x, form), Factor::of(&low, form));
                let (pw, pb) = (Panels::of_transposed(&w, form), Panels::of(&b, form));
                let want = exact(&x).matmul(&exact(&w).tr()) + exact(&low).matmul(&exact(&b));
                let plain = product(&[(&fx, &pw), (&fl, &pb)], Onto::Nothing, kind);
                assert!(worst(&plain, &want) < most, "{kind:?} {form:?} {rows} {k} {n}");
                let with_bias = product(&[(&fx, &pw), (&fl, &pb)], Onto::Row(bias.shallow_clone()), kind);
                assert!(worst(&with_bias, &(&want + &bias)) < most, "{kind:?} {form:?} {rows} {k} {n}");
                if form == Form::Whole || (kind == Kind::BFloat16 && rows % 2 == 0) {
                    let turned = product(&[(&Factor::of_transposed(&x), &Panels::of(&low, form))], Onto::Nothing, kind);
                    assert!(worst(&turned, &exact(&x).tr().matmul(&exact(&low))) < most, "{kind:?} {rows} {k} {r}");
                    // Longer than the caches hold of a panel.
                    let (x, low) = (random(3_078, r, kind), random(3_078, 70, kind));
                    let turned = product(&[(&Factor::of_transposed(&x), &Panels::of(&low, form))], Onto::Nothing, kind);
                    assert!(worst(&turned, &exact(&x).tr().matmul(&exact(&low))) < most, "{kind:?} {r}");
                }
                let before = random(rows, n, kind);
                let added = product(&[(&fx, &pw), (&fl, &pb)], Onto::Matrix(before.copy()), kind);
                assert!(worst(&added, &(&want + exact(&before))) < most, "{kind:?} {form:?} {rows} {k} {n}");
            }
        }
    }

    /// A checkpoint of bf16 read as f32 is all in the first half, in either order; one value that is not brings the second back.
    #[test]
    fn weights_of_bf16_need_two_products() {
        if !multiplies(Form::Pairs) {
            return;
        }
        tch::manual_seed(4);
        let form = Form::Pairs;
        let (x, w) = (random(70, 96, Kind::Float), random(130, 96, Kind::BFloat16).to_kind(Kind::Float));
        let halves = |w: &Tensor| {
            let packed = [Panels::of_transposed(w, form), Panels::of(&w.tr().contiguous(), form)];
            let kept = packed.iter().filter(|p| matches!(p.view(), PanelsView::Pairs { low: Some(_), .. })).count();
            let want = x.to_kind(Kind::Double).matmul(&w.to_kind(Kind::Double).tr());
            for panels in packed {
                let got = product(&[(&Factor::of(&x, form), &panels)], Onto::Nothing, Kind::Float);
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
        for (kind, form, _) in forms() {
            let (x, w) = (random(700, 256, kind), random(520, 256, kind));
            let made = || product(&[(&Factor::of(&x, form), &Panels::of_transposed(&w, form))], Onto::Nothing, kind);
            let before = tch::get_num_threads();
            let several = made();
            tch::set_num_threads(1);
            let one = made();
            tch::set_num_threads(before);
            assert!(several.equal(&one), "{kind:?} {form:?}");
        }
    }
}
