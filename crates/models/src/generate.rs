//! Batched sampling with a cache of keys and values.
//!
//! 1. Every distinct prompt is computed once, packed; its samples copy the result.
//! 2. All running rows take one step together; a finished row leaves at once and a waiting one takes its place.
//! 3. Each row draws from a generator of its own, so neighbours do not change its luck.

use crate::{
    Decoder, Error, Group, Model, Packed, Result,
    decoder::{Attended, KeyValue, Pass, Stream},
    kernels,
    packing::even,
    phrases::Steering,
    sampling::{Random, draw},
};
use lexicon::FinishReason;
use std::sync::Arc;
use tch::{Device, Kind, Tensor, no_grad};

/// Rows that step together at most; more gain nothing on a processor and cost memory.
const MOST_ROWS: usize = 96;

/// Samples of one prompt at most: beyond it a wrong number is likelier than a wish, and the answers stand in memory.
const MOST_SAMPLES: usize = 100_000;

/// Positions of a block of keys.
const KEY_BLOCK: i64 = kernels::KEY_BLOCK as i64;

/// How to sample.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// Samples of each prompt.
    pub samples: usize,
    /// New tokens at most.
    pub max_new_tokens: usize,
    /// 0 is greedy.
    pub temperature: f64,
    /// 0 is off.
    pub top_k: usize,
    /// 1 is off.
    pub top_p: f64,
    /// Texts that end an answer; they are not part of it.
    pub stop: Vec<String>,
    /// Seed of the run.
    pub seed: u64,
    /// Goes on past the end-of-sequence token, for benchmarks of speed.
    pub ignore_eos: bool,
    /// Texts that every answer must hold.
    pub require: Vec<String>,
    /// Texts that no answer may hold.
    pub forbid: Vec<String>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            samples: 1,
            max_new_tokens: 256,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            stop: Vec::new(),
            seed: 0,
            ignore_eos: false,
            require: Vec::new(),
            forbid: Vec::new(),
        }
    }
}

impl SamplingParams {
    /// Refuses settings that mean nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] naming the setting.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::Unavailable(what));
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return wrong(format!("temperature {} is not a number from 0 up", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong(format!("top-p {} is not in (0, 1]", self.top_p));
        }
        if self.samples == 0 || self.max_new_tokens == 0 {
            return wrong("samples and max-new-tokens must be at least 1".into());
        }
        if self.samples > MOST_SAMPLES {
            return wrong(format!("samples {} is above {MOST_SAMPLES}", self.samples));
        }
        if self.stop.iter().any(String::is_empty) {
            return wrong("a stop string is empty".into());
        }
        Ok(())
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Number of its prompt.
    pub prompt: usize,
    /// Number among its prompt's samples.
    pub index: usize,
    /// New tokens, end of sequence excluded.
    pub tokens: Vec<u32>,
    /// Their text, stop string excluded.
    pub text: String,
    /// Why it ended.
    pub finish: FinishReason,
}

pub(crate) struct Row {
    pub(crate) prompt: usize,
    pub(crate) index: usize,
    /// Positions before its first new token: a prefix's and its prompt's.
    pub(crate) length: usize,
    pub(crate) tokens: Vec<u32>,
    pub(crate) random: Random,
    pub(crate) params: Arc<SamplingParams>,
    /// Where phrases are required or forbidden.
    pub(crate) steering: Option<Steering>,
}

/// Keys and values of all running rows, as [`kernels::attend_next`] wants them, a pair for each block of the decoder.
struct Cache {
    blocks: Vec<KeyValue>,
}

impl Model {
    /// Samples answers to every prompt, ordered by prompt and index. `progress` hears of every finished answer with its
    /// number of new tokens.
    ///
    /// # Errors
    /// [`Error::Unavailable`] for a prompt that leaves no room in the context, or settings that mean nothing.
    pub fn generate(
        &self,
        prompts: &[String],
        params: &SamplingParams,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Generation>> {
        params.check()?;
        params.check_phrases(&self.tokenizer)?;
        let mut encoded = Vec::with_capacity(prompts.len());
        for (i, prompt) in prompts.iter().enumerate() {
            let what = format!("prompt {i}");
            encoded.push(self.encode_prompt(prompt, &what, self.context())?);
        }
        no_grad(|| Session::new(self, &encoded, params).run(progress))
    }

    /// Whether a prompt leaves room for an answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it does not.
    pub fn room(&self, prompt: &str) -> Result<()> {
        self.encode_prompt(prompt, "the prompt", self.context()).map(|_| ())
    }

    /// Tokens that a prompt and its answer may have together.
    pub(crate) fn context(&self) -> usize {
        self.decoder.config.max_positions - self.decoder.prefix_tokens()
    }

    /// Ids of a prompt from its one beginning token on, with room for an answer within `context` tokens; errors call the
    /// prompt `what`.
    pub(crate) fn encode_prompt(&self, prompt: &str, what: &str, context: usize) -> Result<Vec<u32>> {
        let mut ids = self.tokenizer.encode_start(prompt)?;
        if ids.is_empty() {
            // A model needs one token to predict from.
            ids.push(self.tokenizer.eos.ok_or_else(|| Error::Unavailable(format!("{what} is empty")))?);
        }
        if ids.len() >= context {
            return Err(Error::Unavailable(format!(
                "{what} has {} tokens and the model's context is {context}: nothing can be generated",
                ids.len()
            )));
        }
        Ok(ids)
    }
}

pub(crate) struct Session<'a> {
    model: &'a Model,
    prompts: &'a [Vec<u32>],
    params: Arc<SamplingParams>,
    /// Positions of a row, a prefix's included.
    capacity: usize,
    cache: Cache,
    pub(crate) rows: Vec<Row>,
    /// Next (prompt, sample) that has no row yet.
    next: (usize, usize),
    pub(crate) ends: Vec<u32>,
    head: Tensor,
    pub(crate) done: Vec<Generation>,
}

impl<'a> Session<'a> {
    fn new(model: &'a Model, prompts: &'a [Vec<u32>], params: &'a SamplingParams) -> Self {
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(1);
        let capacity = longest.saturating_add(params.max_new_tokens).min(model.context());
        let slots = MOST_ROWS.min(prompts.len().saturating_mul(params.samples)).max(1);
        Self { prompts, params: Arc::new(params.clone()), ..Self::empty(model, slots, capacity) }
    }

    /// A session without prompts, with room for so many rows of so many tokens.
    pub(crate) fn empty(model: &'a Model, slots: usize, capacity: usize) -> Self {
        let capacity = capacity + model.decoder.prefix_tokens();
        let (c, slots) = (&model.decoder.config, slots as i64);
        let kind = (model.decoder.compute.kind, model.decoder.compute.device);
        let blocks = (capacity as i64 + KEY_BLOCK - 1) / KEY_BLOCK;
        let empty = || {
            (
                Tensor::zeros([slots, c.kv_heads, blocks, c.head_dim, KEY_BLOCK], kind),
                Tensor::zeros([slots, c.kv_heads, blocks * KEY_BLOCK, c.head_dim], kind),
            )
        };
        let mut ends: Vec<u32> = c.eos.clone();
        ends.extend(model.tokenizer.eos);
        Self {
            model,
            prompts: &[],
            params: Arc::new(SamplingParams::default()),
            capacity,
            cache: Cache { blocks: (0..c.layers).map(|_| empty()).collect() },
            rows: Vec::new(),
            next: (0, 0),
            ends,
            head: model.decoder.head_in_compute(),
            done: Vec::new(),
        }
    }

    fn run(mut self, progress: &mut dyn FnMut(usize)) -> Result<Vec<Generation>> {
        loop {
            self.admit(progress)?;
            if self.rows.is_empty() {
                break;
            }
            let logits = self.step()?;
            self.accept(&logits, 0, progress);
        }
        self.done.sort_by_key(|g| (g.prompt, g.index));
        Ok(self.done)
    }

    /// Fills free rows with waiting samples: their prompts are computed once each, packed together.
    fn admit(&mut self, progress: &mut dyn FnMut(usize)) -> Result<()> {
        let slots = self.cache.blocks[0].0.size()[0] as usize;
        // Waiting until a quarter of the rows is free keeps the packed prompt pass large.
        if self.next.0 >= self.prompts.len() || (!self.rows.is_empty() && slots - self.rows.len() < slots.div_ceil(4)) {
            return Ok(());
        }
        let mut wanted: Vec<usize> = Vec::new();
        let mut rows = Vec::new();
        while self.rows.len() + rows.len() < slots && self.next.0 < self.prompts.len() {
            let (prompt, index) = self.next;
            if wanted.last() != Some(&prompt) {
                wanted.push(prompt);
            }
            let row = Row {
                prompt,
                index,
                length: self.model.decoder.prefix_tokens() + self.prompts[prompt].len(),
                tokens: Vec::new(),
                random: Random::new(self.params.seed, prompt as u64, index as u64),
                params: Arc::clone(&self.params),
                steering: self
                    .params
                    .has_phrases()
                    .then(|| Steering::new(&self.model.tokenizer, &self.prompts[prompt], &self.params)),
            };
            rows.push((wanted.len() - 1, row));
            self.next = if index + 1 == self.params.samples { (prompt + 1, 0) } else { (prompt, index + 1) };
        }
        let prompts: Vec<Vec<u32>> = wanted.iter().map(|&p| self.prompts[p].clone()).collect();
        self.enter(prompts, rows, progress)
    }

    /// Gives free places to new rows, each with the number of its prompt: prompts are computed once each, packed together,
    /// and every new row draws its first token.
    pub(crate) fn enter(
        &mut self,
        prompts: Vec<Vec<u32>>,
        rows: Vec<(usize, Row)>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<()> {
        let first_new = self.rows.len();
        let (places, rows): (Vec<usize>, Vec<Row>) = rows.into_iter().unzip();
        self.rows.extend(rows);
        let groups: Vec<Group> = prompts.into_iter().map(|p| Group::new(vec![p])).collect();
        let decoder = &self.model.decoder;
        let packed = Packed::new(&groups, decoder)?;
        let mut kept = Vec::new();
        let angles = decoder.angles(&packed.positions);
        let hidden = decoder.run(&packed, Pass::INFERENCE, &angles, Some(&mut kept), None).y;
        for ((cache_k, cache_v), (k, v)) in self.cache.blocks.iter_mut().zip(&kept) {
            for (row, &place) in (first_new..).zip(&places) {
                let group = &packed.groups[place];
                let n = group.rows() as i64;
                let fresh = |t: &Tensor| t.narrow(0, group.start as i64, n);
                let blocks = (n + KEY_BLOCK - 1) / KEY_BLOCK;
                let keys = fresh(k).constant_pad_nd([0, 0, 0, 0, 0, blocks * KEY_BLOCK - n]);
                let keys = keys.view([blocks, KEY_BLOCK, k.size()[1], k.size()[2]]).permute([2, 0, 3, 1]);
                cache_k.select(0, row as i64).narrow(1, 0, blocks).copy_(&keys);
                cache_v.select(0, row as i64).narrow(1, 0, n).copy_(&fresh(v).transpose(0, 1));
            }
        }
        let mut last: Vec<i64> =
            places.iter().map(|&p| (packed.groups[p].start + packed.groups[p].rows() - 1) as i64).collect();
        last.resize(even(last.len(), decoder.compute), 0);
        let last = Tensor::from_slice(&last).to_device(decoder.compute.device);
        let logits = self.logits(&hidden.index_select(0, &last))?;
        self.accept(&logits, first_new, progress);
        Ok(())
    }

    fn logits(&self, hidden: &Tensor) -> Result<Vec<f32>> {
        let compute = self.model.decoder.compute;
        let logits = self.model.decoder.head_logits(hidden, &self.head);
        let logits = logits.to_kind(Kind::Float).to_device(tch::Device::Cpu).contiguous();
        let mut out = vec![0f32; logits.numel()];
        logits.copy_data(&mut out, logits.numel());
        if out.iter().any(|l| l.is_nan()) {
            return Err(Error::Unavailable(format!(
                "{}: its logits are NaN: the weights are damaged, or too large for {}",
                self.model.folder().display(),
                compute.precision_name()
            )));
        }
        Ok(out)
    }

    /// One token for every running row: the token drawn last goes in, logits of the next come out.
    pub(crate) fn step(&mut self) -> Result<Vec<f32>> {
        let decoder = &self.model.decoder;
        let (c, device) = (&decoder.config, decoder.compute.device);
        let mut ids: Vec<i64> = self.rows.iter().map(|r| i64::from(r.tokens.last().copied().unwrap_or(0))).collect();
        // The token drawn last is already counted in `tokens`; its own position is one before the end.
        let at: Vec<usize> = self.rows.iter().map(|r| r.length + r.tokens.len() - 1).collect();
        // Rows leave all the time; rows that fill up keep the number of rows one that was seen before.
        ids.resize(even(ids.len(), decoder.compute), 0);
        let mut positions: Vec<i64> = at.iter().map(|&at| at as i64).collect();
        positions.resize(ids.len(), 0);
        let (ids, positions) = [ids, positions].map(|v| Tensor::from_slice(&v).to_device(device)).into();
        let angles = decoder.angles(&positions);
        let mut stream = Stream { x: decoder.embed(&ids, &positions, Pass::INFERENCE), pending: None };
        let masked = (device != Device::Cpu).then(|| Masked::new(decoder, &at));
        for (block, (keys, values)) in decoder.blocks.iter().zip(&mut self.cache.blocks) {
            let mut attend = |qkv: [Tensor; 3]| {
                let [q, k, v] = &qkv;
                let out = match &masked {
                    None => kernels::attend_next([q, k, v], (keys, values), &at, c.window),
                    Some(masked) => masked.attend(decoder, [q, k, v], (keys, values)),
                };
                Attended::without_way_back(qkv, out)
            };
            stream = decoder.through(block, stream, &angles, Pass::INFERENCE, &mut attend).0;
        }
        self.logits(&decoder.last_norm(&stream).y)
    }

    /// Draws a token for rows from `first` on, and lets finished rows leave.
    pub(crate) fn accept(&mut self, logits: &[f32], first: usize, progress: &mut dyn FnMut(usize)) {
        let vocab = self.model.tokenizer.len().min(self.model.decoder.config.vocab as usize);
        let width = self.model.decoder.config.vocab as usize;
        let (tokenizer, ends, capacity) = (&self.model.tokenizer, &self.ends, self.capacity);
        // Rows of the embedding beyond the tokenizer are padding: they are never drawn.
        kernels::each_mut(&mut self.rows[first..], |i, row| {
            let logits = &logits[i * width..][..vocab];
            let token = match &mut row.steering {
                None => draw(logits, &row.params, &mut row.random),
                Some(steering) => {
                    let (taken, params) = (row.tokens.len(), &row.params);
                    let room = (params.max_new_tokens - taken).min(capacity.saturating_sub(row.length + taken));
                    steering.next(tokenizer, logits, &row.tokens, params, &mut row.random, ends, room)
                }
            };
            row.tokens.push(token);
        });
        let mut row = self.rows.len();
        while row > first {
            row -= 1;
            if let Some((tokens, text, finish)) = self.finished(&self.rows[row]) {
                self.leave(row);
                let gone = self.rows.swap_remove(row);
                progress(gone.tokens.len());
                self.done.push(Generation { prompt: gone.prompt, index: gone.index, tokens, text, finish });
            }
        }
    }

    /// Moves the last row's cache into a leaving row's place, as `swap_remove` does with the row itself.
    pub(crate) fn leave(&mut self, row: usize) {
        let last = self.rows.len() - 1;
        if row == last {
            return;
        }
        let n = (self.rows[last].length + self.rows[last].tokens.len()).min(self.capacity) as i64;
        for (k, v) in &mut self.cache.blocks {
            for (t, used) in [(k, (n + KEY_BLOCK - 1) / KEY_BLOCK), (v, n)] {
                let slot = |row: usize| t.select(0, row as i64).narrow(1, 0, used);
                slot(row).copy_(&slot(last));
            }
        }
    }

    fn finished(&self, row: &Row) -> Option<(Vec<u32>, String, FinishReason)> {
        let tokenizer = &self.model.tokenizer;
        let last = row.tokens.last()?;
        if !row.params.ignore_eos && self.ends.contains(last) {
            let tokens = row.tokens[..row.tokens.len() - 1].to_vec();
            let text = tokenizer.decode(&tokens);
            return Some((tokens, text, FinishReason::Stop));
        }
        if !row.params.stop.is_empty() {
            // A token holds at least one byte, so a stop string that the last token completes lies in this window.
            let longest = row.params.stop.iter().map(String::len).max().unwrap_or(0) + 4;
            let window = tokenizer.decode(&row.tokens[row.tokens.len().saturating_sub(longest)..]);
            if row.params.stop.iter().any(|s| window.contains(s.as_str())) {
                let text = tokenizer.decode(&row.tokens);
                let cut = row.params.stop.iter().filter_map(|s| text.find(s.as_str())).min();
                if let Some(cut) = cut {
                    return Some((row.tokens.clone(), text[..cut].to_owned(), FinishReason::Stop));
                }
            }
        }
        let full = row.tokens.len() >= row.params.max_new_tokens || row.length + row.tokens.len() >= self.capacity;
        full.then(|| (row.tokens.clone(), tokenizer.decode(&row.tokens), FinishReason::Length))
    }
}

/// One step's attention by libtorch, where our kernel does not run: all rows as long as the longest, the rest masked.
struct Masked {
    rows: Tensor,
    at: Tensor,
    longest: i64,
    mask: Tensor,
}

impl Masked {
    fn new(decoder: &Decoder, at: &[usize]) -> Self {
        let device = decoder.compute.device;
        let (n, longest) = (at.len() as i64, at.iter().max().map_or(0, |&at| at as i64) + 1);
        let at = Tensor::from_slice(&at.iter().map(|&at| at as i64).collect::<Vec<_>>()).to_device(device);
        let (position, own) = (Tensor::arange(longest, (Kind::Int64, device)).unsqueeze(0), at.unsqueeze(1));
        let mut beyond = position.gt_tensor(&own);
        if let Some(window) = decoder.config.window {
            beyond = beyond.logical_or(&position.le_tensor(&(own - window as i64)));
        }
        let mask = Tensor::zeros([n, longest], (Kind::Float, device))
            .masked_fill(&beyond, f64::NEG_INFINITY)
            .to_kind(decoder.compute.kind)
            .view([n, 1, 1, longest]);
        Self { rows: Tensor::arange(n, (Kind::Int64, device)), at, longest, mask }
    }

    fn attend(&self, decoder: &Decoder, [q, k, v]: [&Tensor; 3], (keys, values): (&mut Tensor, &mut Tensor)) -> Tensor {
        let n = self.at.size()[0];
        let (rows, at) = (Some(&self.rows), Some(&self.at));
        let (block, inside) = (self.at.floor_divide_scalar(KEY_BLOCK), self.at.remainder(KEY_BLOCK));
        let _ = keys.index_put_(&[rows, None, Some(&block), None, Some(&inside)], k, false);
        let _ = values.index_put_(&[rows, None, at, None], v, false);
        let running = |t: &Tensor| decoder.repeat_kv(&t.narrow(0, 0, n).narrow(2, 0, self.longest), 1);
        let (keys, values) = (running(&keys.transpose(3, 4).flatten(2, 3)), running(values));
        let none = None::<f64>;
        let mask = Some(&self.mask);
        let out = Tensor::scaled_dot_product_attention(&q.unsqueeze(2), &keys, &values, mask, 0.0, false, none, false);
        out.reshape([n, -1])
    }
}

impl Decoder {
    /// Logits of every position of one sequence, `[n, vocab]` in f32: for tests of parity, not for training.
    ///
    /// # Errors
    /// [`Error::TokenRange`].
    pub fn logits(&self, tokens: &[u32]) -> Result<Tensor> {
        let packed = Packed::new(&[Group::new(vec![tokens.to_vec()])], self)?;
        Ok(no_grad(|| {
            let hidden = self.forward(&packed, Pass::INFERENCE);
            let hidden = hidden.narrow(0, self.prefix_tokens() as i64, tokens.len() as i64);
            self.head_logits(&hidden, &self.head_in_compute()).to_kind(Kind::Float)
        }))
    }
}
