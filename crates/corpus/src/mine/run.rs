//! All of it, a chunk of commits at a time, each on disk before the next.

use super::{
    Report,
    desk::{CHUNK, Desk, Error, Kept, Part},
    history::History,
    report::Repository,
    screen::screen,
};
use crate::split::mix;
use gix::ObjectId;
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

/// Everything a run needs.
pub struct Run<'a> {
    /// Repositories on this machine.
    pub repositories: &'a [PathBuf],
    /// Where their histories begin; `HEAD` where nothing is said.
    pub revision: Option<&'a str>,
    /// Commits of each repository to look at.
    pub most: usize,
    /// Where candidates are settled.
    pub desk: Desk<'a>,
}

/// Mines everything that is not mined yet, and reports. Writes `rows.jsonl`, `rejects.jsonl` and `report.json`.
///
/// # Errors
/// [`Error`]; whatever was done before stays, and the next run goes on from there.
pub fn run(run: &mut Run) -> Result<Report, Error> {
    let mut histories = Vec::new();
    for path in run.repositories {
        histories.push((folder(path), History::open(path, run.revision)?));
    }
    let names: HashSet<&String> = histories.iter().map(|(folder, _)| folder).collect();
    if names.len() < histories.len() {
        return Err(Error::Config("a repository is named twice".to_owned()));
    }
    let tips: Vec<String> = histories.iter().map(|(folder, h)| format!("{folder} {}", h.tip)).collect();
    run.desk.mark(&serde_json::json!([tips, run.most]))?;
    let mut work = Vec::new();
    let mut repositories = Vec::new();
    for (folder, history) in &histories {
        (run.desk.progress)("walk", repositories.len(), histories.len());
        let commits = history.commits(run.most);
        repositories.push(Repository {
            name: history.name.clone(),
            tip: history.tip.to_string(),
            commits: commits.ids.len(),
            missing: commits.missing,
        });
        work.push((run.desk.out.join("parts").join(folder), history, commits.ids));
    }
    let all = work.iter().map(|(_, _, ids)| ids.len()).sum();
    let (mut done, mut parts) = (0, Vec::new());
    for (folder, history, ids) in &work {
        for (number, chunk) in ids.chunks(CHUNK).enumerate() {
            (run.desk.progress)("commits", done, all);
            let kept = Kept { file: folder.join(format!("{number:06}.json")), of: chunk_name(chunk) };
            if kept.read()?.is_none() {
                if run.desk.stop.load(Ordering::Relaxed) {
                    return Err(Error::Stopped { done, all });
                }
                mine(&run.desk, history, chunk)?.write(&kept.file)?;
            }
            parts.push(kept);
            done += chunk.len();
        }
    }
    (run.desk.progress)("commits", done, all);
    run.desk.finish(repositories, BTreeMap::new(), &parts)
}

/// The name of a repository's folder of parts.
fn folder(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(40).collect();
    format!("{}-{:08x}", name.trim_start_matches('.'), mix(&[&whole.to_string_lossy()]) >> 32)
}

fn chunk_name(ids: &[ObjectId]) -> String {
    let ends = [ids.first(), ids.last()].map(|id| id.map(ToString::to_string).unwrap_or_default());
    format!("{}..{} {}", ends[0], ends[1], ids.len())
}

/// A chunk: every commit screened by itself, on all processors; the candidates judged as one batch.
fn mine(desk: &Desk, history: &History, ids: &[ObjectId]) -> Result<Part, Error> {
    let screened: Vec<_> = ids
        .par_iter()
        .map_init(|| history.reader(), |reader, &id| (id, screen(history, reader, id, desk.heuristics)))
        .collect();
    let mut part = Part::of(chunk_name(ids));
    let mut candidates = Vec::new();
    for (id, outcome) in screened {
        match outcome {
            Ok(candidate) => candidates.push(candidate),
            Err((reason, subject)) => part.reject(&history.name, &id.to_string(), &subject, reason, String::new()),
        }
    }
    desk.settle(&candidates, Some(history), &mut part)?;
    Ok(part)
}
