//! What is known before anything is made: lessons, weaknesses, analyzers' rules and modules whose use goes wrong; and what of it
//! covers what.
//!
//! 1. [`catalogue`]: MITRE's list of weaknesses, from the file that MITRE publishes; the names that lessons use are built in.
//! 2. [`rules`]: what analyzers look for: ours, Bandit's, and those of any SARIF report.
//! 3. [`modules`]: modules by language, with what is risky in them; data in `content/modules`.
//! 4. [`coverage`]: which weakness of which module a lesson shows or a rule finds, and which nobody.

pub mod catalogue;
pub mod coverage;
pub mod modules;
pub mod rules;

pub use catalogue::{Catalogue, Weakness};
pub use coverage::{Cell, Coverage};
pub use modules::Module;
pub use rules::Rule;

/// Something that was to be read cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file cannot be opened or read.
    #[error("cannot read {path}: {why}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        why: String,
    },
    /// A file is not what it should be.
    #[error("{path}, byte {at}: {why}")]
    Form {
        /// The file.
        path: String,
        /// Where.
        at: u64,
        /// What is wrong, and what was expected.
        why: String,
    },
}
