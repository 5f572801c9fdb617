//! Attention inside each packed group, and its derivative.
//!
//! Groups are never mixed and scores never stored. On the processor short groups are the kernels' own work; long ones go
//! to libtorch's flash kernels (Dao et al. 2022). Both keep the log of each row's normaliser, from which scores are made
//! again on the way back. Other devices take libtorch's choice of kernel, and its graph for the way back.

use crate::{Decoder, Packed, decoder::Block, kernels, tape};
use tch::{Device, Tensor};

/// What attention leaves for the way back.
#[derive(Debug)]
pub(crate) struct Attended {
    /// Turned queries and keys, and values, `[n, heads, head_dim]`; keys and values have their own number of heads.
    pub(crate) inputs: [Tensor; 3],
    /// `[n, heads * head_dim]`.
    pub(crate) out: Tensor,
    normalisers: Normalisers,
    /// What dropout multiplied the prefixes with.
    pub(crate) kept_of_prefixes: Option<Tensor>,
}

/// Logs of the rows' normalisers.
#[derive(Debug)]
enum Normalisers {
    /// `[n, heads]`, by our kernels.
    Rows(Tensor),
    /// A tensor a group, by libtorch's flash kernels.
    Groups(Vec<Tensor>),
    /// The graph makes the derivative.
    None,
}

impl Attended {
    /// Of a pass that nothing is learnt from.
    pub(crate) const fn without_way_back(inputs: [Tensor; 3], out: Tensor) -> Self {
        Self::new(inputs, out, Normalisers::None)
    }

    const fn new(inputs: [Tensor; 3], out: Tensor, normalisers: Normalisers) -> Self {
        Self { inputs, out, normalisers, kept_of_prefixes: None }
    }
}

impl Decoder {
    /// [`Self::attend`] once the block's prefixes stand in their rows.
    pub(crate) fn attend_after_prefixes(
        &self,
        packed: &Packed,
        block: &Block,
        [q, mut k, mut v]: [Tensor; 3],
        drops: bool,
        training: bool,
    ) -> Attended {
        let kept_of_prefixes = self.place_prefixes(packed, block, [&mut k, &mut v], drops);
        Attended { kept_of_prefixes, ..self.attend(packed, q, k, v, training) }
    }

    /// Attention of every group; for a training pass with what the way back needs.
    pub(crate) fn attend(&self, packed: &Packed, q: Tensor, k: Tensor, v: Tensor, training: bool) -> Attended {
        if self.compute.device == Device::Cpu && packed.masks.is_empty() {
            let (out, log) = kernels::attention(&q, &k, &v, &packed.groups, self.config.window);
            return Attended::new([q, k, v], out, Normalisers::Rows(log));
        }
        if training && self.compute.device == Device::Cpu {
            let width = self.config.heads * self.config.head_dim;
            let (outs, normalisers): (Vec<Tensor>, Vec<Tensor>) = (0..packed.groups.len())
                .map(|g| {
                    let [q, k, v] = self.group(packed, g, [&q, &k, &v]);
                    let mask = packed.masks[g].as_ref();
                    let causal = mask.is_none();
                    let (out, normaliser) = Tensor::internal_scaled_dot_product_flash_attention_for_cpu(
                        &q,
                        &k,
                        &v,
                        0.0,
                        causal,
                        mask,
                        None::<f64>,
                    );
                    (flat(&out, width), normaliser)
                })
                .unzip();
            return Attended::new([q, k, v], padded(outs, packed), Normalisers::Groups(normalisers));
        }
        let out = self.by_group(packed, [&q, &k, &v]);
        Attended::new([q, k, v], out, Normalisers::None)
    }

    /// Gradients of the turned queries and keys, and of the values.
    pub(crate) fn attend_back(&self, packed: &Packed, kept: &Attended, d_out: &Tensor) -> (Tensor, Tensor, Tensor) {
        let [q, k, v] = &kept.inputs;
        let normalisers = match &kept.normalisers {
            Normalisers::Groups(normalisers) => normalisers,
            Normalisers::Rows(log) => {
                let [q, k, v] =
                    kernels::attention_backward([q, k, v], &kept.out, log, d_out, &packed.groups, self.config.window);
                return (q, k, v);
            }
            Normalisers::None => {
                let [q, k, v] = tape::by_graph(|[q, k, v]| self.by_group(packed, [q, k, v]), [q, k, v], d_out);
                return (q, k, v);
            }
        };
        let c = &self.config;
        let mut gradients = [const { Vec::new() }; 3];
        for (g, normaliser) in normalisers.iter().enumerate() {
            let [q, k, v] = self.group(packed, g, [q, k, v]);
            let place = &packed.groups[g];
            let rows = |t: &Tensor| {
                let t = t.narrow(0, place.start as i64, place.rows() as i64);
                t.view([-1, c.heads, c.head_dim]).transpose(0, 1).unsqueeze(0)
            };
            let mask = packed.masks[g].as_ref();
            let (d_q, d_k, d_v) = Tensor::internal_scaled_dot_product_flash_attention_for_cpu_backward(
                &rows(d_out),
                &q,
                &k,
                &v,
                &rows(&kept.out),
                normaliser,
                0.0,
                mask.is_none(),
                mask,
                None::<f64>,
            );
            for (all, d) in gradients.iter_mut().zip([d_q, d_k, d_v]) {
                all.push(d.squeeze_dim(0).transpose(0, 1));
            }
        }
        let [d_q, d_k, d_v] = gradients.map(|parts| padded(parts, packed));
        // Query heads that read the same keys add up.
        let shared = |d: Tensor| {
            let times = c.heads / c.kv_heads;
            if times == 1 {
                d
            } else {
                let kind = d.kind();
                d.reshape([-1, c.kv_heads, times, c.head_dim]).sum_dim_intlist(&[2i64][..], false, kind)
            }
        };
        (d_q, shared(d_k), shared(d_v))
    }

    /// A group's rows as attention takes them: `[1, heads, rows, head_dim]`.
    fn group(&self, packed: &Packed, group: usize, inputs: [&Tensor; 3]) -> [Tensor; 3] {
        let place = &packed.groups[group];
        let rows = |t: &Tensor| t.narrow(0, place.start as i64, place.rows() as i64);
        let heads = |t: Tensor| t.transpose(0, 1).unsqueeze(0);
        let [q, k, v] = inputs.map(rows);
        [heads(q), heads(self.repeat_kv(&k, 1)), heads(self.repeat_kv(&v, 1))]
    }

    fn by_group(&self, packed: &Packed, inputs: [&Tensor; 3]) -> Tensor {
        let outs: Vec<Tensor> = (0..packed.groups.len())
            .map(|g| {
                let [q, k, v] = self.group(packed, g, inputs);
                let mask = packed.masks[g].as_ref();
                let out =
                    Tensor::scaled_dot_product_attention(&q, &k, &v, mask, 0.0, mask.is_none(), None::<f64>, false);
                flat(&out, self.config.heads * self.config.head_dim)
            })
            .collect();
        padded(outs, packed)
    }

    /// Repeats key or value heads so that each query head has its own.
    pub(crate) fn repeat_kv(&self, t: &Tensor, dim: i64) -> Tensor {
        let times = self.config.heads / self.config.kv_heads;
        if times == 1 { t.shallow_clone() } else { t.repeat_interleave_self_int(times, dim, None::<i64>) }
    }
}

/// The groups' rows one after another, and zeros where padding stands.
fn padded(mut parts: Vec<Tensor>, packed: &Packed) -> Tensor {
    let rest = packed.padding();
    if rest > 0 {
        let mut size = parts[0].size();
        size[0] = rest;
        parts.push(parts[0].new_zeros(size, (parts[0].kind(), parts[0].device())));
    }
    Tensor::cat(&parts, 0)
}

/// `[1, heads, n, head_dim]` as rows, `[n, heads * head_dim]`.
fn flat(out: &Tensor, width: i64) -> Tensor {
    out.squeeze_dim(0).transpose(0, 1).reshape([-1, width])
}

#[cfg(test)]
mod tests {
    use super::Normalisers;
    use crate::{Compute, DeviceKind, Group, Model, Packed, Precision};
    use tch::{Kind, Tensor};

    /// Our kernels, libtorch's, and libtorch's graph: three ways forward and back that agree.
    #[test]
    fn three_ways_agree() -> Result<(), Box<dyn std::error::Error>> {
        // The second has a window of four.
        ["llama", "mistral"].into_iter().try_for_each(agree)
    }

    fn agree(family: &str) -> Result<(), Box<dyn std::error::Error>> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(family);
        let model = Model::random(&folder, Compute::choose(DeviceKind::Cpu, Precision::F32)?, 1)?;
        let decoder = &model.decoder;
        let groups = [vec![vec![1, 2, 3, 4, 5], vec![1, 2, 9], vec![1, 2, 8, 8]], vec![vec![4; 170]]].map(Group::new);
        let short = Packed::new(&groups, decoder)?;
        let packed = Packed::with_masks(&groups, decoder)?;
        // With those that fill it up.
        let rows = packed.ids.size()[0];
        let c = &decoder.config;
        let random = |heads| Tensor::randn([rows, heads, c.head_dim], (Kind::Float, decoder.compute.device));
        let (q, k, v, d_out) = (random(c.heads), random(c.kv_heads), random(c.kv_heads), random(c.heads).flatten(1, 2));
        let clone = |t: &Tensor| t.shallow_clone();
        let own = decoder.attend(&short, clone(&q), clone(&k), clone(&v), true);
        let flash = decoder.attend(&packed, clone(&q), clone(&k), clone(&v), true);
        let graph = decoder.attend(&packed, q, k, v, false);
        assert!(matches!(own.normalisers, Normalisers::Rows(_)) && matches!(flash.normalisers, Normalisers::Groups(_)));
        let want = decoder.attend_back(&packed, &graph, &d_out);
        for (packed, attended) in [(&short, &own), (&packed, &flash)] {
            let got = decoder.attend_back(packed, attended, &d_out);
            for (a, b) in [(&attended.out, &graph.out), (&got.0, &want.0), (&got.1, &want.1), (&got.2, &want.2)] {
                let worst = (a - b).abs().max().double_value(&[]);
                assert!(worst < 1e-5, "{worst}");
            }
        }
        Ok(())
    }
}
