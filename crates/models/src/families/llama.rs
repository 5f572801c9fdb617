//! Llama: pre-norm RMSNorm, rotary attention with grouped keys and values, SwiGLU.
//!
//! Touvron et al. 2023 (arXiv:2302.13971, 2307.09288); rope scaling of Llama 3.1. Read here: Llama 2 and 3, CodeLlama,
//! DeepSeek-Coder, SmolLM, TinyLlama: whatever names `LlamaForCausalLM`.

use super::{Family, Projection, Slot};
use crate::{
    DecoderConfig,
    config::{RopeScaling, token_ids},
};
use serde_json::Value;

pub(super) const FAMILY: Family =
    Family { name: "llama", architectures: &["LlamaForCausalLM"], read, slot, projection };

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let int = |key: &str| json[key].as_i64().ok_or_else(|| format!("{key} is missing or not an integer"));
    let hidden = int("hidden_size")?;
    let heads = int("num_attention_heads")?;
    if heads < 1 {
        return Err(format!("num_attention_heads is {heads}"));
    }
    if let Some(act) = json["hidden_act"].as_str()
        && act != "silu"
    {
        return Err(format!("hidden_act {act:?} is not Llama's silu"));
    }
    // transformers 5 moved rope_theta into rope_parameters; both forms are in circulation.
    let rope = [&json["rope_parameters"], &json["rope_scaling"]].into_iter().find(|v| v.is_object());
    let theta = json["rope_theta"].as_f64().or_else(|| rope.and_then(|r| r["rope_theta"].as_f64())).unwrap_or(10_000.0);
    Ok(DecoderConfig {
        family: "llama",
        vocab: int("vocab_size")?,
        hidden,
        layers: int("num_hidden_layers")?,
        heads,
        kv_heads: json["num_key_value_heads"].as_i64().unwrap_or(heads),
        head_dim: json["head_dim"].as_i64().unwrap_or(hidden / heads),
        intermediate: int("intermediate_size")?,
        norm_eps: json["rms_norm_eps"].as_f64().unwrap_or(1e-6),
        rope_theta: theta,
        rope_scaling: rope.map_or(Ok(None), scaling)?,
        max_positions: usize::try_from(json["max_position_embeddings"].as_i64().unwrap_or(2048)).unwrap_or(0),
        tied: json["tie_word_embeddings"].as_bool().unwrap_or(false),
        attention_bias: json["attention_bias"].as_bool().unwrap_or(false),
        mlp_bias: json["mlp_bias"].as_bool().unwrap_or(false),
        bos: token_ids(&json["bos_token_id"]).first().copied(),
        eos: token_ids(&json["eos_token_id"]),
    })
}

fn scaling(rope: &Value) -> Result<Option<RopeScaling>, String> {
    let kind = rope["rope_type"].as_str().or_else(|| rope["type"].as_str()).unwrap_or("default");
    let number = |key: &str, default: f64| rope[key].as_f64().unwrap_or(default);
    match kind {
        "default" => Ok(None),
        "linear" | "llama3" => Ok(Some(RopeScaling {
            factor: number("factor", 1.0),
            low_freq_factor: number("low_freq_factor", 1.0),
            high_freq_factor: number("high_freq_factor", 4.0),
            original: number("original_max_position_embeddings", 8192.0),
            linear: kind == "linear",
        })),
        other => Err(format!("rope scaling {other:?} is not supported: expected default, linear or llama3")),
    }
}

fn slot(slot: Slot) -> String {
    match slot {
        Slot::Embedding => "model.embed_tokens.weight".into(),
        Slot::InputNorm(l) => format!("model.layers.{l}.input_layernorm.weight"),
        Slot::PostNorm(l) => format!("model.layers.{l}.post_attention_layernorm.weight"),
        Slot::FinalNorm => "model.norm.weight".into(),
        Slot::Head => "lm_head.weight".into(),
    }
}

fn projection(layer: i64, projection: Projection) -> String {
    let (block, name) = match projection {
        Projection::Q => ("self_attn", "q_proj"),
        Projection::K => ("self_attn", "k_proj"),
        Projection::V => ("self_attn", "v_proj"),
        Projection::O => ("self_attn", "o_proj"),
        Projection::Gate => ("mlp", "gate_proj"),
        Projection::Up => ("mlp", "up_proj"),
        Projection::Down => ("mlp", "down_proj"),
    };
    format!("model.layers.{layer}.{block}.{name}")
}
