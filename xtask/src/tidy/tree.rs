//! The files that a commit would hold, read once.

use anyhow::{Context, bail};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// One file.
pub(super) struct File {
    /// Length in bytes.
    pub(super) bytes: u64,
    /// Whether its owner may execute it.
    pub(super) executable: bool,
    /// Its content, where that is UTF-8 and at most [`TEXT_LIMIT`] bytes.
    pub(super) text: Option<String>,
}

/// Longer files are data: no rule reads them.
const TEXT_LIMIT: u64 = 4 << 20;

/// Files by their path from the root, with slashes.
pub(super) struct Tree {
    root: PathBuf,
    files: BTreeMap<String, File>,
}

impl Tree {
    /// Tracked files, and new ones that Git does not ignore.
    pub(super) fn of_checkout(root: &Path) -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "Git alone knows which files belong to the project")]
        let mut git = Command::new("git");
        let output = git
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("cannot run git")?;
        if !output.status.success() {
            bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        Self::read(root, names.split_terminator('\0'))
    }

    /// Reads the named files; those that are gone from the disk are gone from the tree.
    pub(super) fn read<'a>(root: &Path, names: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        for name in names {
            let path = root.join(name);
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if !meta.is_file() {
                continue;
            }
            let text = if meta.len() <= TEXT_LIMIT {
                let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                String::from_utf8(bytes).ok()
            } else {
                None
            };
            files.insert(name.to_owned(), File { bytes: meta.len(), executable: is_executable(&meta), text });
        }
        Ok(Self { root: root.to_owned(), files })
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// Text files by the end of their path.
    pub(super) fn ending(&self, end: &str) -> impl Iterator<Item = (&str, &str)> {
        self.iter()
            .filter(move |(path, _)| path.ends_with(end))
            .filter_map(|(path, f)| Some((path, f.text.as_deref()?)))
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.text.as_deref()
    }
}

#[cfg(unix)]
fn is_executable(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    true
}

/// Writes a small tree, runs one rule on it and returns its problems as `path:line`.
#[cfg(test)]
pub(super) fn check(rule: super::Rule, files: &[(&str, &str)]) -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        fs::write(path, text)?;
    }
    let tree = Tree::read(folder.path(), files.iter().map(|(name, _)| *name))?;
    Ok(rule(&tree).iter().map(|p| format!("{}:{}", p.path, p.line)).collect())
}
