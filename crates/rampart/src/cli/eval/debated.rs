//! Answers to a suite that critics have debated: drafts, revisions, and what was said about them.

use super::writing::{Chunk, Writer, sample};
use crate::cli::{
    critics::{Critics, Row, Somebody, ends},
    stop, terminal,
};
use anyhow::{Context, Result, bail};
use eval::{Asking, Task};
use lexicon::{Sample, jsonl};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};
use writer::{
    Ask, Error, Parameters, Question,
    critics::{Case, debate},
};

/// What was said, in a run's folder.
const TRANSCRIPTS: &str = "critics.jsonl";
/// The same while a run goes on.
const KEPT: &str = "critics.partial.jsonl";
/// Answers that are debated together.
const TOGETHER: usize = 96;

/// A model and its critics.
pub(crate) struct Debating<'a> {
    pub(crate) actor: Somebody,
    pub(crate) critics: &'a Critics,
    pub(crate) parameters: Parameters,
    pub(crate) asking: Asking,
    pub(crate) name: String,
    pub(crate) samples: usize,
    pub(crate) folder: PathBuf,
}

impl Debating<'_> {
    /// The case of one answer. A local model's luck depends on the place in a chunk, so each chunk has a seed of its own.
    fn case(&self, chunk: &Chunk<'_>, at: usize, index: usize) -> Case {
        let task = chunk.tasks[at];
        let mut parameters = self.parameters.clone();
        if !matches!(self.actor, Somebody::There(_)) {
            parameters.seed ^= (chunk.first as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        let question = Question::Text(chunk.prompts[at].prompt.clone());
        Case {
            name: format!("sample {index} of {:?}", task.id),
            task: if task.instruction.trim().is_empty() { task.context.clone() } else { task.instruction.clone() },
            language: task.language,
            draft: Ask { question, parameters, sample: index, expect: None },
        }
    }
}

impl Writer for Debating<'_> {
    fn chunk(&self, samples: usize) -> usize {
        (TOGETHER / samples.max(1)).max(1)
    }

    fn answer(&mut self, chunk: &Chunk<'_>, done: &mut dyn FnMut(Sample) -> Result<()>) -> Result<()> {
        let there = matches!(self.actor, Somebody::There(_));
        let mut cases = Vec::new();
        let mut wanted: Vec<(&Task, usize)> = Vec::new();
        for (at, task) in chunk.tasks.iter().enumerate() {
            // What an endpoint has answered is not asked again; a local model's batch is taken whole, or its luck would change.
            for index in (0..self.samples).filter(|&i| !there || !chunk.have.contains(&(task.id.clone(), i))) {
                cases.push(self.case(chunk, at, index));
                wanted.push((task, index));
            }
        }
        let path = self.folder.join(KEPT);
        let cannot = || format!("cannot write {}", path.display());
        let mut log = OpenOptions::new().create(true).append(true).open(&path).with_context(cannot)?;
        let bar = terminal::bar(cases.len(), "samples");
        bar.set_prefix(format!("{} debates ", self.name));
        let stop = stop::flag();
        let actor = self.actor.writer();
        let critic = self.critics.model.as_ref().map(Somebody::writer);
        let asking = self.asking;
        // Nobody asks for a revision but in a code block.
        let code = |i: usize, text: &str, revision: bool| {
            let (task, _) = wanted[i];
            (!revision || text.contains("```")).then(|| asking.code(task, text))
        };
        let (mut kept, mut missing): (Result<()>, usize) = (Ok(()), 0);
        let mut first: Option<(usize, Error)> = None;
        let mut settings = self.critics.settings(&self.parameters);
        if let Some(case) = cases.first() {
            settings.actor.seed = case.draft.parameters.seed;
        }
        debate(
            &cases,
            actor.as_ref(),
            critic.as_deref().unwrap_or(actor.as_ref()),
            &self.critics.bench,
            &self.critics.prompts,
            &settings,
            &code,
            stop,
            &mut |i, outcome| {
                let (task, index) = wanted[i];
                match outcome {
                    Ok(debated) => {
                        bar.inc(1);
                        let row = Row {
                            format: lexicon::FORMAT,
                            prompt_id: task.id.clone(),
                            index,
                            transcript: debated.transcript,
                        };
                        // Its transcript first: an answer without one could not be explained.
                        kept = std::mem::replace(&mut kept, Ok(())).and_then(|()| {
                            let mut line = serde_json::to_vec(&row)?;
                            line.push(b'\n');
                            log.write_all(&line).with_context(cannot)?;
                            if chunk.have.contains(&(task.id.clone(), index)) {
                                return Ok(());
                            }
                            done(sample(&asking, task, index, debated.text, debated.finish))
                        });
                    }
                    Err(error) => {
                        missing += 1;
                        let says_more =
                            |at: usize, e: &Error| *e == Error::Stopped || (at > i && error != Error::Stopped);
                        if first.as_ref().is_none_or(|(at, e)| says_more(*at, e)) {
                            first = Some((i, error));
                        }
                    }
                }
            },
        );
        bar.finish_and_clear();
        kept?;
        match first {
            None => Ok(()),
            Some((_, Error::Stopped)) if stop.load(Ordering::Relaxed) => {
                bail!("stopped: {missing} answers are missing")
            }
            Some((i, error)) => {
                Err(error).with_context(|| format!("{missing} answers are missing, {} first", cases[i].name))
            }
        }
    }
}

/// Transcripts in the samples' order, each once, in place of those kept on the way.
pub(crate) fn finish(folder: &Path, samples: &[Sample]) -> Result<()> {
    let kept = folder.join(KEPT);
    if !kept.exists() {
        return Ok(());
    }
    // A line that was cut off belongs to an answer that was asked again.
    let rows = jsonl::read_lenient::<Row>(&kept)?.records;
    let mut of: BTreeMap<(String, usize), Row> =
        rows.into_iter().map(|(_, row)| ((row.prompt_id.clone(), row.index), row)).collect();
    let rows: Vec<Row> = samples.iter().filter_map(|s| of.remove(&(s.prompt_id.clone(), s.index))).collect();
    jsonl::write(&folder.join(TRANSCRIPTS), &rows)?;
    terminal::say(&ends(&rows));
    // A leftover does no harm: it holds the same.
    let _ = fs::remove_file(kept);
    Ok(())
}
