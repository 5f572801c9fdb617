//! CodeGen: both halves of a block read one layer norm, part of a head is rotary in neighbouring pairs
//! (Nijkamp et al. 2022, arXiv:2203.13474).

use super::{
    Family, Layout, Names, Projection, gpt2,
    keys::{Keys, SHORT},
};
use crate::{
    DecoderConfig,
    config::{Activation, Arrangement, Biases, Positions},
    rotary::Rotary,
};
use serde_json::Value;

/// Its projection of queries, keys and values is stored in as many parts as the TPU cores it was trained on.
const PARTS: i64 = 4;

pub(super) const FAMILY: Family = Family {
    name: "codegen",
    architectures: &["CodeGenForCausalLM"],
    read,
    names: Names {
        projections: &[
            (Projection::Qkv, "attn.qkv_proj"),
            (Projection::O, "attn.out_proj"),
            (Projection::Up, "mlp.fc_in"),
            (Projection::Down, "mlp.fc_out"),
        ],
        ..gpt2::NAMES
    },
    layout,
};

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    let base = keys.decoder("codegen", &SHORT)?;
    if base.heads % PARTS != 0 {
        return Err(format!("n_head is {}, expected a multiple of {PARTS}", base.heads));
    }
    let dims = keys.int_or("rotary_dim", 64)?;
    Ok(DecoderConfig {
        intermediate: keys.int_or("n_inner", base.intermediate)?,
        arrangement: Arrangement::Parallel,
        activation: keys.activation("activation_function", Activation::GeluTanh)?,
        positions: Positions::Rotary(Rotary { theta: 10_000.0, dims, scaling: None }),
        tied: keys.flag_or("tie_word_embeddings", false),
        biases: Biases { feed: true, head: true, ..Biases::default() },
        ..base
    })
}

/// A part holds queries, values and keys, in this order, of its share of the heads. What is turned here in halves is
/// turned there in neighbouring pairs; scores are the same sums in another order.
fn layout(c: &DecoderConfig, p: Projection) -> Layout {
    let (Projection::Qkv, Positions::Rotary(rotary)) = (p, &c.positions) else { return Layout::default() };
    let (heads, width) = (c.heads / PARTS, c.head_dim);
    let row = |part: i64, head: i64, dim: i64| ((head / heads * 3 + part) * heads + head % heads) * width + dim;
    let half = rotary.dims / 2;
    let turned = |dim: i64| match dim {
        d if d < half => 2 * d,
        d if d < 2 * half => 2 * (d - half) + 1,
        d => d,
    };
    let mut rows = Vec::with_capacity((3 * c.heads * width) as usize);
    for (part, is_turned) in [(0, true), (2, true), (1, false)] {
        for head in 0..c.heads {
            rows.extend((0..width).map(|d| row(part, head, if is_turned { turned(d) } else { d })));
        }
    }
    Layout { transposed: false, rows: Some(rows) }
}
