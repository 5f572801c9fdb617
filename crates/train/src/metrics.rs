//! `metrics.jsonl`: one object a step, appended as the step ends.

use crate::{Error, Result};
use lexicon::{atomic::WriteError, jsonl::BadLine};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
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
    /// What stays, stays byte by byte.
    ///
    /// # Errors
    /// [`Error::Write`]; [`Error::Data`] when the file is there and is no metrics file of ours: it is left alone.
    pub fn open(path: &Path, step: usize) -> Result<Self> {
        let mut kept = String::new();
        match std::fs::read_to_string(path) {
            Ok(text) if step > 0 => {
                // A kill cuts the last line alone: it has no end.
                let whole = text.rfind('\n').map_or(0, |end| end + 1);
                for (i, line) in text[..whole].lines().enumerate() {
                    let metrics: StepMetrics = serde_json::from_str(line).map_err(|e| broken(path, i + 1, line, &e))?;
                    if metrics.step <= step {
                        kept.push_str(line);
                        kept.push('\n');
                    }
                }
            }
            Err(e) if step > 0 && e.kind() != ErrorKind::NotFound => return Err(failed(path, e)),
            _ => {}
        }
        lexicon::atomic::write(path, kept.as_bytes())?;
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

    /// Brings what was appended to the disk: a checkpoint must not outlive the lines of its steps.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| failed(&self.path, e))
    }
}

fn broken(path: &Path, line: usize, text: &str, error: &serde_json::Error) -> Error {
    let message = format!("not a step's metrics ({error}): mend the line or move the file away, then resume");
    let (path, text) = (path.display().to_string(), text.to_owned());
    lexicon::jsonl::Error::from(BadLine { path, line, message, text }).into()
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    WriteError { path: path.display().to_string(), source }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_stays_stays_byte_by_byte() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("metrics.jsonl");
        let mut log = Log::open(&path, 0)?;
        for step in 1..=3 {
            // A value that a careless reader rounds.
            log.push(&StepMetrics { step, loss: 0.1 + 0.2 * step as f64 / 7.0, ..StepMetrics::default() })?;
        }
        let text = fs::read_to_string(&path)?;
        let two: String = text.lines().take(2).map(|l| format!("{l}\n")).collect();
        // Cut within the third line, as a kill does.
        fs::write(&path, &text[..text.len() - 5])?;
        drop(Log::open(&path, 3)?);
        assert_eq!(fs::read_to_string(&path)?, two);
        fs::write(&path, &text)?;
        drop(Log::open(&path, 2)?);
        assert_eq!(fs::read_to_string(&path)?, two);

        let foreign = format!("{two}not ours\n{two}");
        fs::write(&path, &foreign)?;
        let said = Log::open(&path, 2).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains("metrics.jsonl:3: not a step's metrics"), "{said}");
        assert_eq!(fs::read_to_string(&path)?, foreign);
        Ok(())
    }
}
