//! Mistral: Llama with a sliding window (Jiang et al. 2023, arXiv:2310.06825).

use super::{Family, as_is, keys::Keys, llama};
use crate::DecoderConfig;
use serde_json::Value;

pub(super) const FAMILY: Family =
    Family { name: "mistral", architectures: &["MistralForCausalLM"], read, names: llama::NAMES, layout: as_is };

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    // Where the key is absent transformers takes 4,096; later models say null.
    Ok(DecoderConfig { window: keys.window(Some(4096)), ..keys.llama_like("mistral")? })
}
