//! Text to token ids and back, through the model's own `tokenizer.json`.

use crate::{Error, Result};
use serde_json::Value;
use std::{fs, path::Path};

/// A tokenizer with what a trainer must know about its special tokens.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    path: String,
    size: usize,
    /// Token put once before every sequence, where the tokenizer's own template does so.
    pub bos: Option<u32>,
    /// Token that ends a sequence.
    pub eos: Option<u32>,
}

/// Ids of a text and the byte range each came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Byte range `[start, end)` of each token in the text.
    pub offsets: Vec<(usize, usize)>,
}

impl Tokenizer {
    /// Loads `tokenizer.json` from a file or a model folder, and its special tokens from `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Malformed`] with the file.
    pub fn load(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let bytes = fs::read(&file).map_err(Error::read(&file))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let config = fs::read(folder.join("tokenizer_config.json")).ok();
        Self::from_bytes(&bytes, config.as_deref(), &file)
    }

    /// A tokenizer from the contents of `tokenizer.json` and, where there is one, `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`Error::Malformed`], naming `file`.
    pub fn from_bytes(bytes: &[u8], config: Option<&[u8]>, file: &Path) -> Result<Self> {
        let broken =
            |why: String| Error::malformed(file, format!("not a tokenizer ({why}): copy or download it again"));
        if let Err(e) = serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
            return Err(broken(format!("not JSON: {e}")));
        }
        // The parser panics on some contents instead of refusing them (a decoder or normalizer that is none).
        let mut inner = std::panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(bytes))
            .map_err(|_| broken("its parts do not have the form that they name".into()))?
            .map_err(|e| broken(e.to_string()))?;
        // A truncation or padding setting left in the file would silently shorten training data.
        inner
            .with_truncation(None)
            .map_err(|e| Error::malformed(file, format!("cannot switch truncation off: {e}")))?;
        inner.with_padding(None);
        let config: Value = config.and_then(|c| serde_json::from_slice(c).ok()).unwrap_or(Value::Null);
        let special = |key: &str| {
            let name = config[key].as_str().or_else(|| config[key]["content"].as_str())?;
            inner.token_to_id(name)
        };
        let adds_first = inner.encode("", true).ok().and_then(|e| e.get_ids().first().copied());
        let eos = special("eos_token").or_else(|| {
            ["<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>"].iter().find_map(|t| inner.token_to_id(t))
        });
        let declared = special("bos_token");
        let bos = if declared.is_some() || adds_first != eos {
            adds_first.filter(|&b| declared.is_none_or(|d| d == b))
        } else {
            None
        };
        // Counting builds the whole vocabulary: once.
        let size = inner.get_vocab_size(true);
        Ok(Self { inner, path: file.display().to_string(), size, bos, eos })
    }

    /// Number of ids, added tokens included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.size
    }

    /// Whether it has no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Refuses a model whose embedding has fewer rows than this tokenizer has ids.
    ///
    /// # Errors
    /// [`Error::TokenizerMismatch`].
    pub fn fits(&self, vocab: i64) -> Result<()> {
        let model = usize::try_from(vocab).unwrap_or(0);
        let largest = self.inner.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1);
        if largest > model {
            return Err(Error::TokenizerMismatch { path: self.path.clone(), tokenizer: largest, model });
        }
        Ok(())
    }

    /// Ids of a text, without any special token added.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the tokenizer itself fails on the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.encode_with_offsets(text)?.ids)
    }

    /// Ids of what a model reads from its first token on: exactly one beginning-of-sequence token where this tokenizer puts
    /// one, whether the text (a chat template's, say) writes it itself or not.
    ///
    /// # Errors
    /// See [`Self::encode`].
    pub fn encode_start(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode(text)?;
        if let Some(bos) = self.bos {
            match ids.iter().take_while(|&&id| id == bos).count() {
                0 => ids.insert(0, bos),
                written => drop(ids.drain(1..written)),
            }
        }
        Ok(ids)
    }

    /// Ids of a text with the bytes each stands for.
    ///
    /// # Errors
    /// See [`Self::encode`].
    pub fn encode_with_offsets(&self, text: &str) -> Result<Encoded> {
        let encoding = self
            .inner
            .encode(text, false)
            .map_err(|e| Error::malformed(Path::new(&self.path), format!("cannot encode: {e}")))?;
        Ok(Encoded { ids: encoding.get_ids().to_vec(), offsets: encoding.get_offsets().to_vec() })
    }

    /// Text of ids, special tokens left out.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        self.inner.decode(ids, true).unwrap_or_default()
    }

    /// The `tokenizer.json` file it came from.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}
