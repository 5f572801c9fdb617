//! Chat templates: messages in, the text that a model was taught to answer out.
//!
//! A model's folder brings its own template in Jinja (`chat_template` in `tokenizer_config.json`, or
//! `chat_template.jinja` beside it). It runs as transformers runs it: blocks trimmed, nothing escaped, Python's methods of
//! strings and dictionaries at hand, and neither files nor network in reach. A template that does not end is stopped.
//!
//! Many templates write the beginning-of-sequence token themselves, and some do not:
//! [`Tokenizer::encode_start`](crate::Tokenizer::encode_start) sees to it that the model reads exactly one.

use crate::{Error, Result};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context, value::Kwargs};
use serde::Serialize;
use serde_json::Value as Json;
use std::{collections::BTreeMap, fs, path::Path};

/// Instructions of a template's program that may run: a conversation takes a few dozen a message.
const FUEL: u64 = 5_000_000;

/// Name of the template in its environment.
const NAME: &str = "chat";

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn.
    #[must_use]
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A model's chat template with the special tokens it may write.
#[derive(Debug)]
pub struct Chat {
    environment: Environment<'static>,
    tokens: BTreeMap<String, String>,
    path: String,
}

impl Chat {
    /// Reads the template of a model's folder; `None` where the model has none. `now` is what the template may call the
    /// present, in seconds since 1970 (UTC); without it `strftime_now` is unknown to the template, and the same messages
    /// give the same text on every day.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a configuration that is not JSON or a template that is not Jinja.
    pub fn load(folder: &Path, now: Option<u64>) -> Result<Option<Self>> {
        let json = |name: &str| -> Result<Json> {
            let file = folder.join(name);
            let Ok(bytes) = fs::read(&file) else { return Ok(Json::Null) };
            serde_json::from_slice(&bytes).map_err(|e| Error::malformed(&file, format!("not JSON: {e}")))
        };
        let config = json("tokenizer_config.json")?;
        let mut tokens = BTreeMap::new();
        for source in [&json("special_tokens_map.json")?, &config] {
            for (key, value) in source.as_object().into_iter().flatten().filter(|(k, _)| k.ends_with("_token")) {
                if let Some(text) = value.as_str().or_else(|| value["content"].as_str()) {
                    tokens.insert(key.clone(), text.to_owned());
                }
            }
        }
        // As transformers has it: the file of its own wins over the entry in the configuration.
        let file = folder.join("chat_template.jinja");
        if let Ok(source) = fs::read_to_string(&file) {
            return Self::new(source, tokens, &file, now).map(Some);
        }
        let file = folder.join("tokenizer_config.json");
        let named = |list: &Vec<Json>| {
            let default = list.iter().find(|t| t["name"] == "default").or_else(|| list.first());
            default.and_then(|t| t["template"].as_str()).map(str::to_owned)
        };
        let source = match &config["chat_template"] {
            Json::String(text) => Some(text.clone()),
            Json::Array(list) => named(list),
            _ => None,
        };
        source.map(|source| Self::new(source, tokens, &file, now)).transpose()
    }

    /// A template from its text, with special tokens by their names (`bos_token`, `eos_token`); `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is not Jinja.
    pub fn new(source: String, tokens: BTreeMap<String, String>, path: &Path, now: Option<u64>) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |why: String| -> std::result::Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, why))
        });
        environment.add_filter("tojson", to_json);
        if let Some(now) = now {
            environment.add_function("strftime_now", move |form: String| strftime(&form, now));
        }
        environment
            .add_template_owned(NAME, without_markers(&source))
            .map_err(|e| Error::malformed(path, format!("its chat template is not Jinja: {e:#}")))?;
        Ok(Self { environment, tokens, path: path.display().to_string() })
    }

    /// The text of a conversation; with `open`, the beginning of the assistant's next turn follows.
    ///
    /// # Errors
    /// [`Error::Malformed`] with what the template itself objects to (roles that do not alternate, a role it does not
    /// know), or the place in it that fails.
    pub fn render(&self, messages: &[Message], open: bool) -> Result<String> {
        let failed = |e: minijinja::Error| {
            let why = match (e.kind(), e.detail()) {
                (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
                _ => e.to_string(),
            };
            Error::malformed(Path::new(&self.path), format!("its chat template refuses these messages: {why}"))
        };
        let tokens = Value::from_serialize(&self.tokens);
        let none = Value::from(());
        let given = context! { messages, add_generation_prompt => open, tools => none, documents => none };
        let template = self.environment.get_template(NAME).map_err(failed)?;
        template.render(context! { ..given, ..tokens }).map_err(failed)
    }

    /// What the template writes after an assistant's words: the end of its turn, which an answer is trained to end with.
    ///
    /// # Errors
    /// See [`Self::render`].
    pub fn turn_end(&self) -> Result<String> {
        // A word that no template writes and none trims.
        const MARK: &str = "rampart-marks-the-answer";
        let text = self.render(&[Message::new("user", "x"), Message::new("assistant", MARK)], false)?;
        Ok(text.rsplit_once(MARK).map(|(_, end)| end.to_owned()).unwrap_or_default())
    }

    /// A special token by its name, such as `eos_token`.
    #[must_use]
    pub fn token(&self, name: &str) -> Option<&str> {
        self.tokens.get(name).map(String::as_str)
    }
}

/// `{% generation %}` marks for transformers which words are the assistant's; it changes no text, and no other Jinja knows it.
fn without_markers(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end + 2);
        match tag.trim_matches(|c: char| "{}%-+".contains(c) || c.is_whitespace()) {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// JSON as Python's `json.dumps(.., ensure_ascii=False)` writes it, which templates were trained with.
fn to_json(value: &Value, options: Kwargs) -> std::result::Result<String, minijinja::Error> {
    let failed = |e: serde_json::Error| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string());
    let indent: Option<usize> = options.get("indent")?;
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let mut out = Vec::new();
    match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let form = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, form)).map_err(failed)?;
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)).map_err(failed)?,
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// A space after each comma and colon, as Python has it.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

/// A moment in the forms that chat templates ask for.
fn strftime(form: &str, now: u64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (days, second) = (now / 86_400, now % 86_400);
    // Days since 1 March 0000 of the proleptic Gregorian calendar, in cycles of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let name = MONTHS[(month as usize - 1).min(11)];
    let mut out = String::new();
    let mut letters = form.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('Y') => out.push_str(&year.to_string()),
            Some('y') => out.push_str(&format!("{:02}", year % 100)),
            Some('m') => out.push_str(&format!("{month:02}")),
            Some('d') => out.push_str(&format!("{day:02}")),
            Some('B') => out.push_str(name),
            Some('b') => out.push_str(&name[..3]),
            Some('H') => out.push_str(&format!("{:02}", second / 3600)),
            Some('M') => out.push_str(&format!("{:02}", second / 60 % 60)),
            Some('S') => out.push_str(&format!("{:02}", second % 60)),
            Some('%') | None => out.push('%'),
            Some(other) => out.extend(['%', other]),
        }
    }
    out
}

#[cfg(test)]
mod tests;
