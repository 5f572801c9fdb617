//! The code in a reply, or why there is none.

use lexicon::Language;
use std::fmt;

/// What a reply must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Language of the code.
    pub language: Language,
}

/// Why a reply holds no code that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// No fence opens.
    NoFence,
    /// The fence that opens does not close: the answer was cut off.
    Open,
    /// There is nothing between the fences.
    Empty,
    /// The fences name another language.
    Language(String),
    /// A marker that was asked for is missing.
    Marker(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFence => f.write_str("no fence with code in it"),
            Self::Open => f.write_str("the code is cut off"),
            Self::Empty => f.write_str("the fence is empty"),
            Self::Language(found) => write!(f, "the code is {found}"),
            Self::Marker(marker) => write!(f, "the marker {marker:?} is missing"),
        }
    }
}

/// Names that fences use for a language.
fn names(language: Language) -> &'static [&'static str] {
    match language {
        Language::Python => &["python", "python3", "py", "py3"],
        Language::C => &["c", "h"],
        Language::Cpp => &["cpp", "c++", "cc", "cxx"],
        Language::Go => &["go", "golang"],
        Language::Java => &["java"],
        Language::JavaScript => &["javascript", "js", "jsx", "node", "mjs"],
        Language::Ruby => &["ruby", "rb"],
        Language::TypeScript => &["typescript", "ts", "tsx"],
    }
}

/// The longest fenced code of a language in a text; fences without a name count as that language.
///
/// # Errors
/// [`Unusable`] with what is wrong with the best candidate.
pub fn fenced(text: &str, language: Language) -> Result<String, Unusable> {
    let mut lines = text.lines();
    let mut best: Option<String> = None;
    let mut wrong = Unusable::NoFence;
    while let Some(line) = lines.next() {
        let start = line.trim_start();
        let ticks = start.bytes().take_while(|&b| b == b'`').count();
        if ticks < 3 {
            continue;
        }
        let indent = line.len() - start.len();
        let label = start[ticks..].split([' ', '{', ',', ':']).next().unwrap_or_default().trim().to_ascii_lowercase();
        let (mut code, mut closed) = (String::new(), false);
        for line in lines.by_ref() {
            let rest = line.trim();
            if rest.len() >= ticks && rest.bytes().all(|b| b == b'`') {
                closed = true;
                break;
            }
            // A fence in a list is indented, and so is what it holds.
            let cut = line.bytes().take(indent).take_while(|b| *b == b' ').count();
            code.push_str(&line[cut..]);
            code.push('\n');
        }
        let problem = if !closed {
            Some(Unusable::Open)
        } else if !label.is_empty() && !names(language).contains(&label.as_str()) {
            Some(Unusable::Language(label.chars().take(20).collect()))
        } else if code.trim().is_empty() {
            Some(Unusable::Empty)
        } else {
            None
        };
        match problem {
            Some(problem) => wrong = problem,
            None if best.as_ref().is_none_or(|b| b.len() < code.len()) => best = Some(code),
            None => {}
        }
    }
    best.ok_or(wrong)
}

/// The text between a marker's line and the next marker's, or the end: replies of several parts name them so.
///
/// # Errors
/// [`Unusable::Marker`] where the marker stands on no line.
pub fn section<'a>(text: &'a str, marker: &str, all: &[&str]) -> Result<&'a str, Unusable> {
    let heads = |line: &str, marker: &str| line.trim().trim_matches(['#', '*', ' ', ':']).eq_ignore_ascii_case(marker);
    let (mut at, mut start) = (0, None);
    for line in text.split_inclusive('\n') {
        let after = at + line.len();
        match start {
            None if heads(line, marker) => start = Some(after),
            Some(begin) if all.iter().any(|m| heads(line, m)) => return Ok(text[begin..at].trim()),
            _ => {}
        }
        at = after;
    }
    start.map(|begin| text[begin..].trim()).ok_or_else(|| Unusable::Marker(marker.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_of_every_kind() {
        let cases: &[(&str, Result<&str, Unusable>)] = &[
            ("Here:\n```python\nx = 1\n```\nDone.", Ok("x = 1\n")),
            ("```\nx = 1\n```", Ok("x = 1\n")),
            ("```Python3 title=a\nx = 1\n```", Ok("x = 1\n")),
            ("```py\na\n```\n```py\nlonger = 1\n```", Ok("longer = 1\n")),
            ("```bash\npip install x\n```\n```python\nx\n```", Ok("x\n")),
            ("1. First\n   ```python\n   if x:\n       y\n   ```", Ok("if x:\n    y\n")),
            ("````python\ns = '''\n```\n'''\n````", Ok("s = '''\n```\n'''\n")),
            ("```python\nx = 1\n", Err(Unusable::Open)),
            ("```python\n\n \n```", Err(Unusable::Empty)),
            ("```javascript\nlet x\n```", Err(Unusable::Language("javascript".into()))),
            ("x = 1", Err(Unusable::NoFence)),
            ("", Err(Unusable::NoFence)),
            ("```", Err(Unusable::Open)),
            ("inline ```code``` here", Err(Unusable::NoFence)),
        ];
        for (text, expect) in cases {
            assert_eq!(fenced(text, Language::Python).as_deref(), expect.as_ref().map(|s| *s), "{text:?}");
        }
    }

    #[test]
    fn sections_end_where_the_next_begins() {
        let text = "Sure!\n## Instruction\nWrite it.\n\n**SECURE:**\ncode\n";
        let all = ["instruction", "secure", "insecure"];
        assert_eq!(section(text, "instruction", &all), Ok("Write it."));
        assert_eq!(section(text, "secure", &all), Ok("code"));
        assert_eq!(section(text, "insecure", &all), Err(Unusable::Marker("insecure".into())));
        assert_eq!(section("", "secure", &all), Err(Unusable::Marker("secure".into())));
    }
}
