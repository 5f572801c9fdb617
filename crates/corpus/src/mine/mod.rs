//! Mining: histories of repositories in, pairs of real fixes out (methods.md, section 3).
//!
//! 1. [`heuristics`]: which commits may be a fix, by the words of messages and lines; data that users edit.
//! 2. [`history`]: a repository's commits and what each changes, through gix; [`licence`]: under which terms.
//! 3. [`screen`]: a commit by itself: small enough, code, more than comments.
//! 4. [`fix`]: what the judge says of both sides: the weakness is there before and gone after; its functions become pairs.
//! 5. [`instruction`]: what was asked, from docstring and signature, or by a writer.
//! 6. [`row`]: a commit as the row of a table, which shows files or a [`patch`]; [`fragment`]: what a patch shows, as code.
//! 7. [`run`](mod@run), [`tables`]: all of it, a chunk at a time; [`desk`]: where candidates become files, each chunk on disk
//!    before the next; [`report`]: what became of every commit.
//!
//! Invariants: a repository is read, never written, and nothing of it is run; its configuration starts no program. Whatever a
//! history holds (missing objects, huge or binary files, texts that are not UTF-8) is a counted reject. The same repositories,
//! heuristics and analyzers give the same files, however often the run was stopped.

pub mod desk;
pub mod fix;
pub mod fragment;
pub mod heuristics;
pub mod history;
pub mod instruction;
pub mod licence;
pub mod patch;
pub mod report;
pub mod row;
pub mod run;
pub mod screen;
pub mod tables;

pub use desk::{Desk, Error};
pub use heuristics::Heuristics;
pub use report::Report;
pub use run::{Run, run};

use lexicon::Cwe;
use serde::{Deserialize, Serialize};

/// Why a commit gives no pair; the name is what reports count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reject {
    /// No phrase of the heuristics is in its message.
    NoKeyword,
    /// Its message speaks of security in general, and no line it changes says of which weakness.
    NoCodeWord,
    /// It has several parents.
    Merge,
    /// It has none: there is no before.
    Root,
    /// Its parent lies beyond the boundary of a shallow clone.
    Shallow,
    /// It or something it names is not in the repository.
    MissingObject,
    /// It cannot be decoded.
    Malformed,
    /// It changes more files than allowed.
    TooManyFiles,
    /// It changes more lines than allowed.
    TooManyLines,
    /// A file is larger than allowed.
    TooLargeFile,
    /// A file with the name of code is not text.
    NotText,
    /// It changes no file of a known language, or only others' (vendored, generated).
    NoCode,
    /// It changes tests alone.
    TestsOnly,
    /// It adds and deletes whole files, or renames them: nothing stands on both sides.
    NoCounterpart,
    /// Its code is the same but for comments and white space.
    CommentOnly,
    /// A side does not parse.
    Syntax,
    /// An analyzer could not look at a side.
    NotAnalyzed,
    /// Nothing of the commit's type is found before it.
    CleanBefore,
    /// What goes away is another weakness than the commit's type.
    OtherType,
    /// The weakness is still found after it.
    StillFlagged,
    /// The weakness is in no function.
    NoFunction,
    /// The function that holds the weakness does not change, or is gone.
    FunctionUnchanged,
    /// Its licence is not among those allowed.
    Licence,
    /// Function and signature alone give the weakness away.
    Hint,
    /// Another commit holds the same change.
    Duplicate,
}

/// A weakness that a commit may be about, and what it was told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Suspect {
    /// The weakness.
    pub cwe: Cwe,
    /// Whether the message names it; else a general phrase does, and a changed line holds a word of it.
    pub named: bool,
}
