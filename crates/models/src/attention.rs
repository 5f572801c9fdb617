//! Attention inside each packed group, and its derivative.
//!
//! It is called once a group, on the group's own rows, and never stores scores: on the processor libtorch's flash
//! kernels (Dao et al. 2022) keep the log of each row's normaliser, from which they make scores again on the way back.

use crate::{Decoder, Packed, tape};
use tch::{Device, Tensor};

/// What attention leaves for the way back.
#[derive(Debug)]
pub(crate) struct Attended {
    /// Turned queries and keys, and values, `[n, heads, head_dim]`; keys and values have their own number of heads.
    pub(crate) inputs: [Tensor; 3],
    /// `[n, heads * head_dim]`.
    pub(crate) out: Tensor,
    /// Log of the normaliser, a tensor a group; empty where the graph makes the derivative.
    normalisers: Vec<Tensor>,
}

impl Decoder {
    /// Attention of every group; for a training pass with what the way back needs.
    pub(crate) fn attend(&self, packed: &Packed, q: Tensor, k: Tensor, v: Tensor, training: bool) -> Attended {
        if training && self.compute.device == Device::Cpu {
            let width = self.config.heads * self.config.head_dim;
            let (outs, normalisers): (Vec<Tensor>, Vec<Tensor>) = (0..packed.groups.len())
                .map(|g| {
                    let [q, k, v] = self.group(packed, g, [&q, &k, &v]);
                    let mask = packed.masks[g].as_ref();
                    let causal = mask.is_none();
                    let (out, normaliser) = Tensor::internal_scaled_dot_product_flash_attention_for_cpu(
                        &q, &k, &v, 0.0, causal, mask, None::<f64>,
                    );
                    (flat(&out, width), normaliser)
                })
                .unzip();
            return Attended { out: Tensor::cat(&outs, 0), inputs: [q, k, v], normalisers };
        }
        let out = self.by_group(packed, [&q, &k, &v]);
        Attended { inputs: [q, k, v], out, normalisers: Vec::new() }
    }

    /// Gradients of the turned queries and keys, and of the values.
    pub(crate) fn attend_back(&self, packed: &Packed, kept: &Attended, d_out: &Tensor) -> (Tensor, Tensor, Tensor) {
        let [q, k, v] = &kept.inputs;
        if kept.normalisers.is_empty() {
            let [q, k, v] = tape::by_graph(|[q, k, v]| self.by_group(packed, [q, k, v]), [q, k, v], d_out);
            return (q, k, v);
        }
        let c = &self.config;
        let mut gradients = [const { Vec::new() }; 3];
        for (g, normaliser) in kept.normalisers.iter().enumerate() {
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
        let [d_q, d_k, d_v] = gradients.map(|parts| Tensor::cat(&parts, 0));
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
                let out = Tensor::scaled_dot_product_attention(
                    &q, &k, &v, mask, 0.0, mask.is_none(), None::<f64>, false,
                );
                flat(&out, self.config.heads * self.config.head_dim)
            })
            .collect();
        Tensor::cat(&outs, 0)
    }

    /// Repeats key or value heads so that each query head has its own.
    pub(crate) fn repeat_kv(&self, t: &Tensor, dim: i64) -> Tensor {
        let times = self.config.heads / self.config.kv_heads;
        if times == 1 { t.shallow_clone() } else { t.repeat_interleave_self_int(times, dim, None::<i64>) }
    }
}

/// `[1, heads, n, head_dim]` as rows, `[n, heads * head_dim]`.
fn flat(out: &Tensor, width: i64) -> Tensor {
    out.squeeze_dim(0).transpose(0, 1).reshape([-1, width])
}

#[cfg(test)]
mod tests {
    use crate::{Compute, DeviceKind, Group, Model, Packed, Precision};
    use tch::{Kind, Tensor};

    /// The way back on devices without a kernel of their own equals the one with.
    #[test]
    fn graph_and_kernels_agree() -> Result<(), Box<dyn std::error::Error>> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/llama");
        let model = Model::random(&folder, Compute::choose(DeviceKind::Cpu, Precision::F32)?, 1)?;
        let decoder = &model.decoder;
        let groups = [vec![vec![1, 2, 3, 4, 5], vec![1, 2, 9]], vec![vec![4; 7]]].map(|sequences| Group { sequences });
        let packed = Packed::new(&groups, &decoder.config, decoder.compute)?;
        let rows = packed.rows() as i64;
        let c = &decoder.config;
        let random = |heads| Tensor::randn([rows, heads, c.head_dim], (Kind::Float, decoder.compute.device));
        let (q, k, v, d_out) = (random(c.heads), random(c.kv_heads), random(c.kv_heads), random(c.heads).flatten(1, 2));
        let clone = |t: &Tensor| t.shallow_clone();
        let kernels = decoder.attend(&packed, clone(&q), clone(&k), clone(&v), true);
        let graph = decoder.attend(&packed, q, k, v, false);
        let (a, b) = (decoder.attend_back(&packed, &kernels, &d_out), decoder.attend_back(&packed, &graph, &d_out));
        for (a, b) in [(&kernels.out, &graph.out), (&a.0, &b.0), (&a.1, &b.1), (&a.2, &b.2)] {
            assert!((a - b).abs().max().double_value(&[]) < 1e-5);
        }
        Ok(())
    }
}
