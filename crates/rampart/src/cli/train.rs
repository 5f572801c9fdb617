//! `rampart train CONFIG.toml`.

use super::{exit, stop, terminal};
use anyhow::Result;
use indicatif::ProgressBar;
use models::{Meeting, Ranks};
use std::path::PathBuf;
use train::{Config, Observer, Outcome, StepMetrics, run::Facts};

/// Trains a model by a configuration file.
///
/// Writes OUT/metrics.jsonl, OUT/checkpoint-N and, at the end, OUT/adapter or OUT/model. Ctrl-C ends it after the step
/// at hand with a checkpoint and exit code 2; --resume goes on as if nothing had happened.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart train lpo.toml
  rampart train lpo.toml --set model.path=my-model --set optim.learning-rate=2e-5
  rampart train lpo.toml --resume
  torchrun --no-python --nproc-per-node 2 rampart train lpo.toml      # data parallel; Slurm's variables serve as well")]
pub(crate) struct Args {
    /// Configuration file.
    config: PathBuf,
    /// Overrides a key of the configuration: --set optim.batch=16. VALUE is TOML; a bare word is a string.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Goes on after the latest checkpoint in the output folder.
    #[arg(long)]
    resume: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let config = Config::read(&args.config, &args.overrides)?;
    let mut screen = Screen::new();
    let ranks = ranks()?;
    let outcome = train::run(&config, args.resume, stop::flag(), &ranks, &mut screen)?;
    screen.done();
    match outcome {
        Outcome::Finished(folder) if ranks.writes() => terminal::answer(folder.display())?,
        Outcome::Finished(_) => {}
        // The model that was asked for is not there: `rampart train a.toml && rampart eval ..` must not go on.
        Outcome::Stopped(_) => return Ok(exit::FAILED),
    }
    Ok(exit::CLEAN)
}

/// The other processes of this run, where the environment names some.
fn ranks() -> Result<Ranks> {
    #[expect(clippy::disallowed_methods, reason = "torchrun and Slurm speak through the environment")]
    let variable = |name: &str| std::env::var(name).ok();
    match Meeting::of(variable)? {
        None => Ok(Ranks::alone()),
        Some(meeting) => {
            if meeting.rank == 0 {
                terminal::say(&format!("waiting for {} other processes", meeting.world - 1));
            }
            Ok(Ranks::meet(&meeting)?)
        }
    }
}

/// Shows a run on the terminal; without one, says a line now and then.
pub(crate) struct Screen {
    bar: Option<ProgressBar>,
    steps: usize,
    tokens: usize,
    seconds: f64,
}

impl Screen {
    pub(crate) const fn new() -> Self {
        Self { bar: None, steps: 0, tokens: 0, seconds: 0.0 }
    }

    pub(crate) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Screen {
    fn begins(&mut self, facts: &Facts) {
        terminal::say(&facts.accounts.summary());
        facts.accounts.classes.lines().iter().for_each(|line| terminal::say(line));
        terminal::say(&format!(
            "{} steps, {} of {} values train, {}",
            facts.steps, facts.trainable, facts.parameters, facts.precision
        ));
        self.steps = facts.steps;
        if terminal::watched() {
            let bar = terminal::bar(facts.steps, "steps");
            bar.set_position(facts.done as u64);
            bar.reset_eta();
            self.bar = Some(bar);
        }
    }

    fn stepped(&mut self, m: &StepMetrics) {
        self.tokens += m.tokens;
        self.seconds += m.seconds;
        let speed = self.tokens as f64 / self.seconds.max(1e-9);
        let margin = m.margin.map(|x| format!(" margin {x:.3}")).unwrap_or_default();
        let held = m.eval_loss.map(|x| format!(" held-out {x:.4}")).unwrap_or_default();
        let message = format!("loss {:.4}{margin}{held} {speed:.0} tokens/s", m.loss);
        if let Some(bar) = &self.bar {
            bar.set_position(m.step as u64);
            bar.set_message(message);
        } else if m.step == 1 || m.step == self.steps || m.step.is_multiple_of((self.steps / 20).max(1)) {
            terminal::say(&format!("step {}/{} {message}", m.step, self.steps));
        }
    }

    fn says(&mut self, message: &str) {
        match &self.bar {
            Some(bar) => bar.println(message),
            None => terminal::say(message),
        }
    }
}
