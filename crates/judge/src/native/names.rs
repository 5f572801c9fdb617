//! Dotted names: where an identifier was imported from, and whether two spellings mean one thing.

use super::texts::Texts;
use ruff_python_ast::{Expr, StmtImport, StmtImportFrom};
use rustc_hash::{FxHashMap, FxHashSet};

/// Names that imports bind in a file, and what they stand for.
#[derive(Default)]
pub(crate) struct Imports<'a> {
    bound: FxHashMap<&'a str, &'a str>,
    /// The packages they come from.
    packages: FxHashSet<&'a str>,
}

/// Abbreviations so common that a fragment without its imports still means them.
const USUAL: &[(&str, &str)] = &[
    ("np", "numpy"),
    ("pd", "pandas"),
    ("ET", "xml.etree.ElementTree"),
    ("sa", "sqlalchemy"),
    ("etree", "lxml.etree"),
    ("minidom", "xml.dom.minidom"),
    ("pulldom", "xml.dom.pulldom"),
    ("request", "flask.request"),
    ("session", "flask.session"),
    ("sp", "subprocess"),
    ("BytesIO", "io.BytesIO"),
    ("StringIO", "io.StringIO"),
    ("Path", "pathlib.Path"),
    ("Popen", "subprocess.Popen"),
    ("check_output", "subprocess.check_output"),
    ("check_call", "subprocess.check_call"),
    ("mark_safe", "django.utils.safestring.mark_safe"),
    ("Markup", "markupsafe.Markup"),
    ("send_file", "flask.send_file"),
    ("redirect", "flask.redirect"),
    ("urlopen", "urllib.request.urlopen"),
    ("mktemp", "tempfile.mktemp"),
    ("render_template_string", "flask.render_template_string"),
    ("make_response", "flask.make_response"),
    ("HttpResponse", "django.http.HttpResponse"),
];

impl<'a> Imports<'a> {
    pub(crate) fn import(&mut self, stmt: &'a StmtImport) {
        for alias in &stmt.names {
            let name = alias.name.as_str();
            match &alias.asname {
                Some(short) => self.bind(short.as_str(), name),
                None => {
                    let root = root(name);
                    self.bind(root, root);
                }
            }
        }
    }

    pub(crate) fn import_from(&mut self, stmt: &'a StmtImportFrom, texts: &Texts<'a>) {
        let module = stmt.module.as_ref().map_or("", |m| m.as_str());
        for alias in &stmt.names {
            let name = alias.name.as_str();
            let bound = alias.asname.as_ref().map_or(name, |n| n.as_str());
            let full = if module.is_empty() || stmt.level > 0 {
                // A relative import is the project's own code: `.x` keeps it from being taken for a library.
                texts.concat(&[".", module, ".", name])
            } else {
                canonical(texts.concat(&[module, ".", name]))
            };
            self.bind(bound, full);
        }
    }

    fn bind(&mut self, name: &'a str, full: &'a str) {
        self.bound.insert(name, full);
        self.packages.insert(root(full));
    }

    /// What a bare name stands for: its import, or a usual abbreviation.
    pub(crate) fn resolve(&self, name: &'a str) -> &'a str {
        if let Some(full) = self.bound.get(name) {
            return full;
        }
        USUAL.iter().find(|(short, _)| *short == name).map_or(name, |(_, full)| full)
    }

    /// Whether an import binds the name.
    pub(crate) fn binds(&self, name: &str) -> bool {
        self.bound.contains_key(name)
    }

    /// Whether anything of a package is imported.
    pub(crate) fn package(&self, root: &str) -> bool {
        self.packages.contains(root)
    }

    /// Whether the file imports anything.
    pub(crate) fn any(&self) -> bool {
        !self.bound.is_empty()
    }
}

/// The package of a dotted name.
fn root(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// One spelling for names that libraries offer under several.
fn canonical(full: &str) -> &str {
    match full {
        "flask.Markup" | "jinja2.Markup" => "markupsafe.Markup",
        "flask.escape" | "jinja2.escape" => "markupsafe.escape",
        "xml.etree.cElementTree.fromstring" => "xml.etree.ElementTree.fromstring",
        "xml.etree.cElementTree.parse" => "xml.etree.ElementTree.parse",
        other => other,
    }
}

/// Whether a resolved path means the library name `full`: equal, or its tail where the file does not show the import.
pub(crate) fn same(path: &str, full: &str) -> bool {
    path == full
        || (path.len() < full.len()
            && path.contains('.')
            && full.ends_with(path)
            && full.as_bytes()[full.len() - path.len() - 1] == b'.')
}

/// Last name of a target or reference: `x` of `x`, `a.x` and `a["x"]`.
pub(crate) fn last(expr: &Expr) -> &str {
    match expr {
        Expr::Name(name) => name.id.as_str(),
        Expr::Attribute(attribute) => attribute.attr.as_str(),
        Expr::Subscript(subscript) => match subscript.slice.as_ref() {
            Expr::StringLiteral(key) => key.value.to_str(),
            _ => last(&subscript.value),
        },
        Expr::Call(call) => last(&call.func),
        Expr::Starred(starred) => last(&starred.value),
        _ => "",
    }
}

/// Words of an identifier as they stand in it: `resetCode_2` is `reset`, `Code`, `2`.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    let ascii = name.is_ascii();
    std::iter::from_fn(move || {
        if ascii {
            // Most identifiers, and twice as fast.
            let bytes = rest.as_bytes();
            let start = bytes.iter().position(u8::is_ascii_alphanumeric)?;
            let mut end = start + 1;
            while bytes.get(end).is_some_and(|b| {
                b.is_ascii_alphanumeric() && !(b.is_ascii_uppercase() && bytes[end - 1].is_ascii_lowercase())
            }) {
                end += 1;
            }
            let word = &rest[start..end];
            rest = &rest[end..];
            return Some(word);
        }
        rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        let mut lower = false;
        let end = rest
            .char_indices()
            .find(|&(_, c)| {
                let stop = !c.is_alphanumeric() || lower && c.is_uppercase();
                lower = c.is_lowercase();
                stop
            })
            .map_or(rest.len(), |(i, _)| i);
        let (word, tail) = rest.split_at(end);
        rest = tail;
        (!word.is_empty()).then_some(word)
    })
}

/// Lowercase words of an identifier: `resetCode_2` is `reset`, `code`, `2`.
pub(crate) fn words(name: &str) -> impl Iterator<Item = String> + '_ {
    parts(name).map(str::to_lowercase)
}

/// A list of words, in lower case, that most words are not in: every call's name is looked up.
pub(crate) struct Words {
    list: &'static [&'static str],
    /// Letters of each word: bit n for the n-th of the alphabet.
    letters: [u32; Self::MOST],
    /// Bit n of an entry: some word of n letters has this first letter.
    begin: [u32; 32],
}

impl Words {
    /// Most words of a list.
    const MOST: usize = 32;

    /// The list of these words, of fewer than 32 letters each.
    pub(crate) const fn of(list: &'static [&'static str]) -> Self {
        let (mut begin, mut letters) = ([0; 32], [0; Self::MOST]);
        let mut i = 0;
        while i < list.len() {
            let word = list[i].as_bytes();
            begin[(word[0] & 31) as usize] |= 1 << word.len();
            let mut at = 0;
            while at < word.len() {
                letters[i] |= 1 << (word[at] & 31);
                at += 1;
            }
            i += 1;
        }
        Self { list, letters, begin }
    }

    /// Whether a name has all the letters of some word, in any order: nearly all names have not, which is seen without
    /// taking them apart.
    fn may_be_in(&self, name: &str) -> bool {
        let letters = name.bytes().fold(0, |all, b| all | 1u32 << (b & 31));
        self.letters[..self.list.len()].iter().any(|word| word & !letters == 0)
    }

    fn contains(&self, word: &str) -> bool {
        let Some(first) = word.bytes().next() else { return false };
        word.len() < 32
            && self.begin[usize::from(first & 31)] & 1 << word.len() != 0
            && self.list.iter().any(|listed| equal(listed, word))
    }
}

/// Whether a word of the identifier is in the list.
pub(crate) fn has_word(name: &str, list: &Words) -> bool {
    list.may_be_in(name) && parts(name).any(|word| list.contains(word))
}

/// Whether a word of a list, in lower case, is the same but for its case.
fn equal(listed: &str, word: &str) -> bool {
    // Lists are long and nearly all of their words begin otherwise: the first letter is cheaper to see than a comparison.
    listed.len() == word.len()
        && listed.bytes().next().map(|b| b | 0x20) == word.bytes().next().map(|b| b | 0x20)
        && listed.eq_ignore_ascii_case(word)
}

/// Whether a word of the identifier, or two neighbours written together, is in the list, which is in lower case.
pub(crate) fn mentions(name: &str, list: &[&str]) -> bool {
    let mut previous = "";
    for word in parts(name) {
        let stem = word.strip_suffix(['s', 'S']).unwrap_or(word);
        let known = |listed: &&str| {
            let joined = || {
                listed.len() == previous.len() + stem.len() && {
                    let (first, second) = listed.as_bytes().split_at(previous.len());
                    second.eq_ignore_ascii_case(stem.as_bytes()) && first.eq_ignore_ascii_case(previous.as_bytes())
                }
            };
            equal(listed, word) || equal(listed, stem) || joined()
        };
        if list.iter().any(known) {
            return true;
        }
        previous = word;
    }
    false
}

/// Words of things only their owner may know.
pub(crate) const SECRET: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "apisecret",
    "secretkey",
    "privatekey",
    "accesskey",
    "authkey",
    "credential",
    "pin",
    "otp",
    "cvv",
    "ssn",
    "passcode",
    "pass",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_split_into_words() {
        let split = |s: &str| words(s).collect::<Vec<_>>().join(" ");
        for (name, expected) in [
            ("resetCode", "reset code"),
            ("API_KEY", "api key"),
            ("__x__", "x"),
            ("", ""),
            ("HTTPServer2", "httpserver2"),
        ] {
            assert_eq!(split(name), expected, "{name}");
        }
        const LIST: &Words = &Words::of(&["check", "ok2"]);
        assert!(has_word("preCheck_it", LIST) && has_word("isOK2", LIST) && has_word("é_CHECK", LIST));
        assert!(
            !has_word("checked", LIST) && !has_word("check2", LIST) && !has_word("kcehc", LIST) && !has_word("", LIST)
        );
        assert!(mentions("API_KEY", SECRET) && mentions("db_passwords", SECRET) && !mentions("keyboard", SECRET));
    }

    #[test]
    fn a_tail_means_the_whole_only_with_a_dot() {
        assert!(same("etree.parse", "lxml.etree.parse") && same("os.system", "os.system"));
        assert!(!same("parse", "lxml.etree.parse") && !same("tree.parse", "lxml.etree.parse"));
    }
}
