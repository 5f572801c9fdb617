//! The OpenAI-compatible server: requests over HTTP in, a model's text out, streamed where asked.
//!
//! 1. [`crate::listen`]: connections, their limits, and an orderly end.
//! 2. `guard`: who may ask: a key where there is one, this machine's own programs where there is none.
//! 3. `parameters`: a request's JSON into settings, every unknown or senseless one refused.
//! 4. `openai`: the endpoints; `replies`: the shapes of what they answer; `failure`: how they refuse.
//! 5. `engine`: the model on a thread of its own; waiting requests enter as soon as there is room.
//!
//! Invariants: a prompt, an answer or a key is never logged; a request whose client has gone is not computed; what waits is
//! bounded; nothing is read without a limit on size and time.

mod engine;
mod failure;
mod guard;
mod openai;
mod parameters;
mod replies;

pub(crate) use guard::Keys;

use crate::{
    cli::terminal,
    listen::{self, Door},
};
use anyhow::{Context, Result, ensure};
use corpus::Template;
use engine::Engine;
use models::{Chat, Model, Tokenizer};
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What one request, and all together, may take.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Bytes of a request.
    pub(crate) body: usize,
    /// New tokens of a sample.
    pub(crate) new_tokens: usize,
    /// Samples of a request, all its prompts together.
    pub(crate) samples: usize,
    /// Time from a request to the end of its answer.
    pub(crate) time: Duration,
    /// Requests that may wait.
    pub(crate) queue: usize,
    /// Samples that run at once.
    pub(crate) parallel: usize,
    /// Tokens of a prompt and its answer.
    pub(crate) context: usize,
    /// Connections that may be open.
    pub(crate) connections: usize,
    /// How long running answers may go on after Ctrl-C.
    pub(crate) grace: Duration,
}

/// How a conversation becomes a prompt.
#[derive(Debug)]
pub(crate) enum Conversation {
    /// The model's own chat template.
    Own(Box<Chat>),
    /// A template of ours, for models that were tuned with it.
    Ours(Template),
    /// Neither: chat completions are refused.
    None,
}

/// What every request looks at.
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) created: u64,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) vocab: usize,
    pub(crate) conversation: Conversation,
    pub(crate) limits: Limits,
    pub(crate) seed: u64,
    pub(crate) engine: Engine,
    pub(crate) quiet: bool,
}

/// How to serve.
pub(crate) struct Options {
    pub(crate) address: SocketAddr,
    pub(crate) name: String,
    pub(crate) conversation: Conversation,
    pub(crate) limits: Limits,
    pub(crate) keys: Keys,
    pub(crate) seed: u64,
    pub(crate) quiet: bool,
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Serves until `stop`; prints the address once it is open.
pub(crate) fn serve(model: Model, options: Options, stop: &'static AtomicBool) -> Result<()> {
    let Options { address, name, conversation, mut limits, keys, seed, quiet } = options;
    ensure!(
        address.ip().is_loopback() || !keys.is_empty(),
        "{address} can be reached from other machines: give --api-key-file or set RAMPART_API_KEY, or keep to 127.0.0.1"
    );
    let tokenizer = model.tokenizer.clone();
    let config = &model.decoder.config;
    limits.context = limits.context.min(config.max_positions);
    let vocab = tokenizer.len().min(usize::try_from(config.vocab).unwrap_or(0));
    let bytes = models::Live::bytes(&model, limits.parallel, limits.context);
    let ends = match &conversation {
        Conversation::Own(chat) => turn_ends(chat, &tokenizer)?,
        _ => Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .context("cannot start the server's threads")?;
    // Before the model's thread: a port that is taken ends the program at once.
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(address))
        .with_context(|| format!("cannot listen on {address}: choose another --port, or 0 for any"))?;
    let address = listener.local_addr()?;
    terminal::say(&format!(
        "serving {name}: {} samples at once, {} tokens each, {} MiB for their keys and values",
        limits.parallel,
        limits.context,
        bytes >> 20
    ));
    let (engine, thread) = engine::start(model, &limits, ends)?;
    let served = Arc::new(Served { name, created: now(), tokenizer, vocab, conversation, limits, seed, engine, quiet });
    terminal::answer(format!("http://{address}/v1"))?;
    let open = keys.is_empty();
    let routes = openai::routes(Arc::clone(&served), keys, open.then_some(address));
    let grace = served.limits.grace;
    let door = Door {
        name: "serve",
        connections: served.limits.connections,
        grace,
        dead: &|| served.engine.dead(),
        close: &|| served.engine.close(),
    };
    runtime.block_on(listen::listen(listener, routes, &door, stop));
    served.engine.close();
    // What still runs after its grace is dropped, and the engine sees that nobody listens.
    runtime.shutdown_timeout(Duration::from_millis(if grace.is_zero() { 0 } else { 500 }));
    thread.join().map_err(|_| anyhow::anyhow!("the model's thread ended in a defect"))?;
    Ok(())
}

/// Special tokens that the chat template ends an assistant's turn with, where the model's configuration does not name them.
fn turn_ends(chat: &Chat, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    // A template that refuses the shortest conversation still serves others.
    let Ok(end) = chat.turn_end() else { return Ok(Vec::new()) };
    let first = tokenizer.encode(end.trim_start())?.first().copied();
    Ok(first.filter(|&id| tokenizer.decode(&[id]).is_empty()).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, path::Path};

    #[test]
    fn turns_end_with_special_tokens_alone() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/chat");
        let tokenizer = Tokenizer::load(&folder).expect("a tokenizer");
        let cases = [
            ("{{ '<|im_end|>' }}\n", Some("<|im_end|>")),
            ("{{ '\n</s>' }}", Some("</s>")),
            ("{{ 'bye' }}", None),
            ("", None),
        ];
        for (after, expect) in cases {
            let template = format!("{{% for m in messages %}}{{{{ m.content }}}}{{% endfor %}}{after}");
            let chat = Chat::new(template, BTreeMap::new(), Path::new("t"), None).expect("Jinja");
            let expect: Vec<u32> = expect.iter().flat_map(|t| tokenizer.encode(t).expect("ids")).collect();
            assert_eq!(turn_ends(&chat, &tokenizer).expect("ends"), expect, "{after:?}");
        }
    }
}
