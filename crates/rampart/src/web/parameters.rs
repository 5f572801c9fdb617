//! A request's JSON into settings.
//!
//! A setting that is not known here is refused by name, with a suggestion; one that is known and not served (tools,
//! log-probs) is refused unless it asks for nothing. What names the asker or sorts the bill is read over.

use super::failure::Failure;
use models::{SamplingParams, chat::Message};
use serde_json::{Map, Value};

/// Longest stop string, in bytes; each step looks back so far.
const LONGEST_STOP: usize = 256;
/// Stop strings of a request.
const MOST_STOPS: usize = 16;
/// New tokens where a completion does not say, as OpenAI has it.
const USUAL_TOKENS: usize = 16;

/// Settings that change nothing about an answer here.
const READ_OVER: &[&str] = &[
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "parallel_tool_calls",
    "verbosity",
];

/// What a request asks to be continued or answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Prompts, each to be continued.
    Texts(Vec<String>),
    /// Prompts in tokens, taken as they are.
    Tokens(Vec<Vec<u32>>),
    /// A conversation.
    Talk(Vec<Message>),
}

/// A request that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) model: Option<String>,
    pub(crate) question: Question,
    pub(crate) params: SamplingParams,
    /// Whether the request names a seed of its own.
    pub(crate) seeded: bool,
    pub(crate) stream: bool,
    /// Whether a stream ends with its usage.
    pub(crate) usage: bool,
    /// Whether the prompt comes back before its completion.
    pub(crate) echo: bool,
}

/// Which endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Completions,
    Chat,
}

/// The settings of a request that were not looked at yet.
struct Fields {
    left: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.left.remove(name).filter(|v| !v.is_null())
    }

    fn number(&mut self, name: &'static str, usual: f64) -> Result<f64, Failure> {
        let Some(value) = self.take(name) else { return Ok(usual) };
        value.as_f64().ok_or_else(|| Failure::setting(name, format!("{name} is not a number")))
    }

    fn count(&mut self, name: &'static str) -> Result<Option<usize>, Failure> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let count = value.as_u64().and_then(|n| usize::try_from(n).ok());
        count.map(Some).ok_or_else(|| Failure::setting(name, format!("{name} is not a whole number from 0 up")))
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, Failure> {
        let Some(value) = self.take(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| Failure::setting(name, format!("{name} is not true or false")))
    }

    /// Refuses a setting unless its value asks for nothing.
    fn without(&mut self, name: &'static str) -> Result<(), Failure> {
        let nothing = self.take(name).is_none_or(|value| match value {
            Value::Bool(wanted) => !wanted,
            Value::Number(n) => n.as_f64() == Some(0.0),
            Value::String(s) => s.is_empty() || s == "none",
            Value::Array(a) => a.is_empty(),
            Value::Object(o) => o.is_empty() || o.get("type").is_some_and(|t| t == "text"),
            Value::Null => true,
        });
        if nothing { Ok(()) } else { Err(Failure::setting(name, format!("{name} is not served here"))) }
    }

    fn end(self) -> Result<(), Failure> {
        let Some(name) = self.left.keys().find(|k| !READ_OVER.contains(&k.as_str())) else { return Ok(()) };
        let near = |k: &&&str| strsim::damerau_levenshtein(k, name) <= 2;
        let hint = self.known.iter().find(near).map(|k| format!(": did you mean {k}?")).unwrap_or_default();
        Err(Failure::setting(name, format!("unknown setting {name}{hint}")))
    }
}

impl Request {
    /// Reads the body of a request.
    pub(crate) fn read(api: Api, body: &[u8], limits: &super::Limits) -> Result<Self, Failure> {
        let json: Value =
            serde_json::from_slice(body).map_err(|e| Failure::body(format!("the body is not JSON: {e}")))?;
        let Value::Object(left) = json else { return Err(Failure::body("the body is not a JSON object")) };
        let mut fields = Fields { left, known: Vec::new() };
        let f = &mut fields;
        let model = match f.take("model") {
            None => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(Failure::setting("model", "model is not a string")),
        };
        let (question, most, echo) = match api {
            Api::Completions => {
                for absent in ["suffix", "logprobs"] {
                    f.without(absent)?;
                }
                (prompts(f.take("prompt"))?, f.count("max_tokens")?.unwrap_or(USUAL_TOKENS), f.flag("echo")?)
            }
            Api::Chat => {
                for absent in [
                    "tools",
                    "tool_choice",
                    "functions",
                    "function_call",
                    "response_format",
                    "logprobs",
                    "top_logprobs",
                ] {
                    f.without(absent)?;
                }
                for absent in ["audio", "prediction", "web_search_options", "reasoning_effort"] {
                    f.without(absent)?;
                }
                if f.take("modalities").is_some_and(|m| m != serde_json::json!(["text"])) {
                    return Err(Failure::setting("modalities", "modalities other than text are not served here"));
                }
                let (new, old) = (f.count("max_completion_tokens")?, f.count("max_tokens")?);
                (Question::Talk(messages(f.take("messages"))?), new.or(old).unwrap_or(limits.new_tokens), false)
            }
        };
        for absent in ["presence_penalty", "frequency_penalty", "logit_bias"] {
            f.without(absent)?;
        }
        let samples = f.count("n")?.unwrap_or(1);
        if let Some(best) = f.count("best_of")?.filter(|&best| best != samples) {
            return Err(Failure::setting("best_of", format!("best_of {best} is not served here: ask for n = {best}")));
        }
        let seed = match f.take("seed") {
            None => None,
            Some(seed) => {
                let seed = seed.as_i64().map(i64::cast_unsigned).or_else(|| seed.as_u64());
                Some(seed.ok_or_else(|| Failure::setting("seed", "seed is not a whole number"))?)
            }
        };
        let stream = f.flag("stream")?;
        let usage = match f.take("stream_options") {
            None => false,
            Some(Value::Object(options)) => {
                let mut options = Fields { left: options, known: Vec::new() };
                options.flag("include_obfuscation")?;
                let usage = options.flag("include_usage")?;
                options.end()?;
                usage
            }
            Some(_) => return Err(Failure::setting("stream_options", "stream_options is not an object")),
        };
        let params = SamplingParams {
            samples,
            max_new_tokens: most,
            temperature: f.number("temperature", 1.0)?,
            top_k: f.count("top_k")?.unwrap_or(0),
            top_p: f.number("top_p", 1.0)?,
            stop: stops(f.take("stop"))?,
            seed: seed.unwrap_or(0),
            ignore_eos: f.flag("ignore_eos")?,
            ..SamplingParams::default()
        };
        fields.end()?;
        let request = Self { model, question, params, seeded: seed.is_some(), stream, usage, echo };
        request.check(limits)?;
        Ok(request)
    }

    fn check(&self, limits: &super::Limits) -> Result<(), Failure> {
        let (p, most) = (&self.params, limits.new_tokens);
        if p.max_new_tokens > most {
            let message = format!("max_tokens {} is above this server's limit of {most}", p.max_new_tokens);
            return Err(Failure::setting("max_tokens", message));
        }
        let prompts = match &self.question {
            Question::Texts(texts) => texts.len(),
            Question::Tokens(lists) => lists.len(),
            Question::Talk(_) => 1,
        };
        let all = prompts.saturating_mul(p.samples);
        if all > limits.samples {
            let message =
                format!("{prompts} prompts with n = {} are above this server's limit of {}", p.samples, limits.samples);
            return Err(Failure::setting("n", message));
        }
        if p.max_new_tokens == 0 || p.samples == 0 {
            let param = if p.samples == 0 { "n" } else { "max_tokens" };
            return Err(Failure::setting(param, format!("{param} must be at least 1")));
        }
        p.check().map_err(|e| {
            let message = e.to_string();
            let param = if message.starts_with("temperature") { "temperature" } else { "top_p" };
            Failure::setting(param, message.replace("top-p", "top_p"))
        })
    }
}

fn prompts(value: Option<Value>) -> Result<Question, Failure> {
    let wrong =
        || Failure::setting("prompt", "prompt is a text, a list of texts, a list of tokens or a list of such lists");
    let ids = |list: &Vec<Value>| {
        let id = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
        list.iter().map(id).collect::<Option<Vec<u32>>>().filter(|l| !l.is_empty())
    };
    match value {
        None => Err(Failure::setting("prompt", "prompt is missing")),
        Some(Value::String(text)) => Ok(Question::Texts(vec![text])),
        Some(Value::Array(list)) => match list.first() {
            Some(Value::String(_)) => {
                let text = |v: Value| if let Value::String(text) = v { Some(text) } else { None };
                list.into_iter().map(text).collect::<Option<_>>().map(Question::Texts).ok_or_else(wrong)
            }
            Some(Value::Number(_)) => Ok(Question::Tokens(vec![ids(&list).ok_or_else(wrong)?])),
            Some(Value::Array(_)) => {
                let lists = list.iter().map(|v| v.as_array().and_then(ids)).collect::<Option<_>>();
                lists.map(Question::Tokens).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        },
        Some(_) => Err(wrong()),
    }
}

fn messages(value: Option<Value>) -> Result<Vec<Message>, Failure> {
    let wrong = |i: usize, what: &str| Failure::setting(&format!("messages[{i}]"), format!("message {i} {what}"));
    let Some(Value::Array(list)) = value else {
        return Err(Failure::setting("messages", "messages is missing, or not a list"));
    };
    if list.is_empty() {
        return Err(Failure::setting("messages", "messages is empty"));
    }
    let mut messages = Vec::with_capacity(list.len());
    for (i, message) in list.into_iter().enumerate() {
        let Value::Object(mut message) = message else { return Err(wrong(i, "is not an object")) };
        let Some(Value::String(role)) = message.remove("role") else { return Err(wrong(i, "has no role")) };
        // "developer" is the newer name of the same.
        let role = if role == "developer" { "system".to_owned() } else { role };
        let content = match message.remove("content") {
            Some(Value::String(text)) => text,
            Some(Value::Array(parts)) => {
                let mut text = String::new();
                for part in parts {
                    match (&part["type"], &part["text"]) {
                        (Value::String(kind), Value::String(piece)) if kind == "text" => text.push_str(piece),
                        _ => return Err(wrong(i, "has a part that is not text")),
                    }
                }
                text
            }
            None | Some(Value::Null) => return Err(wrong(i, "has no content")),
            Some(_) => return Err(wrong(i, "has a content that is not text")),
        };
        let other = message.iter().find(|(k, v)| !matches!(k.as_str(), "name" | "refusal") && !v.is_null());
        if let Some((key, _)) = other {
            return Err(wrong(i, &format!("has {key}, which is not served here")));
        }
        messages.push(Message { role, content });
    }
    Ok(messages)
}

fn stops(value: Option<Value>) -> Result<Vec<String>, Failure> {
    let wrong = |what: String| Failure::setting("stop", what);
    let list = match value {
        None => Vec::new(),
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => {
            let texts = list.iter().map(|v| v.as_str().map(str::to_owned)).collect::<Option<_>>();
            texts.ok_or_else(|| wrong("stop is not a text or a list of texts".into()))?
        }
        Some(_) => return Err(wrong("stop is not a text or a list of texts".into())),
    };
    if list.len() > MOST_STOPS {
        return Err(wrong(format!("more than {MOST_STOPS} stop texts")));
    }
    if list.iter().any(|s| s.is_empty() || s.len() > LONGEST_STOP) {
        return Err(wrong(format!("a stop text is empty or longer than {LONGEST_STOP} bytes")));
    }
    Ok(list)
}

#[cfg(test)]
mod tests;
