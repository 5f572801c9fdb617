//! Qwen3: Llama with every head's queries and keys normed before they are turned (Yang et al. 2025, arXiv:2505.09388).

use super::{Family, Names, as_is, keys::Keys, llama};
use crate::{DecoderConfig, config::Biases};
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "qwen3",
    architectures: &["Qwen3ForCausalLM"],
    read,
    names: Names { head_norms: ["self_attn.q_norm", "self_attn.k_norm"], ..llama::NAMES },
    layout: as_is,
};

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    keys.only("use_sliding_window", false)?;
    let attention = keys.flag_or("attention_bias", false);
    let biases = Biases { qkv: attention, output: attention, ..Biases::default() };
    let base = keys.llama_like("qwen3")?;
    // Heads are 128 wide whatever the residual stream is, unless the configuration says otherwise.
    if json["head_dim"].is_null() {
        return Err("head_dim is missing".into());
    }
    Ok(DecoderConfig { qk_norm: true, biases, ..base })
}
