//! An OpenAI-compatible endpoint as the command line names it: for every command that asks one.

use super::{stop, terminal};
use anyhow::{Context, Result, bail};
use lexicon::FORMAT;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use writer::{Api, Ask, Budget, Cache, Endpoint, Error, Estimate, Key, Prices, Reply, Settings, Spent, Writer};

/// Variable that holds the key where none is named.
const KEY: &str = "RAMPART_ENDPOINT_KEY";

/// Where to ask, how hard, and for how much.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Asking an endpoint")]
pub(crate) struct Options {
    /// Base URL of an OpenAI-compatible endpoint, such as https://api.example.com/v1 or http://127.0.0.1:8000/v1.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Kind of endpoint: completions continues a prompt, chat answers it as a user's message. [default: completions; in
    /// eval what --template asks for]
    #[arg(long, value_parser = ["completions", "chat"])]
    api: Option<String>,
    /// Variable of the environment that holds the key, which goes to the one endpoint and nowhere else; with several
    /// endpoints NAME=VARIABLE for each model that needs one. [default: RAMPART_ENDPOINT_KEY]
    #[arg(long, value_name = "VARIABLE", value_delimiter = ',')]
    key_env: Vec<String>,
    /// Sends the key over plain HTTP to another machine.
    #[arg(long)]
    allow_plain_http: bool,
    /// Questions on their way at once. [default: 4]
    #[arg(long)]
    concurrency: Option<usize>,
    /// Seconds for one attempt. [default: 120]
    #[arg(long)]
    timeout: Option<u64>,
    /// Attempts of one question; waits double between them, or are as long as the endpoint says. [default: 6]
    #[arg(long)]
    attempts: Option<u32>,
    /// Tokens that this run may use, prompts and answers together.
    #[arg(long, value_name = "TOKENS")]
    token_budget: Option<u64>,
    /// Money that this run may use, in the currency of the prices.
    #[arg(long, value_name = "MONEY")]
    money_budget: Option<f64>,
    /// Price of a million tokens of prompts.
    #[arg(long, value_name = "MONEY")]
    price_prompt: Option<f64>,
    /// Price of a million tokens of answers.
    #[arg(long, value_name = "MONEY")]
    price_completion: Option<f64>,
    /// Folder that keeps every reply, so that nothing is paid twice; beside the output where none is given.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Says what would be asked and what it may cost at most, and asks nothing.
    #[arg(long)]
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
    /// Refuses what only an endpoint can follow, where none is asked.
    pub(crate) fn without_endpoint(&self) -> Result<()> {
        let given = [
            ("--api", self.api.is_some()),
            ("--key-env", !self.key_env.is_empty()),
            ("--allow-plain-http", self.allow_plain_http),
            ("--concurrency", self.concurrency.is_some()),
            ("--timeout", self.timeout.is_some()),
            ("--attempts", self.attempts.is_some()),
            ("--token-budget", self.token_budget.is_some()),
            ("--money-budget", self.money_budget.is_some()),
            ("--price-prompt", self.price_prompt.is_some()),
            ("--price-completion", self.price_completion.is_some()),
            ("--cache", self.cache.is_some()),
            ("--dry-run", self.dry_run),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => bail!("{name} is for an endpoint, and none is asked: give its address"),
            None => Ok(()),
        }
    }

    /// Refuses to send one key to several addresses.
    pub(crate) fn one_key_each(&self, addresses: usize) -> Result<()> {
        let one_for_all = self.key_env.iter().all(|k| !k.contains('='));
        if addresses > 1 && one_for_all && self.key("")?.is_some() {
            bail!("one key would go to {addresses} endpoints: say whose it is, with --key-env NAME=VARIABLE");
        }
        Ok(())
    }

    /// The key for a model, by its name in this run.
    fn key(&self, name: &str) -> Result<Option<Key>> {
        let own = |k: &String| k.split_once('=').is_none_or(|(of, _)| of == name);
        let variable = match self.key_env.iter().find(|k| own(k)) {
            Some(given) => given.split_once('=').map_or(given.as_str(), |(_, variable)| variable),
            None if self.key_env.is_empty() => KEY,
            None => return Ok(None),
        };
        let key = environment(variable)?.filter(|k| !k.trim().is_empty());
        key.map(|k| Key::new(&k).with_context(|| format!("the variable {variable}"))).transpose()
    }

    /// The kind of endpoint that was named.
    pub(crate) fn api(&self) -> Option<Api> {
        self.api.as_deref().map(|api| if api == "chat" { Api::Chat } else { Api::Completions })
    }

    /// The budget of a run, for all its endpoints together.
    pub(crate) fn budget(&self) -> Result<Arc<Budget>> {
        let prices =
            Prices { prompt: self.price_prompt.unwrap_or(0.0), completion: self.price_completion.unwrap_or(0.0) };
        Ok(Arc::new(Budget::new(prices, self.token_budget, self.money_budget)?))
    }

    /// The endpoint for a model by its names here and there; replies are kept in `--cache`, or beside `out`.
    pub(crate) fn open(
        &self,
        url: &str,
        name: &str,
        model: &str,
        api: Api,
        budget: Arc<Budget>,
        out: &Path,
    ) -> Result<Endpoint> {
        let key = self.key(name)?;
        let timeout = self.timeout.unwrap_or(120);
        if !(1..=86_400).contains(&timeout) {
            bail!("--timeout {timeout} is not between 1 and 86400 seconds");
        }
        let cache = self.cache.clone().unwrap_or_else(|| {
            let mut beside = out.as_os_str().to_owned();
            beside.push(".replies");
            beside.into()
        });
        let settings = Settings {
            url: url.to_owned(),
            model: model.to_owned(),
            api,
            key,
            allow_plain_http: self.allow_plain_http,
            concurrency: self.concurrency.unwrap_or(4),
            timeout: Duration::from_secs(timeout),
            attempts: self.attempts.unwrap_or(6),
            patience: Duration::from_secs(1),
            again: 0,
        };
        Ok(Endpoint::new(settings, budget, Some(Cache::new(&cache)))?)
    }
}

/// Says what an endpoint has spent.
pub(crate) fn say_spent(endpoint: &Endpoint) {
    let spent = endpoint.spent();
    let cost = if spent.cost > 0.0 { format!(", {:.4} of money", spent.cost) } else { String::new() };
    terminal::say(&format!("{} tokens in, {} out{cost}", spent.prompt_tokens, spent.completion_tokens));
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
    say_spent(endpoint);
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
