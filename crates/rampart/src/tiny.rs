//! `models/tiny` inside the binary, so that `rampart demo` needs no download.

use lexicon::atomic::{self, WriteError};
use std::path::Path;

const FILES: &[(&str, &[u8])] = &[
    ("tokenizer.json", include_bytes!("../../../models/tiny/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../../models/tiny/tokenizer_config.json")),
    ("special_tokens_map.json", include_bytes!("../../../models/tiny/special_tokens_map.json")),
    ("model.safetensors", include_bytes!("../../../models/tiny/model.safetensors")),
    ("config.json", include_bytes!("../../../models/tiny/config.json")),
];

/// Writes the model as a Hugging Face folder.
///
/// # Errors
/// [`WriteError`] when the folder cannot be written.
pub(crate) fn unpack(folder: &Path) -> Result<(), WriteError> {
    FILES.iter().try_for_each(|(name, bytes)| atomic::write(&folder.join(name), bytes))
}

/// The model's own answers to ordinary tasks (`models/tiny/recipe/replay.py`), mixed into supervised fine-tuning: without
/// them it forgets what it could, which is why SafeCoder joins security tuning with ordinary tuning (He et al., ICML 2024).
pub(crate) const REPLAY: &[u8] = include_bytes!("../../../models/tiny/replay.jsonl");
