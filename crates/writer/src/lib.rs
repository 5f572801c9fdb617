//! A prompt in, code out: a local model, or any endpoint that speaks OpenAI's protocol.
//!
//! 1. [`Ask`]: a prompt or conversation with its settings; [`Reply`]: what came back, and where from ([`Provenance`]).
//! 2. [`Endpoint`]: asks over HTTP, a bounded number at once; waits as long as the other side wishes, tries again what
//!    may pass, gives up at once on what will not.
//! 3. [`Cache`]: every reply on disk under the hash of its question before anybody sees it, so nothing is paid twice.
//! 4. [`Budget`]: tokens and money of a run; nothing is sent that may cost more than is left.
//! 5. [`code`]: the code in a reply, or why there is none.
//! 6. `local` (feature `torch`): a model of this machine.
//! 7. [`critics`]: answers debated and written again before they are given.
//!
//! Invariants: a key is in a header and nowhere else, neither in a file nor in a message; redirects are not followed; a
//! reply is whole or an error; an answer is never made up. Nothing here judges code.

mod ask;
mod budget;
mod cache;
mod call;
pub mod code;
pub mod critics;
mod endpoint;
mod key;
#[cfg(feature = "torch")]
mod local;
mod wait;

pub use ask::{Api, Ask, Message, Parameters, Provenance, Question, Reply, Usage};
pub use budget::{Budget, Prices, Spent};
pub use cache::Cache;
pub use endpoint::{Endpoint, Estimate, Settings};
pub use key::Key;
#[cfg(feature = "torch")]
pub use local::Local;

use std::sync::atomic::AtomicBool;

/// Whoever answers prompts.
pub trait Writer {
    /// Answers every question. `each` hears of every one exactly once, by its place in `asks`, in the order in which
    /// answers come; where `stop` is set, what has not been sent is answered with [`Error::Stopped`].
    fn write(&self, asks: &[Ask], stop: &AtomicBool, each: &mut dyn FnMut(usize, Result<Reply>));
}

/// No answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Settings that mean nothing.
    #[error("{0}")]
    Setting(String),
    /// The endpoint will refuse every question: a wrong key, model or address.
    #[error("{url}: {status} {message}")]
    Refused {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What the endpoint says, and what to do.
        message: String,
    },
    /// This question is refused; others may not be.
    #[error("{url}: {status} {message}")]
    Question {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What the endpoint says.
        message: String,
    },
    /// This question leaves no room for an answer.
    #[error("{0}")]
    Room(String),
    /// No whole answer after so many attempts.
    #[error("{url}: no answer in {attempts} attempts, the last: {message}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Attempts made.
        attempts: u32,
        /// Why the last one failed.
        message: String,
    },
    /// Answers came, and none holds the code that was asked for.
    #[error("no code in {answers} answers, the last: {why}")]
    Unusable {
        /// Answers received.
        answers: u32,
        /// What is wrong with the last one.
        why: code::Unusable,
    },
    /// The budget does not reach for this question.
    #[error("the budget is used up: {0}")]
    Budget(String),
    /// Not asked: the run was stopped.
    #[error("stopped before it was asked")]
    Stopped,
    /// A reply could not be kept; it is not used either, since it would be paid for again.
    #[error(transparent)]
    Cache(std::sync::Arc<CacheError>),
    /// The local model failed.
    #[error("{0}")]
    Model(String),
}

/// A reply could not be written to the cache.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep a reply: {0}")]
pub struct CacheError(#[from] lexicon::atomic::WriteError);

impl PartialEq for CacheError {
    fn eq(&self, other: &Self) -> bool {
        self.0.path == other.0.path
    }
}

/// Result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;
