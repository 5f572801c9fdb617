//! Gemma and CodeGemma: Llama with GeGLU, a scaled embedding that is also the head, and norm weights stored less one
//! (Gemma Team 2024, arXiv:2403.08295, 2406.11409).

use super::{Family, as_is, keys::Keys, llama};
use crate::{
    DecoderConfig,
    config::{Activation, Biases, NormKind},
};
use serde_json::Value;

pub(super) const FAMILY: Family =
    Family { name: "gemma", architectures: &["GemmaForCausalLM"], read, names: llama::NAMES, layout: as_is };

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    let attention = keys.flag_or("attention_bias", false);
    let base = keys.llama_like("gemma")?;
    Ok(DecoderConfig {
        norm: NormKind::RmsFromZero,
        // Early configurations say "gelu" and mean its approximation, as transformers does.
        activation: Activation::GeluTanh,
        embedding_scale: (base.hidden as f64).sqrt(),
        tied: keys.flag_or("tie_word_embeddings", true),
        biases: Biases { qkv: attention, output: attention, ..Biases::default() },
        ..base
    })
}
