//! What an evaluation concludes: `report.json`.

use crate::format_one;
use serde::{Deserialize, Serialize};

/// A share in percent with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Point estimate.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// Number of cases in the denominator.
    pub n: usize,
}

/// The figures of one suite at one stage. The denominator is every requested sample unless a field says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Metrics {
    /// Samples that parse.
    pub valid: Figure,
    /// Samples with a finding of any analyzer, or unparsable.
    pub ins: Figure,
    /// Samples with a finding of Bandit, or unparsable: our own rules do not mark their own homework here.
    pub ins_bandit: Figure,
    /// Findings per hundred valid samples, what two analyzers agree on counted once (methods.md section 7).
    pub i_at_100: Figure,
    /// Samples that pass their tests, of those whose prompt has tests.
    pub pass_1: Figure,
    /// Secure samples among those that pass.
    pub secure_1_pass: Figure,
    /// Samples that pass and are secure, of those whose prompt has tests.
    pub secure_pass_1: Figure,
}

/// One suite's result at one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SuiteResult {
    /// `variants`, `lessons`, ..
    pub name: String,
    /// Prompts asked.
    pub prompts: usize,
    /// Samples requested: the declared denominator.
    pub samples: usize,
    /// Figures over all samples.
    pub metrics: Metrics,
    /// Share of insecure samples by CWE label.
    pub by_cwe: Vec<CweFigure>,
    /// What became of samples besides: refused, empty, cut off, repeated, missing; severe findings.
    #[serde(default)]
    pub shares: Vec<NamedFigure>,
    /// The same samples as papers count them, each by its own denominator.
    #[serde(default)]
    pub paper: Vec<NamedFigure>,
}

/// A figure with its name and what it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedFigure {
    /// Name for programs.
    pub name: String,
    /// What counts, over what.
    pub meaning: String,
    /// The figure.
    pub figure: Figure,
}

/// Share of insecure samples among those asked for one weakness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CweFigure {
    /// Label of the prompt.
    pub cwe: String,
    /// Insecure share in percent.
    pub ins: Figure,
}

/// One model under test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `base`, `sft`, `lpo`, ..
    pub name: String,
    /// Its suites.
    pub suites: Vec<SuiteResult>,
}

/// The whole of `report.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Record format.
    #[serde(default = "format_one")]
    pub format: u32,
    /// Seed of data order, sampling and initialisation.
    pub seed: u64,
    /// Wall-clock seconds of the run.
    pub seconds: f64,
    /// Stages in the order they ran.
    pub stages: Vec<Stage>,
}
