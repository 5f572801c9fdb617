//! Llama: pre-norm RMSNorm, rotary attention with grouped keys and values, SwiGLU.
//!
//! Touvron et al. 2023 (arXiv:2302.13971, 2307.09288); rope scaling of Llama 3.1. Read here: Llama 2 and 3, CodeLlama,
//! DeepSeek-Coder, SmolLM, TinyLlama: whatever names `LlamaForCausalLM`.

use super::{Family, Names, Projection, as_is, keys::Keys};
use crate::{DecoderConfig, config::Biases};
use serde_json::Value;

pub(super) const FAMILY: Family =
    Family { name: "llama", architectures: &["LlamaForCausalLM"], read, names: NAMES, layout: as_is };

/// Names that most later families kept.
pub(super) const NAMES: Names = Names {
    embedding: "model.embed_tokens",
    positions: "",
    blocks: "model.layers",
    input_norm: "input_layernorm",
    post_norm: "post_attention_layernorm",
    head_norms: ["", ""],
    final_norm: "model.norm",
    head: "lm_head",
    projections: &[
        (Projection::Q, "self_attn.q_proj"),
        (Projection::K, "self_attn.k_proj"),
        (Projection::V, "self_attn.v_proj"),
        (Projection::O, "self_attn.o_proj"),
        (Projection::Gate, "mlp.gate_proj"),
        (Projection::Up, "mlp.up_proj"),
        (Projection::Down, "mlp.down_proj"),
    ],
};

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    let attention = keys.flag_or("attention_bias", false);
    let biases = Biases { qkv: attention, output: attention, feed: keys.flag_or("mlp_bias", false), head: false };
    Ok(DecoderConfig { biases, ..keys.llama_like("llama")? })
}
