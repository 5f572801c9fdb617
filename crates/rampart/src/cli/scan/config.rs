//! `.rampart.toml`: what a folder and those below it leave out.
//!
//! Every such file from the folder of a scanned file up to the top of the repository counts; the nearest least severity wins.

use anyhow::{Context, Result, bail};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use lexicon::{Finding, Severity};
use serde::Deserialize;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

const NAME: &str = ".rampart.toml";

/// Keys of the file.
const KEYS: &[&str] = &["format", "ignore", "exclude", "min-severity", "rules"];

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    format: Option<u32>,
    /// Rules and CWEs that are not reported.
    ignore: Vec<String>,
    /// Patterns, as in .gitignore, of files that are not looked at.
    exclude: Vec<String>,
    /// Least severity that is reported.
    min_severity: Option<Severity>,
    /// Files and folders of further rules, beside this file.
    rules: Vec<PathBuf>,
}

/// What holds in a folder.
#[derive(Debug)]
pub(super) struct Folder {
    ignore: Vec<String>,
    exclude: Option<Gitignore>,
    min_severity: Option<Severity>,
    rules: Vec<PathBuf>,
    above: Option<Rc<Folder>>,
}

/// The files read so far, by folder.
#[derive(Debug, Default)]
pub(super) struct Configs {
    folders: HashMap<PathBuf, Option<Rc<Folder>>>,
}

impl Configs {
    /// What holds for a file; nothing where no file says anything.
    pub(super) fn of(&mut self, file: &Path) -> Result<Option<Rc<Folder>>> {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        match file.parent() {
            Some(folder) => self.folder(folder),
            None => Ok(None),
        }
    }

    fn folder(&mut self, folder: &Path) -> Result<Option<Rc<Folder>>> {
        if let Some(known) = self.folders.get(folder) {
            return Ok(known.clone());
        }
        let top = folder.join(".git").exists();
        let above = match folder.parent() {
            Some(parent) if !top => self.folder(parent)?,
            _ => None,
        };
        let file = folder.join(NAME);
        let found = if file.is_file() { Some(Rc::new(read(&file, folder, above)?)) } else { above };
        self.folders.insert(folder.to_owned(), found.clone());
        Ok(found)
    }
}

fn read(file: &Path, folder: &Path, above: Option<Rc<Folder>>) -> Result<Folder> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let keys: Keys = toml::from_str(&text).map_err(|error| {
        let unknown = error.message().split('`').nth(1).filter(|_| error.message().starts_with("unknown field"));
        let near = unknown.and_then(|name| {
            KEYS.iter()
                .map(|k| (strsim::jaro_winkler(name, k), *k))
                .filter(|(score, _)| *score > 0.7)
                .max_by(|a, b| a.0.total_cmp(&b.0))
        });
        let hint = near.map(|(_, key)| format!("did you mean `{key}`?\n")).unwrap_or_default();
        anyhow::anyhow!("{}: {hint}{error}", file.display())
    })?;
    if keys.format.is_some_and(|f| f != lexicon::FORMAT) {
        bail!("{}: this program reads format {}", file.display(), lexicon::FORMAT);
    }
    let exclude = if keys.exclude.is_empty() {
        None
    } else {
        let mut patterns = GitignoreBuilder::new(folder);
        for pattern in &keys.exclude {
            patterns.add_line(None, pattern).with_context(|| format!("{}: {pattern:?}", file.display()))?;
        }
        Some(patterns.build().with_context(|| format!("{}: exclude", file.display()))?)
    };
    let ignore = keys.ignore.iter().map(|name| name.trim().to_lowercase()).collect();
    let rules = keys.rules.iter().map(|path| folder.join(path)).collect();
    Ok(Folder { ignore, exclude, min_severity: keys.min_severity, rules, above })
}

impl Folder {
    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |folder| folder.above.as_deref())
    }

    /// Further rules, those of the folders above included.
    pub(super) fn rules(&self) -> impl Iterator<Item = PathBuf> {
        self.chain().flat_map(|f| f.rules.iter().cloned())
    }

    /// Whether a file is left out.
    pub(super) fn excludes(&self, file: &Path) -> bool {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        self.chain().filter_map(|f| f.exclude.as_ref()).any(|e| e.matched_path_or_any_parents(&file, false).is_ignore())
    }

    /// Whether a finding is not reported.
    pub(super) fn drops(&self, finding: &Finding) -> bool {
        let least = self.chain().find_map(|f| f.min_severity);
        let named = |name: &String| {
            *name == finding.rule.to_lowercase() || finding.cwe.iter().any(|c| c.to_string().eq_ignore_ascii_case(name))
        };
        least.is_some_and(|least| finding.severity < least) || self.chain().any(|f| f.ignore.iter().any(named))
    }
}
