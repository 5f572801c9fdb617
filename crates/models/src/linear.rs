//! A projection with an optional low-rank adapter.

use crate::{
    Compute, Products,
    kernels::{Factor, Form, Onto, Panels, Term, product},
    nf4::Nf4,
};
use std::cell::OnceCell;
use tch::{Kind, Tensor};

/// Low-rank update `scale * B A` of a frozen weight (Hu et al. 2021, arXiv:2106.09685).
#[derive(Debug)]
pub(crate) struct LowRank {
    /// `A`, `[r, in]`, f32.
    pub(crate) a: Tensor,
    /// `B`, `[out, r]`, f32.
    pub(crate) b: Tensor,
    /// `alpha / r`, or `alpha / sqrt(r)` for rsLoRA.
    pub(crate) scale: f64,
    /// Dropout on the adapter's input, training only.
    pub(crate) dropout: f64,
}

impl LowRank {
    /// What it adds to its weight, `[out, in]` in f32.
    pub(crate) fn update(&self) -> Tensor {
        self.b.matmul(&self.a) * self.scale
    }
}

/// A projection's weight `[out, in]`.
#[derive(Debug)]
pub(crate) enum Weight {
    /// In the compute kind when frozen, f32 when trained.
    Dense(Tensor),
    /// Frozen, in four bits: made again for every product.
    Nf4(Nf4),
}

impl Weight {
    /// The weight as products take it; shares storage when it is there already.
    fn get(&self, compute: Compute) -> Tensor {
        match self {
            Self::Dense(t) => cast(t, compute),
            Self::Nf4(t) => t.weight(compute),
        }
    }

    /// The tensor, unless it stands in four bits.
    pub(crate) const fn dense(&self) -> Option<&Tensor> {
        match self {
            Self::Dense(t) => Some(t),
            Self::Nf4(_) => None,
        }
    }

    fn trains(&self) -> bool {
        self.dense().is_some_and(Tensor::requires_grad)
    }

    /// `[out, in]`.
    fn sides(&self) -> [i64; 2] {
        match self {
            Self::Dense(t) => [t.size()[0], t.size()[1]],
            Self::Nf4(t) => t.shape,
        }
    }

    pub(crate) fn numel(&self) -> usize {
        match self {
            Self::Dense(t) => t.numel(),
            Self::Nf4(t) => t.numel(),
        }
    }
}

/// `y = x W^T + bias`, plus the adapter's share.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Weight,
    /// `[out]`.
    pub(crate) bias: Option<Tensor>,
    /// Adapter, if this projection is a target.
    pub(crate) adapter: Option<LowRank>,
    /// A small weight that does not train as products read it: sampling multiplies it with few rows, many times.
    packed: OnceCell<Panels>,
}

/// Values of a weight that is kept in a second order at most: 8 MiB of f32.
const SMALL: usize = 2 << 20;

/// What a forward pass does besides computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Whether adapters take part; without them the model is its own reference.
    pub adapters: bool,
    /// Whether dropout is active.
    pub training: bool,
}

impl Pass {
    /// Inference with adapters.
    pub const INFERENCE: Self = Self { adapters: true, training: false };
    /// Training with adapters.
    pub const TRAINING: Self = Self { adapters: true, training: true };
    /// The frozen model under the adapters: the reference of preference objectives.
    pub const REFERENCE: Self = Self { adapters: false, training: false };
}

/// A tensor in the compute kind; shares storage when it is there already.
pub(crate) fn cast(t: &Tensor, compute: Compute) -> Tensor {
    if t.kind() == compute.kind { t.shallow_clone() } else { t.to_kind(compute.kind) }
}

/// What projections read: a matrix, `[n, in]` in the compute kind, and what the tiles want of it, made once for all of them.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    x: &'a Tensor,
    factor: OnceCell<Factor>,
    panels: OnceCell<Panels>,
}

impl<'a> Input<'a> {
    pub(crate) const fn new(x: &'a Tensor) -> Self {
        Self { x, factor: OnceCell::new(), panels: OnceCell::new() }
    }

    fn factor(&self, compute: Compute) -> &Factor {
        self.factor.get_or_init(|| Factor::of(self.x, compute.form()))
    }

    /// As the right side of a sum over its rows.
    fn panels(&self, compute: Compute) -> &Panels {
        self.panels.get_or_init(|| Panels::of(self.x, compute.form()))
    }
}

/// What a training pass keeps of an adapter's way: nothing `[n, out]` wide.
#[derive(Debug)]
pub(crate) struct Kept {
    /// `scale * x A^T`, `[n, r]`.
    low: Tensor,
    /// The input after dropout, and which of its values stayed.
    dropped: Option<(Tensor, Tensor)>,
}

/// Gradient of an adapter's narrow side, `scale * dy B`, `[n, r]`.
pub(crate) type LowGradient = Option<Tensor>;

/// A projection on the way back: itself, what its adapter kept, and the gradient of what it put out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Back<'a> {
    pub(crate) linear: &'a Linear,
    pub(crate) kept: Option<&'a Kept>,
    pub(crate) d_y: &'a Tensor,
}

impl LowRank {
    /// Which values of its input dropout left, and what they were multiplied with.
    fn undropped<'a>(&self, kept: &'a Kept) -> Option<(&'a Tensor, f64)> {
        kept.dropped.as_ref().map(|(_, stayed)| (stayed, 1.0 / (1.0 - self.dropout)))
    }

    /// One side in the compute kind, with the scale on it: on the smallest of what is multiplied.
    pub(crate) fn scaled(&self, side: &Tensor, compute: Compute) -> Tensor {
        if (self.scale - 1.0).abs() > f64::EPSILON { cast(&(side * self.scale), compute) } else { cast(side, compute) }
    }
}

impl Linear {
    pub(crate) fn new(weight: Weight, bias: Option<Tensor>) -> Self {
        Self { weight, bias, adapter: None, packed: OnceCell::new() }
    }

    /// The weight as products read it, where keeping it so pays for any number of rows.
    fn kept_panels(&self, compute: Compute, pass: Pass) -> Option<&Panels> {
        let weight = self.weight.dense().filter(|w| !w.requires_grad() && w.numel() <= SMALL)?;
        let whole = !pass.training && compute.form() == Form::Whole;
        // Enough rows for the rule about sides alone.
        let suits = whole && compute.tiles(i64::MAX, &weight.size());
        suits.then(|| self.packed.get_or_init(|| Panels::of_transposed(&cast(weight, compute), Form::Whole)))
    }

    /// Whether the tiles make this projection's products over so many rows.
    fn tiles(&self, rows: i64, compute: Compute) -> bool {
        let even = self.adapter.as_ref().is_none_or(|lora| lora.a.size()[0] % 2 == 0);
        even && compute.tiles(rows, &self.weight.sides())
    }

    /// Applies the projection; hands out what [`Self::learn`] wants of the adapter.
    pub(crate) fn forward_keeping(&self, input: &Input, compute: Compute, pass: Pass) -> (Tensor, Option<Kept>) {
        let x = input.x;
        let lora = self.adapter.as_ref().filter(|_| pass.adapters);
        let dropped =
            lora.filter(|lora| pass.training && lora.dropout > 0.0).map(|lora| x.native_dropout(lora.dropout, true));
        let packed = self.kept_panels(compute, pass);
        if packed.is_some() || self.tiles(x.size()[0], compute) {
            return self.forward_on_tiles(input, lora, (dropped, packed), compute);
        }
        let bias = self.bias.as_ref().map(|b| cast(b, compute));
        let mut y = x.linear(&self.weight.get(compute), bias.as_ref());
        let Some(lora) = lora else { return (y, None) };
        let mut low = dropped.as_ref().map_or(x, |d| &d.0).linear::<&Tensor>(&cast(&lora.a, compute), None);
        // The scale goes onto the narrow side: r columns instead of `out`.
        if (lora.scale - 1.0).abs() > f64::EPSILON {
            let _ = low.g_mul_scalar_(lora.scale);
        }
        let _ = y.addmm_(&low, &cast(&lora.b, compute).tr());
        (y, Some(Kept { low, dropped }))
    }

    fn forward_on_tiles(
        &self,
        input: &Input,
        lora: Option<&LowRank>,
        (dropped, packed): (Option<(Tensor, Tensor)>, Option<&Panels>),
        compute: Compute,
    ) -> (Tensor, Option<Kept>) {
        let (kind, form) = (compute.kind, compute.form());
        let made;
        let weight = match packed {
            Some(packed) => packed,
            None => {
                made = Panels::of_transposed(&self.weight.get(compute), form);
                &made
            }
        };
        let onto = self.bias.as_ref().map_or(Onto::Nothing, |b| Onto::Row(cast(b, compute)));
        let Some(lora) = lora else { return (product(&[(input.factor(compute), weight)], onto, kind), None) };
        let a = Panels::of_transposed(&lora.scaled(&lora.a, compute), form);
        let low = match &dropped {
            None => product(&[(input.factor(compute), &a)], Onto::Nothing, kind),
            Some((x, _)) => product(&[(&Factor::of(x, form), &a)], Onto::Nothing, kind),
        };
        let b = Panels::of_transposed(&cast(&lora.b, compute), form);
        let y = product(&[(input.factor(compute), weight), (&Factor::of(&low, form), &b)], onto, kind);
        (y, Some(Kept { low, dropped }))
    }

    /// Gradient of the input that projections share: `dy W` and the adapters' shares, all added up, and to `into`.
    pub(crate) fn input_gradient(ways: &[Back], into: Option<Tensor>, compute: Compute) -> (Tensor, Vec<LowGradient>) {
        if ways.iter().all(|way| way.linear.tiles(way.d_y.size()[0], compute)) {
            return Self::input_gradient_on_tiles(ways, into, compute);
        }
        let mut sum = into;
        let mut lows = Vec::with_capacity(ways.len());
        for way in ways {
            let (d_x, low) = way.linear.own_input_gradient(way.kept, way.d_y, sum.take(), compute);
            sum = Some(d_x);
            lows.push(low);
        }
        (sum.unwrap_or_default(), lows)
    }

    fn input_gradient_on_tiles(ways: &[Back], into: Option<Tensor>, compute: Compute) -> (Tensor, Vec<LowGradient>) {
        let (form, kind) = (compute.form(), compute.kind);
        let mut lows = Vec::with_capacity(ways.len());
        let mut sides = Vec::with_capacity(2 * ways.len());
        // What dropout stands before is not a term of the sum.
        let mut dropped = Vec::new();
        for way in ways {
            let d_y = Factor::of(way.d_y, form);
            let adapter = way.linear.adapter.as_ref().zip(way.kept);
            let low = adapter.map(|(lora, kept)| {
                let b = Panels::of(&lora.scaled(&lora.b, compute), form);
                let d_low = product(&[(&d_y, &b)], Onto::Nothing, kind);
                let side = (Factor::of(&d_low, form), Panels::of(&cast(&lora.a, compute), form));
                (d_low, side, lora.undropped(kept))
            });
            sides.push((d_y, Panels::of(&way.linear.weight.get(compute), form)));
            lows.push(low.map(|(d_low, side, undropped)| {
                match undropped {
                    None => sides.push(side),
                    Some(way) => dropped.push((side, way)),
                }
                d_low
            }));
        }
        let terms: Vec<Term> = sides.iter().map(|(left, right)| (left, right)).collect();
        let mut sum = product(&terms, into.map_or(Onto::Nothing, Onto::Matrix), kind);
        for ((left, right), (stayed, scale)) in &dropped {
            let d = product(&[(left, right)], Onto::Nothing, kind);
            let _ = sum.g_add_(&Tensor::native_dropout_backward(&d, stayed, *scale));
        }
        (sum, lows)
    }

    /// `dy W`, plus the adapter's share, added to `into` where another projection of the same input left its own.
    fn own_input_gradient(
        &self,
        kept: Option<&Kept>,
        d_y: &Tensor,
        into: Option<Tensor>,
        compute: Compute,
    ) -> (Tensor, LowGradient) {
        let weight = self.weight.get(compute);
        let mut d_x = match into {
            Some(mut d_x) => d_x.addmm_(d_y, &weight),
            None => d_y.matmul(&weight),
        };
        let (Some(lora), Some(kept)) = (&self.adapter, kept) else { return (d_x, None) };
        let d_low = Self::low_gradient(lora, d_y, compute);
        let a = cast(&lora.a, compute);
        match lora.undropped(kept) {
            None => drop(d_x.addmm_(&d_low, &a)),
            Some((stayed, scale)) => {
                let d = Tensor::native_dropout_backward(&d_low.matmul(&a), stayed, scale);
                let _ = d_x.g_add_(&d);
            }
        }
        (d_x, Some(d_low))
    }

    fn low_gradient(lora: &LowRank, d_y: &Tensor, compute: Compute) -> Tensor {
        let mut d_low = d_y.matmul(&cast(&lora.b, compute));
        if (lora.scale - 1.0).abs() > f64::EPSILON {
            let _ = d_low.g_mul_scalar_(lora.scale);
        }
        d_low
    }

    /// Adds the gradients of whatever trains in a projection that read `input`; `d_low` is what [`Self::input_gradient`]
    /// returned, where it was called.
    pub(crate) fn learn(way: Back, input: &Input, d_low: LowGradient, compute: Compute) {
        let (Back { linear, kept, d_y }, x) = (way, input.x);
        if let Some(weight) = linear.weight.dense().filter(|w| w.requires_grad()) {
            let there = Some(weight.grad()).filter(Tensor::defined);
            if there.is_some() {
                let _ = weight_gradient(d_y, x, there, compute);
            } else {
                accumulate(weight, &weight_gradient(d_y, x, None, compute));
            }
        }
        if let Some(bias) = linear.bias.as_ref().filter(|b| b.requires_grad()) {
            accumulate(bias, &d_y.sum_dim_intlist(&[0i64][..], false, Kind::Float));
        }
        if let (Some(lora), Some(kept)) = (&linear.adapter, kept) {
            let d_low = d_low.unwrap_or_else(|| Self::low_gradient(lora, d_y, compute));
            if linear.tiles(x.size()[0], compute) && compute.turns(x.size()[0]) {
                let form = compute.form();
                let sum = |left: &Tensor, right: &Panels| {
                    product(&[(&Factor::of_transposed(left), right)], Onto::Nothing, Kind::Float)
                };
                // The narrow side is the one that is turned.
                accumulate(&lora.b, &sum(&kept.low, &Panels::of(d_y, form)).tr());
                let of_a = match &kept.dropped {
                    None => sum(&d_low, input.panels(compute)),
                    Some((x, _)) => sum(&d_low, &Panels::of(x, form)),
                };
                accumulate(&lora.a, &of_a);
                return;
            }
            let x = kept.dropped.as_ref().map_or(x, |d| &d.0);
            // Of large products the narrow side first: libtorch reads the wide one in rows then, and not in columns (twice
            // as fast with 2,048 of them, measured).
            if linear.tiles(x.size()[0], compute) {
                accumulate(&lora.b, &kept.low.tr().matmul(d_y).tr());
            } else {
                accumulate(&lora.b, &d_y.tr().matmul(&kept.low));
            }
            accumulate(&lora.a, &d_low.tr().matmul(x));
        }
    }

    /// Whether anything here trains.
    pub(crate) fn trains(&self) -> bool {
        self.adapter.is_some() || self.weight.trains()
    }

    /// Adds the adapter into the weight, in f32, and drops it.
    pub(crate) fn merge(&mut self) {
        if let Some(lora) = self.adapter.take() {
            self.packed.take();
            let update = lora.update();
            let merged = |t: &Tensor| t.to_kind(Kind::Float) + &update;
            self.weight = match &self.weight {
                Weight::Dense(t) => Weight::Dense(merged(t).to_kind(t.kind()).detach()),
                Weight::Nf4(t) => {
                    let (device, kind) = (t.codes.device(), Kind::Float);
                    let whole = t.weight(Compute { device, kind, nf4: true, products: Products::Highest });
                    Weight::Nf4(Nf4::of(&merged(&whole), device))
                }
            };
        }
    }
}

/// `d^T x`, `[out, in]`: the gradient of a weight, added in place to one that is there.
pub(crate) fn weight_gradient(d: &Tensor, x: &Tensor, there: Option<Tensor>, compute: Compute) -> Tensor {
    let form = compute.form();
    if compute.turns(d.size()[0]) && compute.tiles(d.size()[1], &x.size()[1..]) {
        let onto = there.map_or(Onto::Nothing, Onto::Matrix);
        return product(&[(&Factor::of_transposed(d), &Panels::of(x, form))], onto, Kind::Float);
    }
    let made = d.tr().matmul(x);
    there.map_or_else(|| made.shallow_clone(), |mut t| t.g_add_(&made))
}

/// Adds `d` to the gradient of a trainable tensor.
pub(crate) fn accumulate(t: &Tensor, d: &Tensor) {
    let mut grad = t.grad();
    if grad.defined() {
        let _ = grad.g_add_(d);
    } else {
        // libtorch's interface here cannot set a first gradient; differentiating `sum(t * d)` does.
        tch::with_grad(|| (t * d).sum(Kind::Float).backward());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    const COMPUTE: Compute =
        Compute { device: Device::Cpu, kind: Kind::Float, nf4: false, products: Products::Highest };

    fn random(rows: i64, columns: i64) -> Tensor {
        Tensor::randn([rows, columns], (Kind::Float, Device::Cpu))
    }

    fn apart(got: &Tensor, want: &Tensor) -> f64 {
        (got - want).norm().double_value(&[]) / want.norm().double_value(&[])
    }

    /// Sides on both sides of the rule of [`Compute::tiles`], on its own and added up.
    #[test]
    fn gradients_of_weights_are_products() {
        tch::manual_seed(6);
        for (rows, out, of) in [(300, 256, 130), (77, 200, 128), (9, 4, 6)] {
            let (d, x, before) = (random(rows, out), random(rows, of), random(out, of));
            let want = d.tr().matmul(&x);
            assert!(apart(&weight_gradient(&d, &x, None, COMPUTE), &want) < 1e-6);
            let sum = before.copy();
            let told = weight_gradient(&d, &x, Some(sum.shallow_clone()), COMPUTE);
            for sum in [told, sum] {
                assert!(apart(&sum, &(&before + &want)) < 1e-6, "added in place");
            }
        }
    }

    /// A weight that is kept in a second order is forgotten where an adapter is merged into it.
    #[test]
    fn what_is_kept_of_a_weight_is_the_weight() {
        tch::manual_seed(7);
        let (weight, x) = (random(256, 128), random(5, 128));
        let mut linear = Linear::new(Weight::Dense(weight.copy()), Some(random(1, 256).squeeze_dim(0)));
        linear.adapter = Some(LowRank { a: random(3, 128), b: random(256, 3), scale: 0.5, dropout: 0.0 });
        let of = |linear: &Linear, pass| linear.forward_keeping(&Input::new(&x), COMPUTE, pass).0;
        let bare = of(&linear, Pass::REFERENCE);
        assert!(apart(&bare, &x.linear(&weight, linear.bias.as_ref())) < 1e-6);
        let adapted = of(&linear, Pass::INFERENCE);
        assert!(apart(&of(&linear, Pass::TRAINING), &adapted) < 1e-6);
        linear.merge();
        assert!(apart(&of(&linear, Pass::INFERENCE), &adapted) < 1e-6);
        assert!(apart(&adapted, &bare) > 0.1);
    }
}
