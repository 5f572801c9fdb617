//! Weights into four bits and back, a block of 64 at a time.

use super::{
    by_kind,
    stored::{Rows, Stored},
    threads,
};
use crate::nf4::{BLOCK, LEVELS, Nf4};
use tch::{Device, Kind, Tensor};

/// Blocks a thread takes at a time.
const BLOCKS: usize = 512;

/// Codes of a weight, two a byte, and the scale of every block.
pub(crate) fn nearest_of_nf4(values: &Tensor) -> (Tensor, Vec<f32>) {
    let n = values.numel();
    let codes = Tensor::zeros([(n / 2) as i64], (Kind::Uint8, Device::Cpu));
    let blocks = n.div_ceil(BLOCK);
    let scales = Tensor::zeros([blocks as i64], (Kind::Float, Device::Cpu));
    quantise(values, &codes, &scales);
    (codes, Vec::try_from(scales).unwrap_or_default())
}

/// Half way between neighbouring levels: a value's code is how many of these it is above.
fn thresholds() -> [f32; 15] {
    std::array::from_fn(|i| (LEVELS[i] + LEVELS[i + 1]) / 2.0)
}

#[expect(unsafe_code, reason = "every block is taken once")]
fn quantise(values: &Tensor, codes: &Tensor, scales: &Tensor) {
    let n = values.numel();
    let (values, codes, scales) = (Rows::<f32>::of(values, 1), Rows::<u8>::of(codes, 1), Rows::<f32>::of(scales, 1));
    let thresholds = thresholds();
    let blocks = scales.rows();
    threads::each(blocks.div_ceil(BLOCKS), |task| {
        for block in task * BLOCKS..blocks.min((task + 1) * BLOCKS) {
            let (from, to) = (block * BLOCK, n.min((block + 1) * BLOCK));
            // SAFETY: this block's codes and scale belong to this task alone; the values are only read.
            let (values, codes, scale) = unsafe {
                (&*values.chunk(from, to), codes.chunk(from / 2, to / 2), &mut scales.chunk(block, block + 1)[0])
            };
            *scale = values.iter().fold(0.0, |most, v| v.abs().max(most));
            let inverse = if *scale > 0.0 { 1.0 / *scale } else { 0.0 };
            let code = |x: f32| thresholds.iter().map(|&t| u8::from(x * inverse > t)).sum::<u8>();
            for (byte, pair) in codes.iter_mut().zip(values.chunks_exact(2)) {
                *byte = code(pair[0]) << 4 | code(pair[1]);
            }
        }
    });
}

/// The weight `[out, in]` in a kind.
pub(crate) fn from_nf4(weight: &Nf4, kind: Kind) -> Tensor {
    let out = Tensor::empty(weight.shape, (kind, Device::Cpu));
    let scales = weight.scales();
    by_kind!(kind, T => expand::<T>(&weight.codes, &scales, &out));
    out
}

#[expect(unsafe_code, reason = "every block is taken once")]
fn expand<T: Stored>(codes: &Tensor, scales: &[f32], out: &Tensor) {
    let n = out.numel();
    let (codes, out) = (Rows::<u8>::of(codes, 1), Rows::<T>::of(out, 1));
    threads::each(scales.len().div_ceil(BLOCKS), |task| {
        for (block, &scale) in scales.iter().enumerate().skip(task * BLOCKS).take(BLOCKS) {
            let (from, to) = (block * BLOCK, n.min((block + 1) * BLOCK));
            // SAFETY: this block's values belong to this task alone; the codes are only read.
            let (codes, out) = unsafe { (&*codes.chunk(from / 2, to / 2), out.chunk(from, to)) };
            // A block has sixteen values only: made once, each is a look-up.
            let levels: [T; 16] = LEVELS.map(|level| T::store(level * scale));
            for (pair, &byte) in out.chunks_exact_mut(2).zip(codes) {
                pair[0] = levels[usize::from(byte >> 4)];
                pair[1] = levels[usize::from(byte & 15)];
            }
        }
    });
}
