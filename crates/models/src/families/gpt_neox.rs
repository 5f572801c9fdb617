//! GPT-NeoX and Pythia: both halves read the block's input, each through its own layer norm; part of a head is rotary
//! (Black et al. 2022, arXiv:2204.06745).

use super::{
    Family, Names, Projection, head_by_head,
    keys::{Keys, LONG},
    llama,
};
use crate::{
    DecoderConfig,
    config::{Activation, Arrangement, Biases, Positions},
};
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "gpt_neox",
    architectures: &["GPTNeoXForCausalLM"],
    read,
    names: Names {
        embedding: "gpt_neox.embed_in",
        blocks: "gpt_neox.layers",
        final_norm: "gpt_neox.final_layer_norm",
        head: "embed_out",
        projections: &[
            (Projection::Qkv, "attention.query_key_value"),
            (Projection::O, "attention.dense"),
            (Projection::Up, "mlp.dense_h_to_4h"),
            (Projection::Down, "mlp.dense_4h_to_h"),
        ],
        ..llama::NAMES
    },
    layout: head_by_head,
};

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    let attention = keys.flag_or("attention_bias", true);
    let parallel = keys.flag_or("use_parallel_residual", true);
    let base = keys.decoder("gpt_neox", &LONG)?;
    Ok(DecoderConfig {
        intermediate: keys.int("intermediate_size")?,
        norm_eps: keys.number_or("layer_norm_eps", 1e-5),
        arrangement: if parallel { Arrangement::ParallelTwoNorms } else { Arrangement::Sequential },
        activation: keys.activation("hidden_act", Activation::Gelu)?,
        positions: Positions::Rotary(keys.rotary(base.head_dim, 0.25)?),
        tied: keys.flag_or("tie_word_embeddings", false),
        biases: Biases { qkv: attention, output: attention, feed: true, head: false },
        ..base
    })
}
