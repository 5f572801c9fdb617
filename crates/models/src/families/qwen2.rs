//! Qwen2 and Qwen2.5-Coder: Llama with biases on queries, keys and values (Yang et al. 2024, arXiv:2407.10671).

use super::{Family, as_is, keys::Keys, llama};
use crate::{DecoderConfig, config::Biases};
use serde_json::Value;

pub(super) const FAMILY: Family =
    Family { name: "qwen2", architectures: &["Qwen2ForCausalLM"], read, names: llama::NAMES, layout: as_is };

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    // It would hold for some blocks only; no published checkpoint sets it.
    keys.only("use_sliding_window", false)?;
    Ok(DecoderConfig { biases: Biases { qkv: true, ..Biases::default() }, ..keys.llama_like("qwen2")? })
}
