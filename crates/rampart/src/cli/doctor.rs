//! `rampart doctor`.

use super::{exit, surroundings, terminal};
use anyhow::Result;
use clap::ValueEnum;
use judge::{
    analyzers::{self, Bandit, Settings},
    languages,
    native::rules,
    sandbox::{Backend, Interpreter, Limits, Sandbox},
};
use lexicon::Language;
use serde::Serialize;

/// Says what this machine has, and what each absence costs.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart doctor
  rampart doctor --output-format json")]
pub(crate) struct Args {
    /// Form of the answer.
    #[arg(long, default_value = "full", value_name = "FORMAT")]
    output_format: OutputFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputFormat {
    Full,
    Json,
}

/// One thing that may be here.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    present: bool,
    /// What it is, or why it is not there.
    detail: String,
    /// What does not work without it, and what to do; absent where it is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<&'static str>,
}

impl Check {
    fn new(name: &'static str, found: Result<String, String>, cost: &'static str) -> Self {
        match found {
            Ok(detail) => Self { name, present: true, detail, cost: None },
            Err(detail) => Self { name, present: false, detail, cost: Some(cost) },
        }
    }
}

#[derive(Serialize)]
struct Report {
    format: u32,
    version: &'static str,
    checks: Vec<Check>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let report = Report { format: lexicon::FORMAT, version: env!("CARGO_PKG_VERSION"), checks: checks()? };
    match args.output_format {
        OutputFormat::Json => terminal::answer(serde_json::to_string_pretty(&report)?)?,
        OutputFormat::Full => {
            let width = report.checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
            for check in &report.checks {
                let state = if check.present { "ok" } else { "missing" };
                terminal::answer(format_args!("{state:7} {:width$}  {}", check.name, check.detail))?;
                if let Some(cost) = check.cost {
                    terminal::answer(format_args!("        {:width$}  {cost}", ""))?;
                }
            }
        }
    }
    Ok(exit::CLEAN)
}

/// How many rules there are in which languages.
fn own_rules() -> String {
    let other: Vec<String> = Language::ALL
        .iter()
        .map(|language| {
            let speaks = |d: &&languages::Described| d.languages.iter().any(|(l, _)| l == language);
            (language, languages::described().iter().filter(speaks).count())
        })
        .filter(|(_, count)| *count > 0)
        .map(|(language, count)| format!("{language} {count}"))
        .collect();
    format!("of our own, in process: python {}, {}", rules::ALL.len(), other.join(", "))
}

fn checks() -> Result<Vec<Check>> {
    let lessons = corpus::library::embedded()?;
    let python = surroundings::python();
    let interpreter = Interpreter::ask(&python).map_err(|e| e.to_string());
    let sandbox = Sandbox::detect(&python);
    let mut checks = vec![
        Check::new("rules", Ok(own_rules()), ""),
        Check::new("lessons", Ok(format!("{}, inside this program", lessons.len())), ""),
        Check::new(
            "bandit",
            Bandit::find(&Settings { folders: surroundings::folders(), ..Settings::default() })
                .map(|b| b.program().display().to_string())
                .map_err(|e| e.to_string()),
            "no second opinion: scan, eval and demo have our own rules only. Run `make setup`",
        ),
        Check::new(
            "python",
            interpreter.map(|p| format!("{} at {}", p.version, p.program.display())),
            "tests and exploits of code cannot run: no pass@1, no secure-pass@1. Install python3",
        ),
        Check::new(
            "sandbox",
            sandbox.as_ref().map(|s| s.backend().to_owned()).map_err(ToString::to_string),
            "generated code is never run without one: no pass@1, no secure-pass@1",
        ),
    ];
    for known in analyzers::ALL.iter().filter(|k| !matches!(k.name, "native" | "bandit" | "bandit-compat")) {
        let folders = surroundings::folders();
        let program = folders.iter().map(|f| f.join(known.name)).find(|p| p.is_file());
        let found = match program {
            Some(program) => analyzers::version(&program).map(|v| format!("{v}, at {}", program.display())),
            None => Err("not on PATH".to_owned()),
        };
        checks.push(Check::new(known.name, found, "`scan --analyzer` cannot ask it; nothing else needs it"));
    }
    if let Ok(sandbox) = &sandbox {
        let loopback = if sandbox.loopback() {
            Ok("programs have one of their own".to_owned())
        } else {
            Err("the kernel grants no network name space".to_owned())
        };
        checks.push(Check::new("loopback", loopback, "tests that open a socket fail. Install bubblewrap"));
        let other = Sandbox::with(Backend::Bubblewrap, &python, Limits::default());
        if sandbox.backend() != Backend::Bubblewrap.name() {
            let found =
                other.map(|_| "works, and is used where the launcher does not".to_owned()).map_err(|e| e.to_string());
            checks.push(Check::new("bubblewrap", found, "nothing: our own launcher confines programs"));
        }
    }
    checks.extend(engine());
    Ok(checks)
}

#[cfg(feature = "torch")]
fn engine() -> Vec<Check> {
    use models::{Compute, DeviceKind, Precision};
    let speed = if models::device::fast_bf16() { "bf16 is fast here" } else { "f32" };
    let gpu = Compute::choose(DeviceKind::Cuda, Precision::Auto)
        .map(|c| format!("CUDA, {}", c.precision_name()))
        .map_err(|e| e.to_string());
    vec![
        Check::new("libtorch", Ok(format!("linked; matrix products in {speed}")), ""),
        Check::new("gpu", gpu, "models run on the processor. Where there is a GPU, run `make gpu`"),
    ]
}

#[cfg(not(feature = "torch"))]
fn engine() -> Vec<Check> {
    let why = Err("this program was built without it".to_owned());
    vec![Check::new(
        "libtorch",
        why,
        "no demo, train, generate or eval of a model. Build without --no-default-features",
    )]
}
