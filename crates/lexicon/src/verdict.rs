//! What the judge concludes about one piece of code.

use crate::Finding;
use serde::{Deserialize, Serialize};

/// How a test or exploit program ended in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestOutcome {
    /// Exit status 0.
    Passed,
    /// Any other exit status; holds the last lines it printed.
    Failed(String),
    /// Stopped at its wall-clock limit.
    TimedOut,
    /// Stopped by a signal: memory, file size or a forbidden call.
    Killed(String),
}

impl TestOutcome {
    /// Whether it ended with status 0.
    #[must_use]
    pub const fn passed(&self) -> bool {
        matches!(self, Self::Passed)
    }
}

/// The one verdict that data, training, evaluation and people share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the code parses; unparsable code counts as failed and insecure everywhere.
    pub valid: bool,
    /// Why not, with its line, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syntax_error: Option<String>,
    /// Findings of all analyzers that ran, by position.
    pub findings: Vec<Finding>,
    /// Functional tests, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestOutcome>,
    /// Exploit, where there is one: `Passed` means that the attack worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploit: Option<TestOutcome>,
}

impl Verdict {
    /// Valid, without a finding, and no exploit works.
    #[must_use]
    pub fn secure(&self) -> bool {
        self.valid && self.findings.is_empty() && !self.exploit.as_ref().is_some_and(TestOutcome::passed)
    }
}
