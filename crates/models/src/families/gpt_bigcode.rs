//! GPTBigCode (SantaCoder, StarCoder): GPT-2 with one head of keys and values for all (Li et al. 2023, arXiv:2305.06161).

use super::{
    Family, Layout, Projection, as_is, gpt2, head_by_head,
    keys::{Keys, SHORT},
};
use crate::{
    DecoderConfig,
    config::{Activation, Biases},
};
use serde_json::Value;

pub(super) const FAMILY: Family =
    Family { name: "gpt_bigcode", architectures: &["GPTBigCodeForCausalLM"], read, names: gpt2::NAMES, layout };

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    keys.only("scale_attn_weights", true)?;
    let base = keys.decoder("gpt_bigcode", &SHORT)?;
    Ok(DecoderConfig {
        kv_heads: if keys.flag_or("multi_query", true) { 1 } else { base.heads },
        intermediate: keys.int_or("n_inner", base.intermediate)?,
        activation: keys.activation("activation_function", Activation::GeluTanh)?,
        biases: Biases { qkv: true, output: true, feed: true, head: false },
        ..base
    })
}

fn layout(c: &DecoderConfig, p: Projection) -> Layout {
    if c.kv_heads == c.heads { head_by_head(c, p) } else { as_is(c, p) }
}
