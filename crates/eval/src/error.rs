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
    /// A suite needs files of its publisher's.
    #[error("suite {suite:?} reads its publisher's files: `rampart suites pull {suite}`, or --data DIR with a copy")]
    NoData {
        /// The suite.
        suite: &'static str,
    },
    /// A file of a benchmark is not there.
    #[error("suite {suite:?}: no {wanted} in {folder}; `rampart suites pull {suite}` fetches it")]
    Missing {
        /// The suite.
        suite: &'static str,
        /// Where it was looked for.
        folder: String,
        /// The places of the file.
        wanted: String,
    },
    /// A record of a benchmark cannot be used.
    #[error("{place}: {what}")]
    Data {
        /// File, and line or record.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// Two records of a benchmark have one name.
    #[error("suite {suite:?}: task {id:?} stands twice in its files; is a file there in two copies?")]
    DuplicateTask {
        /// The suite.
        suite: &'static str,
        /// The task.
        id: String,
    },
    /// A benchmark does not hold as many records as were published.
    #[error(
        "suite {suite:?}: {found} tasks where {expected} were published; fetch it anew, or say --partial if a part is what you want"
    )]
    Records {
        /// The suite.
        suite: &'static str,
        /// As published.
        expected: usize,
        /// As found.
        found: usize,
    },
    /// Two runs have no prompt in common.
    #[error("nothing to compare: {0}")]
    Incomparable(String),
    /// A gate cannot be read.
    #[error("gate {0}")]
    Gate(String),
    /// The page could not be made; its template is at fault.
    #[error("cannot make the report's page: {0}")]
    Page(#[from] minijinja::Error),
    /// The report could not be encoded.
    #[error("cannot encode the report: {0}")]
    Encode(#[from] serde_json::Error),
    /// A file of a run could not be read.
    #[error(transparent)]
    Lines(#[from] lexicon::jsonl::Error),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}
