//! One attempt: a request out, a whole reply or the kind of its failure back.

use crate::{Api, Key, Usage, wait};
use lexicon::FinishReason;
use serde_json::Value;
use std::{
    io::Read,
    time::{Duration, SystemTime},
};
use ureq::{Agent, http::Uri};

/// Bytes of a reply at most: what is longer is no answer of a model.
const LONGEST_REPLY: u64 = 16 << 20;
/// Letters of the other side's words that are repeated.
const LONGEST_SAID: usize = 300;

/// A reply as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Raw {
    pub(crate) text: String,
    pub(crate) finish: FinishReason,
    pub(crate) answered_by: Option<String>,
    pub(crate) usage: Option<Usage>,
}

/// How an attempt failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failed {
    /// It may pass: worth another attempt, not before so long.
    Passing {
        message: String,
        after: Option<Duration>,
        /// Whether the other side may have done the work, and bill it.
        billed: bool,
    },
    /// This question will not be answered.
    Question { status: u16, message: String },
    /// No question will be answered.
    Endpoint { status: u16, message: String },
}

/// Sends one question.
pub(crate) fn call(agent: &Agent, url: &Uri, api: Api, key: Option<&Key>, body: &str) -> Result<Raw, Failed> {
    let passing = |message: String, billed| Failed::Passing { message, after: None, billed };
    let clean = |text: &str| {
        let text = key.map_or_else(|| text.to_owned(), |k| k.removed_from(text));
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_SAID).collect::<String>()
    };
    let mut request = agent.post(url).header("content-type", "application/json").header("accept", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", key.header());
    }
    let mut response = request.send(body).map_err(|e| {
        // A connection that was never made did no work.
        let unmade = matches!(e, ureq::Error::ConnectionFailed | ureq::Error::HostNotFound)
            || matches!(&e, ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused);
        passing(clean(&e.to_string()), !unmade)
    })?;
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let after = header("retry-after").and_then(|v| wait::retry_after(&v, SystemTime::now()));
    let mut bytes = Vec::new();
    let read = response.body_mut().as_reader().take(LONGEST_REPLY + 1).read_to_end(&mut bytes);
    if status != 200 {
        let said = clean(&message(&bytes));
        let text = String::from_utf8_lossy(&bytes);
        return Err(match status {
            // Out of money is no matter of time, though it comes under the same number.
            429 if text.contains("insufficient_quota") => Failed::Endpoint { status, message: said },
            408 | 409 | 425 | 429 | 500.. => {
                Failed::Passing { message: format!("{status} {said}"), after, billed: false }
            }
            400 | 413 | 422 => Failed::Question { status, message: said },
            300..=399 => {
                let message = "it sends elsewhere, and keys are not carried on: give the address it names".into();
                Failed::Endpoint { status, message }
            }
            401 | 403 => Failed::Endpoint { status, message: format!("{said}: look at the key") },
            404 => Failed::Endpoint {
                status,
                message: format!("{said}: look at the address, the model and the kind of API"),
            },
            _ => Failed::Endpoint { status, message: said },
        });
    }
    read.map_err(|e| passing(format!("the reply broke off: {}", clean(&e.to_string())), true))?;
    if bytes.len() as u64 > LONGEST_REPLY {
        return Err(passing(format!("the reply is longer than {} MiB", LONGEST_REPLY >> 20), true));
    }
    let json: Value =
        serde_json::from_slice(&bytes).map_err(|e| passing(format!("the reply is not JSON: {e}"), true))?;
    let raw = reply(api, &json).map_err(|why| passing(why, true))?;
    Ok(Raw { text: key.map_or_else(|| raw.text.clone(), |k| k.removed_from(&raw.text)), ..raw })
}

/// What an error's body says, whichever of the usual forms it has.
fn message(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let json: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let found = [&json["error"]["message"], &json["error"], &json["message"], &json["detail"]]
        .into_iter()
        .find_map(Value::as_str);
    found.map_or_else(|| text.trim().to_owned(), str::to_owned)
}

fn reply(api: Api, json: &Value) -> Result<Raw, String> {
    let choice = &json["choices"][0];
    let text = match api {
        Api::Completions => &choice["text"],
        Api::Chat => &choice["message"]["content"],
    };
    let ended = choice["finish_reason"].as_str();
    // A model that declines has answered, and asking again is no way round it: whoever reads finds no code.
    let text = match (text.as_str(), choice["message"]["refusal"].as_str(), ended) {
        (Some(text), ..) => text,
        (None, Some(refusal), _) => refusal,
        (None, None, Some("content_filter")) => "",
        (None, None, _) => return Err("the reply holds no answer".into()),
    };
    let finish = if ended == Some("length") { FinishReason::Length } else { FinishReason::Stop };
    let tokens = |key: &str| json["usage"][key].as_u64();
    let usage = match (tokens("prompt_tokens"), tokens("completion_tokens")) {
        (Some(prompt), Some(completion)) => Some(Usage { prompt, completion, estimated: false }),
        _ => None,
    };
    Ok(Raw { text: text.to_owned(), finish, answered_by: json["model"].as_str().map(str::to_owned), usage })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn replies_of_every_shape() {
        let chat = |choice: Value| reply(Api::Chat, &json!({ "choices": [choice], "model": "m" }));
        let good = chat(json!({ "message": { "content": "x" }, "finish_reason": "length" })).expect("a reply");
        assert_eq!((good.text.as_str(), good.finish, good.usage), ("x", FinishReason::Length, None));
        assert_eq!(good.answered_by.as_deref(), Some("m"));
        for choice in [json!({ "message": { "content": null } }), json!({ "text": "x" }), json!(null)] {
            let said = chat(choice.clone()).expect_err("no reply");
            assert!(said.contains("no answer"), "{choice}: {said}");
        }
        // To decline is to answer.
        for (choice, expect) in [
            (json!({ "message": { "content": null, "refusal": "no" } }), "no"),
            (json!({ "message": { "content": null }, "finish_reason": "content_filter" }), ""),
            (json!({ "message": { "content": "x" }, "finish_reason": "content_filter" }), "x"),
        ] {
            let reply = chat(choice.clone()).expect("a reply");
            assert_eq!((reply.text.as_str(), reply.finish), (expect, FinishReason::Stop), "{choice}");
        }
        let text = json!({ "choices": [{ "text": "y" }], "usage": { "prompt_tokens": 3, "completion_tokens": 4 } });
        let text = reply(Api::Completions, &text).expect("a reply");
        assert_eq!(text.usage, Some(Usage { prompt: 3, completion: 4, estimated: false }));
        assert!(reply(Api::Completions, &json!([])).is_err());
    }

    #[test]
    fn errors_of_every_shape() {
        for (body, expect) in [
            (r#"{"error":{"message":"a"}}"#, "a"),
            (r#"{"error":"b"}"#, "b"),
            (r#"{"detail":"c"}"#, "c"),
            ("  plain \n", "plain"),
            ("", ""),
        ] {
            assert_eq!(message(body.as_bytes()), expect);
        }
    }
}
