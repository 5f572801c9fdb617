//! What must hold of a lesson and of a pair before anything is trained on it: the truth table.
//!
//! Parsing and rules are the judge's; programs run only where the caller hands a [`Runner`] in. Problems fail the
//! table, notes do not: a pair from elsewhere may hold a weakness that our rules do not know.

pub mod lesson;
pub mod pairs;
pub(crate) mod wording;

pub use wording::hint;

use judge::languages;
use lexicon::{Cwe, Finding, Language, Pair, TestOutcome};
use serde::Serialize;
use std::borrow::Cow;

/// Whether an entry fails the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The table fails.
    Problem,
    /// Worth knowing.
    Note,
}

/// One thing that was found wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Whether it fails the table.
    pub level: Level,
    /// `file:line`, or file and id.
    pub place: String,
    /// Which row of the table.
    pub check: &'static str,
    /// What is wrong, as a fragment.
    pub message: String,
}

/// Runs tests and exploits; the caller brings the sandbox.
pub trait Runner: Sync {
    /// Runs `script` as `python test.py` beside `solution.py`.
    ///
    /// # Errors
    /// Text of why nothing could be run: no sandbox, no interpreter, a missing package.
    fn run(&self, solution: &str, script: &str, packages: &[String]) -> Result<TestOutcome, String>;
}

/// Why a pair may not be trained on. [`Reason::ALL`] names them in the order they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Both sides are the same text.
    Same,
    /// The secure side does not parse.
    SecureInvalid,
    /// The insecure side does not parse.
    InsecureInvalid,
    /// The rules find nothing in the insecure side.
    Silent,
    /// The rules find something in the secure side.
    Fires,
    /// The tests fail on a side.
    Tests,
    /// The exploit fails on the insecure side, or works on the secure one.
    Exploit,
    /// Another pair has the same code.
    Duplicate,
}

impl Reason {
    /// All, in the order they are looked for.
    pub const ALL: &[Self] = &[
        Self::Same,
        Self::SecureInvalid,
        Self::InsecureInvalid,
        Self::Silent,
        Self::Fires,
        Self::Tests,
        Self::Exploit,
        Self::Duplicate,
    ];

    /// A phrase for a person.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Same => "both sides are the same",
            Self::SecureInvalid => "the secure side does not parse",
            Self::InsecureInvalid => "the insecure side does not parse",
            Self::Silent => "no native rule fires on the insecure side",
            Self::Fires => "a native rule fires on the secure side",
            Self::Tests => "a side fails its tests",
            Self::Exploit => "the exploit does not tell the sides apart",
            Self::Duplicate => "another pair has the same code",
        }
    }
}

/// What the judge says of one side.
#[derive(Debug)]
pub struct Side {
    /// Why it does not parse.
    pub syntax_error: Option<judge::python::SyntaxError>,
    /// What the rules found.
    pub findings: Vec<Finding>,
}

impl Side {
    /// Judges code. A function taken out of a class is indented as a whole: it is read without that indentation.
    #[must_use]
    pub fn of(language: Language, name: &str, code: &str) -> Self {
        let scan = languages::scan_file(&format!("{name}.{}", language.extension()), &dedent(code), None);
        Self { syntax_error: scan.syntax_error, findings: scan.findings }
    }

    /// The rules that fired with their weaknesses and lines, as a phrase.
    #[must_use]
    pub fn said(&self) -> String {
        let one = |f: &Finding| format!("{} ({}) at line {}", f.rule, join(&f.cwe), f.start.line);
        self.findings.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    /// Whether some finding is of this weakness.
    #[must_use]
    pub fn has(&self, cwe: Cwe) -> bool {
        self.findings.iter().any(|f| f.cwe.contains(&cwe))
    }
}

pub(crate) fn join(cwes: &[Cwe]) -> String {
    cwes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Removes the first line's indentation from every line that has it.
#[must_use]
pub fn dedent(code: &str) -> Cow<'_, str> {
    let Some(first) = code.lines().find(|l| !l.trim().is_empty()) else { return code.into() };
    let indent = &first[..first.len() - first.trim_start_matches([' ', '\t']).len()];
    if indent.is_empty() {
        return code.into();
    }
    code.split_inclusive('\n').map(|line| line.strip_prefix(indent).unwrap_or(line)).collect::<String>().into()
}

/// Parses both sides and asks the rules; the first [`Reason`] against the pair, if any. Duplicates are the caller's.
///
#[must_use]
pub fn against(pair: &Pair) -> Option<Reason> {
    if pair.secure == pair.insecure {
        return Some(Reason::Same);
    }
    let secure = Side::of(pair.language, &pair.id, &pair.secure);
    if secure.syntax_error.is_some() {
        return Some(Reason::SecureInvalid);
    }
    let insecure = Side::of(pair.language, &pair.id, &pair.insecure);
    if insecure.syntax_error.is_some() {
        return Some(Reason::InsecureInvalid);
    }
    match (insecure.findings.is_empty(), secure.findings.is_empty()) {
        (true, _) => Some(Reason::Silent),
        (_, false) => Some(Reason::Fires),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(insecure: &str, secure: &str) -> Pair {
        Pair {
            format: lexicon::FORMAT,
            id: "p".into(),
            language: Language::Python,
            cwe: vec![Cwe(95)],
            instruction: "i".into(),
            reasoning: String::new(),
            secure: secure.into(),
            insecure: insecure.into(),
            origin: lexicon::Origin::default(),
        }
    }

    #[test]
    fn every_reason_of_the_table() {
        let (bad, good) =
            ("def f(x):\n    return eval(x)\n", "import ast\n\n\ndef f(x):\n    return ast.literal_eval(x)\n");
        let cases = [
            (bad, good, None),
            (good, good, Some(Reason::Same)),
            (bad, "def f(:\n", Some(Reason::SecureInvalid)),
            ("def f(:\n", good, Some(Reason::InsecureInvalid)),
            ("def f(x):\n    return x\n", good, Some(Reason::Silent)),
            (bad, "def f(y):\n    return eval(y)\n", Some(Reason::Fires)),
            // A method as SVEN publishes it, indented as a whole.
            ("    def f(self, x):\n        return eval(x)\n", "    def f(self, x):\n        return int(x)\n", None),
        ];
        for (insecure, secure, expect) in cases {
            assert_eq!(against(&pair(insecure, secure)), expect, "{insecure}");
        }
        let c = |insecure, secure| against(&Pair { language: Language::C, ..pair(insecure, secure) });
        assert_eq!(c("void f(char *s) { gets(s); }\n", "void f(char *s) { fgets(s, 9, stdin); }\n"), None);
        assert_eq!(
            c("void f(char *s) { puts(s); }\n", "void f(char *s) { fgets(s, 9, stdin); }\n"),
            Some(Reason::Silent)
        );
    }

    #[test]
    fn indentation_goes_where_every_line_has_it() {
        for (code, expect) in [
            ("    a\n      b\n\n    c", "a\n  b\n\nc"),
            ("a\n  b", "a\n  b"),
            ("\n\ta\n b\n", "\na\n b\n"),
            ("", ""),
            ("  \n", "  \n"),
        ] {
            assert_eq!(dedent(code), expect, "{code:?}");
        }
    }
}
