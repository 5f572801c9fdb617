//! `rampart generate`.

use super::{
    answers::Sampling,
    critics::{self, Critics, Somebody},
    endpoint, exit, stop, terminal,
};
use anyhow::{Context, Result, ensure};
use lexicon::{FinishReason, Language, Prompt, Sample, jsonl};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};
use writer::{
    Api, Ask, Budget, Error, Parameters, Provenance, Question,
    critics::{Case, debate},
};
#[cfg(feature = "torch")]
use {
    super::answers,
    models::{Compute, DeviceKind, Model, Precision, SamplingParams},
};

/// Samples answers to prompts, from a model here or an endpoint.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart generate --model models/tiny --prompts prompts.jsonl --samples 5 --temperature 0.4 --out samples.jsonl
  rampart generate --endpoint http://127.0.0.1:8000/v1 --model tiny --prompts prompts.jsonl --out samples.jsonl
  RAMPART_ENDPOINT_KEY=... rampart generate --endpoint https://api.example.com/v1 --api chat --model large \\
      --price-prompt 0.5 --price-completion 1.5 --money-budget 2 --dry-run --prompts prompts.jsonl --out samples.jsonl
  rampart generate --endpoint http://127.0.0.1:8000/v1 --api chat --model large --critics --prompts prompts.jsonl --out samples.jsonl
  rampart generate --model models/tiny --require 'import html' --forbid 'yaml.load(' --prompts prompts.jsonl --out samples.jsonl")]
pub(crate) struct Args {
    /// Hugging Face folder; with --endpoint, the model's name there.
    #[arg(long)]
    model: PathBuf,
    /// PEFT folder on top of it.
    #[arg(long, conflicts_with = "endpoint")]
    adapter: Option<PathBuf>,
    /// Prompts, JSON Lines: {"format":1,"id","prompt"}.
    #[arg(long)]
    prompts: PathBuf,
    /// Samples of each prompt.
    #[arg(long, default_value_t = 1)]
    samples: usize,
    /// File to write, JSON Lines; from an endpoint, every line says where it came from ("provenance").
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    sampling: Sampling,
    /// Text that ends an answer; may be given several times.
    #[arg(long)]
    stop: Vec<String>,
    /// Kind of matrix products: auto, f32 or bf16; nf4 keeps the weights in four bits.
    #[cfg(feature = "torch")]
    #[arg(long, default_value = "auto", value_parser = precision, conflicts_with = "endpoint")]
    dtype: Precision,
    /// Goes on past the end-of-sequence token.
    #[cfg(feature = "torch")]
    #[arg(long, conflicts_with = "endpoint")]
    ignore_eos: bool,
    #[command(flatten)]
    endpoint: endpoint::Options,
    #[command(flatten)]
    critics: critics::Options,
}

/// Reads a precision.
#[cfg(feature = "torch")]
pub(crate) fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "auto" => Ok(Precision::Auto),
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        "nf4" => Ok(Precision::Nf4),
        other => Err(format!("{other:?} is not auto, f32, bf16 or nf4")),
    }
}

/// A sample ([`lexicon::Sample`]) that says where it came from.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row<'a> {
    format: u32,
    prompt_id: &'a str,
    index: usize,
    text: String,
    code: String,
    finish_reason: FinishReason,
    provenance: Provenance,
}

/// Answers of a run at most: beyond it a wrong number is likelier than a wish.
const MOST_ANSWERS: usize = 10_000_000;

pub(crate) fn run(args: &Args) -> Result<u8> {
    let prompts: Vec<Prompt> = jsonl::read(&args.prompts)?;
    ensure!(!prompts.is_empty(), "{}: no prompt in it", args.prompts.display());
    match &args.endpoint.endpoint {
        Some(url) => from_endpoint(args, url, &prompts)?,
        None => {
            if args.critics.address().is_none() {
                args.endpoint.without_endpoint()?;
            }
            from_model(args, &prompts)?;
        }
    }
    Ok(exit::CLEAN)
}

fn from_endpoint(args: &Args, url: &str, prompts: &[Prompt]) -> Result<()> {
    let name = args.model.to_str().context("--model is not text")?;
    let parameters = args.sampling.parameters(args.stop.clone())?;
    let answers = prompts.len().saturating_mul(args.samples);
    ensure!(answers > 0, "--samples must be at least 1");
    ensure!(answers <= MOST_ANSWERS, "{answers} answers are above {MOST_ANSWERS}");
    let api = args.endpoint.api().unwrap_or(Api::Completions);
    let addresses = [Some(url), args.critics.address()].into_iter().flatten().collect::<BTreeSet<_>>();
    args.endpoint.one_key_each(addresses.len())?;
    let budget = args.endpoint.budget()?;
    let endpoint = args.endpoint.open(url, name, name, api, Arc::clone(&budget), &args.out)?;
    let ask = |prompt: &Prompt, sample| Ask {
        question: Question::Text(prompt.prompt.clone()),
        parameters: parameters.clone(),
        sample,
        expect: None,
    };
    let asks: Vec<Ask> = prompts.iter().flat_map(|p| (0..args.samples).map(move |i| ask(p, i))).collect();
    if args.endpoint.dry_run {
        if let Some(said) = args.critics.at_most(asks.len(), parameters.max_tokens) {
            terminal::say(&said);
        }
        return endpoint::print_estimate(&endpoint, &asks);
    }
    if let Some(critics) = open_critics(args, &budget)? {
        return debated(args, prompts, Somebody::There(Box::new(endpoint)), &critics, &parameters);
    }
    let replies = endpoint::ask_all(&endpoint, &asks, "")?;
    let rows: Vec<Row> = replies
        .into_iter()
        .enumerate()
        .map(|(i, reply)| Row {
            format: lexicon::FORMAT,
            prompt_id: &prompts[i / args.samples].id,
            index: i % args.samples,
            code: corpus::template::extract(&reply.text),
            text: reply.text,
            finish_reason: reply.finish,
            provenance: reply.provenance,
        })
        .collect();
    jsonl::write(&args.out, &rows).context("samples")?;
    terminal::answer(args.out.display())
}

fn open_critics(args: &Args, budget: &Arc<Budget>) -> Result<Option<Critics>> {
    let mut beside = args.out.as_os_str().to_owned();
    beside.push(".critics");
    args.critics.open(&args.endpoint, budget, Path::new(&beside), None, true)
}

/// Answers that critics have debated; what was said goes beside them.
fn debated(args: &Args, prompts: &[Prompt], actor: Somebody, critics: &Critics, parameters: &Parameters) -> Result<()> {
    let n = args.samples;
    let case = |prompt: &Prompt, sample| Case {
        name: format!("sample {sample} of {:?}", prompt.id),
        task: prompt.prompt.clone(),
        language: Language::Python,
        draft: Ask {
            question: Question::Text(prompt.prompt.clone()),
            parameters: parameters.clone(),
            sample,
            expect: None,
        },
    };
    let cases: Vec<Case> = prompts.iter().flat_map(|p| (0..n).map(move |i| case(p, i))).collect();
    let bar = terminal::bar(cases.len(), "answers");
    let code = |_: usize, text: &str, revision: bool| {
        (!revision || text.contains("```")).then(|| corpus::template::extract(text))
    };
    let writer = actor.writer();
    let critic = critics.model.as_ref().map(Somebody::writer);
    let mut done: Vec<Option<(Sample, critics::Row)>> = cases.iter().map(|_| None).collect();
    let (mut missing, mut first): (usize, Option<(usize, Error)>) = (0, None);
    debate(
        &cases,
        writer.as_ref(),
        critic.as_deref().unwrap_or(writer.as_ref()),
        &critics.bench,
        &critics.prompts,
        &critics.settings(parameters),
        &code,
        stop::flag(),
        &mut |i, outcome| match outcome {
            Ok(debated) => {
                bar.inc(1);
                let (prompt_id, index) = (prompts[i / n].id.clone(), i % n);
                let sample = Sample {
                    format: lexicon::FORMAT,
                    prompt_id: prompt_id.clone(),
                    index,
                    code: corpus::template::extract(&debated.text),
                    text: debated.text,
                    finish_reason: debated.finish,
                };
                let transcript = debated.transcript;
                done[i] = Some((sample, critics::Row { format: lexicon::FORMAT, prompt_id, index, transcript }));
            }
            Err(error) => {
                missing += 1;
                if first.as_ref().is_none_or(|(_, e)| *e == Error::Stopped) {
                    first = Some((i, error));
                }
            }
        },
    );
    bar.finish_and_clear();
    actor.say_spent();
    if let Some((i, error)) = first {
        return Err(error).with_context(|| {
            format!(
                "{missing} of {} have no answer (an endpoint's replies are kept: run it again to ask for the rest), {} first",
                cases.len(),
                cases[i].name
            )
        });
    }
    let (samples, rows): (Vec<Sample>, Vec<critics::Row>) = done.into_iter().flatten().unzip();
    let mut beside = args.out.as_os_str().to_owned();
    beside.push(".critics.jsonl");
    jsonl::write(Path::new(&beside), &rows)?;
    jsonl::write(&args.out, &samples).context("samples")?;
    terminal::say(&critics::ends(&rows));
    terminal::answer(args.out.display())
}

#[cfg(not(feature = "torch"))]
fn from_model(_: &Args, _: &[Prompt]) -> Result<()> {
    anyhow::bail!("this build has no libtorch and cannot run a model: ask one with --endpoint URL")
}

#[cfg(feature = "torch")]
fn from_model(args: &Args, prompts: &[Prompt]) -> Result<()> {
    let compute = Compute::choose(DeviceKind::Auto, args.dtype)?;
    let mut model = Model::load(&args.model, compute)?;
    if let Some(adapter) = &args.adapter {
        model.decoder.wear(adapter)?;
    }
    if let Some(critics) = open_critics(args, &args.endpoint.budget()?)? {
        let mut parameters = args.sampling.parameters(args.stop.clone())?;
        parameters.top_k = args.sampling.top_k();
        return debated(args, prompts, Somebody::Here(Box::new(model)), &critics, &parameters);
    }
    let params =
        SamplingParams { ignore_eos: args.ignore_eos, ..args.sampling.params(args.samples, args.stop.clone()) };
    let started = std::time::Instant::now();
    let (samples, tokens) = answers::sample(&model, prompts, &params, "")?;
    jsonl::write(&args.out, &samples).context("samples")?;
    terminal::say(&format!(
        "{} samples, {tokens} tokens, {:.0} tokens/s",
        samples.len(),
        tokens as f64 / started.elapsed().as_secs_f64()
    ));
    terminal::answer(args.out.display())
}
