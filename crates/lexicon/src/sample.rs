//! What a model answered.

use crate::format_one;
use serde::{Deserialize, Serialize};

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// The model ended its answer, or a stop string appeared.
    Stop,
    /// The token limit was reached.
    Length,
}

/// One sampled answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sample {
    /// Record format.
    #[serde(default = "format_one")]
    pub format: u32,
    /// The prompt's id.
    pub prompt_id: String,
    /// Number of the sample among those of its prompt, from 0.
    pub index: usize,
    /// Everything the model wrote, stop string excluded.
    pub text: String,
    /// The code in it, as extraction found it.
    pub code: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
}
