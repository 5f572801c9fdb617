//! From a subject to its answers: a model of this machine or an endpoint, with those of an earlier start among them.

use super::{
    Args,
    debated::Debating,
    remote::Remote,
    subjects::{Place, Subject},
    writing,
};
use crate::cli::{
    critics::{Critics, Somebody},
    endpoint, stop, terminal,
};
use ::eval::{
    Asking, Task,
    asking::Form,
    run::{RunRecord, file},
};
use ::writer::{Api, Budget, Parameters};
#[cfg(not(feature = "torch"))]
use anyhow::bail;
use anyhow::{Context, Result};
use lexicon::{Prompt, Sample, jsonl};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

/// What all subjects of a run are asked, and how.
pub(super) struct Answering<'a> {
    pub(super) args: &'a Args,
    pub(super) asking: Asking,
    pub(super) prompts: &'a [Prompt],
    pub(super) tasks: &'a [Task],
    /// One for all endpoints.
    pub(super) budget: Arc<Budget>,
    /// Who debates the answers, where somebody does.
    pub(super) critics: Option<Critics>,
}

impl Answering<'_> {
    /// Fills in what a record says of its model.
    pub(super) fn describe(&self, record: &mut RunRecord, subject: &Subject) -> Result<()> {
        record.critics = self.args.critics.described()?;
        record.name.clone_from(&subject.name);
        record.writer = subject.writer();
        match &subject.place {
            Place::Here { adapters, .. } => {
                record.adapters = adapters.iter().map(|a| a.display().to_string()).collect();
            }
            Place::There { .. } => {
                record.api = Some(if self.api() == Api::Chat { "chat" } else { "completions" }.to_owned());
                if let Some(sampling) = &mut record.sampling {
                    // An endpoint of others may not know it: it is told what was asked for, and nothing else.
                    sampling.top_k = self.args.sampling.top_k.unwrap_or(0);
                }
            }
        }
        Ok(())
    }

    /// Kind of endpoint: the one named, else the one that the prompts are written for.
    fn api(&self) -> Api {
        let of_form = if self.args.template == Form::Chat { Api::Chat } else { Api::Completions };
        self.args.endpoint.api().unwrap_or(of_form)
    }

    /// An endpoint's writer.
    fn remote(&self, record: &RunRecord, name: &str, url: &str, model: &str, out: &Path) -> Result<Remote> {
        let sampling = record.sampling.as_ref().context("a model is sampled by settings")?;
        let mut parameters = self.args.sampling.parameters(self.asking.stops())?;
        (parameters.max_tokens, parameters.temperature) = (sampling.max_new_tokens, sampling.temperature);
        parameters.top_p = sampling.top_p;
        let (budget, beside) = (Arc::clone(&self.budget), out.join(file::SAMPLES));
        Ok(Remote {
            endpoint: self.args.endpoint.open(url, name, model, self.api(), budget, &beside)?,
            parameters,
            asking: self.asking,
            name: name.to_owned(),
            samples: record.samples_per_prompt,
            answered_by: BTreeSet::new(),
        })
    }

    /// Says what a subject would be asked, and what that may cost.
    pub(super) fn estimate(&self, record: &RunRecord, subject: &Subject, out: &Path) -> Result<()> {
        let Place::There { url, model } = &subject.place else {
            terminal::say(&format!("{}: a model of this machine, which costs nothing", subject.name));
            return Ok(());
        };
        let remote = self.remote(record, &subject.name, url, model, out)?;
        let asks: Vec<_> =
            self.prompts.iter().flat_map(|p| (0..remote.samples).map(|i| remote.ask(&p.prompt, i))).collect();
        terminal::say(&format!("{}: {}", subject.name, subject.writer()));
        let tokens = record.sampling.as_ref().map_or(0, |s| s.max_new_tokens);
        if let Some(said) = self.args.critics.at_most(asks.len(), tokens) {
            terminal::say(&said);
        }
        endpoint::print_estimate(&remote.endpoint, &asks)
    }

    /// A subject's answers, and what an endpoint calls the model that gave them.
    ///
    /// # Errors
    /// Whatever prevents an answer, with how many are kept.
    pub(super) fn answers(
        &self,
        record: &RunRecord,
        subject: &Subject,
        out: &Path,
    ) -> Result<(Vec<Sample>, BTreeSet<String>)> {
        let n = record.samples_per_prompt;
        let whole = out.join(file::SAMPLES);
        if whole.exists() {
            let samples: Vec<Sample> = jsonl::read(&whole)?;
            if samples.len() == self.prompts.len() * n {
                terminal::say(&format!("{}: all {} answers are there", record.name, samples.len()));
                return Ok((samples, BTreeSet::new()));
            }
        }
        let flag = stop::flag();
        let stop = || flag.load(Ordering::Relaxed);
        match &subject.place {
            Place::There { url, model } => {
                let mut remote = self.remote(record, &subject.name, url, model, out)?;
                if let Some(critics) = &self.critics {
                    let (parameters, actor) = (remote.parameters, Somebody::There(Box::new(remote.endpoint)));
                    return Ok((self.debated(record, actor, critics, parameters, out)?, BTreeSet::new()));
                }
                let samples = writing::ask(&mut remote, self.prompts, self.tasks, n, out, &stop)?;
                Ok((samples, remote.answered_by))
            }
            Place::Here { folder, adapters } => {
                let samples = self.here(record, folder, adapters, out, &stop)?;
                Ok((samples, BTreeSet::new()))
            }
        }
    }

    /// Answers that critics have debated.
    fn debated(
        &self,
        record: &RunRecord,
        actor: Somebody,
        critics: &Critics,
        parameters: Parameters,
        out: &Path,
    ) -> Result<Vec<Sample>> {
        let mut debating = Debating {
            actor,
            critics,
            parameters,
            asking: self.asking,
            name: record.name.clone(),
            samples: record.samples_per_prompt,
            folder: out.to_owned(),
        };
        let flag = stop::flag();
        let stop = || flag.load(Ordering::Relaxed);
        let samples = writing::ask(&mut debating, self.prompts, self.tasks, record.samples_per_prompt, out, &stop);
        debating.actor.say_spent();
        samples
    }

    /// Answers of a model on this machine.
    #[cfg(feature = "torch")]
    fn here(
        &self,
        record: &RunRecord,
        folder: &Path,
        adapters: &[PathBuf],
        out: &Path,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<Sample>> {
        let n = record.samples_per_prompt;
        let sampling = record.sampling.as_ref().context("a model is sampled by settings")?;
        if let Some(critics) = &self.critics {
            let mut parameters = self.args.sampling.parameters(self.asking.stops())?;
            (parameters.max_tokens, parameters.temperature) = (sampling.max_new_tokens, sampling.temperature);
            (parameters.top_p, parameters.top_k) = (sampling.top_p, sampling.top_k);
            let actor = Somebody::Here(Box::new(writing::local::load(folder, adapters)?));
            return self.debated(record, actor, critics, parameters, out);
        }
        let mut params = self.args.sampling.params(n, self.asking.stops());
        (params.max_new_tokens, params.temperature) = (sampling.max_new_tokens, sampling.temperature);
        (params.top_p, params.top_k) = (sampling.top_p, sampling.top_k);
        let all = self.prompts.len() * n;
        let mut local = writing::local::Local::load(folder, adapters, params, self.asking, all, &record.name)?;
        writing::ask(&mut local, self.prompts, self.tasks, n, out, stop)
    }

    #[cfg(not(feature = "torch"))]
    fn here(&self, _: &RunRecord, folder: &Path, _: &[PathBuf], _: &Path, _: &dyn Fn() -> bool) -> Result<Vec<Sample>> {
        bail!(
            "cannot run {}: this rampart was built without libtorch; ask an endpoint, or judge answers at hand with \
             --samples",
            folder.display()
        )
    }
}
