//! Reading of `config.json`: typed values by key, and what most families share.

use crate::{
    DecoderConfig,
    config::{Activation, Arrangement, Biases, NormKind, Positions, token_ids},
    rotary::Rotary,
};
use serde_json::Value;

/// A configuration's values by their keys.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a>(pub(super) &'a Value);

/// Keys of the dimensions, which families name in two ways.
pub(super) struct Dimensions {
    hidden: &'static str,
    layers: &'static str,
    heads: &'static str,
    positions: &'static str,
}

/// Names of most families.
pub(super) const LONG: Dimensions = Dimensions {
    hidden: "hidden_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    positions: "max_position_embeddings",
};

/// Names of GPT-2 and its kin.
pub(super) const SHORT: Dimensions =
    Dimensions { hidden: "n_embd", layers: "n_layer", heads: "n_head", positions: "n_positions" };

impl Keys<'_> {
    pub(super) fn int(self, key: &str) -> Result<i64, String> {
        self.0[key].as_i64().ok_or_else(|| format!("{key} is missing or not an integer"))
    }

    /// An integer that may be absent or null.
    pub(super) fn int_or(self, key: &str, default: i64) -> Result<i64, String> {
        if self.0[key].is_null() { Ok(default) } else { self.int(key) }
    }

    pub(super) fn number_or(self, key: &str, default: f64) -> f64 {
        self.0[key].as_f64().unwrap_or(default)
    }

    pub(super) fn flag_or(self, key: &str, default: bool) -> bool {
        self.0[key].as_bool().unwrap_or(default)
    }

    /// Refuses a value other than `only`, where the key is there.
    pub(super) fn only(self, key: &str, only: bool) -> Result<(), String> {
        match self.0[key].as_bool() {
            Some(value) if value != only => Err(format!("{key} = {value} is not supported, only {only}")),
            _ => Ok(()),
        }
    }

    pub(super) fn activation(self, key: &str, default: Activation) -> Result<Activation, String> {
        match self.0[key].as_str() {
            None => Ok(default),
            Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Ok(Activation::GeluTanh),
            Some("gelu") => Ok(Activation::Gelu),
            Some(other) => Err(format!("{key} {other:?} is not supported: expected silu, gelu or gelu_pytorch_tanh")),
        }
    }

    /// A decoder after GPT-2: layer norms, learned positions, plain feed-forward halves four times as wide, a tied head.
    /// Families change what they do otherwise.
    pub(super) fn decoder(self, family: &'static str, names: &Dimensions) -> Result<DecoderConfig, String> {
        let (hidden, heads) = (self.int(names.hidden)?, self.int(names.heads)?);
        if heads < 1 {
            return Err(format!("{} is {heads}", names.heads));
        }
        Ok(DecoderConfig {
            family,
            vocab: self.int("vocab_size")?,
            hidden,
            layers: self.int(names.layers)?,
            heads,
            kv_heads: heads,
            head_dim: hidden / heads,
            intermediate: hidden.saturating_mul(4),
            norm: NormKind::Layer,
            norm_eps: self.number_or("layer_norm_epsilon", 1e-5),
            qk_norm: false,
            arrangement: Arrangement::Sequential,
            activation: Activation::GeluTanh,
            positions: Positions::Learned,
            window: None,
            embedding_scale: 1.0,
            max_positions: usize::try_from(self.int_or(names.positions, 2048)?).unwrap_or(0),
            tied: self.flag_or("tie_word_embeddings", true),
            biases: Biases::default(),
            bos: token_ids(&self.0["bos_token_id"]).first().copied(),
            eos: token_ids(&self.0["eos_token_id"]),
        })
    }

    /// A decoder after Llama: RMSNorm, rotary positions, grouped keys and values, a gated feed-forward half.
    pub(super) fn llama_like(self, family: &'static str) -> Result<DecoderConfig, String> {
        let base = self.decoder(family, &LONG)?;
        let head_dim = self.int_or("head_dim", base.head_dim)?;
        Ok(DecoderConfig {
            kv_heads: self.int_or("num_key_value_heads", base.heads)?,
            head_dim,
            intermediate: self.int("intermediate_size")?,
            norm: NormKind::Rms,
            norm_eps: self.number_or("rms_norm_eps", 1e-6),
            activation: self.activation("hidden_act", Activation::Silu)?,
            positions: Positions::Rotary(self.rotary(head_dim, 1.0)?),
            tied: self.flag_or("tie_word_embeddings", false),
            ..base
        })
    }

    /// The sliding window, where there is one.
    pub(super) fn window(self, default: Option<usize>) -> Option<usize> {
        match &self.0["sliding_window"] {
            Value::Null if self.0.get("sliding_window").is_none() => default,
            Value::Null => None,
            other => Some(other.as_u64().and_then(|w| usize::try_from(w).ok()).unwrap_or(0)),
        }
    }

    /// Rotary positions of `share` of a head, unless the configuration says another share.
    pub(super) fn rotary(self, head_dim: i64, share: f64) -> Result<Rotary, String> {
        // transformers 5 moved all of it into rope_parameters; both forms are in circulation.
        let rope = [&self.0["rope_parameters"], &self.0["rope_scaling"]].into_iter().find(|v| v.is_object());
        let number = |keys: &[&str]| {
            let found = keys.iter().find_map(|k| self.0[*k].as_f64());
            found.or_else(|| keys.iter().find_map(|k| rope.and_then(|r| r[*k].as_f64())))
        };
        let share = number(&["partial_rotary_factor", "rotary_pct"]).unwrap_or(share);
        let theta = number(&["rope_theta", "rotary_emb_base"]).unwrap_or(10_000.0);
        let positions = self.int_or("max_position_embeddings", 2048)? as f64;
        let original = self.0["original_max_position_embeddings"].as_f64();
        Rotary::read(rope, theta, (head_dim as f64 * share) as i64, positions, original)
    }
}
