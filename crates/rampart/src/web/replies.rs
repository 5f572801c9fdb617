//! The shapes of answers, as OpenAI's clients read them.

use super::parameters::Api;
use lexicon::FinishReason;
use serde_json::{Value, json};

/// One sample that ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    pub(crate) text: String,
    pub(crate) finish: Option<FinishReason>,
    pub(crate) tokens: usize,
}

/// What all pieces of one answer have in common.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) api: Api,
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
}

const fn reason(finish: Option<FinishReason>) -> Option<&'static str> {
    match finish {
        None => None,
        Some(FinishReason::Stop) => Some("stop"),
        Some(FinishReason::Length) => Some("length"),
    }
}

/// Tokens that were read and written.
pub(crate) fn usage(prompt: usize, completion: usize) -> Value {
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

impl Head {
    fn with(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices,
        })
    }

    /// The whole answer.
    pub(crate) fn whole(&self, samples: Vec<Ended>, usage: Value) -> Value {
        let choice = |(index, sample): (usize, Ended)| {
            let finish = reason(sample.finish);
            match self.api {
                Api::Completions => {
                    json!({ "index": index, "text": sample.text, "logprobs": null, "finish_reason": finish })
                }
                Api::Chat => json!({
                    "index": index,
                    "message": { "role": "assistant", "content": sample.text, "refusal": null },
                    "logprobs": null,
                    "finish_reason": finish,
                }),
            }
        };
        let object = if self.api == Api::Chat { "chat.completion" } else { "text_completion" };
        let mut whole = self.with(object, samples.into_iter().enumerate().map(choice).collect());
        whole["usage"] = usage;
        whole
    }

    /// A piece of a stream: text of a sample, or its end. The first piece of a chat answer says who speaks.
    pub(crate) fn piece(&self, index: usize, first: bool, text: &str, finish: Option<FinishReason>) -> Value {
        let choice = match self.api {
            Api::Completions => {
                json!({ "index": index, "text": text, "logprobs": null, "finish_reason": reason(finish) })
            }
            Api::Chat => {
                let delta = match (first, finish) {
                    (true, _) => json!({ "role": "assistant", "content": text }),
                    (false, Some(_)) if text.is_empty() => json!({}),
                    (false, _) => json!({ "content": text }),
                };
                json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": reason(finish) })
            }
        };
        self.with(self.streamed(), json!([choice]))
    }

    /// The last piece, where the request wished for it.
    pub(crate) fn last(&self, usage: Value) -> Value {
        let mut last = self.with(self.streamed(), json!([]));
        last["usage"] = usage;
        last
    }

    fn streamed(&self) -> &'static str {
        if self.api == Api::Chat { "chat.completion.chunk" } else { "text_completion" }
    }
}
