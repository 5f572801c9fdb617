//! Questions, replies, and where a reply came from.

use crate::code::Expect;
use lexicon::FinishReason;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Which of the two endpoints is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// `/completions`: a text is continued.
    Completions,
    /// `/chat/completions`: a conversation is answered.
    #[default]
    Chat,
}

impl Api {
    /// Path below the base URL.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Chat => "chat/completions",
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A text. A chat endpoint gets it as one user message.
    Text(String),
    /// A conversation. Only chat endpoints and models with a chat template take one.
    Talk(Vec<Message>),
}

impl Question {
    /// All its text, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Talk(messages) => messages.iter().map(|m| m.content.len() + m.role.len()).sum(),
        }
    }
}

/// How to answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// New tokens at most.
    pub max_tokens: usize,
    /// 0 is greedy.
    pub temperature: f64,
    /// 1 is off.
    pub top_p: f64,
    /// 0 is off; endpoints of others may not know it, so 0 is not sent.
    pub top_k: usize,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    /// Seed; a sample's number is added to it.
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { max_tokens: 512, temperature: 0.0, top_p: 1.0, top_k: 0, stop: Vec::new(), seed: 0 }
    }
}

/// A question with its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// What is asked.
    pub question: Question,
    /// How.
    pub parameters: Parameters,
    /// Number among the samples of the same question: two samples are two answers, and two entries in the cache.
    pub sample: usize,
    /// What the answer must hold; without it any answer will do.
    pub expect: Option<Expect>,
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens of the answer.
    pub completion: u64,
    /// Whether these are guesses from lengths, because the endpoint did not say.
    #[serde(default)]
    pub estimated: bool,
}

/// Where a reply came from: enough to ask again, and to say under which model and settings a record was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Provenance {
    /// Base URL, or the model's folder.
    pub endpoint: String,
    /// Model that was asked for.
    pub model: String,
    /// Model that says it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// Settings as they were sent.
    pub parameters: Value,
    /// SHA-256 of the prompt or conversation, hexadecimal.
    pub prompt_sha256: String,
    /// When the reply came, in seconds since 1970.
    pub time: u64,
    /// Tokens of the reply.
    pub usage: Usage,
    /// What was asked before this reply was usable: attempts of the network, and answers without code.
    pub attempts: u32,
    /// Whether it was at hand from an earlier run.
    pub cached: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// All of its text.
    pub text: String,
    /// The code in it, where some was expected.
    pub code: Option<String>,
    /// Why it ended.
    pub finish: FinishReason,
    /// Where it came from.
    pub provenance: Provenance,
}

/// Hexadecimal SHA-256.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

impl Ask {
    /// The request's body for a model; `again` counts answers that could not be used.
    pub(crate) fn body(&self, api: Api, model: &str, again: u32) -> Value {
        let p = &self.parameters;
        let mut body = self.settings(again);
        body.insert("model".into(), json!(model));
        match (api, &self.question) {
            (Api::Completions, Question::Text(text)) => body.insert("prompt".into(), json!(text)),
            (Api::Chat, Question::Text(text)) => {
                body.insert("messages".into(), json!([{ "role": "user", "content": text }]))
            }
            (_, Question::Talk(messages)) => body.insert("messages".into(), json!(messages)),
        };
        if !p.stop.is_empty() {
            body.insert("stop".into(), json!(p.stop));
        }
        Value::Object(body)
    }

    /// Settings as they are sent.
    pub(crate) fn settings(&self, again: u32) -> Map<String, Value> {
        let p = &self.parameters;
        // Seeds that are neighbours belong to samples; another try moves far away. 63 bits: some endpoints read it signed.
        let seed = p.seed.wrapping_add(self.sample as u64).wrapping_add(u64::from(again) << 40) & (u64::MAX >> 1);
        let mut map = Map::new();
        map.insert("max_tokens".into(), json!(p.max_tokens));
        map.insert("temperature".into(), json!(p.temperature));
        map.insert("seed".into(), json!(seed));
        if p.top_p < 1.0 {
            map.insert("top_p".into(), json!(p.top_p));
        }
        if p.top_k > 0 {
            map.insert("top_k".into(), json!(p.top_k));
        }
        map
    }

    pub(crate) fn prompt_sha256(&self) -> String {
        match &self.question {
            Question::Text(text) => hash(text.as_bytes()),
            Question::Talk(messages) => hash(json!(messages).to_string().as_bytes()),
        }
    }
}
