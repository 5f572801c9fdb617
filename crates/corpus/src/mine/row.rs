//! A row of a table of commits: the same words, limits and judgement as for a commit of a repository.
//!
//! A row shows what it changes as both texts of a file, or as a patch. What [`screen`] says of it travels as JSON, from machines
//! that read tables to the one that judges.

use super::{
    Heuristics, Reject, Suspect, fragment,
    history::{Change, Entry, Texts},
    patch::{self, Patched},
    screen::{self, Changed, Sifted, sift},
};
use judge::languages::Dialect;
use lexicon::FORMAT;
use serde::{Deserialize, Serialize};

/// What a row says of one file. Texts win over a patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell<'a> {
    /// Path before; that of after where it is not told.
    pub was: Option<&'a str>,
    /// Path after; that of before where it is not told.
    pub path: Option<&'a str>,
    /// Text before.
    pub before: Option<&'a str>,
    /// Text after.
    pub after: Option<&'a str>,
    /// Hunks of this file.
    pub patch: Option<&'a str>,
}

/// A row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row<'a> {
    /// The commit's message.
    pub message: Option<&'a str>,
    /// A patch of all its files.
    pub patch: Option<&'a str>,
    /// Its files, if the table has them apart.
    pub files: Vec<Cell<'a>>,
}

/// What a row came to, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Outcome {
    /// Record format.
    pub format: u32,
    /// Why it is no candidate; nothing where it is one.
    pub reason: Option<Reject>,
    /// First line of the message, of a candidate.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Weaknesses that it may be about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<Suspect>,
    /// Code that it changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Sides>,
    /// Lines that it changes.
    #[serde(default)]
    pub lines: usize,
    /// Whether its texts are what a patch shows, and not whole files.
    #[serde(default)]
    pub fragment: bool,
}

/// Both texts of a file, as they travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sides {
    /// Path before.
    pub was: String,
    /// Path after.
    pub path: String,
    /// Text before.
    pub before: String,
    /// Text after.
    pub after: String,
}

impl Outcome {
    /// What was left of a candidate; files of no language that this program knows are left out.
    #[must_use]
    pub fn sifted(self) -> Sifted {
        let changed = |s: Sides| {
            let dialect = Dialect::of(&s.path)?;
            Some(Changed { was: s.was, path: s.path, before: s.before, after: s.after, dialect })
        };
        Sifted {
            suspects: self.suspects,
            files: self.files.into_iter().filter_map(changed).collect(),
            lines: self.lines,
        }
    }
}

/// Whether a row is looked at any further: its message holds a phrase, or it has none and must be counted.
#[must_use]
pub fn speaks(heuristics: &Heuristics, message: Option<&str>) -> bool {
    message.is_none_or(|m| heuristics.message(m).speaks())
}

/// Looks at one row.
#[must_use]
pub fn screen(heuristics: &Heuristics, row: &Row) -> Outcome {
    match look(heuristics, row) {
        Ok((sifted, fragment)) => Outcome {
            format: FORMAT,
            reason: None,
            subject: screen::subject(row.message.unwrap_or_default()),
            suspects: sifted.suspects,
            files: sifted
                .files
                .into_iter()
                .map(|f| Sides { was: f.was, path: f.path, before: f.before, after: f.after })
                .collect(),
            lines: sifted.lines,
            fragment,
        },
        Err(reason) => Outcome {
            format: FORMAT,
            reason: Some(reason),
            subject: String::new(),
            suspects: Vec::new(),
            files: Vec::new(),
            lines: 0,
            fragment: false,
        },
    }
}

fn look(heuristics: &Heuristics, row: &Row) -> Result<(Sifted, bool), Reject> {
    let message = heuristics.message(row.message.ok_or(Reject::Malformed)?);
    if !message.speaks() {
        return Err(Reject::NoKeyword);
    }
    let shown = shown(row)?;
    let fragment = shown.iter().any(|s| matches!(s.texts, Shown::Patch(_)));
    let changes = shown.iter().enumerate().map(|(at, s)| s.change(at)).collect();
    let mut sifted = sift(heuristics, &message, changes, &Side(&shown))?;
    if fragment {
        // Hunks of a file become what can be parsed; one that moved as a whole is shown as a whole.
        let pieces = |file: &Changed| {
            let hunks = shown.iter().find_map(|s| match &s.texts {
                Shown::Patch(p) if s.was.as_ref() == Some(&file.was) && s.path.as_ref() == Some(&file.path) => {
                    Some(p.hunks.as_slice())
                }
                _ => None,
            });
            hunks.map_or_else(|| vec![file.clone()], |hunks| fragment::pieces(file, hunks))
        };
        sifted.files = sifted.files.iter().flat_map(pieces).collect();
    }
    Ok((sifted, fragment))
}

/// A file as a row shows it.
struct File<'a> {
    was: Option<String>,
    path: Option<String>,
    texts: Shown<'a>,
}

enum Shown<'a> {
    Texts(&'a str, &'a str),
    Patch(Patched),
}

impl File<'_> {
    fn change(&self, at: usize) -> Change<(usize, bool)> {
        let entry = |path: &Option<String>, after| {
            let path = path.clone()?;
            Some(Entry { path, id: (at, after), file: true })
        };
        Change { before: entry(&self.was, false), after: entry(&self.path, true) }
    }
}

/// Texts of a row's files, by place and side.
struct Side<'a>(&'a [File<'a>]);

impl Texts<(usize, bool)> for Side<'_> {
    fn bytes(&self, id: &(usize, bool), most: u64) -> Result<Vec<u8>, Reject> {
        let text = match (&self.0[id.0].texts, id.1) {
            (Shown::Patch(p), _) if p.binary => return Err(Reject::NotText),
            (Shown::Patch(p), after) => p.side(after),
            (Shown::Texts(before, _), false) => (*before).to_owned(),
            (Shown::Texts(_, after), true) => (*after).to_owned(),
        };
        if text.len() as u64 > most { Err(Reject::TooLargeFile) } else { Ok(text.into_bytes()) }
    }
}

/// The files of a row: those that it has apart, else those of its patch.
fn shown<'a>(row: &Row<'a>) -> Result<Vec<File<'a>>, Reject> {
    let mut out = Vec::new();
    for cell in &row.files {
        let names = || {
            let own = |name: Option<&str>| name.map(str::to_owned);
            (own(cell.was.or(cell.path)), own(cell.path.or(cell.was)))
        };
        if cell.before.is_some() || cell.after.is_some() {
            // A file that is new or deleted has one text; an empty one beside a full one is as good as none.
            let there = |text: Option<&str>| text.is_some_and(|t| !t.is_empty());
            let ((was, path), before, after) = (names(), there(cell.before), there(cell.after));
            out.push(File {
                was: was.filter(|_| before || !after),
                path: path.filter(|_| after || !before),
                texts: Shown::Texts(cell.before.unwrap_or_default(), cell.after.unwrap_or_default()),
            });
        } else if let Some(text) = cell.patch {
            out.extend(patch::parse(text)?.into_iter().map(|p| patched(p, names())));
        }
    }
    if out.is_empty() {
        let names = match row.files.as_slice() {
            [one] => (one.was.or(one.path).map(str::to_owned), one.path.or(one.was).map(str::to_owned)),
            _ => (None, None),
        };
        let files = patch::parse(row.patch.ok_or(Reject::MissingObject)?)?;
        out.extend(files.into_iter().map(|p| patched(p, names.clone())));
    }
    Ok(out)
}

/// A file of a patch, under its own names or, where the patch has none, those of the row.
fn patched<'a>(mut patched: Patched, names: (Option<String>, Option<String>)) -> File<'a> {
    let (was, path) = match (patched.was.take(), patched.path.take()) {
        // Hunks alone say by an empty side that the file is new or deleted.
        (None, None) => {
            let shows = |after| patched.binary || !patched.side(after).is_empty();
            (names.0.filter(|_| shows(false)), names.1.filter(|_| shows(true)))
        }
        own => own,
    };
    File { was, path, texts: Shown::Patch(patched) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "import os\n\ndef f(x):\n    os.system('ls ' + x)\n";
    const AFTER: &str = "import subprocess\n\ndef f(x):\n    subprocess.run(['ls', x])\n";
    const PATCH: &str = "--- a/a.py\n+++ b/a.py\n@@ -1,4 +1,4 @@\n-import os\n+import subprocess\n \n def f(x):\n-    os.system('ls ' \
                         + x)\n+    subprocess.run(['ls', x])\n";

    fn check(row: &Row, expect: Result<(usize, bool), Reject>) {
        let outcome = screen(&Heuristics::built_in().expect("heuristics"), row);
        let again: Outcome = serde_json::from_str(&serde_json::to_string(&outcome).expect("JSON")).expect("an outcome");
        assert_eq!(again, outcome);
        let found = outcome.reason.map_or(Ok((outcome.files.len(), outcome.fragment)), Err);
        assert_eq!(found, expect, "{row:?}");
        if found.is_ok() {
            let sifted = outcome.sifted();
            assert_eq!((sifted.files[0].before.as_str(), sifted.files[0].after.as_str()), (BEFORE, AFTER));
        }
    }

    #[test]
    fn rows_of_every_form() {
        let message = Some("Fix command injection");
        let hunks = PATCH.split_once("@@").map(|(_, rest)| format!("@@{rest}")).expect("hunks");
        let named = Cell { path: Some("a.py"), ..Cell::default() };
        let texts = Cell { before: Some(BEFORE), after: Some(AFTER), ..named };
        let of = |patch, files: &[Cell<'static>]| Row { message, patch, files: files.to_vec() };
        check(&of(None, &[texts]), Ok((1, false)));
        check(&of(Some("not looked at"), &[texts]), Ok((1, false)));
        check(&of(Some(PATCH), &[]), Ok((1, true)));
        check(&of(Some(PATCH), &[named, named]), Ok((1, true)));
        check(&Row { message, patch: Some(&hunks), files: vec![named] }, Ok((1, true)));
        check(&Row { message, patch: None, files: vec![Cell { patch: Some(&hunks), ..named }] }, Ok((1, true)));
        // Without anything to look at, without a name, or with a message that is none.
        check(&of(None, &[]), Err(Reject::MissingObject));
        check(&of(None, &[named]), Err(Reject::MissingObject));
        check(&Row { message, patch: Some(&hunks), files: Vec::new() }, Err(Reject::NoCode));
        let new = Cell { patch: Some("@@ -0,0 +1 @@\n+a()\n"), ..named };
        check(&of(None, &[new]), Err(Reject::NoCounterpart));
        check(&Row { message: None, ..of(None, &[texts]) }, Err(Reject::Malformed));
        check(&Row { message: Some("Tidy up"), ..of(None, &[texts]) }, Err(Reject::NoKeyword));
        check(&of(Some(&PATCH[..PATCH.len() - 40]), &[]), Err(Reject::Malformed));
        check(&of(None, &[texts, texts, texts]), Err(Reject::TooManyFiles));
        check(&of(None, &[Cell { before: None, ..texts }]), Err(Reject::NoCounterpart));
        check(&of(None, &[Cell { before: Some(""), ..texts }]), Err(Reject::NoCounterpart));
        check(&of(None, &[Cell { after: Some(BEFORE), ..texts }]), Err(Reject::NoCounterpart));
        check(&of(None, &[Cell { after: Some("#\0"), ..texts }]), Err(Reject::NotText));
    }
}
