//! What can go wrong between a suite and its report.

use lexicon::atomic::WriteError;

/// An evaluation could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A sample answers a prompt that was not asked.
    #[error(
        "sample {index} of {prompt:?}: the suite has no such prompt; were the samples made for another suite, seed or --per-lesson?"
    )]
    UnknownPrompt {
        /// The sample's prompt id.
        prompt: String,
        /// The sample's number.
        index: usize,
    },
    /// A sample's number is not below the number requested.
    #[error("sample {index} of {prompt:?}: {requested} samples a prompt were requested, numbered from 0")]
    IndexRange {
        /// The sample's prompt id.
        prompt: String,
        /// The sample's number.
        index: usize,
        /// Samples requested of each prompt.
        requested: usize,
    },
    /// Two samples of a prompt have one number.
    #[error("sample {index} of {prompt:?} stands twice")]
    Duplicate {
        /// The sample's prompt id.
        prompt: String,
        /// The sample's number.
        index: usize,
    },
    /// Samples and verdicts do not go together.
    #[error("{samples} samples and {verdicts} verdicts: one verdict a sample is needed")]
    Lengths {
        /// Number of samples.
        samples: usize,
        /// Number of verdicts.
        verdicts: usize,
    },
    /// Nothing was asked.
    #[error("suite {0:?} has no task here: nothing can be measured")]
    NoTask(String),
    /// No suite has this name.
    #[error("no suite {name:?}; there are: {known}")]
    UnknownSuite {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The page could not be made; its template is at fault.
    #[error("cannot make the report's page: {0}")]
    Page(#[from] minijinja::Error),
    /// The report could not be encoded.
    #[error("cannot encode the report: {0}")]
    Encode(#[from] serde_json::Error),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}
