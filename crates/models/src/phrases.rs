//! Phrases that an answer must hold, or must not (the positive and negative key phrases of CodeGuard+, on sampling).
//!
//! A forbidden phrase is looked for in the text, not in tokens: every token that would complete one, together with what the
//! prompt ends in, is left out and another is drawn from what remains, so none appears however it would be tokenised.
//! A required phrase is begun where the model itself would: where its first token is among the few likeliest, and at the
//! latest where the answer would end or the room for it would. It is written whole, once. Where the two contradict each other,
//! what is forbidden stays forbidden.

use crate::{
    Error, Result, SamplingParams, Tokenizer,
    sampling::{Random, draw},
};
use std::collections::VecDeque;

/// Likeliest tokens among which a required phrase may begin.
const LIKELY: usize = 3;
/// Draws before every token is looked at.
const DRAWS: usize = 64;

/// Tokens before a new one that its text may depend on.
const CONTEXT: usize = 4;

/// What one answer's phrases need to know from token to token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steering {
    /// What the prompt ends in, where a phrase may begin, and the answer so far.
    text: String,
    /// Bytes of it that are the prompt's.
    prompt: usize,
    /// Tokens of the answer that are in it.
    read: usize,
    /// Required phrases as the tokenizer writes them.
    written: Vec<Vec<u32>>,
    /// Tokens of a phrase that was begun.
    begun: VecDeque<u32>,
    /// Required phrases that cannot be written here without a forbidden one.
    given_up: Vec<usize>,
}

impl SamplingParams {
    /// Whether phrases are required or forbidden.
    pub(crate) fn has_phrases(&self) -> bool {
        !(self.require.is_empty() && self.forbid.is_empty())
    }

    /// Refuses phrases that no answer can keep to.
    ///
    /// # Errors
    /// [`Error::Unavailable`] naming the phrase.
    pub(crate) fn check_phrases(&self, tokenizer: &Tokenizer) -> Result<()> {
        let wrong = |what: String| Err(Error::Unavailable(what));
        if self.require.iter().chain(&self.forbid).any(String::is_empty) {
            return wrong("a required or forbidden phrase is empty".into());
        }
        let mut needed = 0;
        for phrase in &self.require {
            if let Some(inside) = self.forbid.iter().find(|f| phrase.contains(f.as_str())) {
                return wrong(format!("the required phrase {phrase:?} holds the forbidden {inside:?}"));
            }
            if let Some(stop) = self.stop.iter().find(|s| phrase.contains(s.as_str())) {
                return wrong(format!("the required phrase {phrase:?} holds {stop:?}, which ends an answer"));
            }
            let tokens = tokenizer.encode(phrase)?;
            if !tokenizer.decode(&tokens).contains(phrase.as_str()) {
                return wrong(format!("the model's tokenizer cannot write {phrase:?}"));
            }
            needed += tokens.len() + 1;
        }
        if needed > self.max_new_tokens {
            return wrong(format!(
                "the required phrases take {needed} tokens, and an answer has {}",
                self.max_new_tokens
            ));
        }
        Ok(())
    }
}

impl Steering {
    /// For an answer to a prompt of these tokens.
    pub(crate) fn new(tokenizer: &Tokenizer, prompt: &[u32], params: &SamplingParams) -> Self {
        let longest = params.forbid.iter().map(String::len).max().unwrap_or(0);
        // A token holds at least one byte of text, those of the prompt's frame apart, which no phrase spans.
        let text = tokenizer.decode(&prompt[prompt.len().saturating_sub(longest)..]);
        // Phrases were encoded when the settings were checked: these are the same.
        let written = params.require.iter().map(|p| tokenizer.encode(p).unwrap_or_default()).collect();
        Self { prompt: text.len(), text, written, ..Self::default() }
    }

    /// The next token of an answer, `room` tokens before its end.
    #[expect(clippy::too_many_arguments, reason = "a row's parts, of which the others are borrowed elsewhere")]
    pub(crate) fn next(
        &mut self,
        tokenizer: &Tokenizer,
        logits: &[f32],
        tokens: &[u32],
        params: &SamplingParams,
        random: &mut Random,
        ends: &[u32],
        room: usize,
    ) -> u32 {
        self.text = self.with(tokenizer, &tokens[..self.read], &tokens[self.read..]);
        self.read = tokens.len();
        if let Some(token) = self.begun.pop_front() {
            return token;
        }
        let answer = &self.text[self.prompt..];
        let missing: Vec<usize> = (0..params.require.len())
            .filter(|i| !self.given_up.contains(i) && !answer.contains(params.require[*i].as_str()))
            .collect();
        if !missing.is_empty() {
            let likely = likeliest(logits);
            let begins = |i: &&usize| self.written[**i].first().is_some_and(|first| likely.contains(first));
            let liked = missing.iter().find(begins).and_then(|&i| self.begin(tokenizer, tokens, params, i));
            if let Some(token) = liked {
                return token;
            }
            let needed: usize = missing.iter().map(|&i| self.written[i].len() + 1).sum();
            if room <= needed
                && let Some(token) = self.begin_any(tokenizer, tokens, params, &missing)
            {
                return token;
            }
        }
        let mut left: Option<Vec<f32>> = None;
        for tried in 0.. {
            let token = draw(left.as_deref().unwrap_or(logits), params, random);
            let is_end = !params.ignore_eos && ends.contains(&token);
            let text = self.with(tokenizer, tokens, &[token]);
            if !missing.is_empty()
                && (is_end || self.stops(&text, params))
                && let Some(token) = self.begin_any(tokenizer, tokens, params, &missing)
            {
                return token;
            }
            if is_end || !self.forbidden(&text, params) {
                return token;
            }
            let left = left.get_or_insert_with(|| logits.to_vec());
            left[token as usize] = f32::NEG_INFINITY;
            if tried == DRAWS {
                for (id, logit) in (0u32..).zip(left.iter_mut()) {
                    let is_end = !params.ignore_eos && ends.contains(&id);
                    if !is_end && self.forbidden(&self.with(tokenizer, tokens, &[id]), params) {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
            if left.iter().all(|l| *l == f32::NEG_INFINITY) {
                break;
            }
        }
        // Nothing may follow: the answer is over.
        ends.first().copied().unwrap_or_default()
    }

    /// The text with tokens behind those that are in it; only the last of them can change what a new one says.
    fn with(&self, tokenizer: &Tokenizer, tokens: &[u32], new: &[u32]) -> String {
        let context = &tokens[tokens.len().saturating_sub(CONTEXT)..];
        let (before, after) = (tokenizer.decode(context), tokenizer.decode(&[context, new].concat()));
        // An unfinished character decodes as U+FFFD, and its other bytes change what stands already.
        let unfinished = before.ends_with('\u{fffd}') || after.ends_with('\u{fffd}');
        match after.strip_prefix(before.as_str()).filter(|_| !unfinished) {
            Some(piece) => format!("{}{piece}", self.text),
            None => format!("{}{}", &self.text[..self.prompt], tokenizer.decode(&[tokens, new].concat())),
        }
    }

    /// Whether a text that goes on from the present one completes a forbidden phrase. What the prompt alone holds is not ours.
    fn forbidden(&self, text: &str, params: &SamplingParams) -> bool {
        params.forbid.iter().any(|phrase| {
            // The last character may have been unfinished.
            let seen = self.text.len().saturating_sub(phrase.len() + 4);
            let mut from = seen.max((self.prompt + 1).saturating_sub(phrase.len())).min(text.len());
            while !text.is_char_boundary(from) {
                from += 1;
            }
            text[from..].contains(phrase.as_str())
        })
    }

    /// Whether an answer that goes on like this ends with a stop string.
    fn stops(&self, text: &str, params: &SamplingParams) -> bool {
        params.stop.iter().any(|stop| text[self.prompt..].contains(stop.as_str()))
    }

    /// Begins the first of some phrases that can be written here; those that cannot are given up.
    fn begin_any(
        &mut self,
        tokenizer: &Tokenizer,
        tokens: &[u32],
        params: &SamplingParams,
        missing: &[usize],
    ) -> Option<u32> {
        for &i in missing {
            match self.begin(tokenizer, tokens, params, i) {
                Some(token) => return Some(token),
                None => self.given_up.push(i),
            }
        }
        None
    }

    /// Begins a phrase, on a line of its own where it would complete a forbidden one: its first token comes back.
    fn begin(&mut self, tokenizer: &Tokenizer, tokens: &[u32], params: &SamplingParams, which: usize) -> Option<u32> {
        let phrase = &params.require[which];
        for lead in ["", "\n"] {
            let Ok(written) = tokenizer.encode(&format!("{lead}{phrase}")) else { continue };
            let last = self.with(tokenizer, tokens, &written);
            let holds = last[self.prompt..].contains(phrase.as_str());
            if holds && !self.stops(&last, params) && !self.forbidden(&last, params) {
                self.begun = written.into();
                return self.begun.pop_front();
            }
        }
        None
    }
}

/// The few likeliest tokens.
fn likeliest(logits: &[f32]) -> Vec<u32> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(LIKELY + 1);
    for (id, &logit) in (0u32..).zip(logits) {
        let at = best.partition_point(|(_, l)| *l >= logit);
        if at < LIKELY {
            best.insert(at, (id, logit));
            best.truncate(LIKELY);
        }
    }
    best.into_iter().map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compute, DeviceKind, Generation, Model, Precision};
    use std::path::Path;

    fn tiny() -> Model {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
        Model::load(&folder, Compute::choose(DeviceKind::Cpu, Precision::F32).expect("a processor"))
            .expect("models/tiny")
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&t| t.to_owned()).collect()
    }

    fn params(require: &[&str], forbid: &[&str]) -> SamplingParams {
        SamplingParams {
            samples: 6,
            max_new_tokens: 48,
            temperature: 1.0,
            seed: 5,
            require: texts(require),
            forbid: texts(forbid),
            ..SamplingParams::default()
        }
    }

    const PROMPTS: [&str; 3] = [
        "def add(a, b):\n    ret",
        "\"\"\"Read a file and return its lines.\"\"\"\n",
        "import os\n\n\ndef run(name):\n",
    ];

    fn answers(model: &Model, params: &SamplingParams) -> Vec<Generation> {
        model.generate(&texts(&PROMPTS), params, &mut |_| ()).expect("answers")
    }

    #[test]
    fn what_is_forbidden_never_appears_however_tokenised() {
        let model = tiny();
        // (phrase, temperature): at a high one every tokenisation of every word is drawn sooner or later.
        for (phrase, temperature) in
            [("return", 1.0), ("(", 1.0), (" ", 4.0), ("e", 4.0), ("\n\n", 1.0), ("os.", 1.5), ("turn", 9.0)]
        {
            let free = SamplingParams { temperature, ..params(&[], &[]) };
            let whole = |g: &Generation| format!("{}{}", PROMPTS[g.prompt], g.text);
            let counted = |g: &Generation| whole(g).matches(phrase).count() > PROMPTS[g.prompt].matches(phrase).count();
            let before = answers(&model, &free).iter().filter(|g| counted(g)).count();
            assert!(before > 0 || phrase == "turn", "{phrase:?} appears where it is free");
            let held = answers(&model, &SamplingParams { forbid: texts(&[phrase]), ..free });
            for g in &held {
                assert!(!counted(g), "{phrase:?} in {:?}", whole(g));
            }
            assert!(held.iter().any(|g| g.text.len() > 20), "and something is said: {:?}", held[0].text);
        }
    }

    #[test]
    fn what_is_required_appears_in_every_answer() {
        let model = tiny();
        let required = ["import html", "# checked: é", "os.path.realpath("];
        let cases = [
            params(&required, &[]),
            // Where answers end early, by a stop string or for want of room, and beside what is forbidden.
            SamplingParams { stop: texts(&["\n"]), ..params(&required, &[]) },
            SamplingParams { max_new_tokens: 36, ..params(&required, &[]) },
            SamplingParams { temperature: 0.0, samples: 1, ..params(&required, &["return", "open("]) },
        ];
        for params in cases {
            for g in answers(&model, &params) {
                for phrase in required {
                    assert_eq!(g.text.matches(phrase).count(), 1, "{phrase:?} in {:?} with {params:?}", g.text);
                }
                assert!(params.forbid.iter().all(|f| !g.text.contains(f.as_str())), "{:?}", g.text);
                assert!(g.tokens.len() <= params.max_new_tokens);
            }
        }
        // Contradiction with what was written: what is forbidden stays forbidden.
        let against = answers(&model, &params(&["html"], &["html\n", "html ", "html."]));
        assert!(against.iter().all(|g| !["html\n", "html ", "html."].iter().any(|f| g.text.contains(f))));
    }

    #[test]
    fn phrases_that_change_nothing_change_nothing() {
        let model = tiny();
        assert_eq!(answers(&model, &params(&[], &["zebra crossing"])), answers(&model, &params(&[], &[])));
    }

    #[test]
    fn phrases_that_cannot_be_kept_are_refused() {
        let model = tiny();
        let cases = [
            (params(&[""], &[]), "is empty"),
            (params(&["return x"], &["turn"]), "holds the forbidden"),
            (SamplingParams { stop: texts(&["#"]), ..params(&["# x"], &[]) }, "which ends an answer"),
            (SamplingParams { max_new_tokens: 3, ..params(&["import html, os, sys"], &[]) }, "an answer has 3"),
        ];
        for (params, expect) in cases {
            let said = model.generate(&texts(&PROMPTS), &params, &mut |_| ()).expect_err("refused").to_string();
            assert!(said.contains(expect), "{said}");
        }
    }
}
