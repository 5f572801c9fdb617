//! The loop.

use crate::{
    Accounts, Config, Error, Example, Result, StepMetrics,
    batches::Order,
    checkpoint::{self, State},
    config::{SaveDtype, Schedule},
    examples,
    metrics::Log,
    rehearsal::Largest,
    step::{self, Reference, Sums},
};
use models::{
    Adapter, Compute, Model, Ranks, Stored,
    optimizer::{AdamW, AdamWConfig},
};
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

/// What hears of a run's progress.
pub trait Observer {
    /// Once, before the first step.
    fn begins(&mut self, facts: &Facts);
    /// After every step.
    fn stepped(&mut self, metrics: &StepMetrics);
    /// Anything else worth saying.
    fn says(&mut self, message: &str);
}

/// What is known before the first step.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What became of the training rows.
    pub accounts: Accounts,
    /// Values that train.
    pub trainable: usize,
    /// Values of the whole model.
    pub parameters: usize,
    /// Steps in all.
    pub steps: usize,
    /// Steps done before this start.
    pub done: usize,
    /// `f32` or `bf16`.
    pub precision: &'static str,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done; holds the folder of the adapter or model.
    Finished(PathBuf),
    /// Stopped on request after this many steps, with a checkpoint.
    Stopped(usize),
}

/// A run of no more steps than this meets its largest one soon enough.
const FEW: usize = 32;

/// Trains. `stop` is looked at between steps: Ctrl-C sets it.
///
/// # Errors
/// [`Error`]; what was written before is whole.
pub fn run(
    config: &Config,
    resume: bool,
    stop: &AtomicBool,
    ranks: &Ranks,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    // One process speaks and writes; the others compute.
    let observer: &mut dyn Observer = if ranks.writes() { observer } else { &mut Silent };
    check_output(config)?;
    if !resume {
        checkpoint::begin(&config.output)?;
    }
    let compute = Compute::choose(config.device.kind.into(), config.model.dtype.into())?
        .with(config.device.matmul_precision.into())
        .at(ranks.local());
    let mut model = if config.model.from_scratch {
        Model::random(&config.model.path, compute, config.seed)?
    } else {
        Model::load(&config.model.path, compute)?
    };
    model.decoder.recompute = config.device.recompute;
    for folder in &config.model.merge_adapters {
        model.decoder.merge_folder(folder)?;
    }
    adapt(config, &mut model)?;
    let (train, accounts) = examples::load("data.train", &config.data.train, config, &model.tokenizer)?;
    let held_out = if config.data.eval.is_empty() {
        Vec::new()
    } else {
        examples::load("data.eval", &config.data.eval, config, &model.tokenizer)?.0
    };

    // Said before the first step, not at the step that has the longest one.
    let longest = train.iter().chain(&held_out).flat_map(Example::sequences).map(|s| s.ids.len()).max();
    model.decoder.reaches(longest.unwrap_or(0))?;

    let mut order = Order::new(train.len(), config.optim.batch, config.seed, config.data.shuffle);
    let steps = config.optim.steps.unwrap_or_else(|| order.steps(config.optim.epochs.unwrap_or(1.0)));
    let o = &config.optim;
    let settings = AdamWConfig { beta1: o.beta1, beta2: o.beta2, eps: o.eps, weight_decay: o.weight_decay };
    let mut optimizer = AdamW::new(model.decoder.trainable(), settings, config.device.offload_optimizer);
    // Nobody has found the folder wanting: from here on it is written.
    ranks.wait()?;
    let _claim = ranks.writes().then(|| checkpoint::claim(&config.output)).transpose()?;
    // Before a checkpoint is loaded: the reference is the model that the run started from.
    let trainer = Trainer {
        config,
        model: &model,
        ranks,
        trainable: model.decoder.trainable(),
        references: references(config, &model, ranks, &train)?,
        held_out_references: references(config, &model, ranks, &held_out)?,
    };

    let data = examples::fingerprint(&train);
    let mut state = State {
        format: lexicon::FORMAT,
        step: 0,
        config: checkpoint::fingerprint(config)?,
        data: Some(data.clone()),
        best: None,
        stale: 0,
    };
    if resume {
        match checkpoint::resume(&config.output, config, &data, &mut optimizer)? {
            Some(found) => {
                observer.says(&format!("resuming after step {}", found.step));
                state = found;
            }
            None => observer.says("no checkpoint to resume: starting from the beginning"),
        }
    }
    if ranks.writes() {
        lexicon::atomic::write(&config.output.join("classes.json"), accounts.classes.json().as_bytes())?;
    }
    let metrics_file = config.output.join("metrics.jsonl");
    let mut log = ranks.writes().then(|| Log::open(&metrics_file, state.step)).transpose()?;
    observer.begins(&Facts {
        accounts,
        trainable: optimizer.values(),
        parameters: model.decoder.parameters(),
        steps,
        done: state.step,
        precision: compute.precision_name(),
    });

    if steps.saturating_sub(state.step) > FEW {
        trainer.rehearse(&train, &mut order, state.step..steps, observer)?;
        optimizer.zero_grad();
    }

    let patience = config.evaluation.patience;
    // A run that was killed between its last checkpoint and its end had enough already.
    let mut enough = patience > 0 && state.stale >= patience;
    while state.step < steps && !enough {
        // All stop at the same step, whichever of them was told to.
        let mut told = [f64::from(u8::from(stop.load(Ordering::Relaxed)))];
        ranks.sum(&mut told)?;
        if told[0] > 0.0 {
            if state.step == 0 {
                observer.says("stopped before the first step: there is nothing to save");
                return Ok(Outcome::Stopped(0));
            }
            if let Some(log) = &mut log {
                log.sync()?;
                let folder = checkpoint::save(&config.output, &state, &optimizer, config.checkpoint.keep)?;
                let saved = format!("stopped after step {}: saved {}; --resume goes on", state.step, folder.display());
                observer.says(&saved);
            }
            return Ok(Outcome::Stopped(state.step));
        }
        let started = Instant::now();
        let batch = order.step(state.step);
        let mut metrics = trainer.step(&train, &batch, state.step)?;
        metrics.learning_rate = rate(config, state.step, steps);
        metrics.grad_norm = optimizer.grad_norm();
        metrics.step = state.step + 1;
        for (what, value) in [("loss", metrics.loss), ("gradient norm", metrics.grad_norm)] {
            if !value.is_finite() {
                let samples = config.output.join("diverged.json");
                let ids: Vec<&str> = batch.iter().map(|&i| train[i].id()).collect();
                let record = serde_json::json!({
                    "format": lexicon::FORMAT, "step": metrics.step, "what": what, "value": value.to_string(), "samples": ids,
                });
                if ranks.writes() {
                    lexicon::atomic::write(&samples, format!("{record:#}\n").as_bytes())?;
                }
                let samples = samples.display().to_string();
                return Err(Error::Diverged { step: metrics.step, what, value, samples });
            }
        }
        let clip = if o.clip_norm > 0.0 { (o.clip_norm / (metrics.grad_norm + 1e-6)).min(1.0) } else { 1.0 };
        optimizer.step(metrics.learning_rate, clip);
        state.step += 1;
        metrics.seconds = started.elapsed().as_secs_f64();
        if config.evaluation.every > 0 && state.step.is_multiple_of(config.evaluation.every) {
            let loss = trainer.loss(&held_out)?;
            metrics.eval_loss = Some(loss);
            let better = state.best.is_none_or(|best| loss < best);
            state.best = if better { Some(loss) } else { state.best };
            state.stale = if better { 0 } else { state.stale + 1 };
            enough = patience > 0 && state.stale >= patience;
            if better && config.evaluation.keep_best && ranks.writes() {
                checkpoint::replace_best(&config.output, state.step, loss, |folder| deliver(config, &model, folder))?;
            }
        }
        let Some(log) = &mut log else { continue };
        log.push(&metrics)?;
        observer.stepped(&metrics);
        if config.checkpoint.every > 0 && state.step.is_multiple_of(config.checkpoint.every) && state.step < steps {
            log.sync()?;
            checkpoint::save(&config.output, &state, &optimizer, config.checkpoint.keep)?;
        }
    }
    if enough {
        observer.says(&format!("held-out loss has not improved for {} evaluations: stopping early", state.stale));
    }
    if let Some(best) = state.best.filter(|_| config.evaluation.keep_best) {
        let folder = config.output.join("best");
        observer.says(&format!("lowest held-out loss {best:.4}: its weights are in {}", folder.display()));
    }
    let folder = config.output.join(if model.decoder.adapter().is_some() { "adapter" } else { "model" });
    if ranks.writes() {
        deliver(config, &model, &folder)?;
    }
    // The first rank keeps the meeting place until everybody is done.
    ranks.wait()?;
    Ok(Outcome::Finished(folder))
}

/// An observer for ranks that do not speak.
struct Silent;

impl Observer for Silent {
    fn begins(&mut self, _: &Facts) {}
    fn stepped(&mut self, _: &StepMetrics) {}
    fn says(&mut self, _: &str) {}
}

/// Puts what trains on the model.
fn adapt(config: &Config, model: &mut Model) -> Result<()> {
    let (Some(wanted), Some(folder)) = (config.adapter(), &config.model.init_adapter) else {
        match config.adapter() {
            Some(adapter) => model.decoder.attach_new(adapter, config.seed)?,
            None => model.decoder.train_all(),
        }
        return Ok(());
    };
    let dropout = match &wanted {
        Adapter::Lora(lora) => lora.dropout,
        Adapter::Prefix(prefix) => prefix.dropout,
    };
    model.decoder.attach_folder(folder, Some(dropout))?;
    let fits = match (&wanted, model.decoder.adapter()) {
        (Adapter::Lora(_), Some(Adapter::Lora(_))) => true,
        (Adapter::Prefix(wanted), Some(Adapter::Prefix(found))) => wanted.controls <= found.controls,
        _ => false,
    };
    let message =
        "model.init-adapter holds another kind of adapter than model.adapter, or fewer controls than the objective";
    if fits { Ok(()) } else { Err(Error::Config { path: folder.display().to_string(), message: message.into() }) }
}

/// Refuses a run that would end by overwriting what it started from.
fn check_output(config: &Config) -> Result<()> {
    let [model, adapter, best] = ["model", "adapter", "best"].map(|name| config.output.join(name));
    let start = config.model.init_adapter.iter().chain(&config.model.merge_adapters);
    let mut clashes = [(&config.model.path, &model), (&config.model.path, &best)]
        .into_iter()
        .chain(start.flat_map(|from| [(from, &adapter), (from, &best)]))
        .filter(|(from, to)| matches!((from.canonicalize(), to.canonicalize()), (Ok(from), Ok(to)) if from == to));
    match clashes.next() {
        None => Ok(()),
        Some((_, to)) => Err(Error::Config {
            path: config.output.display().to_string(),
            message: format!("{} is what the run starts from: choose another output folder", to.display()),
        }),
    }
}

/// Writes what is trained: an adapter's folder, or a whole model's.
fn deliver(config: &Config, model: &Model, folder: &Path) -> Result<()> {
    if model.decoder.adapter().is_some() {
        model.decoder.save_adapter(folder, &config.model.path.display().to_string())?;
        return Ok(());
    }
    let stored = match config.model.save_dtype {
        SaveDtype::F32 => Stored::F32,
        SaveDtype::Bf16 => Stored::Bf16,
    };
    model.save(folder, stored)?;
    Ok(())
}

/// Learning rate of a step (from 0): linear warm-up whose first step is already above zero, then the schedule.
fn rate(config: &Config, step: usize, steps: usize) -> f64 {
    let o = &config.optim;
    let warmup = (o.warmup_ratio * steps as f64).ceil();
    let at = step as f64;
    if at < warmup {
        return o.learning_rate * (at + 1.0) / warmup;
    }
    let share = (at - warmup) / (steps as f64 - warmup).max(1.0);
    o.learning_rate
        * match o.schedule {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 - share,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * share).cos()),
        }
}

/// Reference log-probs of every example, where the objective compares with a frozen model. They never change, so they are
/// computed once, before the first update: without an adapter the model itself changes afterwards.
fn references(config: &Config, model: &Model, ranks: &Ranks, examples: &[Example]) -> Result<Vec<Reference>> {
    if !config.objective.needs().reference || examples.is_empty() {
        return Ok(Vec::new());
    }
    let zeros =
        |e: &Example| -> Reference { e.sequences().iter().map(|s| vec![0.0; s.ids.len().saturating_sub(1)]).collect() };
    let mut out: Vec<Reference> = examples.iter().map(zeros).collect();
    let own: Vec<usize> = mine(ranks, examples.len()).collect();
    let chosen: Vec<&Example> = own.iter().map(|&i| &examples[i]).collect();
    for part in step::split(&chosen, config.optim.micro_tokens) {
        let computed = step::reference(&model.decoder, &chosen[part.clone()])?;
        for (&i, reference) in own[part].iter().zip(computed) {
            out[i] = reference;
        }
    }
    // Every rank computed its share; what the others left at zero comes from them.
    let mut all: Vec<f64> = out.iter().flatten().flatten().copied().collect();
    ranks.sum(&mut all)?;
    for (value, sum) in out.iter_mut().flatten().flatten().zip(all) {
        *value = sum;
    }
    Ok(out)
}

/// Which of `n` examples this rank computes.
fn mine(ranks: &Ranks, n: usize) -> impl Iterator<Item = usize> + use<> {
    (ranks.rank()..n).step_by(ranks.world())
}

struct Trainer<'a> {
    config: &'a Config,
    model: &'a Model,
    ranks: &'a Ranks,
    trainable: Vec<(String, models::Tensor)>,
    references: Vec<Reference>,
    held_out_references: Vec<Reference>,
}

impl Trainer<'_> {
    /// Takes the largest of `steps` for what it needs, see [`Largest`]. Gradients are left behind; nothing else is, since every
    /// step draws from a seed of its own.
    fn rehearse(
        &self,
        examples: &[Example],
        order: &mut Order,
        steps: Range<usize>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let own = |batch: &[usize]| mine(self.ranks, batch.len()).map(|i| batch[i]).collect();
        let most = self.config.optim.micro_tokens;
        // Each rank its own: what they sum up on the way is not looked at.
        let Some(largest) = Largest::of(examples, order, steps, own, most) else { return Ok(()) };
        let Largest { step, tokens } = largest;
        observer.says(&format!("trying the largest step first: number {}, {tokens} tokens at once", step + 1));
        self.step(examples, &order.step(step), step).map(drop)
    }

    fn step(&self, examples: &[Example], batch: &[usize], number: usize) -> Result<StepMetrics> {
        let whole: Vec<&Example> = batch.iter().map(|&i| &examples[i]).collect();
        let objective = &self.config.objective;
        // Shares of the whole step: gradients of all ranks add up to those of one process.
        let all_shares = step::weights(&whole, objective);
        let own: Vec<usize> = mine(self.ranks, batch.len()).collect();
        let chosen: Vec<&Example> = own.iter().map(|&i| whole[i]).collect();
        let shares: Vec<f64> = own.iter().map(|&i| all_shares[i]).collect();
        let references: Vec<Option<&Reference>> = own.iter().map(|&i| self.references.get(batch[i])).collect();
        let mut sums = Sums::default();
        for (n, part) in step::split(&chosen, self.config.optim.micro_tokens).into_iter().enumerate() {
            // Dropout is drawn from the step's own seed: a resumed run draws the same.
            let part_name = if self.ranks.writes() { n.to_string() } else { format!("{}/{n}", self.ranks.rank()) };
            let seed = corpus::split::mix(&[&self.config.seed.to_string(), "dropout", &number.to_string(), &part_name]);
            models::seed(seed);
            step::part(
                &self.model.decoder,
                objective,
                &chosen[part.clone()],
                &shares[part.clone()],
                &references[part],
                true,
                &mut sums,
            )?;
        }
        self.ranks.sum_gradients(&self.trainable)?;
        sums.across(self.ranks)?;
        Ok(sums.metrics())
    }

    /// Mean loss of held-out examples, weighted as one large step.
    fn loss(&self, examples: &[Example]) -> Result<f64> {
        let whole: Vec<&Example> = examples.iter().collect();
        let all_shares = step::weights(&whole, &self.config.objective);
        let own: Vec<usize> = mine(self.ranks, whole.len()).collect();
        let chosen: Vec<&Example> = own.iter().map(|&i| whole[i]).collect();
        let shares: Vec<f64> = own.iter().map(|&i| all_shares[i]).collect();
        let references: Vec<Option<&Reference>> = own.iter().map(|&i| self.held_out_references.get(i)).collect();
        let mut sums = Sums::default();
        for part in step::split(&chosen, self.config.optim.micro_tokens) {
            let (slice, shares) = (&chosen[part.clone()], &shares[part.clone()]);
            let objective = &self.config.objective;
            step::part(&self.model.decoder, objective, slice, shares, &references[part], false, &mut sums)?;
        }
        sums.across(self.ranks)?;
        Ok(sums.metrics().loss)
    }
}
