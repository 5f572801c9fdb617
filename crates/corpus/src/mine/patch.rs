//! A unified diff, as git and those who publish commits write it, as changed files with the parts that it shows of them.
//!
//! What is not shown is not guessed: a side is the text of its hunks, one after another.

use super::Reject;

/// A stretch of a file that a patch shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hunk {
    /// What stands behind the second `@@`: most often the head of the function around.
    pub heading: String,
    /// Lines before, each with its end.
    pub before: String,
    /// Lines after.
    pub after: String,
}

/// A file of a patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patched {
    /// Path before; none for a new file.
    pub was: Option<String>,
    /// Path after; none for a file that is deleted.
    pub path: Option<String>,
    /// Whether it is no text.
    pub binary: bool,
    /// What is shown of it.
    pub hunks: Vec<Hunk>,
}

impl Patched {
    /// The text of one side, hunk after hunk.
    #[must_use]
    pub fn side(&self, after: bool) -> String {
        self.hunks.iter().map(|h| if after { h.after.as_str() } else { h.before.as_str() }).collect()
    }
}

/// Reads a patch of several files. Hunks before any name are of a file without names: whoever publishes a patch a file keeps
/// them elsewhere.
///
/// # Errors
/// [`Reject::Malformed`] where a hunk holds fewer lines than it says, or a line has no sign: a patch that was cut is not judged.
pub fn parse(patch: &str) -> Result<Vec<Patched>, Reject> {
    let mut files: Vec<Patched> = Vec::new();
    let mut lines = patch.split_inclusive('\n').peekable();
    // Whether the last file's names came from its `diff` line alone, and `---` is still to come.
    let mut begun = false;
    while let Some(line) = lines.next() {
        let line = line.trim_end_matches(['\n', '\r']);
        if let Some(names) = line.strip_prefix("diff --git ") {
            let (was, path) = names_of(names).unwrap_or_default();
            files.push(Patched { was, path, ..Patched::default() });
            begun = true;
        } else if let Some(old) = line.strip_prefix("--- ")
            && let Some(new) = lines.peek().and_then(|l| l.strip_prefix("+++ "))
        {
            let (was, path) = (name(old, "a/"), name(new, "b/"));
            lines.next();
            match files.last_mut().filter(|_| begun) {
                Some(file) => (file.was, file.path) = (was, path),
                None => files.push(Patched { was, path, ..Patched::default() }),
            }
            begun = false;
        } else if let Some(rest) = line.strip_prefix("@@ ") {
            let hunk = hunk(rest, &mut lines)?;
            if files.is_empty() {
                files.push(Patched::default());
            }
            begun = false;
            files.last_mut().ok_or(Reject::Malformed)?.hunks.push(hunk);
        } else if let Some(file) = files.last_mut() {
            if line.starts_with("new file mode") {
                file.was = None;
            } else if line.starts_with("deleted file mode") {
                file.path = None;
            } else if let Some(from) = line.strip_prefix("rename from ") {
                file.was = Some(unquoted(from));
            } else if let Some(to) = line.strip_prefix("rename to ") {
                file.path = Some(unquoted(to));
            } else if line.starts_with("Binary files ") || line == "GIT binary patch" {
                file.binary = true;
            }
        }
    }
    Ok(files)
}

/// A hunk behind its first `@@ `: `-1,7 +1,8 @@ heading`, then as many lines as that says.
fn hunk<'t>(head: &str, lines: &mut std::iter::Peekable<impl Iterator<Item = &'t str>>) -> Result<Hunk, Reject> {
    let (ranges, heading) = head.split_once("@@").ok_or(Reject::Malformed)?;
    let count = |sign: char| -> Option<usize> {
        let range = ranges.split_whitespace().find_map(|r| r.strip_prefix(sign))?;
        match range.split_once(',') {
            Some((_, n)) => n.parse().ok(),
            None => range.parse::<usize>().ok().map(|_| 1),
        }
    };
    let (mut old, mut new) = (count('-').ok_or(Reject::Malformed)?, count('+').ok_or(Reject::Malformed)?);
    let mut hunk = Hunk { heading: heading.trim().to_owned(), ..Hunk::default() };
    let mut last = [false; 2];
    loop {
        // The end of a file without a line's end is told after the line.
        if lines.peek().is_some_and(|l| l.starts_with('\\')) {
            lines.next();
            for (side, _) in [(&mut hunk.before, last[0]), (&mut hunk.after, last[1])].into_iter().filter(|s| s.1) {
                side.truncate(side.trim_end_matches(['\n', '\r']).len());
            }
            continue;
        }
        if old == 0 && new == 0 {
            return Ok(hunk);
        }
        let line = lines.next().ok_or(Reject::Malformed)?;
        // Some who publish patches cut blanks at the ends of lines, and so the sign of an empty line.
        let empty = line == "\n" || line == "\r\n";
        let (sign, text) = if empty { (" ", line) } else { line.split_at_checked(1).ok_or(Reject::Malformed)? };
        last = [sign != "+", sign != "-"];
        for (side, left, told) in [(&mut hunk.before, &mut old, last[0]), (&mut hunk.after, &mut new, last[1])] {
            if told {
                *left = left.checked_sub(1).ok_or(Reject::Malformed)?;
                side.push_str(text);
                if !text.ends_with('\n') {
                    side.push('\n');
                }
            }
        }
        if !matches!(sign, " " | "+" | "-") {
            return Err(Reject::Malformed);
        }
    }
}

/// Both names of a `diff --git` line, which are the same but for a rename.
fn names_of(names: &str) -> Option<(Option<String>, Option<String>)> {
    if names.starts_with('"') {
        let (a, b) = names.split_once("\" ")?;
        return Some((name(&format!("{a}\""), "a/"), name(b, "b/")));
    }
    // A name may hold blanks: both are as long.
    let (a, b) = match names.split_at_checked(names.len() / 2) {
        Some((a, b)) if b.starts_with(" b/") && a.get(2..) == b.get(3..) => (a, &b[1..]),
        _ => names.split_once(" b/").map(|(a, _)| (a, &names[a.len() + 1..]))?,
    };
    Some((name(a, "a/"), name(b, "b/")))
}

/// A name as it stands behind `---`: without prefix and time; nothing for `/dev/null`.
fn name(text: &str, prefix: &str) -> Option<String> {
    let text = text.trim_end_matches(['\n', '\r']).split('\t').next().unwrap_or_default();
    let text = unquoted(text);
    let bare = text.strip_prefix(prefix).unwrap_or(&text);
    (bare != "/dev/null" && !bare.is_empty()).then(|| bare.to_owned())
}

/// A name that git has put in quotation marks because of its signs.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else { return text.to_owned() };
    let (mut bytes, mut rest) = (Vec::new(), inner.bytes().peekable());
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(digit @ b'0'..=b'3') => {
                let mut value = digit - b'0';
                while let Some(more) = rest.next_if(|b| (b'0'..=b'7').contains(b)) {
                    value = value.wrapping_mul(8).wrapping_add(more - b'0');
                }
                bytes.push(value);
            }
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `was|path|before|after` of each file.
    fn check(patch: &str, expect: Result<&[(&str, &str, &str, &str)], Reject>) {
        let found = parse(patch).map(|files| {
            let text = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
            let side = |f: &Patched, after| if f.binary { "binary".to_owned() } else { f.side(after) };
            files.iter().map(|f| (text(&f.was), text(&f.path), side(f, false), side(f, true))).collect::<Vec<_>>()
        });
        let expect = expect.map(|files| {
            let own = |t: &str| t.to_owned();
            files.iter().map(|f| (own(f.0), own(f.1), own(f.2), own(f.3))).collect::<Vec<_>>()
        });
        assert_eq!(found, expect, "{patch}");
    }

    #[test]
    fn patches() {
        check("", Ok(&[]));
        check("no patch at all\n", Ok(&[]));
        check(
            "diff --git a/x.py b/x.py\nindex 1..2 100644\n--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@ def f():\n a\n-b\n+c\n",
            Ok(&[("x.py", "x.py", "a\nb\n", "a\nc\n")]),
        );
        // Two files, several hunks, and lines that look like heads of files.
        check(
            "--- a/x\n+++ b/x\n@@ -1 +1 @@\n--- y\n+++ z\n@@ -9,0 +9 @@\n+new\n--- a/p\t2020\n+++ b/q\t2020\n@@ -1 +1 @@\n-a\n+b\n",
            Ok(&[("x", "x", "-- y\n", "++ z\nnew\n"), ("p", "q", "a\n", "b\n")]),
        );
        // Hunks alone; an empty line whose sign was cut; no end of line at the end.
        check("@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n\\ No newline at end of file\n", Ok(&[("-", "-", "a\n\nb\n", "a\n\nc")]));
        check("@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n", Ok(&[("-", "-", "a", "a\n")]));
        check("@@ -1 +1 @@\n-a\n+b", Ok(&[("-", "-", "a\n", "b\n")]));
        check(
            "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+a\n",
            Ok(&[("-", "n", "", "a\n")]),
        );
        check(
            "diff --git a/n b/n\ndeleted file mode 100644\n--- a/n\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
            Ok(&[("n", "-", "a\n", "")]),
        );
        check(
            "diff --git a/o n b/o n\nBinary files a/o n and b/o n differ\n",
            Ok(&[("o n", "o n", "binary", "binary")]),
        );
        check(
            "diff --git a/a.py b/b.py\nsimilarity index 90%\nrename from a.py\nrename to b.py\n",
            Ok(&[("a.py", "b.py", "", "")]),
        );
        check(
            "diff --git \"a/\\303\\244\" \"b/\\303\\244\"\n--- \"a/\\303\\244\"\n+++ \"b/\\303\\244\"\n@@ -1 +1 @@\n-a\n+b\n",
            Ok(&[("ä", "ä", "a\n", "b\n")]),
        );
        // Cut, without signs, or with numbers that are none.
        for broken in [
            "@@ -1,3 +1,3 @@\n a\n",
            "@@ -1,2 +1,2 @@\n-a\n+b\n?c\n",
            "@@ -x +1 @@\n+a\n",
            "@@ -1 @@\n-a\n",
            "@@ -1 +1\n-a\n+b\n",
            "@@ -1,2 +1 @@\n+a\n+b\n",
            "@@ -1 +1 @@\näa\n",
            "@@ -1,99999999999999999999 +1 @@\n-a\n",
        ] {
            check(broken, Err(Reject::Malformed));
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "(diff --git |--- |\\+\\+\\+ |@@ -1,2 \\+1 @@|\\\\| |\\+|-|\"|a/|b/|ä|\n){0,40}") {
            let _ = parse(&text);
        }
    }
}
