//! State of a run on disk: weights, moments and step, whole or absent.

use crate::{Config, Error, Result};
use models::optimizer::AdamW;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The small file that is written last and removed first: a folder that has it is a whole checkpoint.
const LAST: &str = "state.json";

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

/// Readies the output folder of a run that starts from the beginning.
///
/// # Errors
/// [`Error::Checkpoint`] when it holds checkpoints: hours of work must not go because `--resume` was forgotten.
pub fn begin(output: &Path) -> Result<()> {
    if let Some((_, folder)) = list(output).pop() {
        return Err(malformed(
            &folder,
            "is from an earlier run, which a new start would overwrite: go on with it (--resume), choose another output, \
             or remove it",
        ));
    }
    sweep(output);
    Ok(())
}

/// Removes what a killed process left half-written: checkpoints without their last file, and temporary files.
fn sweep(output: &Path) {
    for (_, folder) in folders(output) {
        if whole(&folder) {
            lexicon::atomic::sweep(&folder);
        } else {
            // What cannot be removed is untidy and harms nothing.
            let _ = fs::remove_dir_all(&folder);
        }
    }
    for folder in [output, &output.join("model"), &output.join("adapter")] {
        lexicon::atomic::sweep(folder);
    }
}

/// Saves `OUT/checkpoint-N`, then removes the oldest beyond `keep`.
///
/// # Errors
/// [`Error::Write`]; earlier checkpoints stay.
pub fn save(output: &Path, state: &State, optimizer: &AdamW, keep: usize) -> Result<PathBuf> {
    let folder = output.join(format!("checkpoint-{}", state.step));
    if whole(&folder) {
        // A run is a function of its configuration: what stands there is this state.
        return Ok(folder);
    }
    optimizer.save(&folder.join("state.safetensors"))?;
    let json = serde_json::to_vec_pretty(state).map_err(|e| malformed(&folder, &e.to_string()))?;
    lexicon::atomic::write(&folder.join(LAST), &json)?;
    let all = list(output);
    for (_, old) in all.iter().take(all.len().saturating_sub(keep.max(1))) {
        // The file that makes it whole goes first: a kill in between must not leave one that only looks whole.
        if fs::remove_file(old.join(LAST)).is_ok() {
            let _ = fs::remove_dir_all(old);
        }
    }
    Ok(folder)
}

/// Loads the latest whole checkpoint of `output`, if there is one.
///
/// # Errors
/// [`Error::Checkpoint`] when it belongs to another configuration or is damaged.
pub fn resume(output: &Path, config: &Config, optimizer: &mut AdamW) -> Result<Option<State>> {
    sweep(output);
    let Some((_, folder)) = list(output).pop() else { return Ok(None) };
    let damaged =
        |e: String| malformed(&folder, &format!("{e}; remove this folder to resume from the checkpoint before it"));
    let bytes = fs::read(folder.join(LAST)).map_err(|e| damaged(e.to_string()))?;
    let state: State = serde_json::from_slice(&bytes).map_err(|e| damaged(format!("{LAST}: {e}")))?;
    if state.config != fingerprint(config)? {
        return Err(malformed(
            &folder,
            "was made with another configuration: resume with that one, or choose another output folder",
        ));
    }
    optimizer.load(&folder.join("state.safetensors")).map_err(|e| damaged(e.to_string()))?;
    Ok(Some(state))
}

/// Whole checkpoints, by step.
fn list(output: &Path) -> Vec<(usize, PathBuf)> {
    let mut all = folders(output);
    all.retain(|(_, folder)| whole(folder));
    all.sort();
    all
}

fn whole(folder: &Path) -> bool {
    folder.join(LAST).exists()
}

/// Folders of checkpoints, whole or not.
fn folders(output: &Path) -> Vec<(usize, PathBuf)> {
    fs::read_dir(output)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let step = entry.file_name().to_str()?.strip_prefix("checkpoint-")?.parse().ok()?;
            Some((step, entry.path()))
        })
        .collect()
}

fn malformed(folder: &Path, message: &str) -> Error {
    Error::Checkpoint { path: folder.display().to_string(), message: message.to_owned() }
}
