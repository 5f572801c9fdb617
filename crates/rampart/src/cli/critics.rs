//! Critics at the command line: who they are, and the tools they consult.

use super::{endpoint, surroundings, terminal};
#[cfg(not(feature = "torch"))]
use anyhow::bail;
use anyhow::{Context, Result};
use corpus::{Lesson, library};
use judge::{Code, Judge, analyzers, sandbox::Sandbox};
use lexicon::{Language, TestOutcome};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};
use writer::{
    Api, Budget, Endpoint, Parameters, Writer,
    critics::{Call, End, Prompts, Settings, Tool, Tools, Transcript},
};

/// Lessons that a search shows.
const SHOWN: usize = 2;
/// Findings that a review shows.
const MOST_FINDINGS: usize = 12;

/// Whether, by whom and how answers are debated.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Critics")]
#[group(id = "critics-options")]
pub(crate) struct Options {
    /// Has every answer debated by a critic of its safety and one of its helpfulness, and written again until both are
    /// content; what was said is kept beside the answers (critics.jsonl).
    #[arg(long)]
    pub(crate) critics: bool,
    /// Model of the critics: a folder, or URL#MODEL; the answering model itself where absent.
    #[arg(long, value_name = "MODEL", requires = "critics")]
    critic_model: Option<String>,
    /// Rounds at most: each is a debate, a revision, a run of the code, and a debate of what was observed.
    #[arg(long, default_value_t = 3, requires = "critics")]
    critic_rounds: u32,
    /// What critics may consult: review (our analyzer's findings), search (lessons), run (the code, imported in the sandbox).
    #[arg(long, value_delimiter = ',', default_values = ["review", "search", "run"], value_parser = ["review", "search", "run"], requires = "critics")]
    critic_tools: Vec<String>,
    /// Tools that a critic may consult before each judgement.
    #[arg(long, default_value_t = 2, requires = "critics")]
    critic_tool_calls: u32,
    /// New tokens of a critic's answer at most.
    #[arg(long, default_value_t = 256, requires = "critics")]
    critic_tokens: usize,
    /// Folder of the prompts' templates, to be edited; those that are not there yet are written into it.
    #[arg(long, value_name = "DIR", requires = "critics")]
    critic_prompts: Option<PathBuf>,
}

/// A model that answers: here, or behind an endpoint.
pub(crate) enum Somebody {
    /// Behind an endpoint.
    There(Box<Endpoint>),
    /// Here.
    #[cfg(feature = "torch")]
    Here(Box<models::Model>),
}

impl Somebody {
    /// It, to be asked.
    pub(crate) fn writer(&self) -> Box<dyn Writer + '_> {
        match self {
            Self::There(endpoint) => Box::new(Remote(endpoint)),
            #[cfg(feature = "torch")]
            Self::Here(model) => Box::new(writer::Local { model, chat: None, time: crate::web::now() }),
        }
    }

    /// What it has spent, where it costs.
    pub(crate) fn say_spent(&self) {
        if let Self::There(endpoint) = self {
            endpoint::say_spent(endpoint);
        }
    }
}

/// A borrowed endpoint.
struct Remote<'a>(&'a Endpoint);

impl Writer for Remote<'_> {
    fn write(
        &self,
        asks: &[writer::Ask],
        stop: &std::sync::atomic::AtomicBool,
        each: &mut dyn FnMut(usize, writer::Result<writer::Reply>),
    ) {
        self.0.write(asks, stop, each);
    }
}

/// Critics that are ready.
pub(crate) struct Critics {
    /// Their model; none is the answering model.
    pub(crate) model: Option<Somebody>,
    pub(crate) bench: Bench,
    pub(crate) prompts: Prompts,
    rounds: u32,
    tool_calls: u32,
    tokens: usize,
}

impl Options {
    /// For a dry run: what a debate of so many drafts asks beside them at most, where answers have so many tokens.
    pub(crate) fn at_most(&self, drafts: usize, answer_tokens: usize) -> Option<String> {
        if !self.critics {
            return None;
        }
        // A round debates the draft, and what running its revision shows. In a debate each critic judges after its tools,
        // and once more where it said nothing; then come a summary and a revision.
        let judgements = 2 * (self.critic_tool_calls as usize + 2);
        let debates = drafts.saturating_mul(2 * self.critic_rounds as usize);
        let questions = debates.saturating_mul(judgements + 2);
        let tokens = debates.saturating_mul((judgements + 1) * self.critic_tokens + answer_tokens);
        Some(format!(
            "the drafts alone; debating them asks at most {questions} questions more, with {tokens} tokens of answers, and far \
             fewer where critics are content"
        ))
    }

    /// What a run's record says of its critics: another word is another run.
    pub(crate) fn described(&self) -> Result<Option<String>> {
        if !self.critics {
            return Ok(None);
        }
        let model = self.critic_model.as_deref().unwrap_or("the model itself");
        Ok(Some(format!(
            "{model}; {} rounds, {} of {}, {} tokens, prompts {}",
            self.critic_rounds,
            self.critic_tool_calls,
            self.critic_tools.join(" "),
            self.critic_tokens,
            self.prompts()?.digest()
        )))
    }

    /// Whether the critics' model is behind an endpoint.
    pub(crate) fn address(&self) -> Option<&str> {
        self.critic_model.as_deref()?.split_once('#').map(|(url, _)| url).filter(|url| url.contains("://"))
    }

    fn prompts(&self) -> Result<Prompts> {
        if let Some(folder) = &self.critic_prompts {
            for file in Prompts::write(folder)? {
                terminal::say(&format!("{} written", file.display()));
            }
        }
        Prompts::load(self.critic_prompts.as_deref()).map_err(|why| anyhow::anyhow!(why)).context("--critic-prompts")
    }

    /// Opens the critics: their model, tools and prompts. None where none are wished for.
    pub(crate) fn open(
        &self,
        remote: &endpoint::Options,
        budget: &Arc<Budget>,
        beside: &Path,
        python: Option<&Path>,
        run: bool,
    ) -> Result<Option<Critics>> {
        if !self.critics {
            return Ok(None);
        }
        anyhow::ensure!(
            self.critic_rounds > 0 && self.critic_tokens > 0,
            "--critic-rounds and --critic-tokens must be at least 1"
        );
        let model = match self.critic_model.as_deref() {
            None => None,
            Some(name) => Some(match (self.address(), name.split_once('#')) {
                (Some(url), Some((_, model))) => {
                    let api = remote.api().unwrap_or(Api::Chat);
                    Somebody::There(Box::new(remote.open(url, "critics", model, api, Arc::clone(budget), beside)?))
                }
                _ => here(Path::new(name))?,
            }),
        };
        let bench = Bench::open(&self.critic_tools, python, run)?;
        Ok(Some(Critics {
            model,
            bench,
            prompts: self.prompts()?,
            rounds: self.critic_rounds,
            tool_calls: self.critic_tool_calls,
            tokens: self.critic_tokens,
        }))
    }
}

impl Critics {
    /// Their settings beside a writer's: critics are greedy, revisions are sampled as drafts and end where they end.
    pub(crate) fn settings(&self, actor: &Parameters) -> Settings {
        let critic = Parameters { max_tokens: self.tokens, seed: actor.seed, ..Parameters::default() };
        let actor = Parameters { stop: Vec::new(), ..actor.clone() };
        Settings { rounds: self.rounds, tool_calls: self.tool_calls, critic, actor }
    }
}

/// A model of this machine.
#[cfg(feature = "torch")]
fn here(folder: &Path) -> Result<Somebody> {
    let compute = models::Compute::choose(models::DeviceKind::Auto, models::Precision::Auto)?;
    Ok(Somebody::Here(Box::new(models::Model::load(folder, compute)?)))
}

#[cfg(not(feature = "torch"))]
fn here(folder: &Path) -> Result<Somebody> {
    bail!("cannot run {}: this rampart was built without libtorch; name the critics as URL#MODEL", folder.display())
}

/// What was said about one answer, a line of `critics.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Row {
    pub(crate) format: u32,
    pub(crate) prompt_id: String,
    pub(crate) index: usize,
    pub(crate) transcript: Transcript,
}

/// How debates ended, in a sentence.
pub(crate) fn ends(rows: &[Row]) -> String {
    let mut ends: BTreeMap<End, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *ends.entry(row.transcript.end).or_default() += 1);
    let words = |end: &End| match end {
        End::Content => "content",
        End::Rounds => "still not content",
        End::Silent => "nothing said",
        End::NoCode => "no code to debate",
        End::Refused => "a question refused",
    };
    let ends: Vec<String> = ends.iter().map(|(end, n)| format!("{n} {}", words(end))).collect();
    let revised = rows.iter().filter(|r| r.transcript.revisions > 0).count();
    format!("critics: {} answers, {revised} of them written again; {}", rows.len(), ends.join(", "))
}

/// The tools.
pub(crate) struct Bench {
    judge: Option<Judge>,
    runner: Option<Judge>,
    lessons: Vec<Lesson>,
}

impl Bench {
    fn open(names: &[String], python: Option<&Path>, run: bool) -> Result<Self> {
        let has = |name: &str| names.iter().any(|n| n == name);
        // A writer of code must not choose what is silenced in it. Bandit stays out: its column counts what nobody consulted.
        let settings = analyzers::Settings { nosec: false, ..analyzers::Settings::default() };
        let judge = if has("review") { Some(Judge::new(analyzers::open(&["native"], &settings)?, None)) } else { None };
        let runner = if has("run") && run {
            let python = python.map_or_else(surroundings::python, Path::to_owned);
            let sandbox = Sandbox::detect(&python)
                .context("critics cannot run code; --critic-tools review,search leaves it out")?;
            Some(Judge::new(Vec::new(), Some(sandbox)))
        } else {
            None
        };
        let lessons = if has("search") { library::embedded()? } else { Vec::new() };
        Ok(Self { judge, runner, lessons })
    }

    /// Findings, a line each.
    fn review(&self, calls: &[Call<'_>]) -> Vec<String> {
        let Some(judge) = &self.judge else { return calls.iter().map(|_| "there is no review".to_owned()).collect() };
        let judged = match judge.judge(&codes(calls, None), &|_| ()) {
            Ok(judged) => judged,
            Err(why) => return calls.iter().map(|_| format!("the review failed: {why}")).collect(),
        };
        let words = |one: judge::Judged| {
            let verdict = one.verdict;
            if let Some(why) = verdict.syntax_error {
                return format!("the code does not parse: {why}");
            }
            let line = |f: &lexicon::Finding| {
                let cwe = f.cwe.first().map_or_else(String::new, |c| format!(" ({c})"));
                format!("line {}: {}{cwe}: {}", f.start.line, f.rule, f.message)
            };
            let mut lines: Vec<String> = verdict.findings.iter().take(MOST_FINDINGS).map(line).collect();
            lines.extend((verdict.findings.len() > MOST_FINDINGS).then(|| "and more".to_owned()));
            if lines.is_empty() { "no finding, which proves little".to_owned() } else { lines.join("\n") }
        };
        judged.into_iter().map(words).collect()
    }

    /// What importing the code shows.
    fn run(&self, calls: &[Call<'_>]) -> Vec<String> {
        let Some(runner) = &self.runner else { return calls.iter().map(|_| "nothing can be run".to_owned()).collect() };
        match runner.judge(&codes(calls, Some("import solution\n")), &|_| ()) {
            Ok(judged) => judged.into_iter().map(|one| outcome(one.verdict.tests.as_ref())).collect(),
            Err(why) => calls.iter().map(|_| format!("it could not be run: {why}")).collect(),
        }
    }

    /// Lessons that share words with what is looked for.
    fn search(&self, what: &str, language: Language) -> String {
        let words = |text: &str| -> BTreeSet<String> {
            text.split(|c: char| !c.is_alphanumeric() && c != '-')
                .filter(|w| w.len() > 2)
                .map(|w| w.trim_end_matches('s').to_lowercase())
                .collect()
        };
        let wanted = words(what);
        let score = |lesson: &Lesson| {
            let cwe = lesson.cwe.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let near = words(&format!("{} {} {} {cwe}", lesson.title, lesson.weakness, lesson.libraries.join(" ")));
            let far = words(&format!("{} {}", lesson.why, lesson.habit));
            3 * wanted.intersection(&near).count() + wanted.intersection(&far).count()
        };
        let mut found: Vec<(usize, &Lesson)> = self
            .lessons
            .iter()
            .filter(|l| l.language == language)
            .map(|l| (score(l), l))
            .filter(|(n, _)| *n > 0)
            .collect();
        found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.id.cmp(&b.1.id)));
        if found.is_empty() {
            return "no lesson about it".into();
        }
        let line = |(_, l): &(usize, &Lesson)| {
            let cwe = l.cwe.first().map_or_else(String::new, |c| format!(" ({c})"));
            format!("{}{cwe}: {} {}", l.title, l.risk, l.remedy)
        };
        found.iter().take(SHOWN).map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Calls as the judge takes them.
fn codes<'a>(calls: &[Call<'a>], tests: Option<&'a str>) -> Vec<Code<'a>> {
    let code = |c: &Call<'a>| Code {
        path: "solution",
        source: c.code,
        language: c.language,
        tests,
        exploit: None,
        packages: true,
    };
    calls.iter().map(code).collect()
}

fn outcome(outcome: Option<&TestOutcome>) -> String {
    match outcome {
        None => "the code does not parse".into(),
        Some(TestOutcome::Passed) => "importing it ends well; no function was called".into(),
        Some(TestOutcome::Failed(said)) => format!("importing it fails:\n{said}"),
        Some(TestOutcome::TimedOut) => "importing it does not end".into(),
        Some(TestOutcome::Killed(why)) => format!("importing it was stopped: {why}"),
    }
}

impl Tools for Bench {
    fn offered(&self, language: Language) -> Vec<&'static str> {
        let mut offered = Vec::new();
        offered.extend(self.judge.as_ref().filter(|j| j.languages().contains(&language)).map(|_| "review"));
        offered.extend((!self.lessons.is_empty()).then_some("search WHAT"));
        offered.extend(self.runner.as_ref().filter(|_| language == Language::Python).map(|_| "run"));
        offered
    }

    fn answer(&self, calls: &[Call<'_>]) -> Vec<String> {
        let mut answers: Vec<String> = calls.iter().map(|_| String::new()).collect();
        // What the judge does is done in batches, what a search does is not.
        let of = |tool: &Tool| -> (Vec<usize>, Vec<Call<'_>>) {
            calls.iter().enumerate().filter(|(_, c)| c.tool == tool).map(|(i, c)| (i, *c)).unzip()
        };
        let ((reviewed, reviews), (run, runs)) = (of(&Tool::Review), of(&Tool::Run));
        if !reviews.is_empty() {
            reviewed.into_iter().zip(self.review(&reviews)).for_each(|(i, answer)| answers[i] = answer);
        }
        if !runs.is_empty() {
            run.into_iter().zip(self.run(&runs)).for_each(|(i, answer)| answers[i] = answer);
        }
        for (call, answer) in calls.iter().zip(&mut answers) {
            if let Tool::Search(what) = call.tool {
                *answer = self.search(what, call.language);
            }
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_answer_in_words() -> Result<()> {
        let names: Vec<String> = ["review", "search"].map(String::from).to_vec();
        let bench = Bench::open(&names, None, true)?;
        assert_eq!(bench.offered(Language::Python), ["review", "search WHAT"]);
        let bad = "import sqlite3\n\n\ndef f(c, n):\n    return c.execute(f\"SELECT * FROM t WHERE n = '{n}'\")\n";
        let (review, run) = (Tool::Review, Tool::Run);
        let search = |t: &str| Tool::Search(t.into());
        let (sql, nothing) = (search("SQL injection"), search("zebra crossings"));
        let call = |tool, code| Call { tool, code, language: Language::Python };
        let calls = [
            call(&review, bad),
            call(&sql, bad),
            call(&review, "x = 1\n"),
            call(&nothing, ""),
            call(&review, "def f(:"),
            call(&run, bad),
        ];
        let said = bench.answer(&calls);
        let expect = ["CWE-89", "CWE-89", "no finding", "no lesson", "does not parse", "nothing can be run"];
        for (said, expect) in said.iter().zip(expect) {
            assert!(said.contains(expect), "{said:?} should say {expect:?}");
        }
        assert!(said[0].starts_with("line 5: "), "{}", said[0]);
        Ok(())
    }
}
