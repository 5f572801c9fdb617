//! One stage of the demo: a model answers the suites and the judge marks them.

use crate::cli::{answers, eval::judge_codes, terminal};
use anyhow::Result;
use corpus::{Lesson, Part, Template};
use eval::{Asking, Request, Task, asking::Form, score::OWN_LANGUAGES, suites};
use judge::Judge;
use lexicon::{Sample, SuiteResult, Verdict, jsonl};
use models::{Model, SamplingParams};
use std::path::Path;

/// The suites with their tasks.
pub(crate) struct Suites {
    parts: Vec<(&'static str, Vec<Task>)>,
    seed: u64,
}

/// What a stage answered and what the judge says.
pub(crate) struct Evaluation {
    pub(crate) name: String,
    /// Suite by suite, in the order of [`Suites`].
    pub(crate) results: Vec<(Vec<(Sample, Verdict)>, SuiteResult)>,
}

impl Evaluation {
    /// One line for the terminal.
    pub(crate) fn headline(&self) -> String {
        let parts: Vec<_> = self
            .results
            .iter()
            .map(|(_, r)| {
                let m = &r.metrics;
                format!(
                    "{}: insecure {:.0} %, valid {:.0} %, secure and passing {:.0} %",
                    r.name, m.ins.value, m.valid.value, m.secure_pass_1.value
                )
            })
            .collect();
        format!("         {}", parts.join(" · "))
    }
}

impl Suites {
    /// Tasks of both parts of the built-in suite.
    pub(crate) fn new(lessons: &[Lesson], per_lesson: (usize, usize), seed: u64) -> Self {
        // The tasks do not follow the seed: every run answers the same ones.
        let tasks = |part, n| suites::builtin::tasks(lessons, part, n, 0);
        let parts =
            vec![("variants", tasks(Part::Variants, per_lesson.0)), ("lessons", tasks(Part::Lessons, per_lesson.1))];
        Self { parts, seed }
    }

    /// Number of tasks of a suite.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.parts.iter().filter(|(n, _)| *n == name).map(|(_, t)| t.len()).sum()
    }

    /// Tasks of all suites with the place of their samples in an [`Evaluation`].
    pub(crate) fn tasks(&self) -> impl Iterator<Item = (usize, usize, &Task)> {
        self.parts
            .iter()
            .enumerate()
            .flat_map(|(p, (_, tasks))| tasks.iter().enumerate().map(move |(t, task)| (p, t, task)))
    }

    /// Lets a model answer and judges the answers; samples are kept under `out/samples`.
    pub(crate) fn evaluate(
        &self,
        name: &str,
        model: &Model,
        template: Template,
        judge: &Judge,
        out: &Path,
    ) -> Result<Evaluation> {
        // The LPO paper's settings, with one sample a task.
        let params = SamplingParams {
            samples: 1,
            max_new_tokens: 288,
            temperature: 0.4,
            top_k: 50,
            top_p: 0.95,
            stop: template.stops(),
            seed: self.seed,
            ..SamplingParams::default()
        };
        let all: Vec<Task> = self.parts.iter().flat_map(|(_, tasks)| tasks.iter().cloned()).collect();
        let prompts = eval::prompts(&all, &Asking::plain(Form::Template(template)));
        let (samples, _) = answers::sample(model, &prompts, &params, &format!("{name} answers "))?;
        jsonl::write(&out.join(format!("samples/{name}.jsonl")), &samples)?;
        let verdicts = eval::judged(&all, &samples, |codes| -> Result<Vec<Verdict>> {
            let (verdicts, notes) = judge_codes(judge, codes, &format!("{name} judged"))?;
            notes.iter().for_each(|note| terminal::say(note));
            Ok(verdicts)
        })?;
        let (mut samples, mut verdicts) = (samples.into_iter(), verdicts.into_iter());
        let mut results = Vec::new();
        for (suite, tasks) in &self.parts {
            let own: Vec<Sample> = samples.by_ref().take(tasks.len()).collect();
            let said: Vec<Verdict> = verdicts.by_ref().take(tasks.len()).collect();
            let request =
                Request { suite, tasks, samples_per_prompt: 1, seed: self.seed, languages: OWN_LANGUAGES, papers: &[] };
            let result = eval::score(&request, &own, &said)?;
            results.push((own.into_iter().zip(said).collect(), result));
        }
        Ok(Evaluation { name: name.to_owned(), results })
    }
}
