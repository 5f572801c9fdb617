//! All of it, a chunk of commits at a time, each on disk before the next.

use super::{
    Heuristics, Reject, Report, fix,
    history::{self, History},
    instruction, licence,
    report::Repository,
    screen::{Candidate, screen},
};
use crate::split::mix;
use gix::ObjectId;
use judge::Judge;
use lexicon::{FORMAT, Pair, atomic, jsonl};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};
use writer::{Ask, Parameters, Question, Reply, Writer};

/// Commits that are looked at before anything is written.
const CHUNK: usize = 512;

/// A run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A repository cannot be read at all.
    #[error(transparent)]
    History(#[from] history::Error),
    /// The folder of another run, a repository named twice, a template.
    #[error("{0}")]
    Config(String),
    /// Somebody asked to stop; what is done stays.
    #[error("stopped after {done} of {all} commits; run it again to go on from there")]
    Stopped {
        /// Commits that are done.
        done: usize,
        /// Commits to look at.
        all: usize,
    },
    /// Answers are missing; those that came are kept.
    #[error("{missing} of {asked} instructions have no answer yet ({why}); run it again to ask for those alone")]
    Unanswered {
        /// Questions without an answer.
        missing: usize,
        /// Questions.
        asked: usize,
        /// The first reason.
        why: writer::Error,
    },
    /// The judge cannot work.
    #[error(transparent)]
    Judge(#[from] judge::judge::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] atomic::WriteError),
    /// A file of an earlier run cannot be read.
    #[error("cannot read {path}: {why}; remove it to have it made again")]
    Part {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Who writes instructions.
#[derive(Clone, Copy)]
pub struct Author<'a> {
    /// Who is asked; it should keep what it gets.
    pub writer: &'a dyn Writer,
    /// What is asked: a template.
    pub template: &'a str,
    /// How it samples.
    pub parameters: &'a Parameters,
}

/// Everything a run needs.
pub struct Run<'a> {
    /// Repositories on this machine.
    pub repositories: &'a [PathBuf],
    /// Where their histories begin; `HEAD` where nothing is said.
    pub revision: Option<&'a str>,
    /// Folder to write.
    pub out: &'a Path,
    /// Which commits may be a fix.
    pub heuristics: &'a Heuristics,
    /// Who looks at both sides.
    pub judge: &'a Judge,
    /// Its analyzers' names and versions.
    pub analyzers: &'a [(String, String)],
    /// Who writes instructions; without one they are made of docstring and signature.
    pub author: Option<Author<'a>>,
    /// Licences that are let through; all where none is named.
    pub allow: &'a [String],
    /// Commits of each repository to look at.
    pub most: usize,
    /// Ends the run between chunks.
    pub stop: &'a AtomicBool,
    /// Hears the stage, what is done of it and how much there is.
    pub progress: &'a mut dyn FnMut(&str, usize, usize),
}

/// What was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rejected {
    /// Record format.
    pub format: u32,
    /// Name of the repository.
    pub repository: String,
    /// The commit.
    pub commit: String,
    /// First line of its message.
    pub subject: String,
    /// Why.
    pub reason: Reject,
    /// Particulars.
    pub detail: String,
}

/// What a chunk of commits came to; a file each.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Part {
    format: u32,
    /// The chunk's first and last commit and its size: another history's part is not taken for it.
    of: String,
    counts: BTreeMap<Reject, usize>,
    rejects: Vec<Rejected>,
    pairs: Vec<Pair>,
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
    same_run(run, &histories)?;
    let mut work = Vec::new();
    let mut repositories = Vec::new();
    for (folder, history) in &histories {
        (run.progress)("walk", repositories.len(), histories.len());
        let commits = history.commits(run.most);
        repositories.push(Repository {
            name: history.name.clone(),
            tip: history.tip.to_string(),
            commits: commits.ids.len(),
            missing: commits.missing,
        });
        work.push((run.out.join("parts").join(folder), history, commits.ids));
    }
    let all = work.iter().map(|(_, _, ids)| ids.len()).sum();
    let (mut done, mut parts) = (0, Vec::new());
    for (folder, history, ids) in &work {
        for (number, chunk) in ids.chunks(CHUNK).enumerate() {
            (run.progress)("commits", done, all);
            let file = folder.join(format!("{number:06}.json"));
            let part = match read(&file, chunk)? {
                Some(part) => part,
                None if run.stop.load(Ordering::Relaxed) => return Err(Error::Stopped { done, all }),
                None => {
                    let part = mine(run, history, chunk)?;
                    let text = serde_json::to_vec(&part).map_err(|e| Error::Config(e.to_string()))?;
                    atomic::write(&file, &text)?;
                    part
                }
            };
            parts.push(part);
            done += chunk.len();
        }
    }
    (run.progress)("commits", done, all);
    finish(run, repositories, parts)
}

/// The name of a repository's folder of parts.
fn folder(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(40).collect();
    format!("{}-{:08x}", name.trim_start_matches('.'), mix(&[&whole.to_string_lossy()]) >> 32)
}

/// Marks the folder as this run's, or refuses another's.
fn same_run(run: &Run, histories: &[(String, History)]) -> Result<(), Error> {
    let file = run.out.join("run.json");
    let tips: Vec<String> = histories.iter().map(|(folder, h)| format!("{folder} {}", h.tip)).collect();
    let settings = serde_json::json!([tips, run.analyzers, run.allow, run.most, env!("CARGO_PKG_VERSION")]).to_string();
    let mark = format!("{:016x}", mix(&[&settings, &run.heuristics.text]));
    let mark = serde_json::json!({ "format": FORMAT, "settings": mark });
    match fs::read(&file) {
        Ok(bytes) => {
            let found: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            if found["settings"] != mark["settings"] {
                return Err(Error::Config(format!(
                    "{} holds a run of other repositories, tips, heuristics or analyzers: choose another output, or remove it",
                    run.out.display()
                )));
            }
            // What a killed process left half-written.
            atomic::sweep(run.out);
            Ok(())
        }
        Err(_) => Ok(atomic::write(&file, format!("{mark}\n").as_bytes())?),
    }
}

fn chunk_name(ids: &[ObjectId]) -> String {
    let ends = [ids.first(), ids.last()].map(|id| id.map(ToString::to_string).unwrap_or_default());
    format!("{}..{} {}", ends[0], ends[1], ids.len())
}

fn read(file: &Path, ids: &[ObjectId]) -> Result<Option<Part>, Error> {
    let failed = |why: String| Error::Part { path: file.display().to_string(), why };
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e.to_string())),
    };
    let part: Part = serde_json::from_slice(&bytes).map_err(|e| failed(e.to_string()))?;
    if part.of != chunk_name(ids) {
        return Err(failed("it is of other commits".to_owned()));
    }
    Ok(Some(part))
}

/// A chunk: every commit screened by itself, on all processors; the candidates judged as one batch.
fn mine(run: &Run, history: &History, ids: &[ObjectId]) -> Result<Part, Error> {
    let screened: Vec<_> = ids
        .par_iter()
        .map_init(|| history.reader(), |reader, &id| (id, screen(history, reader, id, run.heuristics)))
        .collect();
    let mut part = Part { format: FORMAT, of: chunk_name(ids), ..Part::default() };
    let reject = |part: &mut Part, id: ObjectId, subject: &str, reason: Reject, detail: String| {
        *part.counts.entry(reason).or_default() += 1;
        if reason != Reject::NoKeyword {
            let (repository, commit) = (history.name.clone(), id.to_string());
            part.rejects.push(Rejected {
                format: FORMAT,
                repository,
                commit,
                subject: subject.to_owned(),
                reason,
                detail,
            });
        }
    };
    let mut candidates: Vec<Candidate> = Vec::new();
    for (id, outcome) in screened {
        match outcome {
            Ok(candidate) => candidates.push(candidate),
            Err((reason, subject)) => reject(&mut part, id, &subject, reason, String::new()),
        }
    }
    let judged = fix::judged(run.judge, &candidates)?;
    let from = fix::From { repository: &history.name, analyzers: run.analyzers };
    let outcomes: Vec<_> = candidates
        .par_iter()
        .zip(&judged)
        .map_init(
            || history.reader(),
            |reader, (candidate, judged)| {
                let mut pairs = fix::pairs(candidate, judged, run.heuristics, from)?;
                let mut tree = None;
                for pair in &mut pairs {
                    if pair.origin.licence.is_empty() {
                        let tree: &mut String = tree.get_or_insert_with(|| licence::of_tree(reader, candidate.tree));
                        pair.origin.licence.clone_from(tree);
                    }
                }
                let licences = pairs.iter().map(|p| p.origin.licence.clone()).collect::<Vec<_>>().join(", ");
                pairs.retain(|p| run.allow.is_empty() || licence::allowed(&p.origin.licence, run.allow));
                if pairs.is_empty() { Err((Reject::Licence, licences)) } else { Ok(pairs) }
            },
        )
        .collect();
    for (candidate, outcome) in candidates.iter().zip(outcomes) {
        match outcome {
            Ok(pairs) => part.pairs.extend(pairs),
            Err((reason, detail)) => reject(&mut part, candidate.id, &candidate.subject, reason, detail),
        }
    }
    Ok(part)
}

/// All parts together: repetitions out, instructions asked for, files written.
fn finish(run: &mut Run, repositories: Vec<Repository>, parts: Vec<Part>) -> Result<Report, Error> {
    let (mut counts, mut rejects, mut pairs): (BTreeMap<Reject, usize>, Vec<Rejected>, Vec<Pair>) = Default::default();
    let mut seen: HashSet<[String; 2]> = HashSet::new();
    for part in parts {
        part.counts.iter().for_each(|(reason, n)| *counts.entry(*reason).or_default() += n);
        rejects.extend(part.rejects);
        let mut commits: BTreeMap<String, (Pair, bool)> = BTreeMap::new();
        for pair in part.pairs {
            let fresh = seen.insert([pair.insecure.clone(), pair.secure.clone()]);
            let commit = pair.origin.extra.get("commit").cloned().unwrap_or_default();
            commits.entry(commit).or_insert_with(|| (pair.clone(), false)).1 |= fresh;
            if fresh {
                pairs.push(pair);
            }
        }
        // A commit is a repetition where all of its pairs are.
        for (commit, (pair, _)) in commits.into_iter().filter(|(_, (_, fresh))| !fresh) {
            *counts.entry(Reject::Duplicate).or_default() += 1;
            rejects.push(Rejected {
                format: FORMAT,
                repository: pair.origin.source,
                commit,
                subject: pair.origin.extra.get("subject").cloned().unwrap_or_default(),
                reason: Reject::Duplicate,
                detail: String::new(),
            });
        }
    }
    if let Some(author) = run.author {
        instruct(run, author, &mut pairs)?;
    }
    jsonl::write(&run.out.join("rejects.jsonl"), &rejects)?;
    jsonl::write(&run.out.join("rows.jsonl"), &pairs)?;
    let report = Report::of(repositories, counts, &pairs);
    atomic::write_with(&run.out.join("report.json"), |file| {
        serde_json::to_writer_pretty(&mut *file, &report).map_err(std::io::Error::from)?;
        file.write_all(b"\n")
    })?;
    Ok(report)
}

/// Asks for instructions. One that cannot be used, or is refused, leaves what docstring and signature say.
fn instruct(run: &mut Run, author: Author, pairs: &mut [Pair]) -> Result<(), Error> {
    let ask = |pair: &Pair| {
        let question = Question::Text(instruction::question(author.template, pair).map_err(Error::Config)?);
        Ok(Ask { question, parameters: author.parameters.clone(), sample: 0, expect: None })
    };
    let asks: Vec<Ask> = pairs.iter().map(ask).collect::<Result<_, Error>>()?;
    let mut replies: Vec<Option<Reply>> = vec![None; asks.len()];
    let (mut done, mut missing, mut why) = (0, 0, None);
    let progress = &mut *run.progress;
    progress("instructions", 0, asks.len());
    author.writer.write(&asks, run.stop, &mut |i, reply| {
        done += 1;
        progress("instructions", done, asks.len());
        match reply {
            Ok(reply) => replies[i] = Some(reply),
            Err(writer::Error::Question { .. }) => {}
            Err(error) => {
                missing += 1;
                if why.as_ref().is_none_or(|w| *w == writer::Error::Stopped) {
                    why = Some(error);
                }
            }
        }
    });
    if let Some(why) = why {
        return Err(Error::Unanswered { missing, asked: asks.len(), why });
    }
    for (pair, reply) in pairs.iter_mut().zip(replies) {
        let Some(reply) = reply else { continue };
        let weakness = pair.cwe.first().and_then(|&c| run.heuristics.name(c)).unwrap_or_default();
        let Some(text) = instruction::of_reply(&reply.text, weakness, &pair.cwe) else { continue };
        pair.instruction = text;
        let p = reply.provenance;
        let extra = &mut pair.origin.extra;
        for (key, value) in [
            ("instruction-from", "endpoint".to_owned()),
            ("endpoint", p.endpoint),
            ("model", p.model),
            ("parameters", p.parameters.to_string()),
            ("prompt-sha256", p.prompt_sha256),
            ("time", p.time.to_string()),
        ] {
            extra.insert(key.to_owned(), value);
        }
    }
    Ok(())
}
