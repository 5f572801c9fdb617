//! An OpenAI-compatible endpoint as the command line names it: for every command that asks one.

use super::{stop, terminal};
use anyhow::{Context, Result, bail};
use lexicon::FORMAT;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};
use writer::{Api, Ask, Budget, Cache, Endpoint, Error, Estimate, Key, Prices, Reply, Settings, Spent, Writer};

/// Where to ask, how hard, and for how much.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Asking an endpoint")]
pub(crate) struct Options {
    /// Base URL of an OpenAI-compatible endpoint, such as https://api.example.com/v1 or http://127.0.0.1:8000/v1.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Kind of endpoint: completions continues a prompt, chat answers it as a user's message.
    #[arg(long, default_value = "completions", value_parser = ["completions", "chat"], requires = "endpoint")]
    api: String,
    /// Variable of the environment that holds the key. It goes to this endpoint and nowhere else.
    #[arg(long, default_value = "RAMPART_ENDPOINT_KEY", value_name = "VARIABLE", requires = "endpoint")]
    key_env: String,
    /// Sends the key over plain HTTP to another machine.
    #[arg(long, requires = "endpoint")]
    allow_plain_http: bool,
    /// Questions on their way at once.
    #[arg(long, default_value_t = 4, requires = "endpoint")]
    concurrency: usize,
    /// Seconds for one attempt.
    #[arg(long, default_value_t = 120, requires = "endpoint")]
    timeout: u64,
    /// Attempts of one question; waits double between them, or are as long as the endpoint says.
    #[arg(long, default_value_t = 6, requires = "endpoint")]
    attempts: u32,
    /// Tokens that this run may use, prompts and answers together.
    #[arg(long, value_name = "TOKENS", requires = "endpoint")]
    token_budget: Option<u64>,
    /// Money that this run may use, in the currency of the prices.
    #[arg(long, value_name = "MONEY", requires = "endpoint")]
    money_budget: Option<f64>,
    /// Price of a million tokens of prompts.
    #[arg(long, default_value_t = 0.0, requires = "endpoint")]
    price_prompt: f64,
    /// Price of a million tokens of answers.
    #[arg(long, default_value_t = 0.0, requires = "endpoint")]
    price_completion: f64,
    /// Folder that keeps every reply, so that nothing is paid twice; beside the output where none is given.
    #[arg(long, value_name = "FOLDER", requires = "endpoint")]
    cache: Option<PathBuf>,
    /// Says what would be asked and what it may cost at most, and asks nothing.
    #[arg(long, requires = "endpoint")]
    pub(crate) dry_run: bool,
}

/// A variable of the environment; one that is no text is refused rather than taken for absent.
#[expect(clippy::disallowed_methods, reason = "the binary reads the environment")]
pub(crate) fn environment(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => bail!("the variable {name} is not text"),
    }
}

impl Options {
    /// The endpoint for a model by its name; replies are kept in `--cache`, or beside `out`.
    pub(crate) fn open(&self, url: &str, model: &str, out: &Path) -> Result<Endpoint> {
        let key = environment(&self.key_env)?.filter(|k| !k.trim().is_empty());
        let key = key.map(|k| Key::new(&k).with_context(|| format!("the variable {}", self.key_env))).transpose()?;
        if !(1..=86_400).contains(&self.timeout) {
            bail!("--timeout {} is not between 1 and 86400 seconds", self.timeout);
        }
        let prices = Prices { prompt: self.price_prompt, completion: self.price_completion };
        let budget = Budget::new(prices, self.token_budget, self.money_budget)?;
        let cache = self.cache.clone().unwrap_or_else(|| {
            let mut beside = out.as_os_str().to_owned();
            beside.push(".replies");
            beside.into()
        });
        let settings = Settings {
            url: url.to_owned(),
            model: model.to_owned(),
            api: if self.api == "chat" { Api::Chat } else { Api::Completions },
            key,
            allow_plain_http: self.allow_plain_http,
            concurrency: self.concurrency,
            timeout: Duration::from_secs(self.timeout),
            attempts: self.attempts,
            patience: Duration::from_secs(1),
            again: 0,
        };
        Ok(Endpoint::new(settings, budget, Some(Cache::new(&cache)))?)
    }
}

/// Prints what a run would ask and cost.
pub(crate) fn print_estimate(endpoint: &Endpoint, asks: &[Ask]) -> Result<()> {
    #[derive(Serialize)]
    struct Row {
        format: u32,
        questions: usize,
        cached: usize,
        most: Spent,
    }
    let Estimate { questions, cached, most } = endpoint.estimate(asks);
    terminal::say(&format!(
        "{questions} questions, {cached} of them answered already; the others take at most {} tokens (prompts by their length) \
         and {:.4} of money; nothing was asked",
        most.tokens(),
        most.cost
    ));
    terminal::answer(serde_json::to_string(&Row { format: FORMAT, questions, cached, most })?)
}

/// Asks everything, with a bar, until the end or Ctrl-C. Answers stand where their questions do.
///
/// An error where any answer is missing: what came is kept, and another run asks for the rest alone.
pub(crate) fn ask_all(endpoint: &Endpoint, asks: &[Ask], what: &str) -> Result<Vec<Reply>> {
    let bar = terminal::bar(asks.len(), "answers");
    bar.set_prefix(what.to_owned());
    let stop = stop::flag();
    let mut replies: Vec<Option<Reply>> = vec![None; asks.len()];
    let (mut first, mut missing): (Option<(usize, Error)>, usize) = (None, 0);
    endpoint.write(asks, stop, &mut |i, reply| {
        bar.inc(1);
        match reply {
            Ok(reply) => replies[i] = Some(reply),
            Err(error) => {
                missing += 1;
                // Of several reasons the one that says most: not that others stopped after it.
                if first.as_ref().is_none_or(|(at, e)| *e == Error::Stopped || (*at > i && error != Error::Stopped)) {
                    first = Some((i, error));
                }
            }
        }
        bar.set_message(format!("{} tokens", endpoint.spent().tokens()));
    });
    bar.finish_and_clear();
    let spent = endpoint.spent();
    let cost = if spent.cost > 0.0 { format!(", {:.4} of money", spent.cost) } else { String::new() };
    terminal::say(&format!("{} tokens in, {} out{cost}", spent.prompt_tokens, spent.completion_tokens));
    match first {
        None => Ok(replies.into_iter().flatten().collect()),
        Some((_, Error::Stopped)) if stop.load(Ordering::Relaxed) => {
            bail!("stopped: {missing} of {} have no answer; run it again to ask for those alone", asks.len())
        }
        Some((i, error)) => Err(anyhow::Error::new(error).context(format!(
            "{missing} of {} have no answer (the others are kept: run it again to ask for these alone); number {}",
            asks.len(),
            i + 1
        ))),
    }
}
