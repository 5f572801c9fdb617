//! Many questions to one endpoint.

use crate::{
    Api, Ask, Budget, Cache, Error, Key, Provenance, Question, Reply, Result, Spent, Usage, Writer,
    budget::{guess, most},
    cache::Kept,
    call::{Failed, call},
    code, wait,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use ureq::{
    Agent,
    http::{Uri, uri::Scheme},
};

/// Questions given up in a row, at least, after which an endpoint is taken for dead.
const DEAD: usize = 3;

/// Which endpoint, and how it is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base URL, such as `https://api.example.com/v1`.
    pub url: String,
    /// Model to ask for.
    pub model: String,
    /// Kind of endpoint.
    pub api: Api,
    /// Key, where one is needed.
    pub key: Option<Key>,
    /// Whether the key may go over plain HTTP to another machine.
    pub allow_plain_http: bool,
    /// Questions on their way at once.
    pub concurrency: usize,
    /// Time for one attempt, from the connection to the reply's last byte.
    pub timeout: Duration,
    /// Attempts of one question before it is given up.
    pub attempts: u32,
    /// Wait after the first failed attempt, where the endpoint does not say; it doubles.
    pub patience: Duration,
    /// How often an answer without the code that was expected is asked for anew.
    pub again: u32,
}

/// What a run would send.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Estimate {
    /// Questions.
    pub questions: usize,
    /// Of which the answer is at hand.
    pub cached: usize,
    /// What the others use at most, should every answer be as long as it may: prompts by their length (3 bytes a token).
    pub most: Spent,
}

/// An OpenAI-compatible endpoint.
pub struct Endpoint {
    settings: Settings,
    base: String,
    url: Uri,
    agent: Agent,
    cache: Option<Cache>,
    budget: Arc<Budget>,
    /// Nobody asks before this moment: one `Retry-After` is for all.
    not_before: Mutex<Instant>,
    /// Why nobody asks any more.
    halted: Mutex<Option<Error>>,
    /// Questions given up one after the other, with no answer between them.
    given_up: AtomicUsize,
}

impl Endpoint {
    /// An endpoint with its budget, which others may share, and, where replies are to be kept, its cache.
    ///
    /// # Errors
    /// [`Error::Setting`] for an address that is none, or a key that would travel in the open.
    pub fn new(settings: Settings, budget: impl Into<Arc<Budget>>, cache: Option<Cache>) -> Result<Self> {
        let wrong = |what: String| Err(Error::Setting(what));
        let base = settings.url.trim_end_matches('/').to_owned();
        if base.contains('@') {
            return wrong("the address holds a name or password: give the key in the environment".into());
        }
        let Ok(url) = format!("{base}/{}", settings.api.path()).parse::<Uri>() else {
            return wrong(format!("{base} is not an address such as https://api.example.com/v1"));
        };
        let local = url.host().is_some_and(|h| matches!(h, "localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            Some(s) if *s == Scheme::HTTPS => {}
            Some(s) if *s == Scheme::HTTP => {
                if settings.key.is_some() && !local && !settings.allow_plain_http {
                    return wrong(format!("{base} is plain HTTP: everybody on the way could read the key; use https"));
                }
            }
            _ => return wrong(format!("{base} is not an address such as https://api.example.com/v1")),
        }
        if settings.concurrency == 0 || settings.concurrency > 256 || settings.attempts == 0 {
            return wrong("concurrency is from 1 to 256, and attempts are at least 1".into());
        }
        let mut config = Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            // A redirect would carry question and key to an address that nobody chose.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections_per_host(settings.concurrency)
            .user_agent(concat!("rampart/", env!("CARGO_PKG_VERSION")));
        if local {
            config = config.proxy(None);
        }
        Ok(Self {
            base,
            url,
            agent: config.build().into(),
            cache,
            budget: budget.into(),
            not_before: Mutex::new(Instant::now()),
            halted: Mutex::new(None),
            given_up: AtomicUsize::new(0),
            settings,
        })
    }

    /// What was used so far; replies from the cache are free.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.budget.spent()
    }

    /// What a run would send, without sending it.
    #[must_use]
    pub fn estimate(&self, asks: &[Ask]) -> Estimate {
        let mut estimate = Estimate { questions: asks.len(), ..Estimate::default() };
        let mut seen = BTreeSet::new();
        for ask in asks {
            let question = self.question(ask, &ask.body(self.settings.api, &self.settings.model, 0));
            let known = self.cache.as_ref().is_some_and(|c| c.get(&question).is_some());
            // The same question twice in a run is asked once, where replies are kept.
            if known || (self.cache.is_some() && !seen.insert(question.to_string())) {
                estimate.cached += 1;
            } else {
                estimate.most.add(most(ask), self.budget.prices());
            }
        }
        estimate
    }

    /// All that a reply depends on.
    fn question(&self, ask: &Ask, body: &Value) -> Value {
        json!({ "url": self.url.to_string(), "body": body, "sample": ask.sample })
    }

    fn answer(&self, ask: &Ask, stop: &AtomicBool) -> Result<Reply> {
        if self.settings.api == Api::Completions && matches!(ask.question, Question::Talk(_)) {
            return Err(Error::Setting("a conversation needs the chat API".into()));
        }
        let mut asked = 0;
        for again in 0..=self.settings.again {
            let body = ask.body(self.settings.api, &self.settings.model, again);
            let question = self.question(ask, &body);
            let kept = self.cache.as_ref().and_then(|c| c.get(&question));
            let cached = kept.is_some();
            let kept = match kept {
                Some(kept) => kept,
                None => {
                    let kept = self.fetch(ask, &body, stop)?;
                    if let Some(cache) = &self.cache {
                        // On disk before anybody sees it: what is seen may be lost, what is paid is not.
                        cache.put(question, kept.clone())?;
                    }
                    kept
                }
            };
            asked += kept.attempts;
            let code = ask.expect.map(|e| code::fenced(&kept.text, e.language)).transpose();
            match code {
                Err(why) if again == self.settings.again => return Err(Error::Unusable { answers: again + 1, why }),
                Err(_) => {}
                Ok(code) => {
                    let provenance = Provenance {
                        endpoint: self.base.clone(),
                        model: self.settings.model.clone(),
                        answered_by: kept.answered_by,
                        parameters: Value::Object(ask.settings(again)),
                        prompt_sha256: ask.prompt_sha256(),
                        time: kept.time,
                        usage: kept.usage,
                        attempts: asked,
                        cached,
                    };
                    return Ok(Reply { text: kept.text, code, finish: kept.finish_reason, provenance });
                }
            }
        }
        Err(Error::Stopped)
    }

    /// Nobody asks any more.
    fn halt(&self, error: &Error) {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
    }

    /// Asks until there is a whole reply.
    fn fetch(&self, ask: &Ask, body: &Value, stop: &AtomicBool) -> Result<Kept> {
        let (settings, aside) = (&self.settings, most(ask));
        let text = body.to_string();
        let mut last = String::new();
        for attempt in 0..settings.attempts {
            if let Some(error) = &*self.halted.lock().unwrap_or_else(PoisonError::into_inner) {
                return Err(error.clone());
            }
            let moment = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
            if !wait::until(moment, stop) {
                return Err(Error::Stopped);
            }
            self.budget.set_aside(aside)?;
            match call(&self.agent, &self.url, settings.api, settings.key.as_ref(), &text) {
                Ok(raw) => {
                    let estimated = Usage {
                        prompt: aside.prompt,
                        completion: guess(raw.text.len()).min(aside.completion),
                        estimated: true,
                    };
                    let usage = raw.usage.unwrap_or(estimated);
                    self.budget.settle(aside, usage);
                    self.given_up.store(0, Ordering::Relaxed);
                    return Ok(Kept {
                        text: raw.text,
                        finish_reason: raw.finish,
                        answered_by: raw.answered_by,
                        usage,
                        time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
                        attempts: attempt + 1,
                    });
                }
                Err(Failed::Passing { message, after, billed }) => {
                    self.budget.settle(aside, if billed { aside } else { Usage::default() });
                    last = message;
                    if attempt + 1 == settings.attempts {
                        break;
                    }
                    let pause = wait::backoff(settings.patience, attempt, &text);
                    let moment = Instant::now() + after.map_or(pause, |after| after + pause / 8);
                    if after.is_some() {
                        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
                        *not_before = moment.max(*not_before);
                    } else if !wait::until(moment, stop) {
                        return Err(Error::Stopped);
                    }
                }
                Err(Failed::Question { status, message }) => {
                    self.budget.settle(aside, Usage::default());
                    return Err(Error::Question { url: self.url.to_string(), status, message });
                }
                Err(Failed::Endpoint { status, message }) => {
                    self.budget.settle(aside, Usage::default());
                    let error = Error::Refused { url: self.url.to_string(), status, message };
                    self.halt(&error);
                    return Err(error);
                }
            }
        }
        let error = Error::Unreachable { url: self.url.to_string(), attempts: settings.attempts, message: last };
        // An endpoint that died must not be waited for a thousand times.
        if self.given_up.fetch_add(1, Ordering::Relaxed) + 1 >= settings.concurrency.max(DEAD) {
            self.halt(&error);
        }
        Err(error)
    }
}

impl Writer for Endpoint {
    fn write(&self, asks: &[Ask], stop: &AtomicBool, each: &mut dyn FnMut(usize, Result<Reply>)) {
        let next = AtomicUsize::new(0);
        let (sender, replies) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..self.settings.concurrency.min(asks.len()) {
                let (next, sender) = (&next, sender.clone());
                scope.spawn(move || {
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        let Some(ask) = asks.get(i) else { return };
                        let reply =
                            if stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { self.answer(ask, stop) };
                        if sender.send((i, reply)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (i, reply) in replies {
                each(i, reply);
            }
        });
    }
}
