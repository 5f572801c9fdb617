//! State of a run on disk: weights, moments and step, whole or absent.

use crate::{Config, Error, Result};
use models::optimizer::AdamW;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a resumed run needs besides tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct State {
    /// Format.
    pub format: u32,
    /// Steps done.
    pub step: usize,
    /// Configuration of the run, as TOML: another one would not continue it.
    pub config: String,
    /// Best held-out loss so far.
    pub best: Option<f64>,
    /// Evaluations since.
    pub stale: usize,
}

/// The configuration as it is compared: everything but where results go and how often state is saved.
///
/// # Errors
/// [`Error::Config`] when it cannot be written as TOML.
pub fn fingerprint(config: &Config) -> Result<String> {
    let mut same = config.clone();
    same.checkpoint = crate::config::CheckpointConfig::default();
    same.output = PathBuf::new();
    toml::to_string(&same)
        .map_err(|e| Error::Config { path: config.output.display().to_string(), message: e.to_string() })
}

/// Saves `OUT/checkpoint-N`, then removes the oldest beyond `keep`.
///
/// # Errors
/// [`Error::Write`]; earlier checkpoints stay.
pub fn save(output: &Path, state: &State, optimizer: &AdamW, keep: usize) -> Result<PathBuf> {
    let folder = output.join(format!("checkpoint-{}", state.step));
    optimizer.save(&folder.join("state.safetensors"))?;
    // The small file comes last: a folder that has it is whole.
    let json = serde_json::to_vec_pretty(state).map_err(|e| malformed(&folder, &e.to_string()))?;
    lexicon::atomic::write(&folder.join("state.json"), &json)?;
    let all = list(output);
    for (_, old) in all.iter().take(all.len().saturating_sub(keep.max(1))) {
        let _ = fs::remove_dir_all(old);
    }
    Ok(folder)
}

/// Loads the latest whole checkpoint of `output`, if there is one.
///
/// # Errors
/// [`Error::Checkpoint`] when it belongs to another configuration; [`Error::Model`] when its tensors do not fit.
pub fn resume(output: &Path, config: &Config, optimizer: &mut AdamW) -> Result<Option<State>> {
    let Some((_, folder)) = list(output).pop() else { return Ok(None) };
    let bytes = fs::read(folder.join("state.json")).map_err(|e| malformed(&folder, &e.to_string()))?;
    let state: State = serde_json::from_slice(&bytes).map_err(|e| malformed(&folder, &e.to_string()))?;
    if state.config != fingerprint(config)? {
        return Err(malformed(
            &folder,
            "was made with another configuration: resume with that one, or choose another output folder",
        ));
    }
    optimizer.load(&folder.join("state.safetensors"))?;
    Ok(Some(state))
}

/// Whole checkpoints, by step.
fn list(output: &Path) -> Vec<(usize, PathBuf)> {
    let mut all: Vec<(usize, PathBuf)> = fs::read_dir(output)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let step = entry.file_name().to_str()?.strip_prefix("checkpoint-")?.parse().ok()?;
            entry.path().join("state.json").exists().then(|| (step, entry.path()))
        })
        .collect();
    all.sort();
    all
}

fn malformed(folder: &Path, message: &str) -> Error {
    Error::Checkpoint { path: folder.display().to_string(), message: message.to_owned() }
}
