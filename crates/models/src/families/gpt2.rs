//! GPT-2: layer norms, learned positions, weights stored as `[in, out]` (Radford et al. 2019).

use super::{
    Family, Layout, Names, Projection,
    keys::{Keys, SHORT},
};
use crate::{
    DecoderConfig,
    config::{Activation, Biases},
};
use serde_json::Value;

pub(super) const FAMILY: Family =
    Family { name: "gpt2", architectures: &["GPT2LMHeadModel"], read, names: NAMES, layout };

/// Names that GPT-2's kin kept.
pub(super) const NAMES: Names = Names {
    embedding: "transformer.wte",
    positions: "transformer.wpe",
    blocks: "transformer.h",
    input_norm: "ln_1",
    post_norm: "ln_2",
    head_norms: ["", ""],
    final_norm: "transformer.ln_f",
    head: "lm_head",
    projections: &[
        (Projection::Qkv, "attn.c_attn"),
        (Projection::O, "attn.c_proj"),
        (Projection::Up, "mlp.c_fc"),
        (Projection::Down, "mlp.c_proj"),
    ],
};

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    keys.only("scale_attn_by_inverse_layer_idx", false)?;
    keys.only("scale_attn_weights", true)?;
    let base = keys.decoder("gpt2", &SHORT)?;
    Ok(DecoderConfig {
        intermediate: keys.int_or("n_inner", base.intermediate)?,
        activation: keys.activation("activation_function", Activation::GeluTanh)?,
        biases: Biases { qkv: true, output: true, feed: true, head: false },
        ..base
    })
}

fn layout(_: &DecoderConfig, _: Projection) -> Layout {
    Layout { transposed: true, rows: None }
}
