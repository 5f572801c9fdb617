//! A commit by itself, before anybody judges its code: whether it is small enough, code, and more than comments.

use super::{
    Heuristics, Reject, Suspect,
    heuristics::{Count, Message},
    history::{Change, Entry, History, Reader, Texts},
};
use gix::ObjectId;
use judge::languages::{Dialect, same_code};
use lexicon::Language;
use std::collections::HashMap;

/// A file that a commit changes, with both its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Path before.
    pub was: String,
    /// Path after.
    pub path: String,
    /// Text before.
    pub before: String,
    /// Text after.
    pub after: String,
    /// What it is written in.
    pub dialect: Dialect,
}

/// A commit that may be a fix.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// Name of the repository that it is of.
    pub repository: String,
    /// The first line of its message.
    pub subject: String,
    /// What was left of it.
    pub sifted: Sifted,
    /// Where its licence is.
    pub terms: Terms,
    /// What else its pairs say of where they are from.
    pub notes: Vec<(&'static str, String)>,
}

/// Where the licence of a commit's code is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terms {
    /// Among the files of a tree.
    Tree(ObjectId),
    /// It is told; empty where it is not known.
    Told(String),
}

/// What is left of a commit's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sifted {
    /// Weaknesses that it may be about.
    pub suspects: Vec<Suspect>,
    /// Files of code that it changes, tests left out.
    pub files: Vec<Changed>,
    /// Lines that it changes.
    pub lines: usize,
}

/// What becomes of a commit, with the first line of its message where it has a keyword.
pub type Screened = Result<Candidate, (Reject, String)>;

/// Looks at one commit.
pub fn screen(history: &History, reader: &Reader, id: ObjectId, heuristics: &Heuristics) -> Screened {
    let commit = reader.commit(id).map_err(|why| (why, String::new()))?;
    let message = heuristics.message(&commit.message);
    if !message.speaks() {
        return Err((Reject::NoKeyword, String::new()));
    }
    let look = || -> Result<Sifted, Reject> {
        let parent = match commit.parents.as_slice() {
            [] => return Err(Reject::Root),
            _ if history.is_boundary(id) => return Err(Reject::Shallow),
            [parent] => reader.commit(*parent)?,
            _ => return Err(Reject::Merge),
        };
        sift(heuristics, &message, reader.changes(parent.tree, commit.tree)?, reader)
    };
    let subject = subject(&commit.message);
    match look() {
        Err(why) => Err((why, subject)),
        Ok(sifted) => Ok(Candidate {
            id: id.to_string(),
            repository: history.name.clone(),
            subject,
            sifted,
            terms: Terms::Tree(commit.tree),
            notes: Vec::new(),
        }),
    }
}

/// The first line of a message.
pub(super) fn subject(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim().chars().take(200).collect()
}

/// Looks at what a commit with a keyword changes, whoever tells of it: small enough, code on both sides, more than comments, and
/// of a weakness.
///
/// # Errors
/// Why it is no candidate.
pub fn sift<I>(
    heuristics: &Heuristics,
    message: &Message,
    changes: Vec<Change<I>>,
    from: &impl Texts<I>,
) -> Result<Sifted, Reject> {
    let limits = heuristics.limits;
    let counts = |c: &&Change<I>| limits.count == Count::All || kind(c) == Some(What::Code);
    // A file that moves is one file.
    let gone = |c: &&Change<I>| c.after.is_none();
    let (all, moved) = (changes.iter().filter(counts).count(), changes.iter().filter(counts).filter(gone).count());
    let new = changes.iter().filter(counts).filter(|c| c.before.is_none()).count();
    if all - moved.min(new) > limits.files {
        return Err(Reject::TooManyFiles);
    }
    let kinds: Vec<_> = changes.iter().filter_map(kind).collect();
    if !kinds.contains(&What::Code) {
        return Err(if kinds.contains(&What::Test) { Reject::TestsOnly } else { Reject::NoCode });
    }
    let texts = texts(from, changes, limits.bytes)?;
    let mut lines = 0;
    let mut files = Vec::new();
    for (what, file) in texts {
        let counted = limits.count == Count::All || what == Some(What::Code);
        if counted {
            let most = limits.lines - lines;
            lines += changed_lines(&file.0, &file.1, most).ok_or(Reject::TooManyLines)?;
        }
        files.extend(file.2.filter(|_| what == Some(What::Code)).map(|(was, path, dialect)| Changed {
            was,
            path,
            before: file.0,
            after: file.1,
            dialect,
        }));
    }
    if files.is_empty() {
        return Err(Reject::NoCounterpart);
    }
    files.retain(|f| f.before != f.after);
    if files.is_empty() {
        return Err(Reject::NoCounterpart);
    }
    files.retain(|f| !same_code(f.dialect, &f.before, &f.after));
    if files.is_empty() {
        return Err(Reject::CommentOnly);
    }
    let touched: Vec<(Language, String)> =
        files.iter().map(|f| (f.dialect.language(), touched(&f.before, &f.after))).collect();
    let suspects = heuristics.suspects(message, touched.iter().map(|(l, t)| (*l, t.as_str())));
    if suspects.is_empty() {
        return Err(Reject::NoCodeWord);
    }
    Ok(Sifted { suspects, files, lines })
}

/// What a changed path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Code,
    Test,
}

/// What kind of code a path holds; nothing where it holds none of ours, or others'.
fn what(path: &str) -> Option<What> {
    let lower = path.to_ascii_lowercase();
    let mut parts: Vec<&str> = lower.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    Dialect::of(name)?;
    let others = [
        "vendor",
        "node_modules",
        "third_party",
        "third-party",
        "thirdparty",
        "bower_components",
        "dist",
        "site-packages",
    ];
    if parts.iter().any(|p| others.contains(p)) || name.contains(".min.") || name.contains(".pb.") {
        return None;
    }
    let folders =
        ["test", "tests", "testing", "testdata", "spec", "specs", "__tests__", "__mocks__", "fixtures", "e2e"];
    let stem = name.split('.').next().unwrap_or_default();
    let original = path.rsplit('/').next().and_then(|n| n.split('.').next()).unwrap_or_default();
    let test = parts.iter().any(|p| folders.contains(p))
        || stem.starts_with("test_")
        || ["_test", "_tests", "_spec"].iter().any(|end| stem.ends_with(end))
        || name.contains(".test.")
        || name.contains(".spec.")
        || ["conftest", "test", "tests"].contains(&stem)
        || (name.ends_with(".java") && ["Test", "Tests", "TestCase"].iter().any(|end| original.ends_with(end)));
    Some(if test { What::Test } else { What::Code })
}

fn kind<I>(change: &Change<I>) -> Option<What> {
    let entry = change.after.as_ref().or(change.before.as_ref()).filter(|e| e.file)?;
    what(&entry.path)
}

/// Text before and after; paths and grammar where the file is code on both sides.
type Sides = (String, String, Option<(String, String, Dialect)>);

/// The texts of all changed files; files that move are put together. What is no text counts no lines.
fn texts<I>(from: &impl Texts<I>, changes: Vec<Change<I>>, most: u64) -> Result<Vec<(Option<What>, Sides)>, Reject> {
    let read = |entry: &Option<Entry<I>>, code: bool| -> Result<String, Reject> {
        let Some(entry) = entry.as_ref().filter(|e| e.file) else { return Ok(String::new()) };
        match from.bytes(&entry.id, most) {
            // What is not judged may be of any size and kind.
            Err(Reject::TooLargeFile) if !code => Ok(String::new()),
            Err(why) => Err(why),
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => Ok(text),
                _ if code => Err(Reject::NotText),
                _ => Ok(String::new()),
            },
        }
    };
    let (mut out, mut gone, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        let what = kind(&change);
        let texts = (read(&change.before, what.is_some())?, read(&change.after, what.is_some())?);
        match (change.before, change.after) {
            (Some(before), None) => gone.push((what, before.path, texts.0)),
            (None, Some(after)) => new.push((what, after.path, texts.1)),
            (Some(before), Some(after)) => {
                let both = before.file && after.file;
                let place = Dialect::of(&after.path).filter(|_| both).map(|d| (before.path, after.path, d));
                out.push((what, (texts.0, texts.1, place)));
            }
            (None, None) => {}
        }
    }
    for (what, path, after) in new {
        let alike = |(was, _, before): &(Option<What>, String, String)| {
            let near = if *was == what && Dialect::of(&path).is_some() { likeness(before, &after) } else { 0.0 };
            (near * 1_000.0) as usize
        };
        let best = (0..gone.len()).max_by_key(|&i| alike(&gone[i])).filter(|&i| alike(&gone[i]) >= 500);
        match best {
            Some(i) => {
                let (_, was, before) = gone.remove(i);
                let place = Dialect::of(&path).map(|d| (was, path, d));
                out.push((what, (before, after, place)));
            }
            None => out.push((what, (String::new(), after, None))),
        }
    }
    out.extend(gone.into_iter().map(|(what, _, before)| (what, (before, String::new(), None))));
    Ok(out)
}

/// Share of lines that two texts have in common.
fn likeness(a: &str, b: &str) -> f64 {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let (mut all, mut common) = (0_usize, 0_usize);
    for line in a.lines() {
        *counts.entry(line).or_default() += 1;
        all += 1;
    }
    for line in b.lines() {
        all += 1;
        if let Some(n) = counts.get_mut(line).filter(|n| **n > 0) {
            *n -= 1;
            common += 2;
        }
    }
    common as f64 / all.max(1) as f64
}

/// The least number of lines that lead from one text to the other, removed and added ones; nothing above `most`.
///
/// Myers' greedy walk (Algorithmica 1986), which ends once it has gone as far as allowed: time and space grow with the lines
/// times `most`, whatever the texts.
#[must_use]
pub fn changed_lines(before: &str, after: &str, most: usize) -> Option<usize> {
    if before == after {
        return Some(0);
    }
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut number = |text| -> Vec<u32> {
        let lines = str::split_inclusive(text, '\n');
        let mut each = |line| {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            *numbers.entry(line).or_insert(next)
        };
        lines.map(&mut each).collect()
    };
    let (a, b) = (number(before), number(after));
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let reach = most.min(a.len() + b.len());
    // The furthest line of `a` reached on each diagonal; `reach + 1` is the middle one.
    let mut furthest = vec![0_usize; 2 * reach + 3];
    let middle = reach + 1;
    for d in 0..=reach {
        for k in (0..=2 * d).step_by(2) {
            let at = middle + k - d;
            let down = k == 0 || (k != 2 * d && furthest[at - 1] < furthest[at + 1]);
            let mut x = if down { furthest[at + 1] } else { furthest[at - 1] + 1 };
            // Beyond the edge of either text there is no way.
            let Some(mut y) = (x + middle).checked_sub(at) else { continue };
            while x < a.len() && y < b.len() && a[x] == b[y] {
                x += 1;
                y += 1;
            }
            furthest[at] = x;
            if x >= a.len() && y >= b.len() {
                return Some(d);
            }
        }
    }
    None
}

/// The lines of two texts that the other has not.
fn touched(before: &str, after: &str) -> String {
    let mut out = String::new();
    for (one, other) in [(before, after), (after, before)] {
        let mut there: HashMap<&str, usize> = HashMap::new();
        other.lines().for_each(|l| *there.entry(l).or_default() += 1);
        for line in one.lines() {
            match there.get_mut(line).filter(|n| **n > 0) {
                Some(n) => *n -= 1,
                None => {
                    out.push_str(line);
                    out.push('\n');
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths() {
        let cases = [
            ("a/b.py", Some(What::Code)),
            ("tests/b.py", Some(What::Test)),
            ("a/test_b.py", Some(What::Test)),
            ("a/b_test.go", Some(What::Test)),
            ("a/b.spec.ts", Some(What::Test)),
            ("a/BTest.java", Some(What::Test)),
            ("a/Latest.java", Some(What::Code)),
            ("a/contest.py", Some(What::Code)),
            ("vendor/b.go", None),
            ("a/b.min.js", None),
            ("README.md", None),
            ("Makefile", None),
            ("", None),
        ];
        for (path, expect) in cases {
            assert_eq!(what(path), expect, "{path}");
        }
    }

    #[test]
    fn lines_are_counted_up_to_the_limit() {
        let cases = [
            ("a\nb\nc\n", "a\nx\nc\n", 40, Some(2)),
            ("", "a\n", 40, Some(1)),
            ("a\n", "", 40, Some(1)),
            ("a\nb\n", "b\na\n", 40, Some(2)),
            ("a", "a\n", 40, Some(2)),
            ("a\nb\nc\n", "x\ny\nz\n", 5, None),
            ("a\nb\nc\n", "x\ny\nz\n", 6, Some(6)),
            ("a\n", "b\n", 0, None),
            ("a\n", "a\n", 0, Some(0)),
        ];
        for (a, b, most, expect) in cases {
            assert_eq!(changed_lines(a, b, most), expect, "{a:?} {b:?} {most}");
        }
    }

    proptest! {
        #[test]
        fn as_many_lines_as_a_table_says(a in "([ab]\n){0,12}", b in "([abc]\n){0,12}") {
            let (x, y): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
            let mut table = vec![vec![0_usize; y.len() + 1]; x.len() + 1];
            for i in 0..x.len() {
                for j in 0..y.len() {
                    table[i + 1][j + 1] =
                        if x[i] == y[j] { table[i][j] + 1 } else { table[i][j + 1].max(table[i + 1][j]) };
                }
            }
            let least = x.len() + y.len() - 2 * table[x.len()][y.len()];
            prop_assert_eq!(changed_lines(&a, &b, 40), Some(least));
            prop_assert_eq!(changed_lines(&a, &b, least), Some(least));
            if least > 0 {
                prop_assert_eq!(changed_lines(&a, &b, least - 1), None);
            }
        }
    }
}
