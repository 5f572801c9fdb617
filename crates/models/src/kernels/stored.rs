//! Values as tensors store them, and what vector code needs of them.

use std::marker::PhantomData;
use tch::{Device, Kind, Tensor};

/// A stored value that is computed with in f32.
pub(super) trait Stored: Copy + Send + Sync {
    const KIND: Kind;
    /// Whether bf16 leaves something of a value.
    const SPLIT: bool = true;
    fn load(self) -> f32;
    fn store(x: f32) -> Self;
    /// The bits of the nearest bf16, and of the nearest to what that leaves.
    #[inline(always)]
    fn halves(self) -> (u16, u16) {
        let high = Bf16::store(self.load());
        (high.0, Bf16::store(self.load() - high.load()).0)
    }
}

impl Stored for f32 {
    const KIND: Kind = Kind::Float;
    #[inline(always)]
    fn load(self) -> f32 {
        self
    }
    #[inline(always)]
    fn store(x: f32) -> Self {
        x
    }
}

/// bf16 by its bits.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Bf16(u16);

impl Stored for Bf16 {
    const KIND: Kind = Kind::BFloat16;
    const SPLIT: bool = false;
    #[inline(always)]
    fn halves(self) -> (u16, u16) {
        (self.0, 0)
    }
    #[inline(always)]
    fn load(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
    /// Rounds to nearest even. A value that is not a number stays none: its quiet bit is set, not carried away.
    #[inline(always)]
    fn store(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
        let quiet = (bits >> 16) as u16 | 0x40;
        Self(if x.is_nan() { quiet } else { rounded })
    }
}

/// Bytes of codes: only their memory is used.
impl Stored for u8 {
    const KIND: Kind = Kind::Uint8;
    #[inline(always)]
    fn load(self) -> f32 {
        f32::from(self)
    }
    #[inline(always)]
    fn store(x: f32) -> Self {
        x as Self
    }
}

/// Running values of a reduction, so that it has no chain through every element.
pub(super) const LANES: usize = 16;

/// `e^x` for `x <= 0` within two units in the last place, without a branch, so that the compiler vectorises it.
///
/// Cody-Waite reduction by `ln 2` and a polynomial of degree 6 on `[-ln2/2, ln2/2]`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    let x = x.max(-87.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = n.mul_add(-0.693_145_75, x);
    let r = n.mul_add(-1.428_606_8e-6, r);
    let mut p = 1.0f32 / 720.0;
    for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p.mul_add(r, c);
    }
    // The integer sits in the low bits of the shifted value; moved into the exponent it scales by 2^n.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    p * scale
}

/// `1 / (1 + e^-x)`, through the exponential of `-|x|`, which cannot overflow.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let s = 1.0 / (1.0 + e);
    if x < 0.0 { e * s } else { s }
}

/// Sum of `f(i)` over `0..n` in [`LANES`] running values.
#[inline(always)]
pub(super) fn sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let whole = n - n % LANES;
    let mut from = 0;
    while from < whole {
        for (lane, s) in lanes.iter_mut().enumerate() {
            *s += f(from + lane);
        }
        from += LANES;
    }
    let mut total = lanes.iter().sum::<f32>();
    for i in whole..n {
        total += f(i);
    }
    total
}

/// Side of the squares that [`exchange`] turns in registers.
pub(super) const SQUARE: usize = 16;

/// A square with its sides exchanged; rows of `to` are `apart` values apart.
#[inline(always)]
pub(super) fn turn_square<I: Copy>(rows: &[[I; SQUARE]; SQUARE], to: &mut [I], apart: usize) {
    for column in 0..SQUARE {
        let values: [I; SQUARE] = std::array::from_fn(|row| rows[row][column]);
        to[column * apart..][..SQUARE].copy_from_slice(&values);
    }
}

/// `to[column][i] = row(i)[column]` of the first columns of so many rows; rows of `to` are `apart` values apart.
#[inline(always)]
pub(super) fn exchange<'a, I: Copy + 'a>(
    [rows, columns]: [usize; 2],
    row: impl Fn(usize) -> &'a [I],
    to: &mut [I],
    apart: usize,
) {
    for from in (0..rows).step_by(SQUARE) {
        let upto = rows.min(from + SQUARE);
        let whole = if upto - from == SQUARE { columns - columns % SQUARE } else { 0 };
        for column in (0..whole).step_by(SQUARE) {
            let square = std::array::from_fn(|i| {
                let row = &row(from + i)[column..][..SQUARE];
                std::array::from_fn(|j| row[j])
            });
            turn_square(&square, &mut to[column * apart + from..], apart);
        }
        for i in from..upto {
            for (x, column) in row(i)[whole..columns].iter().zip(whole..) {
                to[column * apart + i] = *x;
            }
        }
    }
}

/// Defines a function that runs an `#[inline(always)]` one compiled for the widest vectors of this processor.
///
/// A closure handed to one such function would not do: unless the compiler happens to inline it, its body is compiled
/// without the vectors, and every fused multiply-add becomes a call.
macro_rules! widest {
    ($(#[$meta:meta])* fn $name:ident<$($g:ident $(: $bound:ident)?),*>($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $body:ident;) => {
        $(#[$meta])*
        #[inline]
        #[expect(unsafe_code, reason = "calls of functions whose processor features were just detected")]
        fn $name<$($g: Stored $(+ $bound)?),*>($($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                $(#[$meta])*
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
                fn avx512<$($g: Stored $(+ $bound)?),*>($($arg: $type),*) $(-> $out)? {
                    $body($($arg),*)
                }
                $(#[$meta])*
                #[target_feature(enable = "avx2,fma")]
                fn avx2<$($g: Stored $(+ $bound)?),*>($($arg: $type),*) $(-> $out)? {
                    $body($($arg),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                {
                    // SAFETY: the features are there; every processor with them has FMA.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the features are there.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}
pub(super) use widest;

/// A tensor's own memory as rows, which threads take in disjoint chunks.
pub(super) struct Rows<'a, T> {
    start: *mut T,
    values: usize,
    /// Values of a row.
    pub(super) width: usize,
    tensor: PhantomData<&'a Tensor>,
}

#[expect(unsafe_code, reason = "shared by reference only through `chunk`, whose caller keeps chunks apart")]
// SAFETY: see `chunk`.
unsafe impl<T: Send> Sync for Rows<'_, T> {}

impl<'a, T: Stored> Rows<'a, T> {
    /// The memory of a contiguous tensor of `T` on the processor.
    pub(super) fn of(t: &'a Tensor, width: usize) -> Self {
        assert!(t.kind() == T::KIND && t.is_contiguous() && t.device() == Device::Cpu, "a kernel's own tensor");
        let values = t.numel();
        assert!(width > 0 && values.is_multiple_of(width), "whole rows");
        Self { start: t.data_ptr().cast(), values, width, tensor: PhantomData }
    }
}

impl<T> Rows<'_, T> {
    pub(super) const fn rows(&self) -> usize {
        self.values / self.width
    }

    /// The address of a row, to read from.
    pub(super) fn address(&self, row: usize) -> *const T {
        assert!(row * self.width <= self.values, "a row inside the tensor");
        self.start.wrapping_add(row * self.width)
    }

    /// Columns `column..column + width` of `rows` rows from `from` on.
    ///
    /// # Safety
    /// As of [`Self::chunk`], by columns.
    #[expect(unsafe_code, reason = "the caller keeps corners apart")]
    pub(super) unsafe fn corner(&self, from: usize, rows: usize, column: usize, width: usize) -> Corner<'_, T> {
        assert!(column + width <= self.width && (from + rows) * self.width <= self.values, "a corner of the tensor");
        let start = self.start.wrapping_add(from * self.width + column);
        Corner { start, rows, width, apart: self.width, tensor: PhantomData }
    }

    /// Rows `from..to`.
    ///
    /// # Safety
    /// Rows of a tensor that is written are in one live chunk at a time.
    #[expect(unsafe_code, clippy::mut_from_ref, reason = "the caller keeps chunks apart")]
    #[inline(always)]
    pub(super) unsafe fn chunk(&self, from: usize, to: usize) -> &mut [T] {
        assert!(from <= to && to * self.width <= self.values, "rows inside the tensor");
        // SAFETY: inside the tensor's memory, which outlives `self`; exclusive by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from * self.width), (to - from) * self.width) }
    }
}

/// Some columns of some rows, one task's own.
pub(super) struct Corner<'a, T> {
    start: *mut T,
    rows: usize,
    width: usize,
    apart: usize,
    tensor: PhantomData<&'a mut T>,
}

impl<T> Corner<'_, T> {
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// The columns of a row.
    #[expect(unsafe_code, reason = "rows were measured when the corner was cut")]
    #[inline(always)]
    pub(super) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "a row of the corner");
        // SAFETY: inside the tensor's memory by `Rows::corner`, and borrowed from `self`, which is the only way here.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.apart), self.width) }
    }
}

impl<'a> Rows<'a, u32> {
    /// A contiguous bf16 tensor, two values at a time.
    ///
    /// # Safety
    /// Its memory is aligned to four bytes.
    #[expect(unsafe_code, reason = "the caller answers for the alignment")]
    pub(super) unsafe fn of_pairs(t: &'a Tensor) -> Self {
        let Rows { start, values, .. } = Rows::<Bf16>::of(t, 1);
        assert!(values.is_multiple_of(2), "whole pairs");
        Self { start: start.cast(), values: values / 2, width: 1, tensor: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units() {
        for i in 0..200_000 {
            let x = -(i as f32) * 87.0 / 200_000.0;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!(((got - want) / want).abs() < 2.5e-7, "exp({x}) = {got}, expected {want}");
        }
    }

    #[test]
    fn bf16_rounds_as_libtorch() {
        let values: Vec<f32> =
            (0..4000).map(|i| (i as f32 - 2000.0) * 1.001_7e-3).chain([f32::INFINITY, 3.4e38]).collect();
        let torch = Tensor::from_slice(&values).to_kind(Kind::BFloat16).to_kind(Kind::Float);
        for (i, &x) in values.iter().enumerate() {
            assert_eq!(f64::from(Bf16::store(x).load()), torch.double_value(&[i as i64]), "{x}");
        }
        assert!(Bf16::store(f32::NAN).load().is_nan());
    }
}
