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
