//! Rules that users add to our own.

use super::config::Configs;
use anyhow::{Context, Result, bail};
use ignore::WalkBuilder;
use judge::languages::Rules;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Reads the rules that the command line names and those of the scanned paths' `.rampart.toml`; nothing where there are none.
pub(super) fn given(named: &[PathBuf], scanned: &[PathBuf], configs: &mut Configs) -> Result<Option<Rules>> {
    let mut sources: BTreeSet<PathBuf> = named.iter().cloned().collect();
    for path in scanned.iter().filter(|p| p.as_path() != Path::new("-")) {
        // The file of a folder itself counts too.
        let inside = if path.is_dir() { path.join(".") } else { path.clone() };
        if let Some(config) = configs.of(&inside)? {
            sources.extend(config.rules());
        }
    }
    let mut files: Vec<(String, String)> = Vec::new();
    for source in &sources {
        let paths = listed(source)?;
        if paths.is_empty() {
            bail!("{}: no .yml or .yaml file there", source.display());
        }
        for path in paths {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.push((path.display().to_string(), text));
        }
    }
    if files.is_empty() {
        return Ok(None);
    }
    Ok(Some(Rules::read(&files).context("rules")?))
}

/// The files of rules that a path names.
fn listed(source: &Path) -> Result<Vec<PathBuf>> {
    if source.is_file() {
        return Ok(vec![source.to_owned()]);
    }
    if !source.is_dir() {
        bail!("{}: no such file or folder of rules", source.display());
    }
    let mut paths = Vec::new();
    for entry in WalkBuilder::new(source).require_git(false).sort_by_file_name(std::cmp::Ord::cmp).build() {
        let path = entry.with_context(|| format!("cannot search {}", source.display()))?.into_path();
        if path.is_file() && path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            paths.push(path);
        }
    }
    Ok(paths)
}
