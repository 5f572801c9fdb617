//! Critics at inference: a draft is judged for safety and for helpfulness, and written again until both are content
//! (INDICT; methods.md, section 6).
//!
//! A round is two debates. In the first, the safety critic and then the helpfulness critic look at the code, each free to
//! consult tools ([`Tools`]); what they object to is summed up, and the writer writes the code again. Then, where code can be
//! run, it is run, and the second debate has what was observed before its eyes. Rounds keep what was said in earlier ones.
//!
//! Invariants: silence and words that are no verdict are never consent; code that cannot be taken out of a revision changes
//! nothing; all cases of a call take their steps together, so that a local model samples them in one batch; every word is in
//! the [`Transcript`]. Nothing here judges, runs or looks anything up: that arrives as [`Tools`].

mod debate;
mod prompts;
mod reply;

pub use debate::{Extract, debate};
pub use prompts::Prompts;
pub use reply::{Said, read};

use crate::{Ask, Parameters};
use lexicon::{FinishReason, Language};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Something a critic may consult.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// What the judge's analyzers find in the code.
    Review,
    /// Lessons about something.
    Search(String),
    /// The code, run in a sandbox.
    Run,
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Review => f.write_str("review"),
            Self::Search(what) => write!(f, "search {what}"),
            Self::Run => f.write_str("run"),
        }
    }
}

/// A tool that is to be consulted about code.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The tool.
    pub tool: &'a Tool,
    /// The code as it stands.
    pub code: &'a str,
    /// Its language.
    pub language: Language,
}

/// What critics may consult.
pub trait Tools {
    /// Tools that are there, as critics are to name them, such as `search WHAT`.
    fn offered(&self, language: Language) -> Vec<&'static str>;

    /// Answers calls, each with a few lines; what failed, a missing tool among it, is said in the answer.
    fn answer(&self, calls: &[Call<'_>]) -> Vec<String>;
}

/// How long and how deep.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Rounds at most.
    pub rounds: u32,
    /// Tools that a critic may consult before each judgement.
    pub tool_calls: u32,
    /// How critics and the summary are sampled.
    pub critic: Parameters,
    /// How revisions are sampled.
    pub actor: Parameters,
}

/// An answer to be drafted and debated.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name in messages.
    pub name: String,
    /// What is to be written, for critics.
    pub task: String,
    /// Language of the code.
    pub language: Language,
    /// What drafts it.
    pub draft: Ask,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Drafts and revises.
    Actor,
    /// Judges security.
    Safety,
    /// Judges whether the task is done.
    Helpfulness,
    /// A tool's answer.
    Tool,
    /// What running the code showed.
    Observation,
    /// Sums up what the critics said.
    Summary,
}

impl Who {
    /// As the templates write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Safety => "safety",
            Self::Helpfulness => "helpfulness",
            Self::Tool => "tool",
            Self::Observation => "observation",
            Self::Summary => "summary",
        }
    }
}

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Turn {
    /// Round, from 1; 0 is the draft.
    pub round: u32,
    /// Whether the code's run was before the critics' eyes.
    pub observed: bool,
    /// Who said it.
    pub who: Who,
    /// What was said, whole.
    pub text: String,
    /// How it was taken: `content`, `change`, `no verdict`, `silent`, `tool: ..`, `no code`, `refused`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub taken: String,
}

/// Why a debate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Both critics were content with the code as it is.
    Content,
    /// The last round was over.
    Rounds,
    /// Critics objected to nothing and were not content either: there was nothing to write anew from.
    Silent,
    /// The draft holds no code to debate.
    NoCode,
    /// The other side will not answer a question of this debate, its length for one.
    Refused,
}

/// All that was said about one answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Transcript {
    /// Turns, in order.
    pub turns: Vec<Turn>,
    /// Rounds that were begun.
    pub rounds: u32,
    /// Revisions whose code was taken.
    pub revisions: u32,
    /// Why it ended.
    pub end: End,
}

/// An answer after its debate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debated {
    /// The text whose code stands at the end: the draft, or the last revision that holds code.
    pub text: String,
    /// Why that text ended.
    pub finish: FinishReason,
    /// What was said.
    pub transcript: Transcript,
}
