//! Rows and decisions, shared by all requests.

use corpus::{
    curate::Judged,
    review::{self, Fixed, Queue, Verdict, log::Log},
};
use judge::languages::check_file;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Longest text of a form's field, in bytes.
pub(super) const LONGEST: usize = 1 << 20;

/// What a form says about a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) token: String,
    pub(super) content: String,
    pub(super) verdict: String,
    pub(super) reason: String,
    pub(super) instruction: String,
    pub(super) insecure: String,
    pub(super) secure: String,
}

/// Everything the pages show.
pub(crate) struct Desk {
    state: Mutex<(Queue, Log)>,
    /// People who must agree.
    pub(super) needed: usize,
    /// Who reviews where the browser says nothing.
    pub(super) reviewer: Option<String>,
    /// What the rows are called.
    pub(super) title: String,
}

impl Desk {
    pub(crate) fn new(queue: Queue, log: Log, needed: usize, reviewer: Option<String>, title: String) -> Self {
        Self { state: Mutex::new((queue, log)), needed, reviewer, title }
    }

    /// Rows and log, for one request at a time. A request that panicked has left both whole.
    pub(super) fn state(&self) -> MutexGuard<'_, (Queue, Log)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a decision: it is on disk when this returns.
    ///
    /// # Errors
    /// What is wrong with it, for the page to say; nothing is written then, or what was written does not count.
    pub(super) fn decide(&self, item: usize, reviewer: &str, form: &Form) -> Result<(), String> {
        let mut state = self.state();
        let (queue, log) = &mut *state;
        let judged = queue.items.get(item).ok_or("there is no such row")?;
        if form.content != queue.content(item) {
            return Err("this row is not the one you saw: look at it again".to_owned());
        }
        let verdict = Verdict::ALL.into_iter().find(|v| v.name() == form.verdict);
        let verdict = verdict.ok_or("choose accept, fix or reject")?;
        let reason = form.reason.trim();
        if verdict == Verdict::Reject && reason.is_empty() {
            return Err("say why: a rejection has a reason".to_owned());
        }
        let fixed = if verdict == Verdict::Fix { Some(fixed(judged, form)?) } else { None };
        let decision = review::decision(now(), reviewer, judged, verdict, reason, fixed);
        // A form that is sent twice is one decision.
        let same = |last: &review::Decision| {
            (last.verdict, &last.reason, &last.fixed) == (decision.verdict, &decision.reason, &decision.fixed)
        };
        if queue.of(item, reviewer).is_some_and(same) {
            return Ok(());
        }
        log.append(&decision).map_err(|e| e.to_string())?;
        queue.take(item, decision);
        Ok(())
    }
}

/// A reviewer's own version: it must differ from what was there, parse, and have two sides that differ.
fn fixed(judged: &Judged, form: &Form) -> Result<Fixed, String> {
    let pair = &judged.pair;
    let lines = |text: &str, like: &str| {
        // Forms send line ends of two characters.
        let mut text = text.replace("\r\n", "\n");
        if like.ends_with('\n') && !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text
    };
    let fixed = Fixed {
        instruction: lines(&form.instruction, "").trim().to_owned(),
        insecure: lines(&form.insecure, &pair.insecure),
        secure: lines(&form.secure, &pair.secure),
    };
    if (&fixed.instruction, &fixed.insecure, &fixed.secure) == (&pair.instruction, &pair.insecure, &pair.secure) {
        return Err("nothing is changed: accept it, or change something".to_owned());
    }
    let mut sides = vec![("secure", &fixed.secure)];
    if !pair.insecure.is_empty() {
        sides.push(("insecure", &fixed.insecure));
        if fixed.secure.trim() == fixed.insecure.trim() {
            return Err("both sides are the same".to_owned());
        }
    }
    for (name, code) in sides {
        if code.trim().is_empty() {
            return Err(format!("the {name} side is empty"));
        }
        let plain = corpus::validate::dedent(code);
        check_file(&file(pair.language), &plain).map_err(|e| format!("the {name} side does not parse: {e}"))?;
    }
    Ok(fixed)
}

/// A name by which the judge knows the language.
fn file(language: lexicon::Language) -> String {
    format!("code.{}", language.extension())
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
