//! Where candidates are settled, whoever found them: judged, their pairs made, repetitions out, instructions asked for, files
//! written; a chunk at a time, each on disk before the next.

use super::{
    Heuristics, Reject, Report, fix,
    history::{self, History},
    instruction, licence,
    report::Repository,
    screen::{Candidate, Terms},
};
use crate::split::mix;
use judge::Judge;
use lexicon::{FORMAT, Pair, atomic, jsonl};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};
use writer::{Ask, Parameters, Question, Reply, Writer};

/// Commits, or candidates of tables, that are looked at before anything is written.
pub(super) const CHUNK: usize = 512;

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
    /// Tables cannot be read.
    #[error("{0}")]
    Screen(String),
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

/// What settling needs.
pub struct Desk<'a> {
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

/// Where a chunk's part is: parts are held in memory one at a time, for all of their rejects together grow with candidates.
#[derive(Debug)]
pub(super) struct Kept {
    /// Its file.
    pub(super) file: PathBuf,
    /// What the chunk holds.
    pub(super) of: String,
}

impl Kept {
    /// The part, if it is there.
    pub(super) fn read(&self) -> Result<Option<Part>, Error> {
        Part::read(&self.file, &self.of)
    }
}

/// What a chunk of commits came to; a file each.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Part {
    format: u32,
    /// What the chunk holds: another's part is not taken for it.
    of: String,
    counts: BTreeMap<Reject, usize>,
    rejects: Vec<Rejected>,
    pairs: Vec<Pair>,
}

impl Part {
    pub(super) fn of(of: String) -> Self {
        Self { format: FORMAT, of, ..Self::default() }
    }

    /// The part on disk, if it is there.
    fn read(file: &Path, of: &str) -> Result<Option<Self>, Error> {
        let failed = |why: String| Error::Part { path: file.display().to_string(), why };
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e.to_string())),
        };
        let part: Self = serde_json::from_slice(&bytes).map_err(|e| failed(e.to_string()))?;
        if part.of != of {
            return Err(failed("it is of other commits".to_owned()));
        }
        Ok(Some(part))
    }

    pub(super) fn write(self, file: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(&self).map_err(|e| Error::Config(e.to_string()))?;
        Ok(atomic::write(file, &text)?)
    }

    pub(super) fn reject(&mut self, repository: &str, commit: &str, subject: &str, reason: Reject, detail: String) {
        *self.counts.entry(reason).or_default() += 1;
        if reason != Reject::NoKeyword {
            self.rejects.push(Rejected {
                format: FORMAT,
                repository: repository.to_owned(),
                commit: commit.to_owned(),
                subject: subject.to_owned(),
                reason,
                detail,
            });
        }
    }
}

impl Desk<'_> {
    /// Marks the folder as this run's, or refuses another's.
    pub(super) fn mark(&self, what: &serde_json::Value) -> Result<(), Error> {
        let file = self.out.join("run.json");
        let settings = serde_json::json!([what, self.analyzers, self.allow, env!("CARGO_PKG_VERSION")]).to_string();
        let mark = format!("{:016x}", mix(&[&settings, &self.heuristics.text]));
        let mark = serde_json::json!({ "format": FORMAT, "settings": mark });
        match fs::read(&file) {
            Ok(bytes) => {
                let found: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
                if found["settings"] != mark["settings"] {
                    return Err(Error::Config(format!(
                        "{} holds a run of other repositories, tips, heuristics or analyzers: choose another output, or remove it",
                        self.out.display()
                    )));
                }
                // What a killed process left half-written.
                atomic::sweep(self.out);
                Ok(())
            }
            Err(_) => Ok(atomic::write(&file, format!("{mark}\n").as_bytes())?),
        }
    }

    /// Judges candidates as one batch, and puts what they come to into a part.
    pub(super) fn settle(
        &self,
        candidates: &[Candidate],
        history: Option<&History>,
        part: &mut Part,
    ) -> Result<(), Error> {
        let judged = fix::judged(self.judge, candidates)?;
        let outcomes: Vec<_> = candidates
            .par_iter()
            .zip(&judged)
            .map_init(
                || history.map(History::reader),
                |reader, (candidate, judged)| {
                    let mut pairs = fix::pairs(candidate, judged, self.heuristics, self.analyzers)?;
                    let mut terms = None;
                    for pair in &mut pairs {
                        if pair.origin.licence.is_empty() {
                            let terms: &mut String = terms.get_or_insert_with(|| match (&candidate.terms, &reader) {
                                (Terms::Tree(tree), Some(reader)) => licence::of_tree(reader, *tree),
                                (Terms::Tree(_), None) => String::new(),
                                (Terms::Told(told), _) => told.clone(),
                            });
                            pair.origin.licence.clone_from(terms);
                        }
                    }
                    let licences = pairs.iter().map(|p| p.origin.licence.clone()).collect::<Vec<_>>().join(", ");
                    pairs.retain(|p| self.allow.is_empty() || licence::allowed(&p.origin.licence, self.allow));
                    if pairs.is_empty() { Err((Reject::Licence, licences)) } else { Ok(pairs) }
                },
            )
            .collect();
        for (candidate, outcome) in candidates.iter().zip(outcomes) {
            match outcome {
                Ok(pairs) => part.pairs.extend(pairs),
                Err((reason, detail)) => {
                    part.reject(&candidate.repository, &candidate.id, &candidate.subject, reason, detail);
                }
            }
        }
        Ok(())
    }

    /// All parts together: repetitions out, instructions asked for, files written. `counts` has the commits that no part names.
    pub(super) fn finish(
        &mut self,
        repositories: Vec<Repository>,
        mut counts: BTreeMap<Reject, usize>,
        parts: &[Kept],
    ) -> Result<Report, Error> {
        let mut pairs: Vec<Pair> = Vec::new();
        let mut seen: HashSet<[String; 2]> = HashSet::new();
        atomic::write_with(&self.out.join("rejects.jsonl"), |file| {
            for kept in parts {
                let part = kept.read().map_err(io::Error::other)?;
                let part = part.ok_or_else(|| io::Error::other(format!("{} is gone", kept.file.display())))?;
                part.counts.iter().for_each(|(reason, n)| *counts.entry(*reason).or_default() += n);
                let mut rejects = part.rejects;
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
                for reject in &rejects {
                    serde_json::to_writer(&mut *file, reject)?;
                    file.write_all(b"\n")?;
                }
            }
            Ok(())
        })?;
        if let Some(author) = self.author {
            self.instruct(author, &mut pairs)?;
        }
        jsonl::write(&self.out.join("rows.jsonl"), &pairs)?;
        let report = Report::of(repositories, counts, &pairs);
        atomic::write_with(&self.out.join("report.json"), |file| {
            serde_json::to_writer_pretty(&mut *file, &report).map_err(std::io::Error::from)?;
            file.write_all(b"\n")
        })?;
        Ok(report)
    }

    /// Asks for instructions. One that cannot be used, or is refused, leaves what docstring and signature say.
    fn instruct(&mut self, author: Author, pairs: &mut [Pair]) -> Result<(), Error> {
        let ask = |pair: &Pair| {
            let question = Question::Text(instruction::question(author.template, pair).map_err(Error::Config)?);
            Ok(Ask { question, parameters: author.parameters.clone(), sample: 0, expect: None })
        };
        let asks: Vec<Ask> = pairs.iter().map(ask).collect::<Result<_, Error>>()?;
        let mut replies: Vec<Option<Reply>> = vec![None; asks.len()];
        let (mut done, mut missing, mut why) = (0, 0, None);
        let progress = &mut *self.progress;
        progress("instructions", 0, asks.len());
        author.writer.write(&asks, self.stop, &mut |i, reply| {
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
            let weakness = pair.cwe.first().and_then(|&c| self.heuristics.name(c)).unwrap_or_default();
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
}
