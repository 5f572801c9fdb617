//! Code as a page shows it: lines of coloured runs, findings marked where they are.

use lexicon::{Position, Verdict};
use serde::Serialize;

/// Lines shown at most.
const MOST_LINES: usize = 150;
/// Characters of a line shown at most.
const MOST_COLUMNS: usize = 300;

/// A run of characters that look alike.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Run {
    pub(super) text: String,
    /// Names of CSS classes.
    pub(super) class: String,
}

/// A remark under a line.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Remark {
    label: String,
    text: String,
    /// Whether the finding counts in the figures.
    counts: bool,
}

/// One line of code.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    number: usize,
    pub(super) runs: Vec<Run>,
    hit: bool,
    remarks: Vec<Remark>,
}

/// Code with a verdict's findings on its lines, and how many lines were left out.
pub(super) fn lines(code: &str, verdict: &Verdict) -> (Vec<Line>, usize) {
    let text: Vec<char> = code.trim_end().chars().collect();
    let kinds = python(&text);
    let mut out = Vec::new();
    let (mut from, mut number) = (0, 0);
    loop {
        let end = (from..text.len()).find(|&i| text[i] == '\n' || text[i] == '\r').unwrap_or(text.len());
        number += 1;
        if number <= MOST_LINES {
            out.push(line(number, &text[from..end], &kinds[from..end], verdict));
        }
        if end >= text.len() {
            break;
        }
        from = end + if text[end] == '\r' && text.get(end + 1) == Some(&'\n') { 2 } else { 1 };
    }
    (out, number.saturating_sub(MOST_LINES))
}

fn line(number: usize, text: &[char], kinds: &[Kind], verdict: &Verdict) -> Line {
    let here = |at: Position, start: Position, end: Position| start <= at && at < end;
    let counted = |f: &&lexicon::Finding| crate::outcome::counts(f);
    let mut runs: Vec<Run> = Vec::new();
    for (i, (&c, kind)) in text.iter().zip(kinds).enumerate().take(MOST_COLUMNS) {
        let at = Position { line: number, column: i + 1 };
        let marked = verdict.findings.iter().filter(counted).any(|f| here(at, f.start, f.end))
            && !(c == ' ' && text[..i].iter().all(|c| *c == ' '));
        let (shown, odd) = visible_char(c);
        let class = format!("{}{}{}", kind.class(), if marked { " hit" } else { "" }, if odd { " odd" } else { "" });
        match runs.last_mut() {
            Some(run) if run.class == class => run.text.push_str(&shown),
            _ => runs.push(Run { text: shown, class }),
        }
    }
    if text.len() > MOST_COLUMNS {
        runs.push(Run { text: format!(" \u{2026} {} more", text.len() - MOST_COLUMNS), class: "odd".into() });
    }
    let remarks: Vec<Remark> = verdict
        .findings
        .iter()
        .filter(|f| f.start.line == number)
        .map(|f| Remark {
            label: format!(
                "{} {}{}",
                f.analyzer,
                f.rule,
                f.cwe.first().map_or_else(String::new, |c| format!(" \u{00b7} {c}"))
            ),
            text: f.message.clone(),
            counts: crate::outcome::counts(f),
        })
        .collect();
    Line { number, hit: remarks.iter().any(|r| r.counts), runs, remarks }
}

/// A text in which nothing hides: control characters, direction marks and characters without width become visible.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(|c| visible_char(c).0).collect()
}

/// A character as it is shown, and whether it had to be replaced. Tabs and line ends stay.
#[must_use]
pub fn visible_char(c: char) -> (String, bool) {
    let code = u32::from(c);
    match code {
        0x09 | 0x0a | 0x0d => (c.to_string(), false),
        // Unicode's pictures of control characters stand in their order.
        0..0x20 => (char::from_u32(0x2400 + code).unwrap_or('\u{fffd}').to_string(), true),
        0x7f => ("\u{2421}".into(), true),
        0x80..0xa0
        | 0xad
        | 0x061c
        | 0x180e
        | 0x200b..=0x200f
        | 0x2028..=0x202e
        | 0x2060..=0x2069
        | 0xfeff
        | 0xe0000..=0xe007f => (format!("\u{27e8}U+{code:04X}\u{27e9}"), true),
        _ => (c.to_string(), false),
    }
}

/// What a character of Python is, as far as colours go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Plain,
    Keyword,
    Text,
    Comment,
    Number,
    Name,
}

impl Kind {
    const fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Keyword => "k",
            Self::Text => "s",
            Self::Comment => "c",
            Self::Number => "n",
            Self::Name => "f",
        }
    }
}

const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Kinds of all characters in one pass. It need not parse: half of what it sees is broken code.
fn python(text: &[char]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Plain; text.len()];
    let mut i = 0;
    let mut defines = false;
    while i < text.len() {
        let start = i;
        let c = text[i];
        let kind = if c == '#' {
            while i < text.len() && text[i] != '\n' {
                i += 1;
            }
            Kind::Comment
        } else if c == '"' || c == '\'' {
            i = past_string(text, i);
            Kind::Text
        } else if c.is_ascii_digit() {
            while i < text.len() && (text[i].is_ascii_alphanumeric() || text[i] == '.' || text[i] == '_') {
                i += 1;
            }
            Kind::Number
        } else if c.is_alphabetic() || c == '_' {
            while i < text.len() && (text[i].is_alphanumeric() || text[i] == '_') {
                i += 1;
            }
            let word: String = text[start..i].iter().take(12).collect();
            let prefix = i - start <= 2 && word.chars().all(|c| "rRbBuUfF".contains(c));
            if prefix && i < text.len() && (text[i] == '"' || text[i] == '\'') {
                i = past_string(text, i);
                Kind::Text
            } else if KEYWORDS.contains(&word.as_str()) {
                Kind::Keyword
            } else if defines {
                Kind::Name
            } else {
                Kind::Plain
            }
        } else {
            i += 1;
            Kind::Plain
        };
        if !c.is_whitespace() {
            let word: String = text[start..i].iter().take(6).collect();
            defines = kind == Kind::Keyword && (word == "def" || word == "class");
        }
        kinds[start..i].fill(kind);
    }
    kinds
}

/// One past the string that opens at `i`; a short string that is not closed ends with its line.
fn past_string(text: &[char], mut i: usize) -> usize {
    let quote = text[i];
    let long = text.get(i + 1) == Some(&quote) && text.get(i + 2) == Some(&quote);
    i += if long { 3 } else { 1 };
    while i < text.len() {
        match text[i] {
            '\\' => i += 1,
            '\n' if !long => return i,
            c if c == quote && !long => return i + 1,
            c if c == quote && text.get(i + 1) == Some(&quote) && text.get(i + 2) == Some(&quote) => return i + 3,
            _ => {}
        }
        i += 1;
    }
    text.len()
}

/// Tokens as runs: a line end inside a marked token becomes visible, since colour alone cannot show it.
pub(super) fn tokens(tokens: &[(String, bool)]) -> Vec<Run> {
    tokens
        .iter()
        .map(|(text, marked)| {
            let text = if *marked { text.replace('\n', "\u{21b5}\n") } else { text.clone() };
            Run { text, class: if *marked { "on".into() } else { String::new() } }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::tests::{finding, verdict};
    use lexicon::Severity;
    use proptest::prelude::*;

    fn check(code: &str, expect: &[&[(&str, &str)]]) {
        let (lines, _) = lines(code, &verdict(vec![finding("native", 89, 2, Severity::High)]));
        let found: Vec<Vec<(&str, &str)>> =
            lines.iter().map(|l| l.runs.iter().map(|r| (r.text.as_str(), r.class.as_str())).collect()).collect();
        assert_eq!(found, expect, "{code:?}");
    }

    #[test]
    fn runs_are_coloured_and_marked() {
        check("def f():", &[&[("def", "k"), (" ", ""), ("f", "f"), ("():", "")]]);
        check("x = rb'\\'' # y", &[&[("x = ", ""), ("rb'\\''", "s"), (" ", ""), ("# y", "c")]]);
        check("'open\n1.5e3", &[&[("'open", "s")], &[("1.5e", "n"), ("3", "n hit")]]);
        check("\"\"\"a\nb\"\"\"", &[&[("\"\"\"a", "s")], &[("b\"\"\"", "s")]]);
        check("a\r\n    bcdef", &[&[("a", "")], &[("    ", ""), ("bcde", " hit"), ("f", "")]]);
        check("a\u{202e}b\u{0}", &[&[("a", ""), ("\u{27e8}U+202E\u{27e9}", " odd"), ("b", ""), ("\u{2400}", " odd")]]);
    }

    #[test]
    fn remarks_stand_on_their_line_and_say_whether_they_count() {
        let verdict = verdict(vec![finding("native", 89, 2, Severity::Low), finding("bandit", 703, 1, Severity::Low)]);
        let (lines, more) = lines(&"x\n".repeat(500), &verdict);
        assert_eq!((lines.len(), more), (MOST_LINES, 500 - MOST_LINES));
        assert!(!lines[0].hit && !lines[0].remarks[0].counts && lines[1].hit);
        assert_eq!(lines[1].remarks[0].label, "native native-89 \u{00b7} CWE-89");
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_none_is_lost(code in "[a-z'\"\\\\\\n\\r #\\t0-9é]{0,80}") {
            let (lines, _) = lines(&code, &verdict(vec![]));
            let shown: String = lines.iter().flat_map(|l| &l.runs).map(|r| r.text.as_str()).collect();
            let expect: String = code.trim_end().chars().filter(|c| *c != '\n' && *c != '\r').collect();
            prop_assert_eq!(shown, expect);
        }
    }
}
