//! A run's folder: configuration, versions, tasks, samples and verdicts, from which every figure can be made again.
//!
//! | file | what |
//! |---|---|
//! | `run.json` | [`RunRecord`] |
//! | `tasks.jsonl` | [`TaskRow`]s: what must be known of a task to count; none of its texts |
//! | `prompts.jsonl`, `samples.jsonl` | by the contract |
//! | `verdicts.jsonl` | [`VerdictRow`]s, one a sample |
//! | `report.json`, `report.html` | the figures |

use crate::{
    Error, Request, Result, Task,
    paper::Paper,
    score::score,
    task::{TaskRow, with_tasks},
};
use lexicon::{Language, Sample, SuiteResult, Verdict, atomic, jsonl};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Names of a run's files.
pub mod file {
    /// [`super::RunRecord`].
    pub const RUN: &str = "run.json";
    /// [`super::TaskRow`]s.
    pub const TASKS: &str = "tasks.jsonl";
    /// Prompts.
    pub const PROMPTS: &str = "prompts.jsonl";
    /// Samples.
    pub const SAMPLES: &str = "samples.jsonl";
    /// [`super::VerdictRow`]s.
    pub const VERDICTS: &str = "verdicts.jsonl";
}

/// How a model was sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SamplingRecord {
    /// New tokens at most.
    pub max_new_tokens: usize,
    /// Temperature.
    pub temperature: f64,
    /// Nucleus.
    pub top_p: f64,
    /// Most likely tokens kept.
    pub top_k: usize,
    /// Seed.
    pub seed: u64,
    /// Texts that every answer had to hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<String>,
    /// Texts that no answer could hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbid: Vec<String>,
}

/// A suite of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SuiteRecord {
    /// Name.
    pub name: String,
    /// Folder its files were read from; none for our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// SHA-256 over its tasks as they were asked, tests included: two runs with one of these asked the same.
    pub digest: String,
}

/// `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunRecord {
    /// Record format.
    pub format: u32,
    /// Name of the model in reports.
    pub name: String,
    /// What answered: a folder, an endpoint, a file of samples.
    pub writer: String,
    /// Kind of endpoint, where one was asked: `completions` or `chat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Adapters on top.
    #[serde(default)]
    pub adapters: Vec<String>,
    /// Suites.
    pub suites: Vec<SuiteRecord>,
    /// How tasks were put.
    pub form: String,
    /// What prompts said of security.
    pub variant: String,
    /// Samples requested of each prompt.
    pub samples_per_prompt: usize,
    /// How the model was sampled; none for samples at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingRecord>,
    /// Who debated the answers, where critics did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critics: Option<String>,
    /// Seed of the intervals.
    pub seed: u64,
    /// Tasks of a lesson, where they were chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_lesson: Option<usize>,
    /// Whether fewer records than published were welcome.
    #[serde(default)]
    pub partial: bool,
    /// Analyzers, in order.
    #[serde(default)]
    pub analyzers: Vec<String>,
    /// Languages that they read.
    #[serde(default)]
    pub languages: Vec<Language>,
    /// What had a part in the verdicts: program, analyzers, Python, sandbox.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// Seconds of sampling and judging.
    #[serde(default)]
    pub seconds: f64,
    /// Whether every step was done.
    #[serde(default)]
    pub complete: bool,
}

/// A line of `verdicts.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VerdictRow {
    /// Record format.
    #[serde(default = "lexicon::format_one")]
    pub format: u32,
    /// Prompt.
    pub prompt_id: String,
    /// Number of the sample.
    pub index: usize,
    /// What the judge says.
    pub verdict: Verdict,
}

/// A run that was read.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its record.
    pub record: RunRecord,
    /// Its tasks, in the order they were asked.
    pub rows: Vec<TaskRow>,
    /// Its samples.
    pub samples: Vec<Sample>,
    /// One verdict a sample.
    pub verdicts: Vec<Verdict>,
}

impl RunRecord {
    /// Writes `run.json`.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::Write`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(atomic::write(&folder.join(file::RUN), &json)?)
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// [`Error::Data`] where it is missing or no record.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(file::RUN);
        let fail = |what: String| Error::Data { place: path.display().to_string(), what };
        let text = fs::read_to_string(&path)
            .map_err(|e| fail(format!("cannot be read ({e}); is this a folder that `rampart eval --out` made?")))?;
        let record: Self = serde_json::from_str(&text).map_err(|e| fail(format!("is no run: {e}")))?;
        if record.format != lexicon::FORMAT {
            return Err(fail(format!("has format {}, this program reads {}", record.format, lexicon::FORMAT)));
        }
        Ok(record)
    }
}

impl Run {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// [`Error::Data`], [`Error::Lines`] naming file and line; [`Error::Lengths`] where verdicts and samples do not fit.
    pub fn read(folder: &Path) -> Result<Self> {
        let record = RunRecord::read(folder)?;
        let rows: Vec<TaskRow> = jsonl::read(&folder.join(file::TASKS))?;
        let samples: Vec<Sample> = jsonl::read(&folder.join(file::SAMPLES))?;
        let verdicts: Vec<VerdictRow> = jsonl::read(&folder.join(file::VERDICTS))?;
        if samples.len() != verdicts.len() {
            return Err(Error::Lengths { samples: samples.len(), verdicts: verdicts.len() });
        }
        if let Some((sample, _)) =
            samples.iter().zip(&verdicts).find(|(s, v)| (&s.prompt_id, s.index) != (&v.prompt_id, v.index))
        {
            return Err(Error::Data {
                place: folder.join(file::VERDICTS).display().to_string(),
                what: format!("has no verdict where sample {} of {:?} stands", sample.index, sample.prompt_id),
            });
        }
        let verdicts = verdicts.into_iter().map(|v| v.verdict).collect();
        Ok(Self { record, rows, samples, verdicts })
    }

    /// Names of its suites, in order.
    #[must_use]
    pub fn suites(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.suite) {
                names.push(row.suite.clone());
            }
        }
        names
    }

    /// Tasks of a suite, without their texts.
    #[must_use]
    pub fn tasks(&self, suite: &str) -> Vec<Task> {
        self.rows.iter().filter(|r| r.suite == suite).map(TaskRow::task).collect()
    }

    /// Samples and verdicts of some prompts.
    #[must_use]
    pub fn answers(&self, ids: &BTreeSet<String>) -> (Vec<Sample>, Vec<Verdict>) {
        let all = self.samples.iter().zip(&self.verdicts);
        all.filter(|(s, _)| ids.contains(&s.prompt_id)).map(|(s, v)| (s.clone(), v.clone())).unzip()
    }

    /// Figures of all its suites. `papers` says which columns belong to a suite.
    ///
    /// # Errors
    /// As [`score`].
    pub fn score(&self, papers: impl Fn(&str) -> &'static [Paper]) -> Result<Vec<SuiteResult>> {
        let every: Vec<Task> = self.rows.iter().map(TaskRow::task).collect();
        // A foreign file must not be scored as empty.
        with_tasks(&every, &self.samples)?;
        self.suites()
            .iter()
            .map(|name| {
                let tasks = self.tasks(name);
                let (samples, verdicts) = self.answers(&tasks.iter().map(|t| t.id.clone()).collect());
                let request = Request {
                    suite: name,
                    tasks: &tasks,
                    samples_per_prompt: self.record.samples_per_prompt,
                    seed: self.record.seed,
                    languages: &self.record.languages,
                    papers: papers(name),
                };
                score(&request, &samples, &verdicts)
            })
            .collect()
    }
}

/// SHA-256 over tasks as they are asked and tested.
#[must_use]
pub fn digest(tasks: &[Task]) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for task in tasks {
        let parts = [
            task.id.as_str(),
            &task.instruction,
            &task.context,
            task.tests.as_deref().unwrap_or_default(),
            task.exploit.as_deref().unwrap_or_default(),
        ];
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
