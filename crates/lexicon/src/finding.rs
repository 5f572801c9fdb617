//! What an analyzer says about one place in a file.

use crate::{Cwe, Position, format_one};
use serde::{Deserialize, Serialize};

/// How bad it is if the finding is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Hardening advice.
    Low,
    /// Exploitable under conditions.
    Medium,
    /// Exploitable by whoever controls the input.
    High,
    /// Gives the attacker the process or its secrets.
    Critical,
}

impl Severity {
    /// Name on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// How sure the analyzer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A pattern that is often harmless.
    Low,
    /// Likely.
    Medium,
    /// As good as certain.
    High,
}

impl Confidence {
    /// Name on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// One step of a data flow: where untrusted data is at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceStep {
    /// Where.
    pub at: Position,
    /// What happens there, as a phrase.
    pub message: String,
}

/// One weakness at one place, as an analyzer reports it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Finding {
    /// Record format.
    #[serde(default = "format_one")]
    pub format: u32,
    /// Who says so: `native`, `bandit`, ..
    pub analyzer: String,
    /// The analyzer's own name of the rule.
    pub rule: String,
    /// Weaknesses, the best fitting first.
    pub cwe: Vec<Cwe>,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// File, as the caller named it.
    pub path: String,
    /// First character.
    pub start: Position,
    /// One past the last character.
    pub end: Position,
    /// One sentence for a person.
    pub message: String,
    /// Way of the data from source to sink, empty where the rule has none.
    #[serde(default)]
    pub trace: Vec<TraceStep>,
}

impl Finding {
    /// Whether two findings speak of the same weakness at the same place: CWEs of one family and lines that meet.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.path == other.path
            && self.start.line <= other.end.line
            && other.start.line <= self.end.line
            && self.cwe.iter().any(|a| other.cwe.iter().any(|b| a.kin(*b)))
    }
}
