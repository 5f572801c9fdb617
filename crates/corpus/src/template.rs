//! What a model is shown: an instruction, its security thought and the answer, in one of the published forms.

use lexicon::{Language, Pair};
use serde::{Deserialize, Serialize};

/// How a pair becomes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Template {
    /// As it is: prompt, then reasoning and answer encoded together.
    Raw,
    /// Instruction, security thought and fenced response (methods.md, section 2).
    #[default]
    Disco,
    /// SafeCoder's instruction form, code only (methods.md, section 3).
    Safecoder,
    /// The model's own chat template around the instruction; the answer is the security thought and fenced code. The
    /// template is the tokenizer's: what is shown here is the user's turn alone, and whoever has the model frames it.
    Chat,
    /// A docstring above the code: what a base model continues.
    Docstring,
    /// [`Self::Docstring`] with the security thought as a comment between the two: for base models, which know docstrings
    /// and comments and no chat form. It moves a small model less than an instruction form does.
    Comment,
    /// The code alone, without instruction or end, as SVEN trains prefixes (methods.md, section 4).
    Code,
}

/// The pieces of one side of a pair. Each is encoded apart, so that the two sides share tokens up to the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What is given; never trained on.
    pub prompt: String,
    /// What precedes the code in the answer: the reasoning and its frame.
    pub lead: String,
    /// The code.
    pub code: String,
    /// What closes the answer.
    pub tail: String,
    /// Whether `lead` and `code` are encoded as one text.
    pub joined: bool,
    /// Whether the end-of-sequence token follows.
    pub ends: bool,
}

const ALPACA: &str =
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.";

impl Template {
    /// The text a model is asked with.
    #[must_use]
    pub fn prompt(self, instruction: &str) -> String {
        match self {
            Self::Raw | Self::Chat | Self::Code => instruction.to_owned(),
            Self::Disco => format!("### Instruction:\n{instruction}\n\n### Security Thought:\n"),
            Self::Safecoder => format!("{ALPACA}\n\n### Instruction:\n{instruction}\n\n### Response:\n"),
            Self::Docstring | Self::Comment => format!("\"\"\"{}\"\"\"\n", instruction.replace("\"\"\"", "'''")),
        }
    }

    /// One side of a pair.
    #[must_use]
    pub fn show(self, pair: &Pair, code: &str) -> Shown {
        let prompt = self.prompt(&pair.instruction);
        let code = if matches!(self, Self::Raw | Self::Code) { code } else { code.trim_end_matches('\n') };
        let base = Shown {
            prompt,
            lead: String::new(),
            code: code.to_owned(),
            tail: String::new(),
            joined: false,
            ends: true,
        };
        match self {
            Self::Raw => Shown { lead: pair.reasoning.clone(), joined: true, ..base },
            Self::Disco => Shown {
                lead: format!("{}\n\n### Response:\n```{}\n", pair.reasoning, fence(pair.language)),
                tail: "\n```".into(),
                ..base
            },
            Self::Chat => {
                let thought = if pair.reasoning.is_empty() { String::new() } else { format!("{}\n\n", pair.reasoning) };
                let lead = format!("{thought}```{}\n", fence(pair.language));
                Shown { lead, tail: "\n```".into(), ..base }
            }
            Self::Safecoder => Shown { ends: false, ..base },
            Self::Code => Shown { prompt: String::new(), ends: false, ..base },
            Self::Docstring => Shown { tail: "\n".into(), ..base },
            Self::Comment => Shown {
                lead: format!("# Security thought: {}\n", pair.reasoning.replace('\n', " ")),
                tail: "\n".into(),
                ..base
            },
        }
    }

    /// Texts that end an answer besides the end-of-sequence token.
    #[must_use]
    pub fn stops(self) -> Vec<String> {
        match self {
            Self::Disco | Self::Safecoder => vec!["\n### Instruction:".into()],
            Self::Docstring | Self::Comment => vec!["\n\"\"\"".into()],
            Self::Raw | Self::Chat | Self::Code => Vec::new(),
        }
    }
}

const fn fence(language: Language) -> &'static str {
    language.name()
}

/// The code in an answer: the contents of the first fence, cut off or not; without a fence, the answer as it is.
#[must_use]
pub fn extract(text: &str) -> String {
    let Some(open) = text.find("```") else { return text.trim_end().to_owned() + "\n" };
    let Some(start) = text[open..].find('\n').map(|i| open + i + 1) else { return String::new() };
    let body = &text[start..];
    let end = if body.starts_with("```") { 0 } else { body.find("\n```").map_or(body.len(), |i| i + 1) };
    body[..end].trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extraction_takes_the_first_fence_else_all() {
        let cases = [
            ("x = 1\n", "x = 1\n"),
            ("R.\n\n### Response:\n```python\nx = 1\n```\nmore ```\n", "x = 1\n"),
            ("```\nx = '```'\ny\n```", "x = '```'\ny\n"),
            ("```python\nx = 1", "x = 1\n"),
            ("```python\n```", "\n"),
            ("```", ""),
            ("", "\n"),
        ];
        for (text, expect) in cases {
            assert_eq!(extract(text), expect, "{text:?}");
        }
    }
}
