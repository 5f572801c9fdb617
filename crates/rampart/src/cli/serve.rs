//! `rampart serve`.

use super::{endpoint::environment, exit, generate::precision, stop, terminal};
use crate::web::{self, Conversation, Keys, Limits, Options};
use anyhow::{Context, Result, bail, ensure};
use corpus::Template;
use models::{Chat, Compute, DeviceKind, Model, Precision};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// The variable that holds an API key.
const KEY: &str = "RAMPART_API_KEY";

/// Serves a model to OpenAI's clients: /v1/completions, /v1/chat/completions and /v1/models, streamed where asked.
///
/// Without an API key it answers programs of this machine only. Ctrl-C lets running answers end; a second one ends at once.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart serve --model models/tiny --template docstring
  rampart serve --model my-model --adapter runs/lpo/adapter --port 9000 --name my-model-lpo
  RAMPART_API_KEY=... rampart serve --model my-model --host 0.0.0.0        (behind a proxy that speaks TLS)

  curl http://127.0.0.1:8000/v1/completions -H 'content-type: application/json' \\
       -d '{\"prompt\": \"def read(path):\\n\", \"max_tokens\": 64, \"stream\": true}'

  OpenAI(base_url=\"http://127.0.0.1:8000/v1\", api_key=\"-\")                in Python")]
pub(crate) struct Args {
    /// Hugging Face folder.
    #[arg(long)]
    model: PathBuf,
    /// PEFT folder on top of it; given several times, each is merged before the next.
    #[arg(long)]
    adapter: Vec<PathBuf>,
    /// Name that clients ask for; the folder's where it is not given.
    #[arg(long)]
    name: Option<String>,
    /// Address to listen on. Others than this machine's own need an API key.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one. The address is printed.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// File with API keys, one a line; the variable RAMPART_API_KEY holds one more.
    #[arg(long)]
    api_key_file: Option<PathBuf>,
    /// How a chat becomes a prompt: chat (the model's own template), or the form it was tuned in: docstring, comment,
    /// disco, safecoder or raw. Its own where it has one and none is given.
    #[arg(long)]
    template: Option<String>,
    /// Kind of matrix products: auto, f32 or bf16; nf4 keeps the weights in four bits.
    #[arg(long, default_value = "auto", value_parser = precision)]
    dtype: Precision,
    /// Samples that run at once; keys and values of all take memory from the start.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: u16,
    /// Tokens of a prompt and its answer together; at most the model's own context.
    #[arg(long, default_value_t = 4096)]
    context: usize,
    /// Requests that may wait; more are refused with 429 and Retry-After.
    #[arg(long, default_value_t = 64)]
    queue: usize,
    /// New tokens that a sample may have.
    #[arg(long, default_value_t = 2048)]
    max_new_tokens: usize,
    /// Samples that a request may ask for, all its prompts together.
    #[arg(long, default_value_t = 64)]
    max_samples: usize,
    /// Bytes that a request may have.
    #[arg(long, default_value_t = 1 << 20)]
    max_body: usize,
    /// Connections that may be open at once.
    #[arg(long, default_value_t = 256)]
    max_connections: usize,
    /// Seconds that an answer may take, waiting included.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Seconds that running answers may take after Ctrl-C.
    #[arg(long, default_value_t = 30)]
    grace: u64,
    /// Seed of requests that name none.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Says nothing about single requests.
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    for (name, value) in [
        ("--context", args.context),
        ("--queue", args.queue),
        ("--max-new-tokens", args.max_new_tokens),
        ("--max-samples", args.max_samples),
        ("--max-body", args.max_body),
        ("--max-connections", args.max_connections),
    ] {
        ensure!((1..=1 << 30).contains(&value), "{name} {value} is not between 1 and {}", 1 << 30);
    }
    ensure!((1..=86_400).contains(&args.timeout), "--timeout {} is not between 1 and 86400 seconds", args.timeout);
    let keys = Keys::read(args.api_key_file.as_deref(), environment(KEY)?.as_deref())?;
    let conversation = conversation(args)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => {
            let folder = args.model.canonicalize().with_context(|| format!("cannot read {}", args.model.display()))?;
            folder.file_name().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned())
        }
    };
    let mut model = Model::load(&args.model, Compute::choose(DeviceKind::Auto, args.dtype)?)?;
    for adapter in &args.adapter {
        model.decoder.wear(adapter)?;
    }
    let limits = Limits {
        body: args.max_body,
        new_tokens: args.max_new_tokens,
        samples: args.max_samples,
        time: Duration::from_secs(args.timeout),
        queue: args.queue,
        parallel: usize::from(args.parallel),
        context: args.context,
        connections: args.max_connections,
        grace: Duration::from_secs(args.grace.min(86_400)),
    };
    let address = SocketAddr::new(args.host, args.port);
    let options = Options { address, name, conversation, limits, keys, seed: args.seed, quiet: args.quiet };
    web::serve(model, options, stop::flag())?;
    terminal::say("serve: ended");
    Ok(exit::CLEAN)
}

fn conversation(args: &Args) -> Result<Conversation> {
    let own = || Chat::load(&args.model, Some(web::now()));
    Ok(match args.template.as_deref() {
        None => own()?.map_or(Conversation::None, |c| Conversation::Own(Box::new(c))),
        Some("chat") => match own()? {
            Some(chat) => Conversation::Own(Box::new(chat)),
            None => bail!(
                "{} has no chat template: choose docstring, comment, disco, safecoder or raw",
                args.model.display()
            ),
        },
        Some("docstring") => Conversation::Ours(Template::Docstring),
        Some("comment") => Conversation::Ours(Template::Comment),
        Some("disco") => Conversation::Ours(Template::Disco),
        Some("safecoder") => Conversation::Ours(Template::Safecoder),
        Some("raw") => Conversation::Ours(Template::Raw),
        Some(other) => bail!("--template {other:?} is not chat, docstring, comment, disco, safecoder or raw"),
    })
}
