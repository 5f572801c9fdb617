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
    /// Hash of the examples; absent in checkpoints of before it was kept.
    #[serde(default)]
    pub data: Option<String>,
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

/// Whether a run may start from the beginning here.
///
/// # Errors
/// [`Error::Checkpoint`] when there are checkpoints: hours of work must not go because `--resume` was forgotten.
pub fn begin(output: &Path) -> Result<()> {
    if let Some((_, folder)) = list(output).pop() {
        return Err(malformed(
            &folder,
            "is from an earlier run, which a new start would overwrite: go on with it (--resume), choose another output, \
             or remove it",
        ));
    }
    Ok(())
}

/// Takes the output folder for one run, until the handle is dropped or the process dies, and tidies it.
///
/// # Errors
/// [`Error::Checkpoint`] when another run has it; [`Error::Write`] when it cannot be made.
pub fn claim(output: &Path) -> Result<fs::File> {
    let failed = |source| lexicon::atomic::WriteError { path: output.display().to_string(), source };
    fs::create_dir_all(output).map_err(failed)?;
    let handle = fs::File::open(output).map_err(failed)?;
    // Where a file system cannot lock a folder, two runs in one are the user's to avoid.
    if let Err(fs::TryLockError::WouldBlock) = handle.try_lock() {
        return Err(malformed(output, "another run is writing here: wait for its end, or choose another output"));
    }
    sweep(output);
    Ok(handle)
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
    // A kill between the two renames of `replace_best` left both beside their place: the new one is whole.
    let [best, next, old] = BEST.map(|name| output.join(name));
    if !best.exists() && old.exists() {
        let _ = fs::rename(if next.join(LAST_OF_BEST).exists() { &next } else { &old }, &best);
    }
    for folder in [next, old] {
        let _ = fs::remove_dir_all(folder);
    }
}

/// The best weights so far, those that will take their place, and those that gave it up.
const BEST: [&str; 3] = ["best", "best.next", "best.old"];

/// Written last into such a folder.
const LAST_OF_BEST: &str = "best.json";

/// Puts weights into `OUT/best`, in the place of those with a higher held-out loss; `write` fills a folder. At any moment
/// one whole set is there, at its name or, after a kill, where the next run finds it.
///
/// # Errors
/// [`Error::Write`], or what `write` fails with; the earlier weights stay.
pub fn replace_best(output: &Path, step: usize, loss: f64, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let [best, next, old] = BEST.map(|name| output.join(name));
    let failed = |path: &Path| {
        let path = path.display().to_string();
        |source| lexicon::atomic::WriteError { path, source }
    };
    for leftover in [&next, &old] {
        if leftover.exists() {
            fs::remove_dir_all(leftover).map_err(failed(leftover))?;
        }
    }
    fs::create_dir_all(&next).map_err(failed(&next))?;
    if let Err(e) = write(&next) {
        let _ = fs::remove_dir_all(&next);
        return Err(e);
    }
    let told = serde_json::json!({ "format": lexicon::FORMAT, "step": step, "eval-loss": loss });
    lexicon::atomic::write(&next.join(LAST_OF_BEST), format!("{told:#}\n").as_bytes())?;
    if best.exists() {
        fs::rename(&best, &old).map_err(failed(&best))?;
    }
    fs::rename(&next, &best).map_err(failed(&next))?;
    let _ = fs::remove_dir_all(&old);
    Ok(())
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
pub fn resume(output: &Path, config: &Config, data: &str, optimizer: &mut AdamW) -> Result<Option<State>> {
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
    if state.data.as_ref().is_some_and(|d| d != data) {
        return Err(malformed(
            &folder,
            "was made with other data: restore what data.train held then, or choose another output folder",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(folder: &Path) -> String {
        fs::read_to_string(folder.join("weights")).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn one_best_is_whole_whatever_is_cut_off() {
        let output = tempfile::tempdir().expect("a folder");
        let at = |name: &str| output.path().join(name);
        let put = |step: usize, text: &str| {
            replace_best(output.path(), step, 1.0, |folder| {
                fs::write(folder.join("weights"), text)
                    .map_err(|source| lexicon::atomic::WriteError { path: folder.display().to_string(), source }.into())
            })
        };
        put(1, "first").expect("written");
        put(2, "second").expect("written");
        assert_eq!(weights(&at("best")), "second");
        // Killed while the next was being written.
        fs::create_dir(at("best.next")).expect("made");
        sweep(output.path());
        assert!(weights(&at("best")) == "second" && !at("best.next").exists());
        // Killed between the renames.
        fs::rename(at("best"), at("best.old")).expect("renamed");
        sweep(output.path());
        assert_eq!(weights(&at("best")), "second");
        // What fails leaves the earlier one.
        let refused = replace_best(output.path(), 3, 0.5, |folder| Err(malformed(folder, "no")));
        assert!(refused.is_err() && weights(&at("best")) == "second");
        put(4, "fourth").expect("written after a failure");
        assert_eq!(weights(&at("best")), "fourth");
    }
}
