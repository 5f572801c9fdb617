//! The shared decoder's dimensions, as a Hugging Face `config.json` gives them.

use crate::{Error, Result, families, rotary::Rotary};
use serde_json::Value;
use std::{fs, path::Path};

/// How a token learns its place.
#[derive(Clone, Debug, PartialEq)]
pub enum Positions {
    /// Queries and keys are turned.
    Rotary(Rotary),
    /// A table `[max_positions, hidden]` is added to the embedding.
    Learned,
}

/// Norm of the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `x / rms(x) * weight` (Zhang and Sennrich 2019).
    Rms,
    /// The same with a weight that is stored less one (Gemma).
    RmsFromZero,
    /// Centred, with a bias (Ba et al. 2016).
    Layer,
}

/// Non-linearity of the feed-forward half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x sigmoid(x)`.
    Silu,
    /// GELU (Hendrycks and Gimpel 2016) by its approximation with tanh.
    GeluTanh,
    /// GELU by the error function.
    Gelu,
}

/// How the halves of a block stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// The feed-forward half reads what attention added.
    Sequential,
    /// Both halves read the block's input through one norm (GPT-J).
    Parallel,
    /// Both halves read the block's input, each through a norm of its own (GPT-NeoX).
    ParallelTwoNorms,
}

/// Which projections have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// Attention's output.
    pub output: bool,
    /// Both sides of the feed-forward half.
    pub feed: bool,
    /// The output head.
    pub head: bool,
}

/// Dimensions and variants of a pre-norm decoder.
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
    /// Width of the feed-forward half.
    pub intermediate: i64,
    /// Norm of the residual stream.
    pub norm: NormKind,
    /// Epsilon of the norms.
    pub norm_eps: f64,
    /// Whether every head's queries and keys are normed before they are turned (Qwen3).
    pub qk_norm: bool,
    /// Order of the halves.
    pub arrangement: Arrangement,
    /// Non-linearity.
    pub activation: Activation,
    /// How a token learns its place.
    pub positions: Positions,
    /// Positions a token sees, itself included; `None` is all before it.
    pub window: Option<usize>,
    /// Factor of the embedding where it enters the residual stream.
    pub embedding_scale: f64,
    /// Longest sequence, in tokens.
    pub max_positions: usize,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// Which projections have a bias.
    pub biases: Biases,
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
            Error::UnknownFamily {
                path: path.display().to_string(),
                architecture: architecture.to_owned(),
                known: families::Family::known().join(", "),
            }
        })?;
        let mut config = (family.read)(&json).map_err(|m| Error::malformed(&path, m))?;
        config.check().map_err(|m| Error::malformed(&path, m))?;
        config.max_positions = config.reach().map_or(config.max_positions, |r| r.min(config.max_positions));
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
        if let Positions::Rotary(r) = &self.positions
            && (r.dims < 2 || r.dims > self.head_dim || r.dims % 2 != 0)
        {
            return Err(format!(
                "{} dimensions of {} would be rotary: expected an even number, 2 to head_dim",
                r.dims, self.head_dim
            ));
        }
        if self.window == Some(0) {
            return Err("sliding_window is 0: a token must see itself".into());
        }
        if !(self.embedding_scale.is_finite() && self.embedding_scale > 0.0) {
            return Err(format!("the embedding's factor is {}", self.embedding_scale));
        }
        if !(1..=1 << 24).contains(&self.max_positions) {
            return Err(format!("max_position_embeddings is {}, expected 1..={}", self.max_positions, 1 << 24));
        }
        if let Positions::Rotary(rotary) = &self.positions {
            rotary.check()?;
        }
        if !(0.0..1.0).contains(&self.norm_eps) {
            return Err(format!("the norms' epsilon is {}, expected 0 to 1", self.norm_eps));
        }
        Ok(())
    }

    /// Positions beyond which there is no embedding to give, in tokens; `None` where there is one for every place.
    #[must_use]
    pub fn reach(&self) -> Option<usize> {
        match &self.positions {
            Positions::Learned => Some(self.max_positions),
            Positions::Rotary(rotary) => rotary.reach(),
        }
    }

    /// Values of all weights.
    #[must_use]
    pub fn values(&self) -> i128 {
        let wide = |[out, input]: [i64; 2]| i128::from(out) * i128::from(input);
        let block: i128 = self.family().projections(0).map(|(p, _)| wide(p.shape(self))).sum();
        let tables = if self.tied { 1 } else { 2 };
        let places = if self.positions == Positions::Learned { self.max_positions as i64 } else { 0 };
        i128::from(self.layers) * block + wide([tables * self.vocab + places, self.hidden])
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
