//! Tests and exploits of lessons, run in the judge's sandbox.

use anyhow::{Context, Result};
use corpus::validate::Runner;
use judge::sandbox::{Program, Sandbox};
use lexicon::TestOutcome;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How programs are run.
#[derive(clap::Args, Debug)]
pub(crate) struct ProgramArgs {
    /// Also runs tests and exploits, in a sandbox: tests pass on both sides, the exploit on the insecure one alone.
    #[arg(long)]
    run: bool,
    /// Python that runs them; .venv/bin/python where it is, else python3.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Seconds a program may take.
    #[arg(long, default_value_t = 10.0)]
    wall: f64,
}

/// The sandbox with its limit.
#[derive(Debug)]
pub(crate) struct Programs {
    sandbox: Sandbox,
    wall: Duration,
}

impl ProgramArgs {
    /// A sandbox where programs are to be run.
    pub(crate) fn programs(&self) -> Result<Option<Programs>> {
        if !self.run {
            return Ok(None);
        }
        let wall = Duration::try_from_secs_f64(self.wall)
            .ok()
            .filter(|wall| !wall.is_zero())
            .with_context(|| format!("--wall {} is no time: write seconds", self.wall))?;
        let own = Path::new(".venv/bin/python");
        let python = match &self.python {
            Some(python) => python.clone(),
            None if own.exists() => own.to_owned(),
            None => "python3".into(),
        };
        let sandbox = Sandbox::detect(&python).context("--run")?;
        crate::cli::terminal::say(&format!("programs run under {} by {}", sandbox.backend(), python.display()));
        Ok(Some(Programs { sandbox, wall }))
    }
}

impl Runner for Programs {
    fn run(&self, solution: &str, script: &str, packages: &[String]) -> Result<TestOutcome, String> {
        let program = Program { solution, script, packages: !packages.is_empty(), wall: self.wall };
        match self.sandbox.run(&program) {
            // A missing package says nothing about the code.
            Ok(TestOutcome::Failed(text)) if text.contains("ModuleNotFoundError: No module named") => {
                let line = text.lines().rev().find(|l| l.contains("ModuleNotFoundError")).unwrap_or_default();
                Err(line.trim().to_owned())
            }
            Ok(outcome) => Ok(outcome),
            Err(error) => Err(error.to_string()),
        }
    }
}
