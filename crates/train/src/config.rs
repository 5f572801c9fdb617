//! The training configuration: one TOML file, unknown keys refused with a suggestion, `--set` on top.

use crate::{Error, Result};
use corpus::Template;
use models::{DeviceKind, LoraConfig, Precision, PrefixConfig, Products};
use objectives::Objective;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A whole training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Format of this file.
    pub format: u32,
    /// Folder of everything the run writes.
    pub output: PathBuf,
    /// Seed of initialisation, order and dropout.
    #[serde(default)]
    pub seed: u64,
    /// What is trained.
    pub model: ModelConfig,
    /// On what.
    pub data: DataConfig,
    /// Towards what.
    pub objective: Objective,
    /// How.
    pub optim: OptimConfig,
    /// Where.
    #[serde(default)]
    pub device: DeviceConfig,
    /// When state is saved.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// When held-out loss is measured.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
}

/// The `[model]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModelConfig {
    /// Hugging Face folder.
    pub path: PathBuf,
    /// Starts from random weights even where the folder holds some.
    #[serde(default)]
    pub from_scratch: bool,
    /// Kind of matrix products.
    #[serde(default)]
    pub dtype: Dtype,
    /// What trains.
    #[serde(default)]
    pub adapter: Adapter,
    /// PEFT folder to start the adapter from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_adapter: Option<PathBuf>,
    /// PEFT folders merged into the weights before training, in order: LPO starts from the merged SFT adapter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merge_adapters: Vec<PathBuf>,
    /// Kind of the weights that full training writes.
    #[serde(default)]
    pub save_dtype: SaveDtype,
}

/// Kind of matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// bf16 where it is fast.
    #[default]
    Auto,
    /// f32.
    F32,
    /// bf16.
    Bf16,
    /// As `auto`, with the frozen base in four bits under an adapter.
    Nf4,
}

impl From<Dtype> for Precision {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Auto => Self::Auto,
            Dtype::F32 => Self::F32,
            Dtype::Bf16 => Self::Bf16,
            Dtype::Nf4 => Self::Nf4,
        }
    }
}

/// Kind of written weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SaveDtype {
    /// f32.
    #[default]
    F32,
    /// bf16.
    Bf16,
}

/// What trains.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Adapter {
    /// A low-rank adapter on a frozen model.
    Lora {
        /// Rank.
        #[serde(default = "sixteen")]
        r: i64,
        /// Numerator of the scale.
        #[serde(default = "thirty_two")]
        alpha: f64,
        /// Dropout on the adapter's input.
        #[serde(default)]
        dropout: f64,
        /// Module names, or `all-linear`.
        #[serde(default = "all_linear")]
        targets: Targets,
        /// Scale by `alpha / sqrt(r)`.
        #[serde(default)]
        rslora: bool,
    },
    /// Keys and values before every text, on a frozen model (prefix tuning).
    Prefix {
        /// Virtual tokens; published for SVEN: 5 (350M), 8 (2B), 12 (6B).
        #[serde(default = "eight")]
        tokens: i64,
        /// Dropout on them.
        #[serde(default)]
        dropout: f64,
    },
    /// Every weight.
    #[default]
    None,
}

const fn eight() -> i64 {
    8
}

const fn sixteen() -> i64 {
    16
}

const fn thirty_two() -> f64 {
    32.0
}

fn all_linear() -> Targets {
    Targets(vec!["all-linear".into()])
}

/// Module names: a list, or one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Targets(pub Vec<String>);

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(one) => Ok(Self(vec![one])),
            toml::Value::Array(list) => list
                .into_iter()
                .map(|v| v.as_str().map(str::to_owned).ok_or_else(|| serde::de::Error::custom("targets are names")))
                .collect::<std::result::Result<_, _>>()
                .map(Self),
            _ => Err(serde::de::Error::custom("targets are \"all-linear\" or a list of module names")),
        }
    }
}

impl Adapter {
    /// What trains beside a frozen model, if anything does; prefixes for so many controls.
    #[must_use]
    pub fn settings(&self, controls: usize) -> Option<models::Adapter> {
        match self {
            Self::Lora { r, alpha, dropout, targets, rslora } => Some(models::Adapter::Lora(LoraConfig {
                r: *r,
                alpha: *alpha,
                dropout: *dropout,
                targets: targets.0.clone(),
                rslora: *rslora,
            })),
            Self::Prefix { tokens, dropout } => {
                Some(models::Adapter::Prefix(PrefixConfig { tokens: *tokens, controls, dropout: *dropout }))
            }
            Self::None => None,
        }
    }
}

/// The `[data]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataConfig {
    /// Files of pairs or text rows.
    pub train: Vec<PathBuf>,
    /// Files whose loss is measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eval: Vec<PathBuf>,
    /// How a pair becomes text.
    #[serde(default)]
    pub template: Template,
    /// Longest sequence; what is longer is cut.
    #[serde(default = "thousand")]
    pub max_tokens: usize,
    /// Whether each epoch has its own order.
    #[serde(default = "yes")]
    pub shuffle: bool,
    /// Repeats rare classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oversample: Option<Oversample>,
}

const fn thousand() -> usize {
    1024
}

const fn yes() -> bool {
    true
}

/// SafeCoder's minority oversampling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Oversample {
    /// What makes a class.
    pub by: Vec<OversampleKey>,
    /// Examples each class has at least.
    pub minimum: usize,
}

/// Part of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OversampleKey {
    /// Language.
    Language,
    /// First CWE.
    Cwe,
}

/// The `[optim]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OptimConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Its course after warm-up.
    #[serde(default)]
    pub schedule: Schedule,
    /// Share of all steps in which the rate climbs linearly.
    #[serde(default)]
    pub warmup_ratio: f64,
    /// Decoupled weight decay; spares norms and biases.
    #[serde(default)]
    pub weight_decay: f64,
    /// Largest gradient norm; 0 is off.
    #[serde(default)]
    pub clip_norm: f64,
    /// Examples a step, however they are split.
    pub batch: usize,
    /// Passes over the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Steps, instead of epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// AdamW's decay of the first moment.
    #[serde(default = "beta1")]
    pub beta1: f64,
    /// AdamW's decay of the second moment.
    #[serde(default = "beta2")]
    pub beta2: f64,
    /// AdamW's epsilon.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Packed tokens computed together; a step's examples are split to stay below. Memory only: losses do not change.
    #[serde(default = "micro")]
    pub micro_tokens: usize,
}

const fn beta1() -> f64 {
    0.9
}

const fn beta2() -> f64 {
    0.999
}

const fn eps() -> f64 {
    1e-8
}

const fn micro() -> usize {
    8192
}

/// Course of the learning rate after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Stays.
    #[default]
    Constant,
    /// Falls to zero in a line.
    Linear,
    /// Falls to zero in half a cosine.
    Cosine,
}

/// The `[device]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeviceConfig {
    /// Which.
    pub kind: Device,
    /// Keeps the input of every block alone and runs blocks again on the way back: less memory, a third more products.
    pub recompute: bool,
    /// Keeps the optimiser's moments in the processor's memory while what trains is on a GPU: half of what a trained value
    /// takes there, for a journey of every gradient. The processor itself gains nothing.
    pub offload_optimizer: bool,
    /// How exact products of f32 are.
    pub matmul_precision: MatmulPrecision,
}

/// How exact products of f32 are, by the names PyTorch gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatmulPrecision {
    /// 16 bits of the significand, twice as fast where the processor has bf16 tiles (AMX); elsewhere as `highest`.
    #[default]
    High,
    /// All 24 bits.
    Highest,
}

impl From<MatmulPrecision> for Products {
    fn from(precision: MatmulPrecision) -> Self {
        match precision {
            MatmulPrecision::High => Self::High,
            MatmulPrecision::Highest => Self::Highest,
        }
    }
}

/// Which device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// CUDA where it is.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// CUDA, or an error.
    Cuda,
}

impl From<Device> for DeviceKind {
    fn from(device: Device) -> Self {
        match device {
            Device::Auto => Self::Auto,
            Device::Cpu => Self::Cpu,
            Device::Cuda => Self::Cuda,
        }
    }
}

/// The `[checkpoint]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CheckpointConfig {
    /// Steps between checkpoints; 0 saves at Ctrl-C only.
    pub every: usize,
    /// Checkpoints kept.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 100, keep: 2 }
    }
}

/// The `[evaluation]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct EvaluationConfig {
    /// Steps between evaluations of `data.eval`; 0 is off.
    pub every: usize,
    /// Ends training after this many evaluations without a better loss; 0 never does.
    pub patience: usize,
    /// Writes the weights of the lowest loss so far to `OUT/best`.
    pub keep_best: bool,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self { every: 0, patience: 0, keep_best: true }
    }
}

impl Config {
    /// What trains beside a frozen model, if anything does.
    #[must_use]
    pub fn adapter(&self) -> Option<models::Adapter> {
        let controls = if self.objective.needs().controls { models::CONTROLS.len() } else { 1 };
        self.model.adapter.settings(controls)
    }

    /// Reads a file, applies `--set key=VALUE` overrides, and checks everything that can be checked before a model is
    /// loaded. Relative paths of the file are relative to its folder; those of overrides to the working directory.
    ///
    /// # Errors
    /// [`Error::Config`] with the file, the key and a suggestion.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let name = path.display().to_string();
        let fail = |message: String| Error::Config { path: name.clone(), message };
        let text = fs::read_to_string(path).map_err(|e| fail(format!("cannot read: {e}")))?;
        let mut value: toml::Table = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
            fail(format!("line {line}: {}", e.message()))
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        rebase(&mut value, folder);
        for item in overrides {
            set(&mut value, item).map_err(|m| fail(format!("--set {item}: {m}")))?;
        }
        let config = Self::deserialize(toml::Value::Table(value)).map_err(|e| fail(suggest(&e.to_string())))?;
        config.check().map_err(fail)?;
        Ok(config)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let o = &self.optim;
        if self.format != lexicon::FORMAT {
            return Err(format!("format is {}, this program reads {}", self.format, lexicon::FORMAT));
        }
        let number = |key: &str, value: f64, low: f64, high: f64| {
            if value.is_finite() && value >= low && value <= high {
                Ok(())
            } else {
                Err(format!("{key} is {value}, expected {low} to {high}"))
            }
        };
        number("optim.learning-rate", o.learning_rate, 0.0, 10.0)?;
        number("optim.warmup-ratio", o.warmup_ratio, 0.0, 1.0)?;
        number("optim.weight-decay", o.weight_decay, 0.0, 100.0)?;
        number("optim.clip-norm", o.clip_norm, 0.0, f64::MAX)?;
        number("optim.beta1", o.beta1, 0.0, 0.999_999)?;
        number("optim.beta2", o.beta2, 0.0, 0.999_999_9)?;
        number("optim.eps", o.eps, 0.0, 1.0)?;
        if let Some(epochs) = o.epochs {
            number("optim.epochs", epochs, 1e-9, 1e6)?;
        }
        if o.epochs.is_some() == o.steps.is_some() {
            return Err("optim needs one of epochs and steps".into());
        }
        if o.steps == Some(0) || o.batch == 0 || o.micro_tokens == 0 || self.data.max_tokens < 2 {
            return Err("optim.steps, optim.batch, optim.micro-tokens and data.max-tokens must be above 0".into());
        }
        // Far above any use; what is larger is a slip, and would take the memory before anything is said.
        for (key, value, most) in [
            ("optim.batch", o.batch, 1 << 20),
            ("data.max-tokens", self.data.max_tokens, 1 << 24),
            ("data.oversample.minimum", self.data.oversample.as_ref().map_or(0, |o| o.minimum), 1 << 20),
        ] {
            if value > most {
                return Err(format!("{key} is {value}, expected at most {most}"));
            }
        }
        if self.model.dtype == Dtype::Nf4 && self.model.adapter == Adapter::None {
            return Err("model.dtype = \"nf4\" keeps the weights frozen: it needs an adapter (kind = \"lora\")".into());
        }
        if self.data.train.is_empty() {
            return Err("data.train names no file".into());
        }
        if self.model.init_adapter.is_some() && self.model.adapter == Adapter::None {
            return Err("model.init-adapter needs model.adapter of kind \"lora\" or \"prefix\"".into());
        }
        if self.evaluation.every > 0 && self.data.eval.is_empty() {
            return Err("evaluation.every needs data.eval".into());
        }
        let (needs, name) = (self.objective.needs(), self.objective.name());
        if needs.controls && !matches!(self.model.adapter, Adapter::Prefix { .. }) {
            return Err(format!(
                "objective.kind = {name:?} compares a text under two controls: it needs model.adapter = {{ kind = \"prefix\" }}"
            ));
        }
        if needs.kl && self.model.adapter == Adapter::None {
            return Err(format!(
                "objective.kl-weight of {name:?} holds the model to the frozen one below an adapter: give model.adapter of \
                 kind \"lora\" or \"prefix\", or kl-weight = 0"
            ));
        }
        self.objective.check().map_err(|e| format!("objective: {e}"))
    }
}

/// Makes the paths of a file absolute, or relative to the working directory, by its own folder.
fn rebase(table: &mut toml::Table, folder: &Path) {
    fn fix(value: &mut toml::Value, folder: &Path) {
        match value {
            toml::Value::String(s) if Path::new(s.as_str()).is_relative() => {
                *s = folder.join(s.as_str()).display().to_string();
            }
            toml::Value::Array(list) => list.iter_mut().for_each(|v| fix(v, folder)),
            _ => {}
        }
    }
    for (section, keys) in
        [("", &["output"][..]), ("model", &["path", "init-adapter", "merge-adapters"]), ("data", &["train", "eval"])]
    {
        let target =
            if section.is_empty() { Some(&mut *table) } else { table.get_mut(section).and_then(|v| v.as_table_mut()) };
        if let Some(target) = target {
            for key in keys {
                if let Some(value) = target.get_mut(*key) {
                    fix(value, folder);
                }
            }
        }
    }
}

/// Applies `dotted.key=VALUE`; VALUE is TOML, a bare word is a string.
///
/// # Errors
/// What is wrong with the override.
pub fn set(table: &mut toml::Table, item: &str) -> std::result::Result<(), String> {
    let (key, text) = item.split_once('=').ok_or("expected key=VALUE")?;
    let (key, text) = (key.trim(), text.trim());
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(format!("{key:?} is not a dotted key"));
    }
    let value = match toml::from_str::<toml::Table>(&format!("v = {text}")) {
        Ok(mut parsed) => parsed.remove("v").unwrap_or(toml::Value::String(text.to_owned())),
        // `[`, `{` and quotes announce TOML; a mistake in it must not become a string.
        Err(e) if text.starts_with(['[', '{', '"', '\'']) => return Err(format!("not TOML: {}", e.message())),
        Err(_) => toml::Value::String(text.to_owned()),
    };
    let parts: Vec<&str> = key.split('.').collect();
    let mut at = table;
    for part in &parts[..parts.len() - 1] {
        at = at
            .entry((*part).to_owned())
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("{part} is not a table"))?;
    }
    at.insert(parts[parts.len() - 1].to_owned(), value);
    Ok(())
}

/// Adds the nearest known name to serde's message about an unknown one.
#[must_use]
pub fn suggest(message: &str) -> String {
    // serde's second line (`in `optim``) belongs to the first: a message is one line.
    let message = message.trim_end().replace('\n', " ");
    let message = message.as_str();
    let quoted = |s: &str| -> Vec<String> { s.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let Some((head, tail)) = message.split_once(", expected ") else { return message.to_owned() };
    if !head.contains("unknown") {
        return message.to_owned();
    }
    // What follows `in` says where, and is no candidate.
    let names = tail.rsplit_once(" in `").map_or(tail, |(names, _)| names);
    let (unknown, known) = (quoted(head), quoted(names));
    // In a short name two swapped letters leave little in common, and are one slip all the same.
    let near = |a: &str, b: &str| {
        let slip = strsim::osa_distance(a, b) == 1;
        if slip { 1.0 } else { strsim::jaro_winkler(a, b) }
    };
    let best = unknown.first().and_then(|u| {
        known.iter().map(|k| (near(u, k), k)).filter(|(score, _)| *score > 0.7).max_by(|a, b| a.0.total_cmp(&b.0))
    });
    match best {
        Some((_, name)) => format!("{message}; did you mean `{name}`?"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
format = 1
output = "out"
[model]
path = "m"
adapter = { kind = "lora", targets = "all-linear" }
[data]
train = ["a.jsonl"]
[objective]
kind = "lpo"
compat = "code"
[optim]
learning-rate = 1e-4
batch = 8
steps = 4
"#;

    fn read(text: &str, overrides: &[&str]) -> std::result::Result<Config, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let path = folder.path().join("c.toml");
        fs::write(&path, text).map_err(|e| e.to_string())?;
        let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        Config::read(&path, &overrides).map_err(|e| e.to_string())
    }

    #[test]
    fn overrides_and_relative_paths() -> std::result::Result<(), String> {
        let config = read(GOOD, &["model.path=elsewhere", "optim.steps = 7", "data.train=[\"x\", \"y\"]", "seed=3"])?;
        assert_eq!(config.model.path, Path::new("elsewhere"));
        assert!(config.output.is_absolute() && config.output.ends_with("out"));
        assert_eq!((config.optim.steps, config.seed, config.data.train.len()), (Some(7), 3, 2));
        let Some(models::Adapter::Lora(lora)) = config.adapter() else { return Err("no adapter".into()) };
        assert_eq!((lora.r, lora.scale()), (16, 2.0));
        Ok(())
    }

    #[test]
    fn mistakes_are_named() {
        let cases: &[(&str, &str, &str)] = &[
            ("batch = 8", "bach = 8", "did you mean `batch`?"),
            ("compat = \"code\"", "compat = \"cod\"", "did you mean `code`?"),
            ("kind = \"lpo\"", "kind = \"lpoo\"", "did you mean `lpo`?"),
            ("kind = \"lpo\"", "kind = \"lop\"", "did you mean `lpo`?"),
            ("steps = 4", "", "one of epochs and steps"),
            ("steps = 4", "steps = 4\nepochs = 1.0", "one of epochs and steps"),
            ("batch = 8", "batch = 0", "must be above 0"),
            ("1e-4", "nan", "optim.learning-rate is NaN"),
            ("format = 1", "format = 2", "format is 2"),
            ("[optim]", "[optim", "line 12"),
            ("[data]", "[data]\nmax-tokens = \"x\"", "invalid type"),
            ("kind = \"lpo\"\ncompat = \"code\"", "kind = \"sven\"", "needs model.adapter = { kind = \"prefix\" }"),
            (
                "adapter = { kind = \"lora\", targets = \"all-linear\" }\n[data]\ntrain = [\"a.jsonl\"]\n[objective]\nkind = \"lpo\"\ncompat = \"code\"",
                "[data]\ntrain = [\"a.jsonl\"]\n[objective]\nkind = \"safecoder\"\nkl-weight = 0.1",
                "frozen one below an adapter",
            ),
        ];
        for (from, to, expect) in cases {
            let said = read(&GOOD.replace(from, to), &[]).err().unwrap_or_default();
            assert!(said.contains(expect), "{to:?}: {said:?} should contain {expect:?}");
        }
        assert!(read(GOOD, &["data.train=[1"]).is_err_and(|e| e.contains("not TOML")));
        assert!(read(GOOD, &["seed"]).is_err_and(|e| e.contains("expected key=VALUE")));
    }
}
