//! Fetching a benchmark: the licence first, then one commit, then a list of what came.
//!
//! `git` proves that the files are those of the commit; their checksums are written down beside them, so that a later
//! check notices a change. Nothing is half there: files are made in a folder apart and moved when whole.

use crate::cli::terminal;
use anyhow::{Context, Result, bail, ensure};
use eval::suites::{Suite, Upstream};
use lexicon::atomic;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::Path,
    process::Command,
};

/// What was fetched, beside the files.
const MANIFEST: &str = "suite.json";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Manifest {
    format: u32,
    repository: String,
    commit: String,
    licence: String,
    /// SHA-256 by path.
    files: BTreeMap<String, String>,
}

/// Fetches a suite's files into a folder below `root`, unless they are there.
///
/// # Errors
/// Without `accept`; where `git` fails; where files differ from the checksums known.
pub(super) fn pull(suite: &dyn Suite, root: &Path, accept: bool, mirror: Option<&str>) -> Result<()> {
    let Some(upstream) = suite.upstream() else {
        terminal::say(&format!("{} is part of this program", suite.name()));
        return Ok(());
    };
    let target = root.join(upstream.folder);
    terminal::say(&format!("{}: licence: {}", suite.name(), upstream.licence));
    if target.is_dir() {
        let known = verify(suite, &target)?;
        terminal::answer(format!("{}: here already, in {}{known}", suite.name(), target.display()))?;
        return Ok(());
    }
    if upstream.repository.is_empty() {
        bail!("{} is not fetched by this program; make {} and do as said above", suite.name(), target.display());
    }
    let repository = mirror.unwrap_or(upstream.repository);
    ensure!(accept, "say --accept to fetch {} from {repository} under this licence", suite.name());
    fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let place = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(root)
        .with_context(|| format!("cannot make a folder in {}", root.display()))?;
    fetch(upstream, repository, place.path())?;
    let files = checksums(place.path())?;
    ensure!(!files.is_empty(), "{}: nothing came from {repository}", suite.name());
    for (path, expected) in upstream.sha256 {
        let found = files.get(*path).with_context(|| format!("{path} did not come from {repository}"))?;
        ensure!(found == expected, "{path} from {repository} has SHA-256 {found}, not {expected}");
    }
    let manifest = Manifest {
        format: lexicon::FORMAT,
        repository: upstream.repository.to_owned(),
        commit: upstream.commit.to_owned(),
        licence: upstream.licence.to_owned(),
        files,
    };
    let count = manifest.files.len();
    atomic::write(&place.path().join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?)?;
    let place = place.keep();
    fs::rename(&place, &target).with_context(|| format!("cannot move the files to {}", target.display()))?;
    terminal::answer(format!("{}: {count} files in {}", suite.name(), target.display()))
}

/// One commit's files, without history.
fn fetch(upstream: &Upstream, repository: &str, place: &Path) -> Result<()> {
    ensure!(!repository.starts_with('-'), "{repository:?} is no address");
    git(place, &["init", "-q"])?;
    git(place, &["remote", "add", "origin", repository])?;
    // Only the files asked for are fetched, where the other side can do that.
    git(place, &["config", "remote.origin.promisor", "true"])?;
    git(place, &["config", "remote.origin.partialclonefilter", "blob:none"])?;
    git(place, &["fetch", "-q", "--depth", "1", "--filter=blob:none", "origin", upstream.commit])?;
    let mut checkout = vec!["checkout", "-q", upstream.commit, "--"];
    checkout.extend(upstream.paths);
    git(place, &checkout)?;
    fs::remove_dir_all(place.join(".git")).context("cannot remove git's own files")
}

#[expect(clippy::disallowed_methods, reason = "the user's own git, asked to fetch what the user named")]
fn git(place: &Path, arguments: &[&str]) -> Result<()> {
    let done = Command::new("git")
        .current_dir(place)
        // No hook, no helper program, no link that leads out of the folder.
        .args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "core.symlinks=false"])
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .context("cannot start git; install it, or copy the files and name them with --data")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "git {}: {}", arguments[0], said.trim().lines().last().unwrap_or("failed"));
    Ok(())
}

/// SHA-256 of every file below a folder, by path.
fn checksums(root: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                if name != MANIFEST {
                    found.insert(name, sha256(&path)?);
                }
            }
        }
    }
    Ok(found)
}

fn sha256(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    io::copy(&mut file, &mut hash).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// Compares files with every checksum known, and says how many were.
///
/// # Errors
/// The first file that differs or is gone.
pub(super) fn verify(suite: &dyn Suite, folder: &Path) -> Result<String> {
    let Some(upstream) = suite.upstream() else { return Ok(String::new()) };
    let mut known: BTreeMap<String, String> =
        upstream.sha256.iter().map(|(p, s)| ((*p).to_owned(), (*s).to_owned())).collect();
    let manifest = folder.join(MANIFEST);
    let fetched = manifest.is_file();
    if fetched {
        let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        let manifest: Manifest =
            serde_json::from_str(&text).with_context(|| format!("{} is no record of a fetch", manifest.display()))?;
        ensure!(
            manifest.commit == upstream.commit,
            "{} holds commit {}, this program wants {}; remove it and pull again",
            folder.display(),
            manifest.commit,
            upstream.commit
        );
        known.extend(manifest.files);
    }
    let mut compared = 0;
    for (path, expected) in &known {
        // A copy of the user's may hold the file alone, without upstream's folders.
        let alone = path.rsplit('/').next().unwrap_or(path);
        let Some(file) = [path.as_str(), alone].iter().map(|p| folder.join(p)).find(|p| p.is_file()) else {
            ensure!(!fetched, "{path} is gone from {}; remove the folder and pull again", folder.display());
            continue;
        };
        let found = sha256(&file)?;
        ensure!(found == *expected, "{} has SHA-256 {found}, not {expected}: it was changed", file.display());
        compared += 1;
    }
    Ok(match compared {
        0 => String::new(),
        1 => ", 1 file as published".into(),
        n => format!(", {n} files as published"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_commit_comes_and_its_change_is_noticed() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let origin = folder.path().join("origin");
        fs::create_dir(&origin)?;
        git(&origin, &["init", "-q"])?;
        git(&origin, &["config", "user.name", "a"])?;
        git(&origin, &["config", "user.email", "a@a.example"])?;
        for (name, text) in [("dataset.jsonl", "{}\n"), ("other.txt", "not asked for")] {
            fs::write(origin.join(name), text)?;
        }
        git(&origin, &["add", "."])?;
        git(&origin, &["commit", "-q", "-m", "pinned"])?;
        let head = fs::read_to_string(origin.join(".git/HEAD"))?;
        let head = head.trim().strip_prefix("ref: ").context("HEAD is a branch")?;
        let commit = fs::read_to_string(origin.join(".git").join(head))?.trim().to_owned();
        fs::write(origin.join("dataset.jsonl"), "{\"later\":1}\n")?;
        git(&origin, &["commit", "-q", "-a", "-m", "later"])?;

        let place = folder.path().join("place");
        fs::create_dir(&place)?;
        // What lives as long as the program, as the constants do.
        let commit: &'static str = Box::leak(commit.into_boxed_str());
        let upstream = Upstream {
            folder: "x",
            repository: "https://unused.example",
            commit,
            licence: "none",
            paths: &["dataset.jsonl"],
            sha256: &[],
        };
        fetch(&upstream, &origin.display().to_string(), &place)?;
        let files = checksums(&place)?;
        // SHA-256 of "{}\n".
        let sum = "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356";
        assert_eq!(files, BTreeMap::from([("dataset.jsonl".to_owned(), sum.to_owned())]));
        Ok(())
    }
}
