//! Rows become token sequences that know their response and what the change touches.

use crate::{
    Config, Error, Result,
    classes::{Class, Classes},
    config::{Oversample, OversampleKey},
};
use corpus::{Shown, Template, mask_rows, masks, rows::Row, split::mix};
use lexicon::Pair;
use models::{Chat, Tokenizer, chat::Message};
use objectives::{Compat, Objective, Side};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

/// One sequence. All arrays have a value a token; position 0 is never predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// Token ids.
    pub ids: Vec<u32>,
    /// 1 on response tokens.
    pub response: Vec<f64>,
    /// 1 on tokens the change touches.
    pub focus: Vec<f64>,
}

impl Sequence {
    fn cut(&mut self, most: usize) -> bool {
        let cut = self.ids.len() > most;
        self.ids.truncate(most);
        self.response.truncate(most);
        self.focus.truncate(most);
        cut
    }

    fn responds(&self) -> bool {
        self.response.iter().skip(1).any(|&r| r > 0.0)
    }

    fn focused(&self) -> bool {
        self.focus.iter().zip(&self.response).skip(1).any(|(f, r)| f * r > 0.0)
    }
}

/// What one step of an objective is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Example {
    /// Two sequences that are compared.
    Pair {
        /// Name of the row.
        id: String,
        /// Secure side.
        chosen: Sequence,
        /// Insecure side.
        rejected: Sequence,
    },
    /// One sequence that is fitted, or unlearned.
    Single {
        /// Name of the row.
        id: String,
        /// The sequence.
        sequence: Sequence,
        /// Its side.
        side: Side,
    },
}

impl Example {
    /// Name of its row.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Pair { id, .. } | Self::Single { id, .. } => id,
        }
    }

    /// Its sequences.
    #[must_use]
    pub fn sequences(&self) -> Vec<&Sequence> {
        match self {
            Self::Pair { chosen, rejected, .. } => vec![chosen, rejected],
            Self::Single { sequence, .. } => vec![sequence],
        }
    }

    /// Tokens of all sequences.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.sequences().iter().map(|s| s.ids.len()).sum()
    }

    /// Tokens that are computed: those a pair begins with count once.
    #[must_use]
    pub fn unique_tokens(&self) -> usize {
        let shared = match self {
            Self::Pair { chosen, rejected, .. } => {
                chosen.ids.iter().zip(&rejected.ids).take_while(|(one, other)| one == other).count()
            }
            Self::Single { .. } => 0,
        };
        self.tokens() - shared
    }
}

/// What became of the rows: told before training starts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Accounts {
    /// Rows read.
    pub rows: usize,
    /// Examples made of them, before oversampling.
    pub used: usize,
    /// Examples added by oversampling.
    pub repeated: usize,
    /// Sequences cut at `data.max-tokens`.
    pub truncated: usize,
    /// Rows or sides left out, by reason.
    pub dropped: BTreeMap<String, usize>,
    /// The first row left out for each reason: where to look.
    pub first: BTreeMap<String, String>,
    /// Examples by what they are of.
    pub classes: Classes,
    /// Lines that were no rows.
    pub bad_lines: Vec<lexicon::jsonl::BadLine>,
}

impl Accounts {
    fn drop(&mut self, reason: &str, id: &str) {
        *self.dropped.entry(reason.to_owned()).or_default() += 1;
        self.first.entry(reason.to_owned()).or_insert_with(|| id.to_owned());
    }

    /// One line for a person.
    #[must_use]
    pub fn summary(&self) -> String {
        use std::fmt::Write as _;
        let mut out = format!("{} rows: {} examples used", self.rows, self.used);
        let _ = write!(out, ", {} sequences truncated", self.truncated);
        let dropped: usize = self.dropped.values().sum();
        let _ = write!(out, ", {dropped} dropped");
        if dropped > 0 {
            let first = |reason| self.first.get(reason).map_or("", String::as_str);
            let why: Vec<_> =
                self.dropped.iter().map(|(reason, n)| format!("{n} {reason}, first {}", first(reason))).collect();
            let _ = write!(out, " ({})", why.join("; "));
        }
        if self.repeated > 0 {
            let _ = write!(out, ", {} repeated by oversampling", self.repeated);
        }
        if !self.bad_lines.is_empty() {
            let _ = write!(out, ", {} bad lines quarantined", self.bad_lines.len());
        }
        out
    }
}

/// Reads files into examples for the configuration's objective; `key` is where the configuration names them.
///
/// # Errors
/// [`Error::Data`] when a file cannot be read or has a bad line; [`Error::Empty`] when nothing is left, with the reasons.
pub fn load(key: &str, files: &[PathBuf], config: &Config, tokenizer: &Tokenizer) -> Result<(Vec<Example>, Accounts)> {
    let mut accounts = Accounts::default();
    let mut rows = Vec::new();
    for file in files {
        let mut read = corpus::rows::read(file)?;
        rows.append(&mut read.rows);
        accounts.bad_lines.append(&mut read.bad);
    }
    // A bad line in training data is refused: what was meant there is unknown, and a person should look.
    if let Some(bad) = accounts.bad_lines.first() {
        return Err(Error::Data(bad.clone().into()));
    }
    accounts.rows = rows.len();
    let frame = match config.data.template {
        Template::Chat => Some(Frame::of(&config.model.path, tokenizer)?),
        _ => None,
    };
    let maker = Maker { config, tokenizer, frame };
    // The row of each example.
    let (mut examples, mut of): (Vec<Example>, Vec<usize>) = (Vec::new(), Vec::new());
    for (number, row) in rows.iter().enumerate() {
        let before = examples.len();
        maker.add(row, &mut examples, &mut accounts)?;
        of.resize(examples.len(), number);
        accounts.classes.add(&Class::of(row), examples.len() - before, 0);
    }
    accounts.used = examples.len();
    if examples.is_empty() {
        let files: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
        return Err(Error::Empty { key: key.to_owned(), files: files.join(", "), accounts: accounts.summary() });
    }
    if let Some(oversample) = &config.data.oversample {
        let names: Vec<String> = of.iter().map(|&row| class(&rows[row], oversample)).collect();
        let added = repeat(&mut examples, &names, oversample.minimum, config.seed);
        accounts.repeated = added.len();
        added.into_iter().for_each(|i| accounts.classes.add(&Class::of(&rows[of[i]]), 0, 1));
    }
    Ok((examples, accounts))
}

fn class(row: &Row, oversample: &Oversample) -> String {
    let Row::Pair(pair) = row else { return String::new() };
    let part = |key: &OversampleKey| match key {
        OversampleKey::Language => pair.language.name().to_owned(),
        OversampleKey::Cwe => pair.cwe.first().map(ToString::to_string).unwrap_or_default(),
    };
    oversample.by.iter().map(part).collect::<Vec<_>>().join("/")
}

/// Draws with replacement until every class has the minimum (SafeCoder, methods.md section 3); which examples were drawn.
fn repeat(examples: &mut Vec<Example>, classes: &[String], minimum: usize, seed: u64) -> Vec<usize> {
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, class) in classes.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
        members.entry(class).or_default().push(i);
    }
    let mut added = Vec::new();
    for (class, indices) in members {
        for n in indices.len()..minimum {
            let at = mix(&[&seed.to_string(), "oversample", class, &n.to_string()]) % indices.len() as u64;
            added.push(indices[usize::try_from(at).unwrap_or(0)]);
        }
    }
    examples.extend(added.iter().map(|&i| examples[i].clone()).collect::<Vec<_>>());
    added
}

/// A hash (FNV-1a, 64 bits) of all examples: a run that is resumed must see what it saw.
#[must_use]
pub fn fingerprint(examples: &[Example]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |value: u64| hash = (hash ^ value).wrapping_mul(0x0100_0000_01b3);
    for sequence in examples.iter().flat_map(Example::sequences) {
        add(sequence.ids.len() as u64);
        for ((&id, response), focus) in sequence.ids.iter().zip(&sequence.response).zip(&sequence.focus) {
            add(u64::from(id));
            add(response.to_bits() ^ focus.to_bits().rotate_left(1));
        }
    }
    format!("{hash:016x}")
}

/// A model's chat template, as training needs it.
struct Frame {
    chat: Chat,
    /// What ends an answer's turn, up to the end-of-sequence token where the template writes that.
    end: String,
    /// Whether `end` holds the end-of-sequence token.
    ends: bool,
}

impl Frame {
    fn of(folder: &Path, tokenizer: &Tokenizer) -> Result<Self> {
        let chat = Chat::load(folder, None)?.ok_or_else(|| Error::Config {
            path: folder.display().to_string(),
            message:
                "data.template is \"chat\" and this model has no chat template: choose disco, safecoder, docstring, \
                      comment or raw"
                    .into(),
        })?;
        let mut end = chat.turn_end()?;
        let eos = chat.token("eos_token").filter(|t| tokenizer.eos.is_some() && !t.is_empty());
        let at = eos.and_then(|eos| end.find(eos).map(|at| at + eos.len()));
        // What follows the end belongs to the next turn.
        end.truncate(at.unwrap_or(end.len()));
        Ok(Self { chat, end, ends: at.is_some() })
    }

    /// The pieces of an answer, its prompt framed as the model was taught.
    fn around(&self, shown: Shown) -> Result<Shown> {
        let prompt = self.chat.render(&[Message::new("user", shown.prompt)], true)?;
        Ok(Shown { prompt, tail: shown.tail + &self.end, ends: !self.ends, ..shown })
    }
}

struct Maker<'a> {
    config: &'a Config,
    tokenizer: &'a Tokenizer,
    frame: Option<Frame>,
}

impl Maker<'_> {
    fn add(&self, row: &Row, examples: &mut Vec<Example>, accounts: &mut Accounts) -> Result<()> {
        let pair = match row {
            Row::Text { id, text, .. } => {
                if self.config.objective.needs().pair {
                    accounts.drop("text row without two sides", id);
                    return Ok(());
                }
                let mut sequence = self.text(text)?;
                self.cut(&mut sequence, accounts);
                if sequence.responds() {
                    examples.push(Example::Single { id: id.clone(), sequence, side: Side::Standard });
                } else {
                    accounts.drop("empty text", id);
                }
                return Ok(());
            }
            Row::Pair(pair) => pair,
        };
        if pair.secure == pair.insecure {
            accounts.drop("pair without difference", &pair.id);
            return Ok(());
        }
        let (mut chosen, mut rejected) = self.sides(pair)?;
        match &self.config.objective {
            Objective::Sven(_) => {
                for (side, sequence) in [(Side::Secure, chosen), (Side::Insecure, rejected)] {
                    if self.focused_and_whole(pair, &sequence, accounts) {
                        examples.push(Example::Single { id: pair.id.clone(), sequence, side });
                    }
                }
                return Ok(());
            }
            Objective::SafeCoder(_) => {
                for (side, mut sequence) in [(Side::Secure, chosen), (Side::Insecure, rejected)] {
                    self.add_safecoder(pair, side, &mut sequence, examples, accounts);
                }
                return Ok(());
            }
            objective if !objective.needs().pair => {
                self.cut(&mut chosen, accounts);
                if chosen.responds() {
                    examples.push(Example::Single { id: pair.id.clone(), sequence: chosen, side: Side::Secure });
                } else {
                    accounts.drop("no response within data.max-tokens", &pair.id);
                }
                return Ok(());
            }
            _ => {}
        }
        self.cut(&mut chosen, accounts);
        self.cut(&mut rejected, accounts);
        if !chosen.responds() || !rejected.responds() {
            accounts.drop("no response within data.max-tokens", &pair.id);
        } else if chosen.ids == rejected.ids {
            accounts.drop("no difference within data.max-tokens", &pair.id);
        } else if self.config.objective.needs().focus && !chosen.focused() && !rejected.focused() {
            accounts.drop("no changed token within data.max-tokens", &pair.id);
        } else {
            examples.push(Example::Pair { id: pair.id.clone(), chosen, rejected });
        }
        Ok(())
    }

    fn cut(&self, sequence: &mut Sequence, accounts: &mut Accounts) {
        if sequence.cut(self.config.data.max_tokens) {
            accounts.truncated += 1;
        }
    }

    /// Whether a side has a changed token and fits: a mask is never cut.
    fn focused_and_whole(&self, pair: &Pair, sequence: &Sequence, accounts: &mut Accounts) -> bool {
        let reason = if !sequence.focused() {
            "side without changed token"
        } else if sequence.ids.len() > self.config.data.max_tokens {
            "side longer than data.max-tokens"
        } else {
            return true;
        };
        accounts.drop(reason, &pair.id);
        false
    }

    /// A side is used when it fits, has a masked and an unmasked token; it ends after its last masked token.
    fn add_safecoder(
        &self,
        pair: &Pair,
        side: Side,
        sequence: &mut Sequence,
        examples: &mut Vec<Example>,
        accounts: &mut Accounts,
    ) {
        if !self.focused_and_whole(pair, sequence, accounts) {
            return;
        }
        let last = sequence.focus.iter().rposition(|&f| f > 0.0).unwrap_or(0);
        let plain = sequence.focus.iter().zip(&sequence.response).any(|(&f, &r)| f == 0.0 && r > 0.0);
        if !plain {
            accounts.drop("side changed everywhere", &pair.id);
            return;
        }
        let _ = sequence.cut(last + 1);
        examples.push(Example::Single { id: pair.id.clone(), sequence: sequence.clone(), side });
    }

    /// Text without sides: every token is response, the end included.
    fn text(&self, text: &str) -> Result<Sequence> {
        let (bos, eos) = (self.tokenizer.bos, self.tokenizer.eos);
        let mut ids = self.tokenizer.encode_start(text)?;
        // Without a beginning token the first token is predicted from the end token before it, as when texts follow
        // one another.
        if bos.is_none() {
            ids.splice(0..0, eos);
        }
        let given = usize::from(bos.or(eos).is_some());
        ids.extend(eos);
        let response = (0..ids.len()).map(|i| f64::from(u8::from(i >= given))).collect();
        Ok(Sequence { focus: vec![0.0; ids.len()], response, ids })
    }

    fn sides(&self, pair: &Pair) -> Result<(Sequence, Sequence)> {
        let template = self.config.data.template;
        let whole = matches!(&self.config.objective, Objective::Lpo(l) if l.compat == Compat::Code);
        let show = |code: &str| {
            let shown = template.show(pair, code);
            self.frame.as_ref().map_or_else(|| Ok(shown.clone()), |frame| frame.around(shown.clone()))
        };
        let (shown_c, shown_r) = (show(&pair.secure)?, show(&pair.insecure)?);
        let (mut chosen, code_c) = self.sequence(&shown_c)?;
        let (mut rejected, code_r) = self.sequence(&shown_r)?;
        if !self.config.objective.needs().focus {
            return Ok((chosen, rejected));
        }
        if matches!(self.config.objective, Objective::Sven(_)) {
            let changes = mask_rows::mixture(pair);
            self.focus_on(&changes.added, &shown_c, code_c.end, &mut chosen)?;
            self.focus_on(&changes.deleted, &shown_r, code_r.end, &mut rejected)?;
            return Ok((chosen, rejected));
        }
        let most = self.config.data.max_tokens;
        // The published LPO code compares whole truncated sequences; everything else compares the code alone.
        let range = |s: &Sequence, code: &Range<usize>| {
            if whole { 0..s.ids.len().min(most) } else { code.clone() }
        };
        let (range_c, range_r) = (range(&chosen, &code_c), range(&rejected, &code_r));
        let (before, after) = masks::token_diff(&rejected.ids[range_r.clone()], &chosen.ids[range_c.clone()]);
        for (slot, m) in rejected.focus[range_r].iter_mut().zip(before) {
            *slot = f64::from(m);
        }
        for (slot, m) in chosen.focus[range_c].iter_mut().zip(after) {
            *slot = f64::from(m);
        }
        Ok((chosen, rejected))
    }

    /// Marks the tokens that overlap spans of the code, whose last token stands before `end`.
    fn focus_on(&self, spans: &[Range<usize>], shown: &Shown, end: usize, sequence: &mut Sequence) -> Result<()> {
        let lead = if shown.joined { shown.lead.as_str() } else { "" };
        let spans: Vec<_> = spans.iter().map(|span| span.start + lead.len()..span.end + lead.len()).collect();
        let encoded = self.tokenizer.encode_with_offsets(&format!("{lead}{}", shown.code))?;
        let mask = masks::spans_to_tokens(&spans, &encoded.offsets);
        for (slot, m) in sequence.focus[..end].iter_mut().rev().zip(mask.into_iter().rev()) {
            *slot = f64::from(m);
        }
        Ok(())
    }

    /// A side's tokens, and where its code stands among them.
    fn sequence(&self, shown: &Shown) -> Result<(Sequence, Range<usize>)> {
        let t = self.tokenizer;
        let mut ids = t.encode_start(&shown.prompt)?;
        let given = ids.len();
        let code = if shown.joined {
            let lead = t.encode(&shown.lead)?.len();
            let start = ids.len();
            ids.extend(t.encode(&format!("{}{}", shown.lead, shown.code))?);
            // Where the seam falls inside a token, the code starts with the token that holds it.
            (start + lead).min(ids.len())..ids.len()
        } else {
            ids.extend(t.encode(&shown.lead)?);
            let start = ids.len();
            ids.extend(t.encode(&shown.code)?);
            start..ids.len()
        };
        ids.extend(t.encode(&shown.tail)?);
        if shown.ends {
            ids.extend(t.eos);
        }
        let response = (0..ids.len()).map(|i| f64::from(u8::from(i >= given))).collect();
        Ok((Sequence { focus: vec![0.0; ids.len()], response, ids }, code))
    }
}

#[cfg(test)]
mod tests;
