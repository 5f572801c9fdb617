//! The shared decoder's dimensions, as a Hugging Face `config.json` gives them.

use crate::{Error, Result, families};
use serde_json::Value;
use std::{fs, path::Path};

/// Frequency scaling of Llama 3 rotary embeddings (`rope_scaling.rope_type = "llama3"`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeScaling {
    /// Divisor of low frequencies.
    pub factor: f64,
    /// Wavelengths above `original / low_freq_factor` are scaled in full.
    pub low_freq_factor: f64,
    /// Wavelengths below `original / high_freq_factor` are left alone.
    pub high_freq_factor: f64,
    /// Context the base model was trained with, in tokens.
    pub original: f64,
    /// `true` for `linear`: every frequency is divided by `factor`.
    pub linear: bool,
}

/// Dimensions of a pre-norm decoder with rotary attention and a gated feed-forward block.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Family that read it; names the tensors on disk.
    pub family: &'static str,
    /// Rows of the embedding.
    pub vocab: i64,
    /// Width of the residual stream.
    pub hidden: i64,
    /// Blocks.
    pub layers: i64,
    /// Query heads.
    pub heads: i64,
    /// Key and value heads.
    pub kv_heads: i64,
    /// Width of a head.
    pub head_dim: i64,
    /// Width of the feed-forward block.
    pub intermediate: i64,
    /// Epsilon of RMSNorm.
    pub norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Their scaling, if any.
    pub rope_scaling: Option<RopeScaling>,
    /// Longest sequence, in tokens.
    pub max_positions: usize,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// Whether attention projections have a bias.
    pub attention_bias: bool,
    /// Whether feed-forward projections have a bias.
    pub mlp_bias: bool,
    /// Beginning of sequence.
    pub bos: Option<u32>,
    /// Ends of sequence.
    pub eos: Vec<u32>,
}

impl DecoderConfig {
    /// Reads `config.json` of a model folder through the family its `architectures` names.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`] or [`Error::UnknownFamily`], each with the file.
    pub fn read(folder: &Path) -> Result<(Self, Value)> {
        let path = folder.join("config.json");
        let text = fs::read_to_string(&path).map_err(Error::read(&path))?;
        let json: Value = serde_json::from_str(&text).map_err(|e| Error::malformed(&path, format!("not JSON: {e}")))?;
        let architecture = json["architectures"][0].as_str().unwrap_or_default();
        let family = families::ALL.iter().find(|f| f.architectures.contains(&architecture)).ok_or_else(|| {
            let known: Vec<_> = families::ALL.iter().flat_map(|f| f.architectures.iter().copied()).collect();
            Error::UnknownFamily {
                path: path.display().to_string(),
                architecture: architecture.to_owned(),
                known: known.join(", "),
            }
        })?;
        let config = (family.read)(&json).map_err(|m| Error::malformed(&path, m))?;
        config.check().map_err(|m| Error::malformed(&path, m))?;
        Ok((config, json))
    }

    /// Refuses dimensions that cannot be a model: a hostile configuration must not allocate or divide by zero.
    fn check(&self) -> std::result::Result<(), String> {
        let limits = [
            ("vocab_size", self.vocab, 4_000_000),
            ("hidden_size", self.hidden, 1 << 20),
            ("num_hidden_layers", self.layers, 4096),
            ("num_attention_heads", self.heads, 4096),
            ("num_key_value_heads", self.kv_heads, 4096),
            ("head_dim", self.head_dim, 4096),
            ("intermediate_size", self.intermediate, 1 << 22),
        ];
        for (name, value, most) in limits {
            if value < 1 || value > most {
                return Err(format!("{name} is {value}, expected 1..={most}"));
            }
        }
        if self.heads % self.kv_heads != 0 {
            return Err(format!(
                "num_attention_heads {} is not a multiple of num_key_value_heads {}",
                self.heads, self.kv_heads
            ));
        }
        if self.head_dim % 2 != 0 {
            return Err(format!("head_dim {} is odd: rotary embeddings need pairs", self.head_dim));
        }
        if !(1..=1 << 24).contains(&self.max_positions) {
            return Err(format!("max_position_embeddings is {}, expected 1..={}", self.max_positions, 1 << 24));
        }
        let rope =
            self.rope_scaling.map_or([1.0; 4], |r| [r.factor, r.low_freq_factor, r.high_freq_factor, r.original]);
        for (name, value) in [("rope_theta", self.rope_theta)].into_iter().chain(rope.map(|v| ("rope_scaling", v))) {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("{name} holds {value}, expected a number above 0"));
            }
        }
        if !(0.0..1.0).contains(&self.norm_eps) {
            return Err(format!("rms_norm_eps is {}, expected 0 to 1", self.norm_eps));
        }
        Ok(())
    }

    /// Values of all weights.
    #[must_use]
    pub fn values(&self) -> i128 {
        let wide = |[out, input]: [i64; 2]| i128::from(out) * i128::from(input);
        let block: i128 = families::Projection::ALL.iter().map(|p| wide(p.shape(self))).sum();
        let tables = if self.tied { 1 } else { 2 };
        i128::from(self.layers) * block + tables * wide([self.vocab, self.hidden])
    }
}

/// Token ids from a JSON number, a list of numbers, or null.
#[must_use]
pub(crate) fn token_ids(value: &Value) -> Vec<u32> {
    let one = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
    match value {
        Value::Array(list) => list.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}
