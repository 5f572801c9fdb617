//! Phi-3 and Phi-4-mini: Llama with queries, keys and values in one projection, gate and up in another
//! (Abdin et al. 2024, arXiv:2404.14219).

use super::{Family, Names, Projection, as_is, keys::Keys, llama};
use crate::DecoderConfig;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "phi3",
    architectures: &["Phi3ForCausalLM"],
    read,
    names: Names {
        projections: &[
            (Projection::Qkv, "self_attn.qkv_proj"),
            (Projection::O, "self_attn.o_proj"),
            (Projection::GateUp, "mlp.gate_up_proj"),
            (Projection::Down, "mlp.down_proj"),
        ],
        ..llama::NAMES
    },
    layout: as_is,
};

fn read(json: &Value) -> Result<DecoderConfig, String> {
    let keys = Keys(json);
    Ok(DecoderConfig {
        window: keys.window(None),
        norm_eps: keys.number_or("rms_norm_eps", 1e-5),
        ..keys.llama_like("phi3")?
    })
}
