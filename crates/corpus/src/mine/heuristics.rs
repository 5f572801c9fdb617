//! Which commits may be the fix of a weakness: phrases of their messages and words of the lines that they change.
//!
//! The built-in file is `heuristics.toml` beside this one; users edit a copy of it.

use aho_corasick::{AhoCorasick, MatchKind};
use lexicon::{Cwe, FORMAT, Language};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The built-in heuristics, as a file.
pub const BUILT_IN: &str = include_str!("heuristics.toml");

/// How much a commit may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Changed lines, removed and added ones together.
    pub lines: usize,
    /// Changed files.
    pub files: usize,
    /// Which files the two count.
    #[serde(default)]
    pub count: Count,
    /// Bytes of a file, above which it is not read.
    pub bytes: u64,
}

/// Which files of a commit count towards its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Count {
    /// All, as published.
    #[default]
    All,
    /// Code alone: neither tests nor documentation.
    Code,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    limits: Limits,
    general: General,
    weakness: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct General {
    message: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    cwe: Cwe,
    name: String,
    #[serde(default)]
    message: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    hint: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    code: BTreeMap<String, Vec<String>>,
}

/// What a phrase or word says.
#[derive(Clone, Copy, Debug)]
struct Says {
    /// The weakness, by its place; none for a general phrase.
    weakness: Option<usize>,
    /// The language it counts for; all where none is said.
    language: Option<Language>,
    /// Whether the last word may go on.
    open: bool,
    /// Whether it names the weakness rather than hints at it.
    names: bool,
}

/// A text to look for, with the weakness and language it counts for, and whether it names the weakness.
type Listed<'t> = (&'t str, Option<usize>, Option<Language>, bool);

/// Many words looked for at once.
#[derive(Debug)]
struct Words {
    matcher: AhoCorasick,
    says: Vec<Says>,
}

/// What a message is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Weaknesses it names (true) or hints at, with the language that the phrase counts for.
    told: BTreeSet<(usize, Option<Language>, bool)>,
    /// Whether it speaks of security in general.
    general: bool,
}

impl Message {
    /// Whether it says anything at all.
    #[must_use]
    pub fn speaks(&self) -> bool {
        self.general || !self.told.is_empty()
    }
}

/// Heuristics, ready to look for all their words in one pass.
#[derive(Debug)]
pub struct Heuristics {
    /// How much a commit may change.
    pub limits: Limits,
    names: Vec<(Cwe, String)>,
    message: Words,
    code: Words,
    /// What the file said: part of what a run's files depend on.
    pub(super) text: String,
}

impl Heuristics {
    /// The built-in ones.
    ///
    /// # Errors
    /// None in a released binary: its tests read them.
    pub fn built_in() -> Result<Self, String> {
        Self::parse("the built-in heuristics", BUILT_IN)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A message with the file, the key and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|e| format!("cannot read {name}: {e}"))?;
        Self::parse(&name, &text)
    }

    /// What the file said: [`Self::of_text`] makes the same of it elsewhere.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads a file's text that came from elsewhere.
    ///
    /// # Errors
    /// See [`Self::read`].
    pub fn of_text(text: &str) -> Result<Self, String> {
        Self::parse("the heuristics", text)
    }

    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|e| format!("{name}: {}", e.to_string().trim_end()))?;
        if file.format != FORMAT {
            return Err(format!("{name}: format is {}, this program reads {FORMAT}", file.format));
        }
        if file.limits.lines == 0 || file.limits.files == 0 || file.limits.bytes == 0 {
            return Err(format!("{name}: limits must be above 0, or nothing is found"));
        }
        if file.weakness.is_empty() {
            return Err(format!("{name}: no [[weakness]] in it, so nothing can be found"));
        }
        let (mut phrases, mut words) = (Vec::new(), Vec::new());
        for phrase in &file.general.message {
            phrases.push((phrase.as_str(), None, None, false));
        }
        for (at, entry) in file.weakness.iter().enumerate() {
            for (table, what) in [(&entry.message, "message"), (&entry.hint, "hint"), (&entry.code, "code")] {
                let list: &mut Vec<Listed> = if what == "code" { &mut words } else { &mut phrases };
                for (language, texts) in table {
                    let language = match language.as_str() {
                        "any" => None,
                        other => {
                            Some(other.parse().map_err(|e| format!("{name}: {}, {what}: {e}, or any", entry.cwe))?)
                        }
                    };
                    list.extend(texts.iter().map(|t| (t.as_str(), Some(at), language, what == "message")));
                }
            }
        }
        let matcher = |list: &[Listed], prose: bool| {
            let mut says = Vec::new();
            let mut texts = Vec::new();
            for &(text, weakness, language, names) in list {
                let (stem, open) = text.strip_suffix('*').filter(|_| prose).map_or((text, false), |s| (s, true));
                let stem = if prose { normal(stem).trim().to_owned() } else { stem.to_owned() };
                if stem.is_empty() {
                    return Err(format!("{name}: {text:?} has no word in it, so it would be everywhere"));
                }
                texts.push(stem);
                says.push(Says { weakness, language, open, names });
            }
            let matcher = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&texts);
            Ok(Words { matcher: matcher.map_err(|e| format!("{name}: {e}"))?, says })
        };
        Ok(Self {
            limits: file.limits,
            message: matcher(&phrases, true)?,
            code: matcher(&words, false)?,
            names: file.weakness.into_iter().map(|e| (e.cwe, e.name)).collect(),
            text: text.to_owned(),
        })
    }

    /// What a message is about. Bytes that are no text are looked over.
    #[must_use]
    pub fn message(&self, message: &str) -> Message {
        let text = normal(message);
        let mut out = Message::default();
        let word = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_alphanumeric() || !c.is_ascii());
        for hit in self.message.matcher.find_overlapping_iter(&text) {
            let says = self.message.says[hit.pattern().as_usize()];
            let (before, after) = (text.as_bytes()[..hit.start()].last(), text.as_bytes().get(hit.end()));
            // A phrase may begin or end with a sign, which is no part of a word.
            let starts = !word(text.as_bytes().get(hit.start())) || !word(before);
            let ends = says.open || !word(text.as_bytes().get(hit.end() - 1)) || !word(after);
            if starts && ends {
                match says.weakness {
                    Some(at) => drop(out.told.insert((at, says.language, says.names))),
                    None => out.general = true,
                }
            }
        }
        for (at, _) in text.match_indices("cwe ") {
            let digits: String = text[at + 4..].chars().take_while(char::is_ascii_digit).collect();
            if let Ok(number) = digits.parse() {
                let kin = self.names.iter().enumerate().filter(|(_, (cwe, _))| cwe.kin(Cwe(number)));
                out.told.extend(kin.map(|(at, _)| (at, None, true)));
            }
        }
        out
    }

    /// Weaknesses that a commit may be about: those its message names; where it names none those it hints at and, where it
    /// speaks of security in general, those of which a word is in a changed line. `changed` holds each file's language and
    /// changed lines.
    #[must_use]
    pub fn suspects<'t>(
        &self,
        message: &Message,
        changed: impl IntoIterator<Item = (Language, &'t str)>,
    ) -> Vec<super::Suspect> {
        let mut found: BTreeMap<usize, bool> = BTreeMap::new();
        for (language, lines) in changed {
            let reads = |of: Option<Language>| of.is_none_or(|of| of == language || parent(language) == Some(of));
            for &(at, _, names) in message.told.iter().filter(|(_, of, _)| reads(*of)) {
                *found.entry(at).or_default() |= names;
            }
            if message.general {
                for hit in self.code.matcher.find_overlapping_iter(lines) {
                    let says = self.code.says[hit.pattern().as_usize()];
                    if let Some(at) = says.weakness.filter(|_| reads(says.language)) {
                        found.entry(at).or_insert(false);
                    }
                }
            }
        }
        if found.values().any(|named| *named) {
            found.retain(|_, named| *named);
        }
        found.into_iter().map(|(at, named)| super::Suspect { cwe: self.names[at].0, named }).collect()
    }

    /// The name of a weakness or of one of its kin.
    #[must_use]
    pub fn name(&self, cwe: Cwe) -> Option<&str> {
        let exact = self.names.iter().find(|(c, _)| *c == cwe);
        exact.or_else(|| self.names.iter().find(|(c, _)| c.kin(cwe))).map(|(_, n)| n.as_str())
    }

    /// Every weakness, in the file's order.
    #[must_use]
    pub fn weaknesses(&self) -> &[(Cwe, String)] {
        &self.names
    }
}

/// TypeScript's files hold JavaScript's words too, C++'s those of C.
const fn parent(language: Language) -> Option<Language> {
    match language {
        Language::TypeScript => Some(Language::JavaScript),
        Language::Cpp => Some(Language::C),
        _ => None,
    }
}

/// In small letters, with one blank for blanks, hyphens and underscores.
fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let c = if c.is_whitespace() || c == '-' || c == '_' { ' ' } else { c.to_ascii_lowercase() };
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, changed: &[(Language, &str)], expect: &[u32]) {
        let heuristics = Heuristics::built_in().expect("heuristics");
        let said = heuristics.message(message);
        let found = heuristics.suspects(&said, changed.iter().copied());
        let found: Vec<u32> = found.iter().map(|s| s.cwe.0).collect();
        assert!(expect.iter().all(|e| found.contains(e)), "{message:?}: {found:?} should hold {expect:?}");
        assert!(!expect.is_empty() || found.is_empty(), "{message:?}: {found:?}");
    }

    #[test]
    fn messages_and_lines_tell_the_weakness() {
        use Language::*;
        check("Fix SQL-injection in search", &[(Python, "")], &[89]);
        check("fix: sql_injection", &[(Go, "")], &[89]);
        check("CWE-089: bind values", &[(Java, "")], &[89]);
        check("Address cwe-564", &[(Java, "")], &[89]);
        check("Security: do not run a shell", &[(Python, "subprocess.run(cmd, shell=True)")], &[78]);
        check("Security fix", &[(Ruby, "system(\"ls\")")], &[78]);
        check("Security fix", &[(Python, "x = 1")], &[]);
        check("Harden the parser", &[(C, "strcpy(a, b);")], &[120]);
        check("Harden the parser", &[(Cpp, "strcpy(a, b);")], &[120]);
        check("yaml.load is gone", &[(Python, "")], &[502]);
        check("yaml.load is gone", &[(C, "")], &[]);
        check("Add a button", &[(Python, "os.system(x)")], &[]);
        check("Brace the style guide", &[(Python, "")], &[]);
        check("Résumé of forces", &[(Python, "")], &[]);
        check("", &[(Python, "")], &[]);
        check("cwe-99999999999999999999", &[(Python, "")], &[]);
    }

    /// A weakness that our rules find and no phrase names would never be mined.
    #[test]
    fn every_weakness_that_rules_find_has_words() {
        let heuristics = Heuristics::built_in().expect("heuristics");
        let python = judge::native::rules::ALL.iter().copied();
        let rules = python.chain(judge::languages::described().iter().map(|d| d.rule));
        let lacks = |r: &&judge::native::Rule| !r.cwe.iter().any(|&c| heuristics.name(Cwe(c)).is_some());
        let missing: BTreeSet<_> = rules.filter(lacks).map(|r| (r.id, r.cwe)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_broken_file_is_told() {
        let said = |text: &str| Heuristics::parse("h.toml", text).err().unwrap_or_default();
        let head = "format = 1\n[limits]\nlines = 40\nfiles = 2\nbytes = 9\n[general]\nmessage = []\n";
        let cases = [
            ("", "missing field"),
            ("format = 1\nlimit = 3", "unknown field `limit`"),
            (&format!("{}[[weakness]]\ncwe = \"CWE-1\"\nname = \"x\"", head.replace('1', "7")), "format is 7"),
            (&format!("{}[[weakness]]\ncwe = \"CWE-1\"\nname = \"x\"", head.replace("40", "0")), "above 0"),
            (
                &format!("{head}weakness = []").replace("message = []\nweakness = []", "message = []"),
                "missing field `weakness`",
            ),
            (&format!("{head}[[weakness]]\ncwe = \"CWE-x\"\nname = \"x\""), "CWE-x"),
            (&format!("{head}[[weakness]]\ncwe = \"CWE-1\"\nname = \"x\"\ncode.cobol = []"), "cobol"),
            (&format!("{head}[[weakness]]\ncwe = \"CWE-1\"\nname = \"x\"\nmessage.any = [\"*\"]"), "has no word in it"),
        ];
        for (text, expect) in cases {
            assert!(said(text).contains(expect), "{:?} should contain {expect:?}", said(text));
        }
    }
}
