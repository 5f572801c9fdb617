//! `rampart data distill`.

use super::{OutputFormat, print_json};
use crate::cli::{
    endpoint::{environment, print_estimate},
    exit, stop, surroundings, terminal,
};
use anyhow::{Context, Result, anyhow, bail};
use corpus::distill::{self, Config, Report, Run, stages::first_questions};
use judge::{Judge, analyzers};
use std::{path::PathBuf, time::Duration};
use writer::{Budget, Cache, Endpoint, Key, Prices, Settings};

/// Makes pairs by asking a model: plan, generate, parse, judge, refine, verify, split. Each stage is a folder of JSON Lines
/// below the configuration's output; started again after Ctrl-C or kill -9, it goes on where it was and asks nothing twice.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data distill distill.toml --dry-run         what it would ask, and the most it may cost
  RAMPART_ENDPOINT_KEY=... rampart data distill distill.toml
  rampart data distill --write-templates prompts      the built-in prompts, to be edited (templates = \"prompts\")

distill.toml:
  format = 1
  output = \"runs/distill\"
  pairs = 200
  cwe = [\"CWE-78\", \"CWE-89\"]         # absent: every weakness that lessons explain
  [endpoint]
  url = \"https://api.example.com/v1\"
  model = \"large\"
  money-budget = 5.0
  price-prompt = 0.5                 # for a million tokens
  price-completion = 1.5")]
pub(crate) struct Args {
    /// Configuration, TOML.
    #[arg(required_unless_present = "write_templates")]
    config: Option<PathBuf>,
    /// Says what would be asked and what it may cost at most (refinement apart), and asks nothing.
    #[arg(long)]
    dry_run: bool,
    /// Writes the built-in prompts' templates into a folder and stops; files that are there stay.
    #[arg(long, value_name = "FOLDER")]
    write_templates: Option<PathBuf>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t = OutputFormat::Full)]
    output_format: OutputFormat,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    if let Some(folder) = &args.write_templates {
        for file in Config::write_templates(folder)? {
            terminal::answer(file.display())?;
        }
        return Ok(exit::CLEAN);
    }
    let path = args.config.as_ref().context("a configuration is needed")?;
    let config = Config::read(path).map_err(|why| anyhow!(why))?;
    let endpoint = open(&config).with_context(|| format!("{}: endpoint", path.display()))?;
    if args.dry_run {
        print_estimate(&endpoint, &first_questions(&config)?)?;
        return Ok(exit::CLEAN);
    }
    // A writer of code must not choose what is silenced in it.
    let settings =
        analyzers::Settings { folders: surroundings::folders(), nosec: false, ..analyzers::Settings::default() };
    let judge = Judge::new(analyzers::open(&config.analyzers, &settings)?, None);
    let bar = terminal::bar(0, "answers");
    let outcome = distill::run(&mut Run {
        config: &config,
        writer: &endpoint,
        judge: &judge,
        stop: stop::flag(),
        progress: &mut |stage, done, all| {
            bar.set_prefix(format!("{stage} "));
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        },
    });
    bar.finish_and_clear();
    let spent = endpoint.spent();
    terminal::say(&format!(
        "{} tokens in, {} out, {:.4} of money in this run",
        spent.prompt_tokens, spent.completion_tokens, spent.cost
    ));
    let report = outcome?;
    match args.output_format {
        OutputFormat::Json => print_json(&report)?,
        OutputFormat::Full => print_table(&report, &config)?,
    }
    Ok(exit::CLEAN)
}

fn open(config: &Config) -> Result<Endpoint> {
    let e = &config.endpoint;
    let key = environment(&e.key_env)?.filter(|k| !k.trim().is_empty());
    let key = key.map(|k| Key::new(&k).with_context(|| format!("the variable {}", e.key_env))).transpose()?;
    let prices = Prices { prompt: e.price_prompt, completion: e.price_completion };
    let Ok(patience) = Duration::try_from_secs_f64(e.patience) else { bail!("patience {} is no time", e.patience) };
    let settings = Settings {
        url: e.url.clone(),
        model: e.model.clone(),
        api: e.api,
        key,
        allow_plain_http: e.allow_plain_http,
        concurrency: e.concurrency,
        timeout: Duration::from_secs(e.timeout),
        attempts: e.attempts,
        patience,
        again: 0,
    };
    let cache = Cache::new(&config.output.join("replies"));
    Ok(Endpoint::new(settings, Budget::new(prices, e.token_budget, e.money_budget)?, Some(cache))?)
}

fn print_table(r: &Report, config: &Config) -> Result<()> {
    terminal::print(|out| {
        writeln!(out, "instances                {:>7}  of {} planned", r.instances, r.planned)?;
        writeln!(out, "weaknesses covered       {:>7}  of {}; modules {}", r.cwe_covered, r.cwe_planned, r.modules)?;
        writeln!(out, "lines                    {:>7.1}  insecure, {:.1} secure", r.lines_insecure, r.lines_secure)?;
        let (before, after) = (r.changed_insecure, r.changed_secure);
        writeln!(out, "characters that change   {before:>6.1}%  insecure, {after:.1}% secure")?;
        let (before, after) = (r.residual_before, r.residual_after);
        writeln!(out, "secure side flagged      {before:>6.1}%  at first, {after:.1}% after {} rounds", config.refine)?;
        writeln!(out, "insecure side flagged    {:>7}  pairs; {} explained", r.flagged, r.instances - r.flagged)?;
        writeln!(out, "over-engineered          {:>7}  too large, {} with a new try", r.oversized, r.added_try)?;
        writeln!(out, "left out                 {:>7}", r.rejects.values().sum::<usize>())?;
        for (reason, n) in &r.rejects {
            writeln!(out, "  {reason:<22} {n:>7}")?;
        }
        writeln!(out, "{}", config.output.join("7-split").display())
    })
}
