//! Sampling for requests that come and go: rows of different settings step together, text leaves as soon as it is certain.
//!
//! The same session as [`Model::generate`]'s, held open: [`Live::enter`] gives free places to a prompt's samples at any
//! moment, [`Live::step`] lets every row take one token and says what that made readable, [`Live::cancel`] takes rows out.

use crate::{
    Error, Model, Result, SamplingParams,
    generate::{Row, Session},
    phrases::Steering,
    sampling::Random,
};
use lexicon::FinishReason;
use std::{collections::BTreeMap, fs, path::Path, sync::Arc};
use tch::{Device, no_grad};

mod text;

pub use text::TextStream;

/// One prompt and how to answer it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Ids of the prompt ([`crate::Tokenizer::encode_start`]): at least one, fewer than [`Live::context`].
    pub prompt: Vec<u32>,
    /// How to sample; `samples` is not looked at, `seeds` has one entry a sample.
    pub params: Arc<SamplingParams>,
    /// For each sample the name it goes by in [`News`], and the number that with `params.seed` seeds its draws.
    pub samples: Vec<(usize, u64)>,
}

/// What a step brought for one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The sample's name.
    pub name: usize,
    /// Text that became certain; may be empty. The pieces of a sample, one after another, are its answer.
    pub text: String,
    /// Where the sample ended: why, and the number of its new tokens (end of sequence excluded).
    pub end: Option<(FinishReason, usize)>,
}

/// Rows that are being sampled.
pub struct Live<'a> {
    model: &'a Model,
    session: Session<'a>,
    slots: usize,
    context: usize,
    texts: BTreeMap<usize, TextStream>,
}

impl<'a> Live<'a> {
    /// Room for `slots` samples at once, of `context` tokens each with their prompt (at most the model's own context).
    /// An answer also ends with one of `ends`, and where the folder's `generation_config.json` says so.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where their keys and values are larger than this machine's memory.
    pub fn new(model: &'a Model, slots: usize, context: usize, ends: &[u32]) -> Result<Self> {
        let (slots, context) = (slots.max(1), context.clamp(2, model.context()));
        let bytes = Self::bytes(model, slots, context);
        // The system promises what it does not have, and kills whoever takes it.
        let memory = (model.decoder.compute.device == Device::Cpu).then(crate::device::memory).flatten();
        if let Some(memory) = memory.filter(|&memory| bytes > memory) {
            return Err(Error::Unavailable(format!(
                "keys and values of {slots} samples of {context} tokens take {} GiB and this machine has {}",
                bytes >> 30,
                memory >> 30
            )));
        }
        let mut session = no_grad(|| Session::empty(model, slots, context));
        session.ends.extend(ends);
        session.ends.extend(generation_ends(model.folder()));
        Ok(Self { model, session, slots, context, texts: BTreeMap::new() })
    }

    /// Bytes that the keys and values of so many places take.
    #[must_use]
    pub fn bytes(model: &Model, slots: usize, context: usize) -> u64 {
        let c = &model.decoder.config;
        let value = model.decoder.compute.kind.elt_size_in_bytes() as u64;
        [c.layers, c.kv_heads, c.head_dim, 2].iter().fold(slots as u64 * context as u64 * value, |bytes, &n| {
            bytes.saturating_mul(u64::try_from(n).unwrap_or(0))
        })
    }

    /// Places that are free.
    #[must_use]
    pub const fn free(&self) -> usize {
        self.slots - self.session.rows.len()
    }

    /// Tokens that a prompt and its answer may have together.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.context
    }

    /// Samples that are running.
    #[must_use]
    pub const fn running(&self) -> usize {
        self.session.rows.len()
    }

    /// Starts samples; their first tokens come with this call. What does not fit in [`Self::free`] must wait: give at most
    /// that many samples.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the model's numbers are damaged; nothing runs on.
    pub fn enter(&mut self, asked: Vec<Asked>) -> Result<Vec<News>> {
        let (mut prompts, mut rows) = (Vec::new(), Vec::new());
        for (place, Asked { prompt, params, samples }) in asked.into_iter().enumerate() {
            for (name, draw) in samples {
                self.texts.insert(name, TextStream::new(&params.stop));
                let random = Random::new(params.seed, 0, draw);
                let length = self.model.decoder.prefix_tokens() + prompt.len();
                let params = Arc::clone(&params);
                let steering = params.has_phrases().then(|| Steering::new(&self.model.tokenizer, &prompt, &params));
                let row = Row { prompt: name, index: 0, length, tokens: Vec::new(), random, params, steering };
                rows.push((place, row));
            }
            prompts.push(prompt);
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.session.rows.len();
        let entered = no_grad(|| self.session.enter(prompts, rows, &mut |_| {}));
        self.news(entered, first)
    }

    /// One token for every running sample.
    ///
    /// # Errors
    /// See [`Self::enter`].
    pub fn step(&mut self) -> Result<Vec<News>> {
        if self.session.rows.is_empty() {
            return Ok(Vec::new());
        }
        let stepped = no_grad(|| {
            let logits = self.session.step()?;
            self.session.accept(&logits, 0, &mut |_| {});
            Ok(())
        });
        self.news(stepped, 0)
    }

    /// Takes samples out; nobody hears of them again.
    pub fn cancel(&mut self, unwanted: impl Fn(usize) -> bool) {
        for row in (0..self.session.rows.len()).rev() {
            let name = self.session.rows[row].prompt;
            if unwanted(name) {
                no_grad(|| self.session.leave(row));
                self.session.rows.swap_remove(row);
                self.texts.remove(&name);
            }
        }
    }

    /// News of rows from `first` on and of those that just ended.
    fn news(&mut self, outcome: Result<()>, first: usize) -> Result<Vec<News>> {
        if let Err(error) = outcome {
            self.cancel(|_| true);
            self.session.done.clear();
            return Err(error);
        }
        let mut news = Vec::new();
        for row in &self.session.rows[first.min(self.session.rows.len())..] {
            if let Some(stream) = self.texts.get_mut(&row.prompt) {
                let text = stream.push(&self.model.tokenizer, &row.tokens);
                if !text.is_empty() {
                    news.push(News { name: row.prompt, text, end: None });
                }
            }
        }
        for ended in self.session.done.drain(..) {
            if let Some(stream) = self.texts.remove(&ended.prompt) {
                let end = Some((ended.finish, ended.tokens.len()));
                news.push(News { name: ended.prompt, text: stream.finish(&ended.text), end });
            }
        }
        Ok(news)
    }
}

/// Ends that models declare for generation alone: chat models end a turn and a text with different tokens.
fn generation_ends(folder: &Path) -> Vec<u32> {
    let json = fs::read(folder.join("generation_config.json")).ok();
    let json: serde_json::Value = json.and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
    let id = |v: &serde_json::Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    match &json["eos_token_id"] {
        serde_json::Value::Array(list) => list.iter().filter_map(id).collect(),
        one => id(one).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compute, DeviceKind, Precision};

    fn tiny() -> Model {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
        Model::load(&folder, Compute::choose(DeviceKind::Cpu, Precision::F32).expect("a processor"))
            .expect("models/tiny")
    }

    fn asked(model: &Model, prompt: &str, params: &SamplingParams, names: &[usize]) -> Asked {
        let prompt = model.encode_prompt(prompt, "the prompt", 1024).expect("short");
        Asked { prompt, params: Arc::new(params.clone()), samples: names.iter().map(|&n| (n, n as u64)).collect() }
    }

    fn collect(news: Vec<News>, texts: &mut BTreeMap<usize, (String, Option<FinishReason>)>) {
        for n in news {
            let (text, end) = texts.entry(n.name).or_default();
            assert!(end.is_none(), "news of {} after its end", n.name);
            text.push_str(&n.text);
            *end = n.end.map(|(why, _)| why);
        }
    }

    #[test]
    fn rows_that_come_late_with_other_settings_answer_as_if_alone() {
        let model = tiny();
        let greedy = SamplingParams { max_new_tokens: 40, ..SamplingParams::default() };
        let stopped = SamplingParams { stop: vec!["return".into()], max_new_tokens: 60, ..SamplingParams::default() };
        let prompts = ["def add(a, b):\n", "\"\"\"Read a file and return its lines.\"\"\"\n", "import os\n"];
        let alone: Vec<_> = [(&prompts[0], &greedy), (&prompts[1], &stopped), (&prompts[2], &greedy)]
            .iter()
            .map(|(p, s)| model.generate(&[(**p).to_owned()], s, &mut |_| {}).expect("an answer").remove(0))
            .collect();

        let mut live = Live::new(&model, 3, 1024, &[]).expect("room");
        let mut texts = BTreeMap::new();
        collect(live.enter(vec![asked(&model, prompts[0], &greedy, &[0])]).expect("room"), &mut texts);
        for late in [1, 2] {
            for _ in 0..5 {
                collect(live.step().expect("a step"), &mut texts);
            }
            let params = if late == 1 { &stopped } else { &greedy };
            collect(live.enter(vec![asked(&model, prompts[late], params, &[late])]).expect("room"), &mut texts);
        }
        while live.running() > 0 {
            collect(live.step().expect("a step"), &mut texts);
        }
        for (name, alone) in alone.iter().enumerate() {
            assert_eq!(texts[&name], (alone.text.clone(), Some(alone.finish)), "{name}");
        }
    }

    #[test]
    fn more_room_than_there_is_memory_is_refused() {
        let model = tiny();
        let said = Live::new(&model, 1 << 30, 1024, &[]).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains("take") && said.contains("this machine has"), "{said}");
    }

    #[test]
    fn cancelled_rows_leave_their_neighbours_alone() {
        let model = tiny();
        let params = SamplingParams { max_new_tokens: 30, temperature: 0.8, seed: 3, ..SamplingParams::default() };
        let run = |cancelled: bool| {
            let mut live = Live::new(&model, 4, 256, &[]).expect("room");
            let mut texts = BTreeMap::new();
            let rows: &[usize] = if cancelled { &[7, 8, 9] } else { &[8] };
            collect(live.enter(vec![asked(&model, "def read(path):\n", &params, rows)]).expect("room"), &mut texts);
            for _ in 0..4 {
                collect(live.step().expect("a step"), &mut texts);
            }
            live.cancel(|name| name != 8);
            assert_eq!((live.running(), live.free()), (1, 3));
            while live.running() > 0 {
                collect(live.step().expect("a step"), &mut texts);
            }
            texts.remove(&8)
        };
        assert_eq!(run(true), run(false));
    }
}
