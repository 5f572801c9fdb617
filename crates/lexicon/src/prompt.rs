//! What a model is asked.

use crate::format_one;
use serde::{Deserialize, Serialize};

/// One prompt, exactly as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Record format.
    #[serde(default = "format_one")]
    pub format: u32,
    /// Stable name; samples refer to it.
    pub id: String,
    /// Text, without a beginning-of-sequence token.
    pub prompt: String,
}
