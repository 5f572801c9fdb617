//! Phi-1, Phi-1.5 and Phi-2: both halves of a block read one layer norm, part of a head is rotary, biases everywhere
//! (Gunasekar et al. 2023, arXiv:2306.11644).

use super::{
    Family, Names, Projection, as_is,
    keys::{Keys, LONG},
    llama,
};
use crate::{
    DecoderConfig,
    config::{Activation, Arrangement, Biases, Positions},
};
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "phi",
    architectures: &["PhiForCausalLM"],
    read,
    names: Names {
        final_norm: "model.final_layernorm",
        projections: &[
            (Projection::Q, "self_attn.q_proj"),
            (Projection::K, "self_attn.k_proj"),
            (Projection::V, "self_attn.v_proj"),
            (Projection::O, "self_attn.dense"),
            (Projection::Up, "mlp.fc1"),
            (Projection::Down, "mlp.fc2"),
        ],
        ..llama::NAMES
    },
    layout: as_is,
};

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    keys.only("qk_layernorm", false)?;
    let base = keys.decoder("phi", &LONG)?;
    Ok(DecoderConfig {
        kv_heads: keys.int_or("num_key_value_heads", base.heads)?,
        intermediate: keys.int("intermediate_size")?,
        norm_eps: keys.number_or("layer_norm_eps", 1e-5),
        arrangement: Arrangement::Parallel,
        activation: keys.activation("hidden_act", Activation::GeluTanh)?,
        positions: Positions::Rotary(keys.rotary(base.head_dim, 0.5)?),
        tied: keys.flag_or("tie_word_embeddings", false),
        biases: Biases { qkv: true, output: true, feed: true, head: true },
        ..base
    })
}
