//! The way of a draft through the stages, each on disk before the next begins.

use super::{
    Config, Report,
    plan::{self, Planned},
    report,
    verify::{Measures, Reject, verify},
};
use crate::{
    library,
    partition::{By, partition},
    rows::Row,
};
use judge::{Code, Judge};
use lexicon::{FORMAT, Finding, Language, Pair, atomic, jsonl};
use minijinja::{Environment, context};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};
use writer::{
    Ask, Parameters, Question, Reply, Usage, Writer,
    code::{self, Unusable},
};

/// A distillation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration, a template or the folder of another run.
    #[error("{0}")]
    Config(String),
    /// Answers are missing; those that came are kept.
    #[error("{missing} of {asked} questions have no answer yet ({why}); run it again to ask for those alone")]
    Unanswered {
        /// Questions without an answer.
        missing: usize,
        /// Questions of this stage.
        asked: usize,
        /// The first reason.
        why: writer::Error,
    },
    /// A stage's file cannot be read.
    #[error(transparent)]
    Read(#[from] jsonl::Error),
    /// A stage's file cannot be written.
    #[error(transparent)]
    Write(#[from] atomic::WriteError),
    /// The judge cannot work.
    #[error(transparent)]
    Judge(#[from] judge::judge::Error),
    /// Lessons cannot be read.
    #[error(transparent)]
    Lessons(#[from] library::Error),
    /// Nothing is left to divide.
    #[error("no pair is left; {0} tells why")]
    Nothing(String),
}

/// Where an answer came from: what of it is the same in every run, and when.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct From {
    /// Base URL.
    pub endpoint: String,
    /// Model that was asked for.
    pub model: String,
    /// Model that says it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// Settings as they were sent.
    pub parameters: Value,
    /// Hash of the prompt.
    pub prompt_sha256: String,
    /// Seconds since 1970.
    pub time: u64,
    /// Tokens.
    pub usage: Usage,
}

impl std::convert::From<&Reply> for From {
    fn from(reply: &Reply) -> Self {
        let p = reply.provenance.clone();
        Self {
            endpoint: p.endpoint,
            model: p.model,
            answered_by: p.answered_by,
            parameters: p.parameters,
            prompt_sha256: p.prompt_sha256,
            time: p.time,
            usage: p.usage,
        }
    }
}

/// An answer to a planned pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Answered {
    format: u32,
    plan: Planned,
    text: String,
    from: From,
}

/// A pair in the making.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Draft {
    /// Record format.
    pub format: u32,
    /// What was wanted.
    pub plan: Planned,
    /// The task.
    pub instruction: String,
    /// First version, without comments.
    pub insecure: String,
    /// What is wrong with it.
    pub risk: String,
    /// Second version, without comments.
    pub secure: String,
    /// Why it is right.
    pub remedy: String,
    /// What analyzers say of the first version.
    #[serde(default)]
    pub insecure_findings: Vec<Finding>,
    /// What they say of the second.
    #[serde(default)]
    pub secure_findings: Vec<Finding>,
    /// Rounds of refinement that changed the second version.
    #[serde(default)]
    pub rounds: u32,
    /// Whether the judge flagged the second version as it first was.
    #[serde(default)]
    pub flagged_at_first: bool,
    /// Where it came from.
    pub from: From,
}

/// A pair that holds, with its measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held {
    format: u32,
    pair: Pair,
    measures: Measures,
}

/// What was left out, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rejected {
    /// Record format.
    pub format: u32,
    /// Name of the planned pair.
    pub id: String,
    /// Weakness that was wanted.
    pub cwe: lexicon::Cwe,
    /// Why.
    pub reason: Reject,
    /// Particulars.
    pub detail: String,
    /// What there was of it.
    pub text: String,
}

impl Rejected {
    fn new(plan: &Planned, reason: Reject, detail: impl Into<String>, text: &str) -> Self {
        let (id, detail, text) = (plan.id.clone(), detail.into(), text.to_owned());
        Self { format: FORMAT, id, cwe: plan.cwe, reason, detail, text }
    }
}

/// Everything a run needs.
pub struct Run<'a> {
    /// What is wanted.
    pub config: &'a Config,
    /// Who is asked; it should keep what it gets.
    pub writer: &'a dyn Writer,
    /// Who flags and verifies.
    pub judge: &'a Judge,
    /// Ends the run between questions.
    pub stop: &'a AtomicBool,
    /// Hears the stage, what is done of it and how much there is.
    pub progress: &'a mut dyn FnMut(&str, usize, usize),
}

/// Rows of a stage that go on, and those that do not.
type Made<T> = (Vec<T>, Vec<Rejected>);

/// Makes everything that is not made yet, and reports.
///
/// # Errors
/// [`Error`]; whatever was made before stays, and the next run goes on from there.
pub fn run(run: &mut Run) -> Result<Report, Error> {
    let config = run.config;
    let out = config.output.clone();
    same_run(&out, config)?;
    let environment = config.environment().map_err(Error::Config)?;
    let mut rejects = Vec::new();

    let planned: Vec<Planned> = stage(&out, "1-plan", &mut rejects, || {
        let known = plan::weaknesses(&library::embedded()?, Language::Python);
        let planned = plan::plan(&known, &config.cwe, &config.modules, config.pairs, config.seed);
        let unknown = |unknown: Vec<lexicon::Cwe>| {
            let names: Vec<_> = unknown.iter().map(ToString::to_string).collect();
            let all: Vec<_> = known.keys().map(ToString::to_string).collect();
            Error::Config(format!("cwe: no lesson explains {}; those known are {}", names.join(", "), all.join(", ")))
        };
        Ok((planned.map_err(unknown)?, Vec::new()))
    })?;
    let answered: Vec<Answered> =
        stage(&out, "2-generate", &mut rejects, || generate(run, &environment, planned.clone()))?;
    let parsed: Vec<Draft> = stage(&out, "3-parse", &mut rejects, || {
        let mut made = Made::default();
        for answer in answered {
            match parse(&answer) {
                Ok(draft) => made.0.push(draft),
                Err((why, detail)) => made.1.push(Rejected::new(&answer.plan, why, detail, &answer.text)),
            }
        }
        Ok(made)
    })?;
    let judged: Vec<Draft> = stage(&out, "4-judge", &mut rejects, || {
        let mut drafts = parsed;
        look(run.judge, &mut drafts, |_| true)?;
        for draft in &mut drafts {
            draft.flagged_at_first = !draft.secure_findings.is_empty();
        }
        Ok((drafts, Vec::new()))
    })?;
    let refined: Vec<Draft> = stage(&out, "5-refine", &mut rejects, || refine(run, &environment, judged))?;
    let held: Vec<Held> = stage(&out, "6-verify", &mut rejects, || {
        let (mut made, mut seen) = (Made::default(), BTreeSet::new());
        for draft in &refined {
            let verified = verify(draft, &config.verify).and_then(|(pair, measures)| {
                let fresh = seen.insert((pair.insecure.clone(), pair.secure.clone()));
                if fresh { Ok((pair, measures)) } else { Err((Reject::Duplicate, String::new())) }
            });
            match verified {
                Ok((pair, measures)) => made.0.push(Held { format: FORMAT, pair, measures }),
                Err((why, detail)) => made.1.push(Rejected::new(&draft.plan, why, detail, &draft.secure)),
            }
        }
        Ok(made)
    })?;
    if held.is_empty() {
        return Err(Error::Nothing(out.join("*/rejects.jsonl").display().to_string()));
    }
    let rows: Vec<Row> = held.iter().map(|h| Row::Pair(h.pair.clone())).collect();
    let parts =
        partition(&rows, config.split, By::Row, config.seed).map_err(|e| Error::Config(format!("split: {e}")))?;
    for (name, part) in [("train", &parts.train), ("val", &parts.val), ("test", &parts.test)] {
        let file = out.join("7-split").join(name).with_extension("jsonl");
        jsonl::write(&file, part.iter().map(|&i| &held[i].pair))?;
    }
    let measured: Vec<(Pair, Measures)> = held.into_iter().map(|h| (h.pair, h.measures)).collect();
    let report = report::report(config, &planned, &refined, &measured, &rejects);
    atomic::write_with(&out.join("report.json"), |file| {
        serde_json::to_writer_pretty(&mut *file, &report).map_err(std::io::Error::from)?;
        file.write_all(b"\n")
    })?;
    Ok(report)
}

/// Marks the folder as this configuration's, or refuses another's.
fn same_run(out: &Path, config: &Config) -> Result<(), Error> {
    let file = out.join("run.json");
    let fingerprint = config.fingerprint().map_err(Error::Config)?;
    let mark = serde_json::json!({ "format": FORMAT, "configuration": fingerprint });
    match fs::read(&file) {
        Ok(bytes) => {
            let found: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            if found["configuration"] != mark["configuration"] {
                return Err(Error::Config(format!(
                    "{} holds a run of another plan, model, template or rule: choose another output, or remove it",
                    out.display()
                )));
            }
            // What a killed process left half-written.
            atomic::sweep(out);
            Ok(())
        }
        Err(_) => Ok(atomic::write(&file, format!("{mark}\n").as_bytes())?),
    }
}

/// The rows of a stage: from its folder, or made and written there, rejects first, so that rows say that all is there.
fn stage<T: Serialize + DeserializeOwned>(
    out: &Path,
    name: &str,
    rejects: &mut Vec<Rejected>,
    make: impl FnOnce() -> Result<Made<T>, Error>,
) -> Result<Vec<T>, Error> {
    let folder: PathBuf = out.join(name);
    let (rows_file, rejects_file) = (folder.join("rows.jsonl"), folder.join("rejects.jsonl"));
    if rows_file.exists() {
        rejects.extend(jsonl::read::<Rejected>(&rejects_file)?);
        return Ok(jsonl::read(&rows_file)?);
    }
    let (rows, left) = make()?;
    jsonl::write(&rejects_file, &left)?;
    jsonl::write(&rows_file, &rows)?;
    rejects.extend(left);
    Ok(rows)
}

fn render(environment: &Environment, name: &str, values: Value) -> Result<Question, Error> {
    let failed = |e: minijinja::Error| Error::Config(format!("template {name}: {e:#}"));
    let text =
        environment.get_template(name).and_then(|t| t.render(context! { ..minijinja::Value::from_serialize(values) }));
    Ok(Question::Text(text.map_err(failed)?))
}

/// Asks everything. A question that is refused is `None`; any other that has no answer ends the stage.
fn ask_all(run: &mut Run, name: &str, questions: Vec<Question>) -> Result<Vec<Result<Reply, String>>, Error> {
    let endpoint = &run.config.endpoint;
    let parameters = Parameters {
        max_tokens: endpoint.max_tokens,
        temperature: endpoint.temperature,
        seed: run.config.seed,
        ..Parameters::default()
    };
    let ask = |question| Ask { question, parameters: parameters.clone(), sample: 0, expect: None };
    let asks: Vec<Ask> = questions.into_iter().map(ask).collect();
    let mut replies: Vec<Option<Result<Reply, String>>> = vec![None; asks.len()];
    let (mut done, mut missing, mut why) = (0, 0, None);
    let progress = &mut *run.progress;
    progress(name, 0, asks.len());
    run.writer.write(&asks, run.stop, &mut |i, reply| {
        done += 1;
        progress(name, done, asks.len());
        match reply {
            Ok(reply) => replies[i] = Some(Ok(reply)),
            Err(error @ writer::Error::Question { .. }) => replies[i] = Some(Err(error.to_string())),
            Err(error) => {
                missing += 1;
                if why.as_ref().is_none_or(|w| *w == writer::Error::Stopped) {
                    why = Some(error);
                }
            }
        }
    });
    match why {
        Some(why) => Err(Error::Unanswered { missing, asked: asks.len(), why }),
        None => Ok(replies.into_iter().flatten().collect()),
    }
}

/// The questions that a configuration begins with: for an estimate before anything is asked.
///
/// # Errors
/// [`Error`].
pub fn first_questions(config: &Config) -> Result<Vec<Ask>, Error> {
    let environment = config.environment().map_err(Error::Config)?;
    let known = plan::weaknesses(&library::embedded()?, Language::Python);
    let planned = plan::plan(&known, &config.cwe, &config.modules, config.pairs, config.seed);
    let planned = planned.map_err(|unknown| Error::Config(format!("cwe: no lesson explains {unknown:?}")))?;
    let parameters = Parameters {
        max_tokens: config.endpoint.max_tokens,
        temperature: config.endpoint.temperature,
        seed: config.seed,
        ..Parameters::default()
    };
    let ask = |p: &Planned| {
        let question = render(&environment, "generate", serde_json::json!(p))?;
        Ok(Ask { question, parameters: parameters.clone(), sample: 0, expect: None })
    };
    planned.iter().map(ask).collect()
}

fn generate(run: &mut Run, environment: &Environment, planned: Vec<Planned>) -> Result<Made<Answered>, Error> {
    let questions: Result<Vec<Question>, Error> =
        planned.iter().map(|p| render(environment, "generate", serde_json::json!(p))).collect();
    let replies = ask_all(run, "generate", questions?)?;
    let mut made = Made::default();
    for (plan, reply) in planned.into_iter().zip(replies) {
        match reply {
            Ok(reply) => {
                let from = From::from(&reply);
                made.0.push(Answered { format: FORMAT, plan, text: reply.text, from });
            }
            Err(why) => made.1.push(Rejected::new(&plan, Reject::Refused, why, "")),
        }
    }
    Ok(made)
}

/// Headings of an answer.
const MARKERS: [&str; 5] = ["INSTRUCTION", "INSECURE", "RISK", "SECURE", "REMEDY"];

fn parse(answer: &Answered) -> Result<Draft, (Reject, String)> {
    let reject = |why: Unusable, of: &str| {
        let reason = match &why {
            Unusable::NoFence => Reject::NoFence,
            Unusable::Open => Reject::CutOff,
            Unusable::Empty => Reject::Empty,
            Unusable::Language(_) => Reject::WrongLanguage,
            Unusable::Marker(_) => Reject::MarkerMissing,
        };
        (reason, format!("{of}: {why}"))
    };
    let section = |marker| code::section(&answer.text, marker, &MARKERS).map_err(|why| reject(why, marker));
    let side = |marker| {
        let fenced = code::fenced(section(marker)?, answer.plan.language).map_err(|why| reject(why, marker))?;
        judge::python::without_comments(&fenced).map_err(|e| (Reject::Syntax, format!("{marker}: {e}")))
    };
    Ok(Draft {
        format: FORMAT,
        plan: answer.plan.clone(),
        instruction: section("INSTRUCTION")?.to_owned(),
        insecure: side("INSECURE")?,
        risk: section("RISK")?.replace('\n', " "),
        secure: side("SECURE")?,
        remedy: section("REMEDY")?.replace('\n', " "),
        insecure_findings: Vec::new(),
        secure_findings: Vec::new(),
        rounds: 0,
        flagged_at_first: false,
        from: answer.from.clone(),
    })
}

/// Lets the judge look at both sides of the drafts chosen.
fn look(judge: &Judge, drafts: &mut [Draft], chosen: impl Fn(&Draft) -> bool) -> Result<(), Error> {
    let mut chosen: Vec<&mut Draft> = drafts.iter_mut().filter(|d| chosen(d)).collect();
    let paths: Vec<[String; 2]> =
        chosen.iter().map(|d| ["insecure", "secure"].map(|side| format!("{}-{side}.py", d.plan.id))).collect();
    let code = |path, source| Code {
        path,
        source,
        language: lexicon::Language::Python,
        tests: None,
        exploit: None,
        packages: false,
    };
    let codes: Vec<Code> = chosen
        .iter()
        .zip(&paths)
        .flat_map(|(d, [insecure, secure])| [code(insecure.as_str(), d.insecure.as_str()), code(secure, &d.secure)])
        .collect();
    let verdicts = judge.verdicts(&codes, &|_| ())?;
    drop(codes);
    for (draft, both) in chosen.iter_mut().zip(verdicts.chunks(2)) {
        draft.insecure_findings.clone_from(&both[0].findings);
        draft.secure_findings.clone_from(&both[1].findings);
    }
    Ok(())
}

/// Exactly as many rounds as configured, of what the judge flags alone.
fn refine(run: &mut Run, environment: &Environment, mut drafts: Vec<Draft>) -> Result<Made<Draft>, Error> {
    for round in 1..=run.config.refine {
        let flagged: Vec<usize> = (0..drafts.len()).filter(|&i| !drafts[i].secure_findings.is_empty()).collect();
        let question = |&i: &usize| {
            let d = &drafts[i];
            let values = serde_json::json!({
                "instruction": d.instruction, "code": d.secure, "findings": d.secure_findings, "round": round,
            });
            render(environment, "refine", values)
        };
        let questions: Result<Vec<Question>, Error> = flagged.iter().map(question).collect();
        let replies = ask_all(run, "refine", questions?)?;
        let mut changed = BTreeSet::new();
        for (&i, reply) in flagged.iter().zip(&replies) {
            // An answer without usable code leaves the draft as it was: the next round, or verification, judges it.
            let Ok(reply) = reply else { continue };
            let Ok(fenced) = code::fenced(&reply.text, drafts[i].plan.language) else { continue };
            let Ok(code) = judge::python::without_comments(&fenced) else { continue };
            drafts[i].secure = code;
            drafts[i].rounds = round;
            changed.insert(drafts[i].plan.id.clone());
        }
        look(run.judge, &mut drafts, |d| changed.contains(&d.plan.id))?;
    }
    Ok((drafts, Vec::new()))
}
