//! Model families: how a Hugging Face configuration and its tensor names map onto the shared decoder.
//!
//! A family is one file and one line in [`ALL`].

mod llama;

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
    /// Attention output.
    O,
    /// Gate of the feed-forward block.
    Gate,
    /// Up projection of the feed-forward block.
    Up,
    /// Down projection of the feed-forward block.
    Down,
}

impl Projection {
    /// All projections in the order a block uses them.
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// Shape `[out, in]` of its weight.
    #[must_use]
    pub const fn shape(self, c: &DecoderConfig) -> [i64; 2] {
        match self {
            Self::Q => [c.heads * c.head_dim, c.hidden],
            Self::K | Self::V => [c.kv_heads * c.head_dim, c.hidden],
            Self::O => [c.hidden, c.heads * c.head_dim],
            Self::Gate | Self::Up => [c.intermediate, c.hidden],
            Self::Down => [c.hidden, c.intermediate],
        }
    }
}

/// Tensor that is not a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Token embedding.
    Embedding,
    /// Norm before attention of a block.
    InputNorm(i64),
    /// Norm before the feed-forward block.
    PostNorm(i64),
    /// Last norm.
    FinalNorm,
    /// Output head, where it is not tied.
    Head,
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
    /// Full name of a tensor.
    pub slot: fn(Slot) -> String,
    /// Module path of a projection, without `.weight`.
    pub projection: fn(i64, Projection) -> String,
}

/// Every family.
pub const ALL: &[Family] = &[llama::FAMILY];

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
