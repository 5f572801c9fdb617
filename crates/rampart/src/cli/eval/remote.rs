//! An endpoint that answers a suite: only what is missing is asked, and every answer is kept as it comes.

use super::writing::{Chunk, Writer, sample};
use crate::cli::{endpoint::say_spent, stop, terminal};
use anyhow::{Context, Result, bail};
use eval::{Asking, Task};
use lexicon::Sample;
use std::{collections::BTreeSet, sync::atomic::Ordering};
use writer::{Ask, Endpoint, Error, Parameters, Question, Writer as _};

/// An endpoint, opened.
pub(crate) struct Remote {
    pub(crate) endpoint: Endpoint,
    pub(crate) parameters: Parameters,
    pub(crate) asking: Asking,
    /// Name of the model in this run.
    pub(crate) name: String,
    pub(crate) samples: usize,
    /// Models that say they answered.
    pub(crate) answered_by: BTreeSet<String>,
}

impl Remote {
    /// What one sample of a prompt asks.
    pub(crate) fn ask(&self, prompt: &str, sample: usize) -> Ask {
        let question = Question::Text(prompt.to_owned());
        Ask { question, parameters: self.parameters.clone(), sample, expect: None }
    }
}

impl Writer for Remote {
    /// All at once: the endpoint is asked a few at a time in any case, and each answer is the same whoever else is asked.
    fn chunk(&self, _: usize) -> usize {
        usize::MAX
    }

    fn answer(&mut self, chunk: &Chunk<'_>, done: &mut dyn FnMut(Sample) -> Result<()>) -> Result<()> {
        let mut asks = Vec::new();
        let mut wanted: Vec<(&Task, usize)> = Vec::new();
        for (prompt, task) in chunk.prompts.iter().zip(chunk.tasks) {
            for index in (0..self.samples).filter(|&i| !chunk.have.contains(&(task.id.clone(), i))) {
                asks.push(self.ask(&prompt.prompt, index));
                wanted.push((task, index));
            }
        }
        let bar = terminal::bar(asks.len(), "samples");
        bar.set_prefix(format!("{} answers ", self.name));
        let stop = stop::flag();
        let (mut kept, mut missing): (Result<()>, usize) = (Ok(()), 0);
        let mut first: Option<(usize, Error)> = None;
        self.endpoint.write(&asks, stop, &mut |i, reply| match reply {
            Ok(reply) => {
                bar.inc(1);
                bar.set_message(format!("{} tokens", self.endpoint.spent().tokens()));
                self.answered_by.extend(reply.provenance.answered_by);
                let (task, index) = wanted[i];
                if kept.is_ok() {
                    kept = done(sample(&self.asking, task, index, reply.text, reply.finish));
                }
            }
            Err(error) => {
                missing += 1;
                // Of several reasons the one that says most: not that others stopped after it.
                let says_more = |at: usize, e: &Error| *e == Error::Stopped || (at > i && error != Error::Stopped);
                if first.as_ref().is_none_or(|(at, e)| says_more(*at, e)) {
                    first = Some((i, error));
                }
            }
        });
        bar.finish_and_clear();
        say_spent(&self.endpoint);
        kept?;
        match first {
            None => Ok(()),
            Some((_, Error::Stopped)) if stop.load(Ordering::Relaxed) => {
                bail!("stopped: {missing} answers are missing")
            }
            Some((i, error)) => {
                let (task, index) = wanted[i];
                Err(error)
                    .with_context(|| format!("{missing} answers are missing, sample {index} of {:?} first", task.id))
            }
        }
    }
}
