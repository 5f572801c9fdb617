//! Samples, a model and an objective in; a checkpoint out. One loop for every objective.
//!
//! 1. [`config`]: the training configuration, unknown keys refused.
//! 2. [`examples`]: rows become token sequences with response and focus; what is cut or dropped is counted.
//! 3. [`batches`]: which examples a step sees, a function of seed and step alone.
//! 4. `layout`, [`step`]: examples as the decoder takes them; log-probs, objective, gradient.
//! 5. [`run`]: the loop: optimiser, schedule, checkpoints, evaluation, metrics.
//!
//! Invariants: no objective's formula and no tensor operation stands here. A run that is killed and resumed takes the
//! same steps as one that is not. Progress is told to an observer; nothing here prints.

pub mod batches;
pub mod checkpoint;
pub mod classes;
pub mod config;
pub mod examples;
mod layout;
pub mod metrics;
mod rehearsal;
pub mod run;
pub mod step;

pub use config::Config;
pub use examples::{Accounts, Example, Sequence};
pub use metrics::StepMetrics;
pub use run::{Observer, Outcome, run};

/// Training cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error("{path}: {message}")]
    Config {
        /// File.
        path: String,
        /// Key and what is wrong with it.
        message: String,
    },
    /// Training data cannot be read.
    #[error(transparent)]
    Data(#[from] lexicon::jsonl::Error),
    /// No example is left to train or measure on.
    #[error("{files}: no example for {key} ({accounts}): give pairs whose sides differ within data.max-tokens")]
    Empty {
        /// Key of the configuration that names the files.
        key: String,
        /// The files.
        files: String,
        /// What became of their rows.
        accounts: String,
    },
    /// The model, its tokenizer or adapter cannot be used.
    #[error(transparent)]
    Model(#[from] models::Error),
    /// An example that the objective refuses.
    #[error("example {id}: {source}")]
    Objective {
        /// Example.
        id: String,
        /// What the objective says.
        source: objectives::Error,
    },
    /// Something could not be written.
    #[error(transparent)]
    Write(#[from] lexicon::atomic::WriteError),
    /// A checkpoint cannot be resumed.
    #[error("{path}: {message}")]
    Checkpoint {
        /// Folder.
        path: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// The loss or a gradient is not a number any more.
    #[error(
        "step {step}: the {what} is {value}; its samples are in {samples}, and the last checkpoint is whole: look at them, lower \
         optim.learning-rate or set optim.clip-norm"
    )]
    Diverged {
        /// Step, from 1.
        step: usize,
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// File with the ids of the step's samples.
        samples: String,
    },
}

/// Result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;
