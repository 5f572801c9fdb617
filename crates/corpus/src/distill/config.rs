//! What a distillation is to make.

use lexicon::{Cwe, FORMAT, atomic};
use minijinja::Environment;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A distillation's configuration: one TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Format of this file.
    pub format: u32,
    /// Folder to write; relative to the file.
    pub output: PathBuf,
    /// Seed of the plan and the split.
    #[serde(default)]
    pub seed: u64,
    /// Pairs to plan.
    pub pairs: usize,
    /// Weaknesses; all that lessons know where none is named.
    #[serde(default)]
    pub cwe: Vec<Cwe>,
    /// Modules; the built-in ones where none is named.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Folder with `generate.jinja` and `refine.jinja` in place of the built-in ones; relative to the file.
    #[serde(default)]
    pub templates: Option<PathBuf>,
    /// Who is asked.
    pub endpoint: Endpoint,
    /// Analyzers that flag and verify.
    #[serde(default = "analyzers")]
    pub analyzers: Vec<String>,
    /// Rounds of refinement, of what the judge flags alone.
    #[serde(default = "one")]
    pub refine: u32,
    /// What a pair must be.
    #[serde(default)]
    pub verify: Verify,
    /// Shares of train, val and test.
    #[serde(default = "shares")]
    pub split: [f64; 3],
}

/// Who is asked, and for how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Endpoint {
    /// Base URL of an OpenAI-compatible endpoint.
    pub url: String,
    /// Model to ask for.
    pub model: String,
    /// Kind of endpoint.
    #[serde(default)]
    pub api: writer::Api,
    /// Variable of the environment that holds the key.
    #[serde(default = "key_env")]
    pub key_env: String,
    /// Sends the key over plain HTTP to another machine.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// Questions on their way at once.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Seconds for one attempt.
    #[serde(default = "timeout")]
    pub timeout: u64,
    /// Attempts of one question.
    #[serde(default = "attempts")]
    pub attempts: u32,
    /// Seconds before the second attempt, where the endpoint does not say; they double.
    #[serde(default = "patience")]
    pub patience: f64,
    /// Temperature; 0.01 in the paper.
    #[serde(default = "temperature")]
    pub temperature: f64,
    /// Tokens of an answer at most.
    #[serde(default = "max_tokens")]
    pub max_tokens: usize,
    /// Tokens that a run may use.
    #[serde(default)]
    pub token_budget: Option<u64>,
    /// Money that a run may use.
    #[serde(default)]
    pub money_budget: Option<f64>,
    /// Price of a million tokens of prompts.
    #[serde(default)]
    pub price_prompt: f64,
    /// Price of a million tokens of answers.
    #[serde(default)]
    pub price_completion: f64,
}

/// What a pair must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Verify {
    /// Share of both sides' characters that may differ.
    pub most_changed: f64,
    /// Lines of the secure side to lines of the insecure one, above which a pair is reported as over-engineered.
    pub size_ratio: f64,
    /// Refuses pairs whose insecure side no analyzer flags, though its weakness is explained.
    pub flagged: bool,
}

impl Default for Verify {
    fn default() -> Self {
        Self { most_changed: 0.6, size_ratio: 1.5, flagged: false }
    }
}

fn analyzers() -> Vec<String> {
    vec!["native".into()]
}
const fn one() -> u32 {
    1
}
const fn shares() -> [f64; 3] {
    [95.0, 3.0, 2.0]
}
fn key_env() -> String {
    "RAMPART_ENDPOINT_KEY".into()
}
const fn concurrency() -> usize {
    4
}
const fn timeout() -> u64 {
    120
}
const fn attempts() -> u32 {
    6
}
const fn patience() -> f64 {
    1.0
}
const fn temperature() -> f64 {
    0.01
}
const fn max_tokens() -> usize {
    2048
}

/// The built-in templates, by name.
pub const TEMPLATES: [(&str, &str); 2] = [
    ("generate", include_str!("../../templates/generate.jinja")),
    ("refine", include_str!("../../templates/refine.jinja")),
];

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A message with the file, the key and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|e| format!("cannot read {name}: {e}"))?;
        let mut config: Self = toml::from_str(&text).map_err(|e| format!("{name}: {}", e.to_string().trim_end()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.output = folder.join(&config.output);
        config.templates = config.templates.map(|t| folder.join(t));
        config.check().map_err(|why| format!("{name}: {why}"))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let share = |n: f64| n > 0.0 && n <= 1.0;
        if self.format != FORMAT {
            return Err(format!("format is {}, this program reads {FORMAT}", self.format));
        }
        if self.pairs == 0 || self.pairs > 1_000_000 {
            return Err(format!("pairs is {}, it must be from 1 to 1000000", self.pairs));
        }
        if self.refine > 10 {
            return Err(format!("refine is {}: more rounds than 10 make code larger, not safer", self.refine));
        }
        if !share(self.verify.most_changed) {
            return Err(format!(
                "verify.most-changed is {}, it must be a share above 0, at most 1",
                self.verify.most_changed
            ));
        }
        if !(self.verify.size_ratio.is_finite() && self.verify.size_ratio > 0.0) {
            return Err(format!("verify.size-ratio is {}, it must be above 0", self.verify.size_ratio));
        }
        if self.analyzers.is_empty() {
            return Err("analyzers is empty: without one nothing is verified".into());
        }
        let (e, sound) = (&self.endpoint, |n: f64| n.is_finite() && n >= 0.0);
        if e.max_tokens == 0 || !sound(e.temperature) || !sound(e.patience) || !(1..=86_400).contains(&e.timeout) {
            return Err("endpoint: max-tokens and timeout must be above 0, temperature and patience at least 0".into());
        }
        if let Some(odd) =
            self.modules.iter().find(|m| m.is_empty() || !m.chars().all(|c| c.is_alphanumeric() || "._".contains(c)))
        {
            return Err(format!("modules: {odd:?} is no module"));
        }
        Ok(())
    }

    /// The prompts' templates: the built-in ones, or the files of the folder.
    ///
    /// # Errors
    /// A message naming the template and, where it is not one, its line.
    pub fn environment(&self) -> Result<Environment<'static>, String> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        environment.set_fuel(Some(1_000_000));
        for (name, built_in) in TEMPLATES {
            let source = match &self.templates {
                None => built_in.to_owned(),
                Some(folder) => {
                    let file = folder.join(name).with_extension("jinja");
                    fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?
                }
            };
            environment.add_template_owned(name, source).map_err(|e| format!("template {name}: {e}"))?;
        }
        Ok(environment)
    }

    /// Writes the built-in templates into a folder, to be edited; what is there stays.
    ///
    /// # Errors
    /// [`atomic::WriteError`].
    pub fn write_templates(folder: &Path) -> Result<Vec<PathBuf>, atomic::WriteError> {
        let mut written = Vec::new();
        for (name, text) in TEMPLATES {
            let file = folder.join(name).with_extension("jinja");
            if !file.exists() {
                atomic::write(&file, text.as_bytes())?;
                written.push(file);
            }
        }
        Ok(written)
    }

    /// All that a run's files depend on: those of another configuration are not continued. Where and how hard it asks may
    /// change.
    pub(crate) fn fingerprint(&self) -> Result<String, String> {
        let endpoint = &self.endpoint;
        let mut parts = vec![
            serde_json::json!([
                self.seed,
                self.pairs,
                self.cwe,
                self.modules,
                self.analyzers,
                self.refine,
                self.verify,
                self.split
            ]),
            serde_json::json!([endpoint.model, endpoint.api, endpoint.temperature, endpoint.max_tokens]),
        ];
        let environment = self.environment()?;
        for (name, _) in TEMPLATES {
            let template = environment.get_template(name).map_err(|e| e.to_string())?;
            parts.push(template.source().into());
        }
        let texts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        let hash = crate::split::mix(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        Ok(format!("{hash:016x}"))
    }
}
