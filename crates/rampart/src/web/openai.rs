//! The endpoints.

use super::{
    Conversation, Served,
    engine::{Event, Job, Refusal},
    failure::Failure,
    guard::{self, Keys},
    now,
    parameters::{Api, Question, Request},
    replies::{self, Ended, Head},
};
use crate::cli::terminal;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{self, Path, State},
    http::{HeaderMap, HeaderValue, Response, Uri, header},
    middleware::{self, Next},
    response::IntoResponse,
    routing::{get, post},
};
use futures_core::Stream;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc::{Receiver, Sender, UnboundedReceiver, channel},
    time::{timeout, timeout_at},
};

/// How long a request's body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// How often a quiet stream is asked whether anybody listens.
const GLANCE: Duration = Duration::from_secs(1);
/// After so many glances without a word, a comment keeps the connection open through proxies.
const QUIET: u32 = 15;
/// Pieces that may wait for a slow reader.
const AHEAD: usize = 16;

type Reply = Result<Response<Body>, Failure>;

/// All endpoints; `loopback` is the address of a server without keys.
pub(super) fn routes(served: Arc<Served>, keys: Keys, loopback: Option<SocketAddr>) -> Router {
    let guarded = move |request: extract::Request, next: Next| {
        let admitted = guard::admit(request.headers(), &keys, loopback);
        async move {
            match admitted {
                Ok(()) => next.run(request).await,
                Err(failure) => failure.into_response(),
            }
        }
    };
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(model))
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat))
        .fallback(|uri: Uri| async move { Failure::path(uri.path()) })
        .method_not_allowed_fallback(|| async { Failure::method() })
        .layer(middleware::from_fn(guarded))
        // Says nothing that needs a key: whether the server is up, and how busy.
        .route("/health", get(health))
        .with_state(served)
}

fn respond(json: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(json.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn health(State(served): State<Arc<Served>>) -> Response<Body> {
    let (running, waiting) = served.engine.load();
    respond(&json!({ "status": "ok", "running": running, "waiting": waiting }))
}

fn card(served: &Served) -> Value {
    json!({
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "rampart",
        "max_model_len": served.limits.context,
    })
}

async fn models(State(served): State<Arc<Served>>) -> Response<Body> {
    respond(&json!({ "object": "list", "data": [card(&served)] }))
}

async fn model(State(served): State<Arc<Served>>, Path(name): Path<String>) -> Reply {
    if name == served.name { Ok(respond(&card(&served))) } else { Err(Failure::model(&name, &served.name)) }
}

async fn completions(State(served): State<Arc<Served>>, headers: HeaderMap, body: Body) -> Reply {
    answer(served, Api::Completions, &headers, body).await
}

async fn chat(State(served): State<Arc<Served>>, headers: HeaderMap, body: Body) -> Reply {
    answer(served, Api::Chat, &headers, body).await
}

/// A line about a request when it is over, however it ends; never what was asked or answered.
struct Account {
    path: &'static str,
    started: Instant,
    prompt: usize,
    tokens: usize,
    outcome: &'static str,
    quiet: bool,
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.quiet {
            let seconds = self.started.elapsed().as_secs_f64();
            let Self { path, prompt, tokens, outcome, .. } = self;
            terminal::say(&format!("serve: {path} {outcome}: {prompt} tokens in, {tokens} out, {seconds:.2} s"));
        }
    }
}

/// A request on its way: what a whole and a streamed answer have in common.
struct Running {
    served: Arc<Served>,
    events: UnboundedReceiver<Event>,
    head: Head,
    account: Account,
    deadline: Instant,
    samples: Vec<Ended>,
    /// What comes back before each sample's text.
    echo: Vec<String>,
    left: usize,
}

impl Running {
    /// Waits for the next event, at most for `patience`. `None` where there was none in this time.
    async fn next(&mut self, patience: Duration) -> Result<Option<Event>, Failure> {
        let until = self.deadline.min(Instant::now() + patience);
        match timeout_at(until.into(), self.events.recv()).await {
            Err(_) if Instant::now() >= self.deadline => {
                self.account.outcome = "too late";
                Err(Failure::late(self.served.limits.time.as_secs()))
            }
            Err(_) => Ok(None),
            Ok(None) => {
                self.account.outcome = "dropped";
                let dead = self.served.engine.dead();
                Err(if dead { Failure::model_failed("the model has failed") } else { Failure::stopping() })
            }
            Ok(Some(Event::Failed(why))) => {
                self.account.outcome = "failed";
                Err(Failure::model_failed(why))
            }
            Ok(Some(event)) => {
                if let Event::End(_, _, tokens) = event {
                    self.account.tokens += tokens;
                    self.left -= 1;
                    if self.left == 0 {
                        self.account.outcome = "answered";
                    }
                }
                Ok(Some(event))
            }
        }
    }

    fn usage(&self) -> Value {
        replies::usage(self.account.prompt, self.account.tokens)
    }

    async fn whole(mut self) -> Reply {
        while self.left > 0 {
            match self.next(self.served.limits.time).await? {
                Some(Event::Text(i, text)) => self.samples[i].text.push_str(&text),
                Some(Event::End(i, finish, tokens)) => {
                    self.samples[i].finish = Some(finish);
                    self.samples[i].tokens = tokens;
                }
                Some(Event::Failed(_)) | None => {}
            }
        }
        let mut samples = std::mem::take(&mut self.samples);
        for (sample, echo) in samples.iter_mut().zip(&self.echo) {
            sample.text.insert_str(0, echo);
        }
        Ok(respond(&self.head.whole(samples, self.usage())))
    }

    /// Sends pieces until the end, or until nobody takes them.
    async fn streamed(mut self, usage: bool, out: Sender<Bytes>) {
        let mut begun = vec![false; self.samples.len()];
        let mut quiet = 0;
        for (i, (begun, echo)) in begun.iter_mut().zip(&self.echo).enumerate() {
            let piece = self.head.piece(i, !std::mem::replace(begun, true), echo, None);
            if out.send(line(&piece)).await.is_err() {
                return;
            }
        }
        while self.left > 0 {
            let piece = match self.next(GLANCE).await {
                Err(failure) => {
                    // The status is long sent; clients read an error within the stream as well.
                    let _ = out.send(line(&failure.json())).await;
                    return;
                }
                Ok(Some(Event::Text(i, text))) => {
                    self.head.piece(i, !std::mem::replace(&mut begun[i], true), &text, None)
                }
                Ok(Some(Event::End(i, finish, _))) => {
                    self.head.piece(i, !std::mem::replace(&mut begun[i], true), "", Some(finish))
                }
                Ok(Some(Event::Failed(_)) | None) => {
                    quiet += 1;
                    if out.is_closed()
                        || (quiet % QUIET == 0 && out.send(Bytes::from_static(b": working\n\n")).await.is_err())
                    {
                        return;
                    }
                    continue;
                }
            };
            quiet = 0;
            // A reader that takes nothing must not hold this for ever.
            match timeout_at(self.deadline.into(), out.send(line(&piece))).await {
                Ok(Ok(())) => {}
                _ => return,
            }
        }
        if usage && out.send(line(&self.head.last(self.usage()))).await.is_err() {
            return;
        }
        let _ = out.send(Bytes::from_static(b"data: [DONE]\n\n")).await;
    }
}

/// A server-sent event. JSON has no line ends, so one line holds it.
fn line(json: &Value) -> Bytes {
    Bytes::from(format!("data: {json}\n\n"))
}

async fn answer(served: Arc<Served>, api: Api, headers: &HeaderMap, body: Body) -> Reply {
    let started = Instant::now();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Failure::not_json());
    }
    let limit = served.limits.body;
    let body = match timeout(ARRIVAL, axum::body::to_bytes(body, limit)).await {
        Err(_) => return Err(Failure::too_slow()),
        Ok(Err(_)) => return Err(Failure::too_large(limit)),
        Ok(Ok(body)) => body,
    };
    // Reading and encoding a large prompt takes a while: not on the threads that serve connections.
    let (request, prompts, texts) = {
        let served = Arc::clone(&served);
        let prepared = tokio::task::spawn_blocking(move || prepare(&served, api, &body)).await;
        prepared.map_err(|_| Failure::model_failed("the request could not be read"))??
    };
    let count = prompts.len() * request.params.samples;
    let account = Account {
        path: if api == Api::Chat { "/v1/chat/completions" } else { "/v1/completions" },
        started,
        prompt: prompts.iter().map(Vec::len).sum(),
        tokens: 0,
        outcome: "given up by its client",
        quiet: served.quiet,
    };
    let each = request.params.samples;
    let job = Job { prompts, params: Arc::new(request.params) };
    let events = match served.engine.submit(job) {
        Ok(events) => events,
        Err(refusal) => {
            let mut account = account;
            account.outcome = "refused";
            return Err(match refusal {
                Refusal::Full(seconds) => Failure::queue(seconds),
                Refusal::Stopping => Failure::stopping(),
            });
        }
    };
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let prefix = if api == Api::Chat { "chatcmpl" } else { "cmpl" };
    let running = Running {
        events,
        head: Head {
            api,
            id: format!("{prefix}-{:x}-{number}", served.created),
            created: now(),
            model: served.name.clone(),
        },
        account,
        deadline: started + served.limits.time,
        samples: vec![Ended::default(); count],
        echo: texts.into_iter().flat_map(|t| std::iter::repeat_n(t, each)).collect(),
        left: count,
        served,
    };
    if !request.stream {
        return running.whole().await;
    }
    let (out, pieces) = channel(AHEAD);
    tokio::spawn(running.streamed(request.usage, out));
    let mut response = Response::new(Body::from_stream(Pieces(pieces)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// A request, its prompts in tokens, and the texts that are echoed.
type Prepared = (Request, Vec<Vec<u32>>, Vec<String>);

fn prepare(served: &Served, api: Api, body: &[u8]) -> Result<Prepared, Failure> {
    let mut request = Request::read(api, body, &served.limits)?;
    if let Some(asked) = request.model.as_ref().filter(|&m| *m != served.name) {
        return Err(Failure::model(asked, &served.name));
    }
    if !request.seeded {
        // Requests without a seed differ from each other, and a server started anew repeats itself.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        request.params.seed = served.seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    }
    let what = if api == Api::Chat { "messages" } else { "prompt" };
    let wrong = |e: models::Error| Failure::setting(what, e.to_string());
    let (prompts, echo) = match std::mem::replace(&mut request.question, Question::Texts(Vec::new())) {
        Question::Texts(texts) => {
            let ids = texts.iter().map(|t| served.tokenizer.encode_start(t)).collect::<Result<Vec<_>, _>>();
            (ids.map_err(wrong)?, texts)
        }
        Question::Tokens(lists) => {
            if let Some(id) = lists.iter().flatten().find(|&&id| id as usize >= served.vocab) {
                let message = format!("token {id} is not among this model's {}", served.vocab);
                return Err(Failure::setting("prompt", message));
            }
            let texts = lists.iter().map(|ids| served.tokenizer.decode(ids)).collect();
            (lists, texts)
        }
        Question::Talk(messages) => {
            let text = match &served.conversation {
                Conversation::Own(chat) => chat.render(&messages, true).map_err(|e| {
                    // The path of the model's folder is not the client's business.
                    let said = e.to_string();
                    Failure::setting("messages", said.split_once(": ").map_or(said.as_str(), |(_, why)| why))
                })?,
                Conversation::Ours(template) => {
                    let instruction = match messages.as_slice() {
                        [user] if user.role == "user" => user.content.clone(),
                        [system, user] if system.role == "system" && user.role == "user" => {
                            format!("{}\n\n{}", system.content, user.content)
                        }
                        _ => {
                            let message = "this model takes one instruction: one user message, with or without a system message before it";
                            return Err(Failure::setting("messages", message));
                        }
                    };
                    request.params.stop.extend(template.stops());
                    template.prompt(&instruction)
                }
                Conversation::None => {
                    let message = "this model has no chat template: ask /v1/completions, or serve it with --template";
                    return Err(Failure::setting("messages", message));
                }
            };
            (vec![served.tokenizer.encode_start(&text).map_err(wrong)?], Vec::new())
        }
    };
    let context = served.limits.context;
    for ids in &prompts {
        if ids.is_empty() {
            return Err(Failure::setting(what, format!("{what} has no token in it")));
        }
        if ids.len() >= context {
            let message = format!("{} tokens of {what} leave no room for an answer within {context}", ids.len());
            return Err(Failure::setting(what, message));
        }
    }
    let echo = if request.echo { echo } else { Vec::new() };
    Ok((request, prompts, echo))
}

/// The body of a streamed answer.
struct Pieces(Receiver<Bytes>);

impl Stream for Pieces {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|piece| piece.map(Ok))
    }
}
