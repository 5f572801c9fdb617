//! The steps of a debate, for many answers at once.

use super::{Call, Case, Debated, End, Prompts, Said, Settings, Tool, Tools, Transcript, Turn, Who, read};
use crate::{Ask, Error, Parameters, Question, Reply, Result, Writer};
use lexicon::FinishReason;
use serde_json::{Value, json};
use std::{
    mem,
    sync::atomic::{AtomicBool, Ordering},
};

/// Characters of a tool's answer or an observation that a prompt repeats.
const LONGEST_ANSWER: usize = 2_000;

/// The code in an answer, from its place, its text, and whether it is a revision.
pub type Extract<'a> = &'a dyn Fn(usize, &str, bool) -> Option<String>;

/// What a debate waits for.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Draft,
    /// A critic's words; `again` after it was silent once.
    Critic {
        who: Who,
        again: bool,
    },
    /// A tool's answer for a critic.
    Consult {
        who: Who,
        tool: Tool,
    },
    /// What running the code shows.
    Observe,
    Summary,
    Revise,
    Over,
}

/// An answer under debate.
struct State<'a> {
    case: &'a Case,
    step: Step,
    text: String,
    finish: FinishReason,
    code: String,
    round: u32,
    observation: Option<String>,
    /// What this debate's critics object to.
    critiques: Vec<(Who, String)>,
    content: u32,
    /// What earlier debates objected to.
    past: Vec<(u32, Who, String)>,
    consulted: Vec<(String, String)>,
    summary: String,
    turns: Vec<Turn>,
    revisions: u32,
}

impl State<'_> {
    fn say(&mut self, who: Who, text: &str, taken: impl Into<String>) {
        let observed = self.observation.is_some();
        self.turns.push(Turn { round: self.round, observed, who, text: text.to_owned(), taken: taken.into() });
    }

    /// The critics come in, with nothing said yet.
    fn open(&mut self) {
        (self.critiques, self.content) = (Vec::new(), 0);
        self.consulted.clear();
        self.step = Step::Critic { who: Who::Safety, again: false };
    }

    fn over(&mut self, end: End) -> Debated {
        self.step = Step::Over;
        let turns = mem::take(&mut self.turns);
        let transcript = Transcript { turns, rounds: self.round, revisions: self.revisions, end };
        Debated { text: mem::take(&mut self.text), finish: self.finish, transcript }
    }
}

/// Drafts answers and debates them. `actor` drafts and revises, `critic` judges and sums up; they may be one. `code` takes the
/// code out of an answer's text (its place, the text, whether it is a revision), or says that there is none. `each` hears of every case exactly once, by its place.
///
/// A question that the other side refuses ends its debate with the code as it stands ([`End::Refused`]), a draft's apart; any
/// other error ends the case without an answer: half a debate is another experiment.
#[expect(clippy::too_many_arguments, reason = "effects arrive as arguments")]
pub fn debate(
    cases: &[Case],
    actor: &dyn Writer,
    critic: &dyn Writer,
    tools: &dyn Tools,
    prompts: &Prompts,
    settings: &Settings,
    code: Extract<'_>,
    stop: &AtomicBool,
    each: &mut dyn FnMut(usize, Result<Debated>),
) {
    let table = Table { tools, prompts, settings, code };
    let mut states: Vec<State> = cases.iter().map(begin).collect();
    while states.iter().any(|s| s.step != Step::Over) {
        table.consult(&mut states, each);
        for (writer, critics) in [(actor, false), (critic, true)] {
            let mut asks: Vec<(usize, Ask)> = Vec::new();
            for (i, state) in states.iter_mut().enumerate() {
                match table.question(state, critics) {
                    Ok(ask) => asks.extend(ask.map(|ask| (i, ask))),
                    Err(why) => {
                        state.step = Step::Over;
                        each(i, Err(Error::Setting(why)));
                    }
                }
            }
            if asks.is_empty() {
                continue;
            }
            let (places, asks): (Vec<usize>, Vec<Ask>) = asks.into_iter().unzip();
            let mut replies: Vec<Option<Result<Reply>>> = asks.iter().map(|_| None).collect();
            if stop.load(Ordering::Relaxed) {
                replies.iter_mut().for_each(|r| *r = Some(Err(Error::Stopped)));
            } else {
                writer.write(&asks, stop, &mut |i, reply| replies[i] = Some(reply));
            }
            for (i, reply) in places.into_iter().zip(replies) {
                let state = &mut states[i];
                let over = match reply.unwrap_or(Err(Error::Stopped)) {
                    Ok(reply) => table.heard(i, state, &reply).map(Ok),
                    Err(error @ (Error::Question { .. } | Error::Room(_))) if state.step != Step::Draft => {
                        let who = speaker(&state.step);
                        state.say(who, &error.to_string(), "refused");
                        Some(Ok(state.over(End::Refused)))
                    }
                    Err(error) => {
                        state.step = Step::Over;
                        Some(Err(error))
                    }
                };
                if let Some(over) = over {
                    each(i, over);
                }
            }
        }
    }
}

fn begin(case: &Case) -> State<'_> {
    State {
        case,
        step: Step::Draft,
        text: String::new(),
        finish: FinishReason::Stop,
        code: String::new(),
        round: 0,
        observation: None,
        critiques: Vec::new(),
        content: 0,
        past: Vec::new(),
        consulted: Vec::new(),
        summary: String::new(),
        turns: Vec::new(),
        revisions: 0,
    }
}

const fn speaker(step: &Step) -> Who {
    match step {
        Step::Draft | Step::Revise | Step::Over => Who::Actor,
        Step::Critic { who, .. } | Step::Consult { who, .. } => *who,
        Step::Observe => Who::Observation,
        Step::Summary => Who::Summary,
    }
}

/// What all debates share.
struct Table<'a> {
    tools: &'a dyn Tools,
    prompts: &'a Prompts,
    settings: &'a Settings,
    code: Extract<'a>,
}

impl Table<'_> {
    /// Answers every tool that critics wait for, and runs what is to be observed.
    fn consult(&self, states: &mut [State], each: &mut dyn FnMut(usize, Result<Debated>)) {
        let run = Tool::Run;
        let waiting: Vec<usize> =
            (0..states.len()).filter(|&i| matches!(states[i].step, Step::Consult { .. } | Step::Observe)).collect();
        if waiting.is_empty() {
            return;
        }
        let answers = {
            let call = |&i: &usize| {
                let state = &states[i];
                let tool = if let Step::Consult { tool, .. } = &state.step { tool } else { &run };
                Call { tool, code: &state.code, language: state.case.language }
            };
            self.tools.answer(&waiting.iter().map(call).collect::<Vec<_>>())
        };
        if answers.len() != waiting.len() {
            for &i in &waiting {
                states[i].step = Step::Over;
                each(i, Err(Error::Setting(format!("{} answers of tools to {} calls", answers.len(), waiting.len()))));
            }
            return;
        }
        for (i, answer) in waiting.into_iter().zip(answers) {
            let state = &mut states[i];
            let short: String = answer.chars().take(LONGEST_ANSWER).collect();
            if let Step::Consult { who, tool } = state.step.clone() {
                state.say(Who::Tool, &answer, tool.to_string());
                state.consulted.push((tool.to_string(), short));
                state.step = Step::Critic { who, again: false };
            } else {
                state.observation = Some(short);
                state.say(Who::Observation, &answer, "");
                state.open();
            }
        }
    }

    /// What a debate asks next, of the actor or of the critics.
    fn question(&self, state: &State, critics: bool) -> std::result::Result<Option<Ask>, String> {
        let s = self.settings;
        let (template, parameters, sample) = match (&state.step, critics) {
            (Step::Draft, false) => return Ok(Some(state.case.draft.clone())),
            (Step::Revise, false) => ("revise", &s.actor, state.case.draft.sample),
            (Step::Summary, true) => ("summary", &s.critic, state.case.draft.sample),
            // Whoever was silent is asked with another seed, and as another question of the cache.
            (Step::Critic { who, again }, true) => {
                (who.name(), &s.critic, state.case.draft.sample + usize::from(*again) * 1_000_000)
            }
            _ => return Ok(None),
        };
        let text = self.prompts.render(template, &self.values(state))?;
        let parameters: Parameters = parameters.clone();
        Ok(Some(Ask { question: Question::Text(text), parameters, sample, expect: None }))
    }

    fn values(&self, state: &State) -> Value {
        let critiques: Vec<Value> =
            state.critiques.iter().map(|(who, text)| json!({ "critic": who.name(), "text": text })).collect();
        let past =
            state.past.iter().map(|(round, who, text)| json!({ "round": round, "critic": who.name(), "text": text }));
        let consulted = state.consulted.iter().map(|(tool, answer)| json!({ "tool": tool, "answer": answer }));
        let used = u32::try_from(state.consulted.len()).unwrap_or(u32::MAX);
        let tools = if used < self.settings.tool_calls { self.tools.offered(state.case.language) } else { Vec::new() };
        let said = state.critiques.iter().find(|(who, _)| *who == Who::Safety).map(|(_, text)| text.as_str());
        json!({
            "task": state.case.task.trim_end(),
            "language": state.case.language.name(),
            "code": state.code.trim_end(),
            "observation": state.observation.as_deref().unwrap_or(""),
            "past": past.collect::<Vec<_>>(),
            "consulted": consulted.collect::<Vec<_>>(),
            "tools": tools,
            "said": said.unwrap_or(""),
            "critiques": critiques,
            "summary": state.summary,
        })
    }

    /// Takes a reply in; what comes back is a debate that is over.
    fn heard(&self, i: usize, state: &mut State, reply: &Reply) -> Option<Debated> {
        match state.step.clone() {
            Step::Draft => {
                (state.text, state.finish) = (reply.text.clone(), reply.finish);
                match (self.code)(i, &reply.text, false).filter(|c| !c.trim().is_empty()) {
                    Some(code) => {
                        state.say(Who::Actor, &reply.text, "");
                        (state.code, state.round) = (code, 1);
                        state.open();
                        None
                    }
                    None => {
                        state.say(Who::Actor, &reply.text, "no code");
                        Some(state.over(End::NoCode))
                    }
                }
            }
            Step::Critic { who, again } => self.criticised(state, who, again, &reply.text),
            Step::Summary => {
                let empty = reply.text.trim().is_empty();
                state.say(Who::Summary, &reply.text, if empty { "silent" } else { "" });
                // What was said stands for a summary that is missing.
                let all = || state.critiques.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n");
                state.summary = if empty { all() } else { reply.text.trim().to_owned() };
                state.step = Step::Revise;
                None
            }
            Step::Revise => {
                match (self.code)(i, &reply.text, true).filter(|c| !c.trim().is_empty()) {
                    Some(code) => {
                        state.say(Who::Actor, &reply.text, "");
                        (state.text, state.finish, state.code) = (reply.text.clone(), reply.finish, code);
                        state.revisions += 1;
                    }
                    None => state.say(Who::Actor, &reply.text, "no code"),
                }
                self.next(state)
            }
            Step::Consult { .. } | Step::Observe | Step::Over => None,
        }
    }

    fn criticised(&self, state: &mut State, who: Who, again: bool, text: &str) -> Option<Debated> {
        let used = u32::try_from(state.consulted.len()).unwrap_or(u32::MAX);
        let said = match read(text) {
            // Who may consult nothing more has said nothing.
            Said::Tool(_) | Said::Unknown(_) if used >= self.settings.tool_calls => Said::Silent,
            said => said,
        };
        match said {
            Said::Tool(tool) => {
                state.say(who, text, format!("tool: {tool}"));
                state.step = Step::Consult { who, tool };
                return None;
            }
            Said::Unknown(name) => {
                let offered = self.tools.offered(state.case.language).join(", ");
                state.say(who, text, "tool: unknown");
                state.consulted.push((name, format!("there is no such tool; there are: {offered}")));
                return None;
            }
            Said::Silent if !again => {
                state.say(who, text, "silent");
                state.step = Step::Critic { who, again: true };
                return None;
            }
            Said::Silent => state.say(who, text, "silent"),
            Said::Content => {
                state.say(who, text, "content");
                state.content += 1;
            }
            Said::Change(critique) => {
                state.say(who, text, "change");
                state.critiques.push((who, critique));
            }
            Said::Prose(critique) => {
                state.say(who, text, "no verdict");
                state.critiques.push((who, critique));
            }
        }
        if who == Who::Safety {
            state.consulted.clear();
            state.step = Step::Critic { who: Who::Helpfulness, again: false };
            return None;
        }
        let heard: Vec<(u32, Who, String)> =
            state.critiques.iter().map(|(who, text)| (state.round, *who, text.clone())).collect();
        if !heard.is_empty() {
            state.past.extend(heard);
            state.step = Step::Summary;
            return None;
        }
        if state.content < 2 {
            return Some(state.over(End::Silent));
        }
        // Content before the code was run is content with what nobody has seen.
        if state.observation.is_none() && self.runs(state) {
            state.step = Step::Observe;
            return None;
        }
        Some(state.over(End::Content))
    }

    fn runs(&self, state: &State) -> bool {
        self.tools.offered(state.case.language).contains(&"run")
    }

    /// After a revision: the code is run, or the next round begins, or it was the last.
    fn next(&self, state: &mut State) -> Option<Debated> {
        if state.observation.is_none() && self.runs(state) {
            state.step = Step::Observe;
            return None;
        }
        if state.round >= self.settings.rounds {
            return Some(state.over(End::Rounds));
        }
        state.round += 1;
        state.observation = None;
        state.open();
        None
    }
}
