//! Model families: how a Hugging Face configuration and its tensor names map onto the shared decoder.
//!
//! A family is one file and one line in [`ALL`]. `tests/families.rs` holds each of them to a checkpoint that transformers
//! made: logits, gradients, adapters, cached decoding, and the folder that is written back.

mod codegen;
mod gemma;
mod gpt2;
mod gpt_bigcode;
mod gpt_neox;
mod keys;
mod llama;
mod mistral;
mod phi;
mod phi3;
mod qwen2;
mod qwen3;
mod starcoder2;

use crate::DecoderConfig;
use serde_json::Value;

/// A projection of a block, by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Projection {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Queries, keys and values in one, one after another.
    Qkv,
    /// Attention output.
    O,
    /// Gate of the feed-forward half.
    Gate,
    /// Up projection of the feed-forward half.
    Up,
    /// Gate and up projection in one.
    GateUp,
    /// Down projection of the feed-forward half.
    Down,
}

impl Projection {
    /// Number of roles.
    #[cfg(feature = "torch")]
    pub(crate) const COUNT: usize = Self::Down as usize + 1;

    /// Shape `[out, in]` of its weight.
    #[must_use]
    pub const fn shape(self, c: &DecoderConfig) -> [i64; 2] {
        let (queries, keys) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        match self {
            Self::Q => [queries, c.hidden],
            Self::K | Self::V => [keys, c.hidden],
            Self::Qkv => [queries + 2 * keys, c.hidden],
            Self::O => [c.hidden, queries],
            Self::Gate | Self::Up => [c.intermediate, c.hidden],
            Self::GateUp => [2 * c.intermediate, c.hidden],
            Self::Down => [c.hidden, c.intermediate],
        }
    }

    /// Whether it has a bias.
    #[must_use]
    pub const fn biased(self, c: &DecoderConfig) -> bool {
        match self {
            Self::Q | Self::K | Self::V | Self::Qkv => c.biases.qkv,
            Self::O => c.biases.output,
            Self::Gate | Self::Up | Self::GateUp | Self::Down => c.biases.feed,
        }
    }

    /// Whether what it computes is added to the residual stream.
    #[must_use]
    pub const fn into_residual(self) -> bool {
        matches!(self, Self::O | Self::Down)
    }
}

/// Module that is not a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Token embedding.
    Embedding,
    /// Table of learned positions.
    Positions,
    /// Norm before attention of a block.
    InputNorm(i64),
    /// Norm before the feed-forward half.
    PostNorm(i64),
    /// Norm of a head's queries.
    QueryNorm(i64),
    /// Norm of a head's keys.
    KeyNorm(i64),
    /// Last norm.
    FinalNorm,
    /// Output head, where it is not tied.
    Head,
}

/// Where a family's modules are; those it does not have are empty.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Token embedding.
    pub embedding: &'static str,
    /// Table of learned positions.
    pub positions: &'static str,
    /// What stands before a block's number.
    pub blocks: &'static str,
    /// Norm before attention, in a block.
    pub input_norm: &'static str,
    /// Norm before the feed-forward half, in a block.
    pub post_norm: &'static str,
    /// Norms of a head's queries and keys, in a block.
    pub head_norms: [&'static str; 2],
    /// Last norm.
    pub final_norm: &'static str,
    /// Output head.
    pub head: &'static str,
    /// Projections in the order a block uses them.
    pub projections: &'static [(Projection, &'static str)],
}

/// How a projection's weight stands on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Stored as `[in, out]` (GPT-2's `Conv1D`).
    pub transposed: bool,
    /// Row `i` here is row `rows[i]` there: here fused queries, keys and values stand one after another, and what is
    /// turned stands in two halves.
    pub rows: Option<Vec<i64>>,
}

/// One family.
#[derive(Debug)]
pub struct Family {
    /// Short name.
    pub name: &'static str,
    /// Values of `architectures[0]` it reads.
    pub architectures: &'static [&'static str],
    /// Configuration from `config.json`; the error names the key.
    pub read: fn(&Value) -> Result<DecoderConfig, String>,
    /// Names of its modules.
    pub names: Names,
    /// How its projections stand on disk.
    pub layout: fn(&DecoderConfig, Projection) -> Layout,
}

impl Family {
    /// Full name of a module, without `.weight`.
    #[must_use]
    pub fn slot(&self, slot: Slot) -> String {
        let n = &self.names;
        let inside = |layer: i64, name: &str| format!("{}.{layer}.{name}", n.blocks);
        match slot {
            Slot::Embedding => n.embedding.to_owned(),
            Slot::Positions => n.positions.to_owned(),
            Slot::InputNorm(l) => inside(l, n.input_norm),
            Slot::PostNorm(l) => inside(l, n.post_norm),
            Slot::QueryNorm(l) => inside(l, n.head_norms[0]),
            Slot::KeyNorm(l) => inside(l, n.head_norms[1]),
            Slot::FinalNorm => n.final_norm.to_owned(),
            Slot::Head => n.head.to_owned(),
        }
    }

    /// Every projection of a block with its module path, in the order a block uses them.
    pub fn projections(&self, layer: i64) -> impl Iterator<Item = (Projection, String)> {
        self.names.projections.iter().map(move |&(p, name)| (p, format!("{}.{layer}.{name}", self.names.blocks)))
    }

    /// Every value of `architectures[0]` that some family reads.
    #[must_use]
    pub fn known() -> Vec<&'static str> {
        ALL.iter().flat_map(|f| f.architectures.iter().copied()).collect()
    }
}

/// Every family.
pub const ALL: &[Family] = &[
    llama::FAMILY,
    mistral::FAMILY,
    phi::FAMILY,
    phi3::FAMILY,
    starcoder2::FAMILY,
    gpt_bigcode::FAMILY,
    codegen::FAMILY,
    gpt2::FAMILY,
    gpt_neox::FAMILY,
    gemma::FAMILY,
    qwen2::FAMILY,
    qwen3::FAMILY,
];

/// Weights that stand on disk as they stand here.
fn as_is(_: &DecoderConfig, _: Projection) -> Layout {
    Layout::default()
}

/// Rows of queries, keys and values that are stored head by head, each head's three parts together.
fn head_by_head(c: &DecoderConfig, p: Projection) -> Layout {
    if p != Projection::Qkv {
        return Layout::default();
    }
    let row = |part: i64, head: i64, dim: i64| (head * 3 + part) * c.head_dim + dim;
    let rows =
        (0..3).flat_map(|part| (0..c.heads).flat_map(move |head| (0..c.head_dim).map(move |dim| row(part, head, dim))));
    Layout { transposed: false, rows: Some(rows.collect()) }
}

impl DecoderConfig {
    /// The family that read this configuration.
    ///
    /// # Panics
    /// Never: only families of [`ALL`] make configurations.
    #[must_use]
    pub fn family(&self) -> &'static Family {
        #[expect(clippy::expect_used, reason = "only families of ALL make configurations")]
        ALL.iter().find(|f| f.name == self.family).expect("configuration of a known family")
    }
}
