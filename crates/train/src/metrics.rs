//! `metrics.jsonl`: one object a step, appended as the step ends.

use crate::{Error, Result};
use lexicon::atomic::WriteError;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

/// What one step did.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepMetrics {
    /// Step, from 1.
    pub step: usize,
    /// Mean loss over the step's examples, in nats.
    pub loss: f64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Tokens of all sequences.
    pub tokens: usize,
    /// Tokens that were computed: what sequences share counts once.
    pub unique_tokens: usize,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// What the objective compares, of the secure side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_logp: Option<f64>,
    /// Likewise of the insecure side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_logp: Option<f64>,
    /// Reward margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Share of pairs with a positive margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Held-out loss, on steps that measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_loss: Option<f64>,
}

/// The metrics file of a run.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the file for appending after `step`: lines of later steps, and a line cut by a kill, are taken out first.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn open(path: &Path, step: usize) -> Result<Self> {
        let kept: Vec<StepMetrics> = match lexicon::jsonl::read_lenient::<StepMetrics>(path) {
            Ok(lines) => lines.records.into_iter().map(|(_, m)| m).filter(|m| m.step <= step).collect(),
            Err(_) => Vec::new(),
        };
        lexicon::jsonl::write(path, &kept)?;
        let file = OpenOptions::new().append(true).open(path).map_err(|e| failed(path, e))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a step.
    ///
    /// # Errors
    /// [`Error::Write`], such as a full disk.
    pub fn push(&mut self, metrics: &StepMetrics) -> Result<()> {
        let mut line = serde_json::to_vec(metrics).map_err(|e| failed(&self.path, e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|e| failed(&self.path, e))
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    WriteError { path: path.display().to_string(), source }.into()
}
