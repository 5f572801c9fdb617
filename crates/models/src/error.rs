//! What can go wrong with a model folder.

use std::{io, path::Path};

/// A model, adapter or tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// File.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is there and is not what its name says.
    #[error("{path}: {message}")]
    Malformed {
        /// File.
        path: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] lexicon::atomic::WriteError),
    /// No family maps this architecture.
    #[error("{path}: architecture {architecture:?} is not supported: expected one of {known}")]
    UnknownFamily {
        /// The `config.json`.
        path: String,
        /// What it names.
        architecture: String,
        /// What we know.
        known: String,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("{path}: tensor {name} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The safetensors file.
        path: String,
        /// Tensor.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// Shape by the configuration.
        expected: Vec<i64>,
    },
    /// A tensor that the configuration asks for is absent.
    #[error("{path}: tensor {name} is missing")]
    MissingTensor {
        /// The folder or file.
        path: String,
        /// Tensor.
        name: String,
    },
    /// Tokenizer and model do not belong together.
    #[error("{path}: the tokenizer has {tokenizer} entries and the model only {model}: they do not belong together")]
    TokenizerMismatch {
        /// The tokenizer's file.
        path: String,
        /// Size of the tokenizer's vocabulary.
        tokenizer: usize,
        /// Rows of the embedding.
        model: usize,
    },
    /// A token id outside the embedding.
    #[error("token id {id} is outside the model's vocabulary of {vocab}")]
    TokenRange {
        /// The id.
        id: u32,
        /// Rows of the embedding.
        vocab: i64,
    },
    /// A sequence that goes on where the model has no positions.
    #[error(
        "a sequence of {tokens} tokens, prefix included: the model's positions end at {reach}; set data.max-tokens to \
         {reach} or less"
    )]
    TooLong {
        /// Its tokens.
        tokens: usize,
        /// Positions of the model.
        reach: usize,
    },
    /// The processes of a run do not find or lose each other.
    #[error("rank {rank}: {what}: {message}")]
    Ranks {
        /// Number of this process.
        rank: usize,
        /// What went wrong.
        what: &'static str,
        /// What c10d says.
        message: String,
    },
    /// A request that cannot be met with what this machine has.
    #[error("{0}")]
    Unavailable(String),
}

impl Error {
    /// A reading error with its file.
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.display().to_string(), source }
    }

    /// A malformed file with what is wrong.
    pub(crate) fn malformed(path: &Path, message: impl Into<String>) -> Self {
        Self::Malformed { path: path.display().to_string(), message: message.into() }
    }
}
