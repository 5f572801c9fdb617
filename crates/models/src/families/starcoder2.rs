//! StarCoder2: layer norms, rotary positions, grouped keys and values, a plain feed-forward half, biases everywhere
//! (Lozhkov et al. 2024, arXiv:2402.19173).

use super::{Family, Names, Projection, as_is, keys::Keys, llama};
use crate::{
    DecoderConfig,
    config::{Activation, Biases, NormKind},
};
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "starcoder2",
    architectures: &["Starcoder2ForCausalLM"],
    read,
    names: Names {
        projections: &[
            (Projection::Q, "self_attn.q_proj"),
            (Projection::K, "self_attn.k_proj"),
            (Projection::V, "self_attn.v_proj"),
            (Projection::O, "self_attn.o_proj"),
            (Projection::Up, "mlp.c_fc"),
            (Projection::Down, "mlp.c_proj"),
        ],
        ..llama::NAMES
    },
    layout: as_is,
};

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    let bias = keys.flag_or("use_bias", true);
    Ok(DecoderConfig {
        norm: NormKind::Layer,
        norm_eps: keys.number_or("norm_epsilon", 1e-5),
        activation: keys.activation("hidden_act", Activation::GeluTanh)?,
        window: keys.window(None),
        tied: keys.flag_or("tie_word_embeddings", true),
        biases: Biases { qkv: bias, output: bias, feed: bias, head: false },
        ..keys.llama_like("starcoder2")?
    })
}
