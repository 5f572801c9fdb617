//! Where suites find their publishers' files, and what they load.

use crate::cli::{surroundings, terminal};
use anyhow::{Context, Result, bail, ensure};
use corpus::{Lesson, library};
use eval::{
    Task,
    run::{SuiteRecord, digest},
    suites::{self, Input, Suite},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// The built-in suites do not follow `--seed`: every run answers the same tasks, those of the demo.
pub(crate) const TASK_SEED: u64 = 0;

/// One suite of a run.
pub(crate) struct Asked {
    pub(crate) suite: &'static dyn Suite,
    pub(crate) tasks: Vec<Task>,
    pub(crate) record: SuiteRecord,
}

/// What to load.
pub(crate) struct Wanted<'a> {
    /// Names of suites.
    pub(crate) suites: &'a [String],
    /// Folder with a benchmark's files, or with a folder a benchmark.
    pub(crate) data: Option<&'a Path>,
    /// Lessons instead of the built-in ones.
    pub(crate) lessons: Option<&'a Path>,
    pub(crate) per_lesson: Option<usize>,
    pub(crate) partial: bool,
}

/// The folder of a suite's files: below the given folder under its own or its repository's name, or the folder itself; else
/// where `rampart suites pull` puts them.
pub(crate) fn folder(suite: &dyn Suite, data: Option<&Path>) -> Option<PathBuf> {
    let upstream = suite.upstream()?;
    let Some(data) = data else {
        return surroundings::suites().map(|s| s.join(upstream.folder)).filter(|f| f.is_dir());
    };
    let named = [upstream.folder, suite.name()].map(|name| data.join(name));
    Some(named.into_iter().find(|f| f.is_dir()).unwrap_or_else(|| data.to_owned()))
}

/// Loads suites, with a word for what they leave out.
///
/// # Errors
/// What a suite says of its files; two suites that hold one task.
pub(crate) fn load(wanted: &Wanted<'_>) -> Result<Vec<Asked>> {
    ensure!(!wanted.suites.is_empty(), "name a suite; `rampart suites list` shows them");
    let distinct: BTreeSet<&String> = wanted.suites.iter().collect();
    ensure!(distinct.len() == wanted.suites.len(), "a suite is named twice");
    let ours = |name: &String| suites::by_name(name).is_ok_and(|s| s.upstream().is_none());
    let lessons: Vec<Lesson> = match wanted.lessons {
        Some(path) => library::read(path)?,
        None if wanted.suites.iter().any(ours) => library::embedded()?,
        None => Vec::new(),
    };
    let mut asked: Vec<Asked> = Vec::new();
    let mut ids: BTreeSet<String> = BTreeSet::new();
    for name in wanted.suites {
        let suite = suites::by_name(name)?;
        let folder = folder(suite, wanted.data);
        if let Some(folder) = &folder {
            ensure!(folder.is_dir(), "{}: no such folder", folder.display());
        }
        let input = Input {
            lessons: &lessons,
            per_lesson: wanted.per_lesson,
            seed: TASK_SEED,
            folder: folder.as_deref(),
            partial: wanted.partial,
        };
        let loaded = suites::load(suite, &input).with_context(|| format!("suite {name}"))?;
        loaded.notes.iter().for_each(|note| terminal::say(note));
        let tasks: Vec<Task> = loaded.cases.into_iter().map(|c| c.task).collect();
        if let Some(twice) = tasks.iter().find(|t| !ids.insert(t.id.clone())) {
            bail!(
                "task {:?} of suite {name} is in another suite of this run too; ask for them one at a time",
                twice.id
            );
        }
        let data = folder.as_deref().or(wanted.lessons).map(|p| p.display().to_string());
        let record = SuiteRecord { name: name.clone(), data, digest: digest(&tasks) };
        asked.push(Asked { suite, tasks, record });
    }
    Ok(asked)
}
