//! Frozen weights in four bits: NF4 with double quantisation (Dettmers et al. 2023, arXiv:2305.14314, section 3).
//!
//! Blocks of 64 values in the order of the rows share a scale, the largest of their sizes; a value is the nearest of sixteen
//! quantiles of a normal distribution, times it. Scales, less their mean, are stored in eight bits themselves: blocks of 256
//! share a scale, and a scale is the nearest of 256 numbers that lie the denser the smaller they are. In all 4.127 bits a
//! value. Codes and scales are those of bitsandbytes.

use crate::{Compute, kernels};
use std::sync::LazyLock;
use tch::{Device, Kind, Tensor, no_grad};

/// Values that share a scale.
pub(crate) const BLOCK: usize = 64;

/// Scales that share a scale.
pub(crate) const SCALES: usize = 256;

/// The sixteen values of NF4 (appendix E of the paper).
pub(crate) const LEVELS: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The 256 numbers that scales are stored as (Dettmers et al. 2022, arXiv:2110.02861, section 2.1): seven decades with twice
/// as many numbers in each as in the one below, both signs, zero and one.
static NUMBERS: LazyLock<[f32; 256]> = LazyLock::new(|| {
    let mut all = vec![0.0f32, 1.0];
    for decade in 0..7i32 {
        let steps = 1usize << decade;
        let edge = |i: usize| (0.1 + 0.9 * i as f64 / steps as f64) as f32;
        for i in 0..steps {
            let middle = f64::from((edge(i) + edge(i + 1)) / 2.0) * 10f64.powi(decade - 6);
            all.extend([middle as f32, -middle as f32]);
        }
    }
    all.sort_by(f32::total_cmp);
    std::array::from_fn(|i| all.get(i).copied().unwrap_or(0.0))
});

/// A weight in four bits.
#[derive(Debug)]
pub(crate) struct Nf4 {
    /// Two values a byte, the first in the upper half.
    pub(crate) codes: Tensor,
    /// A number of [`NUMBERS`] for every block.
    pub(crate) scales: Tensor,
    /// A factor for every [`SCALES`] of them, f32.
    pub(crate) factors: Tensor,
    /// Mean of the scales, which is not in them.
    pub(crate) mean: f32,
    pub(crate) shape: [i64; 2],
}

impl Nf4 {
    /// Whether a weight of this shape can stand in whole bytes.
    pub(crate) const fn fits(shape: [i64; 2]) -> bool {
        (shape[0] * shape[1]) % 2 == 0
    }

    /// The nearest weight in four bits, on the device.
    pub(crate) fn of(weight: &Tensor, device: Device) -> Self {
        let shape = [weight.size()[0], weight.size()[1]];
        let values = no_grad(|| weight.to_device(Device::Cpu).to_kind(Kind::Float).contiguous());
        let (codes, scales) = kernels::nearest_of_nf4(&values);
        let mean = scales.iter().map(|&s| f64::from(s)).sum::<f64>() / scales.len().max(1) as f64;
        let mean = mean as f32;
        let mut numbers = Vec::with_capacity(scales.len());
        let mut factors = Vec::new();
        for block in scales.chunks(SCALES) {
            let factor = block.iter().map(|s| (s - mean).abs()).fold(0.0, f32::max);
            factors.push(factor);
            let inverse = if factor > 0.0 { 1.0 / factor } else { 0.0 };
            numbers.extend(block.iter().map(|s| nearest((s - mean) * inverse)));
        }
        let place = |t: Tensor| t.to_device(device);
        Self {
            codes: place(codes),
            scales: place(Tensor::from_slice(&numbers)),
            factors: place(Tensor::from_slice(&factors)),
            mean,
            shape,
        }
    }

    /// The scale of every block.
    pub(crate) fn scales(&self) -> Vec<f32> {
        let numbers: Vec<u8> = Vec::try_from(self.scales.to_device(Device::Cpu)).unwrap_or_default();
        let factors: Vec<f32> = Vec::try_from(self.factors.to_device(Device::Cpu)).unwrap_or_default();
        let scale = |(i, &n): (usize, &u8)| NUMBERS[n as usize] * factors[i / SCALES] + self.mean;
        numbers.iter().enumerate().map(scale).collect()
    }

    /// The weight itself, `[out, in]`, in the compute kind.
    pub(crate) fn weight(&self, compute: Compute) -> Tensor {
        no_grad(|| {
            if compute.device == Device::Cpu {
                return kernels::from_nf4(self, compute.kind);
            }
            let on = |values: &[f32]| Tensor::from_slice(values).to_device(compute.device);
            let n = self.shape[0] * self.shape[1];
            let scales = self.scales.size()[0];
            let factors = self.factors.repeat_interleave_self_int(SCALES as i64, 0, None::<i64>).narrow(0, 0, scales);
            let scales = on(NUMBERS.as_slice()).index_select(0, &self.scales.to_kind(Kind::Int)) * factors
                + f64::from(self.mean);
            let pairs: Vec<f32> = (0..256usize).flat_map(|b| [LEVELS[b >> 4], LEVELS[b & 15]]).collect();
            let values = on(&pairs).view([256, 2]).index_select(0, &self.codes.to_kind(Kind::Int)).flatten(0, -1);
            let scales = scales.repeat_interleave_self_int(BLOCK as i64, 0, None::<i64>).narrow(0, 0, n);
            (values * scales).view(self.shape).to_kind(compute.kind)
        })
    }

    /// Number of values.
    pub(crate) const fn numel(&self) -> usize {
        (self.shape[0] * self.shape[1]) as usize
    }
}

/// Number of the nearest of [`NUMBERS`].
fn nearest(x: f32) -> u8 {
    let above = NUMBERS.partition_point(|&n| n < x).min(255);
    let below = above.saturating_sub(1);
    let nearer = if (NUMBERS[above] - x).abs() < (x - NUMBERS[below]).abs() { above } else { below };
    u8::try_from(nearer).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights;
    use std::collections::BTreeMap;

    /// Codes, scales and values of bitsandbytes (`tests/golden/make_nf4.py`).
    #[test]
    fn equals_bitsandbytes() -> Result<(), Box<dyn std::error::Error>> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nf4.safetensors");
        let golden: BTreeMap<String, Tensor> = weights::read(&path)?.into_iter().collect();
        let own = Nf4::of(&golden["weight"], Device::Cpu);
        let bytes = |t: &Tensor| Vec::<u8>::try_from(t.flatten(0, -1));
        assert_eq!(bytes(&own.codes)?, bytes(&golden["codes"])?);
        assert_eq!(bytes(&own.scales)?, bytes(&golden["scales"])?);
        let far = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        assert!(far(&own.factors, &golden["factors"]) < 1e-7);
        let compute = Compute { device: Device::Cpu, kind: Kind::Float, nf4: true, products: crate::Products::High };
        let bf16 = own.weight(Compute { kind: Kind::BFloat16, ..compute });
        assert!(bf16.equal(&golden["values"]), "{}", far(&bf16, &golden["values"]));
        Ok(())
    }

    #[test]
    fn odd_ends_and_zeros_survive() {
        for shape in [[3, 50], [1, 2], [5, 64], [2, 33]] {
            let compute =
                Compute { device: Device::Cpu, kind: Kind::Float, nf4: true, products: crate::Products::High };
            let weight = Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let back = Nf4::of(&weight, Device::Cpu).weight(compute);
            let largest = weight.abs().max().double_value(&[]);
            assert!((&back - &weight).abs().max().double_value(&[]) < 0.2 * largest);
            let zeros = Nf4::of(&weight.zeros_like(), Device::Cpu).weight(compute);
            assert_eq!(zeros.abs().max().double_value(&[]), 0.0);
        }
    }
}
