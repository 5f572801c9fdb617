//! A secure and an insecure answer to one instruction.

use crate::{Cwe, Language, format_one};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a pair came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Origin {
    /// `lesson`, `mined`, `distilled`, `preference-row`, ..
    #[serde(default)]
    pub kind: String,
    /// Lesson id, repository, file: what `kind` calls its source.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Number of the variant inside its source, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<u64>,
    /// Licence of the code, as an SPDX expression.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub licence: String,
    /// Who or what verified the pair: `parse`, `native`, `tests`, `exploit`, ..
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<String>,
    /// Anything else its maker wants to keep.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, String>,
}

/// One preference pair: what training, masks and audits work on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Record format.
    #[serde(default = "format_one")]
    pub format: u32,
    /// Stable name.
    pub id: String,
    /// Language of both sides.
    #[serde(default)]
    pub language: Language,
    /// Weaknesses of the insecure side, the label first.
    #[serde(default)]
    pub cwe: Vec<Cwe>,
    /// What was asked; names no weakness.
    pub instruction: String,
    /// Security reasoning: what may go wrong and what the secure side does about it.
    #[serde(default)]
    pub reasoning: String,
    /// The preferred code.
    pub secure: String,
    /// The rejected code.
    pub insecure: String,
    /// Provenance.
    #[serde(default)]
    pub origin: Origin,
}
