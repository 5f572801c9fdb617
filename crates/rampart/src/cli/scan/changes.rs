//! Lines that differ from another revision, as git tells them.

use anyhow::{Context, Result, bail};
use lexicon::Finding;
use std::{
    collections::HashMap,
    ffi::OsStr,
    ops::{Range, RangeInclusive},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Changed lines by file, files by their full path.
#[derive(Debug, Default)]
pub(super) struct Changes {
    lines: HashMap<PathBuf, Vec<RangeInclusive<usize>>>,
}

impl Changes {
    /// What differs between a revision and the files as they are, those that git does not know yet included.
    ///
    /// # Errors
    /// Git is not there, this is no repository, or there is no such revision.
    pub(super) fn since(base: &str) -> Result<Self> {
        if base.starts_with('-') {
            bail!("{base:?} is no revision");
        }
        let root = git(&["rev-parse", "--show-toplevel"])?;
        let root = path(root.trim_ascii_end());
        let revision = git(&["rev-parse", "--verify", "--quiet", &format!("{base}^{{commit}}")])
            .with_context(|| format!("{base:?} is no revision here"))?;
        let revision = String::from_utf8_lossy(&revision);
        let diff = git(&[
            "diff",
            "--unified=0",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--text",
            "--no-renames",
            "--relative",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            revision.trim(),
        ])?;
        // `--relative` counts from the current folder, as `ls-files` does.
        let here = std::path::absolute(".").unwrap_or(root);
        let mut changes = Self::read(&diff, &here);
        let new = git(&["ls-files", "--others", "--exclude-standard", "-z"])?;
        for name in new.split(|b| *b == 0).filter(|n| !n.is_empty()) {
            changes.lines.insert(plain(&here.join(path(name))), vec![1..=usize::MAX]);
        }
        Ok(changes)
    }

    /// Reads a diff without context. What stands in a hunk is somebody's text, however much it looks like the diff's own
    /// lines, so hunks are as long as their heads say.
    fn read(diff: &[u8], folder: &Path) -> Self {
        let (mut changes, mut file) = (Self::default(), None);
        let (mut removed, mut added) = (0usize, 0usize);
        for line in diff.split(|b| *b == b'\n') {
            match line.first() {
                Some(b'-') if removed > 0 => removed -= 1,
                Some(b'+') if added > 0 => added -= 1,
                Some(b'+') if line.starts_with(b"+++ ") => {
                    file = name(&line[4..]).map(|n| plain(&folder.join(n)));
                }
                Some(b'@') => {
                    let Some((old, new)) = line.utf8_chunks().next().and_then(|c| hunk(c.valid())) else { continue };
                    (removed, added) = (old, new.clone().count());
                    if let Some(file) = file.as_ref().filter(|_| added > 0) {
                        changes.lines.entry(file.clone()).or_default().push(new.start..=new.end - 1);
                    }
                }
                _ => {}
            }
        }
        changes
    }

    /// Whether a file has changed at all.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.lines.contains_key(&plain(path))
    }

    /// Whether a finding touches a changed line, or data enters it in one.
    pub(super) fn touch(&self, finding: &Finding) -> bool {
        let Some(ranges) = self.lines.get(&plain(Path::new(&finding.path))) else { return false };
        ranges.iter().any(|range| {
            *range.start() <= finding.end.line && finding.start.line <= *range.end()
                || finding.trace.iter().any(|step| range.contains(&step.at.line))
        })
    }
}

/// The number of removed lines and the new lines of `@@ -a,b +c,d @@ ..`.
fn hunk(line: &str) -> Option<(usize, Range<usize>)> {
    let mut parts = line.strip_prefix("@@ ")?.split(' ');
    let mut side = |sign: char| -> Option<(usize, usize)> {
        let side = parts.next()?.strip_prefix(sign)?;
        let (start, count) = side.split_once(',').unwrap_or((side, "1"));
        Some((start.parse().ok()?, count.parse().ok()?))
    };
    let ((_, removed), (start, added)) = (side('-')?, side('+')?);
    Some((removed, start..start.checked_add(added)?))
}

/// The file of a diff's `+++` line: nothing for one that is gone. Names with control characters, quotes or backslashes stand
/// in quotes, written as in C.
fn name(line: &[u8]) -> Option<PathBuf> {
    let Some(quoted) = line.strip_prefix(b"\"") else {
        // A name with a blank ends with a tab.
        let plain = line.strip_suffix(b"\t").unwrap_or(line);
        return plain.strip_prefix(b"b/").map(path);
    };
    let mut name = Vec::new();
    let mut rest = quoted.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => break,
            b'\\' => match rest.next()? {
                high @ b'0'..=b'3' => {
                    let (middle, low) = (rest.next()?, rest.next()?);
                    name.push((high - b'0') << 6 | (middle & 7) << 3 | (low & 7));
                }
                b'a' => name.push(7),
                b'b' => name.push(8),
                b't' => name.push(b'\t'),
                b'n' => name.push(b'\n'),
                b'v' => name.push(11),
                b'f' => name.push(12),
                b'r' => name.push(b'\r'),
                other => name.push(other),
            },
            _ => name.push(byte),
        }
    }
    name.strip_prefix(b"b/").map(path)
}

/// A path as git writes it: any bytes.
fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// A full path without `.` in it, as findings name it: what is not UTF-8 is replaced.
fn plain(path: &Path) -> PathBuf {
    let whole: PathBuf = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components().collect();
    PathBuf::from(whole.to_string_lossy().into_owned())
}

/// What git answers: names and lines of files, in whatever encoding they are.
fn git(arguments: &[&str]) -> Result<Vec<u8>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "git alone knows what has changed; it runs nothing of the repository's"
    )]
    let mut command = Command::new("git");
    // Settings of the repository must not start programs of its own.
    command.args(["-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-c", "diff.external="]).args(arguments);
    let output = command.output().context("cannot start git, which --diff needs")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lexicon::{Confidence, Position, Severity};

    #[test]
    fn hunks_name_the_new_lines() {
        let check = |line: &str, expect: Option<(usize, Range<usize>)>| assert_eq!(hunk(line), expect, "{line}");
        check("@@ -1,2 +3,4 @@ def f():", Some((2, 3..7)));
        check("@@ -1 +2 @@", Some((1, 2..3)));
        check("@@ -5,3 +4,0 @@", Some((3, 4..4)));
        check("@@ -5,3 +18446744073709551615,9 @@", None);
        check("nonsense", None);
    }

    #[test]
    fn names_are_what_git_means() {
        let check =
            |line: &str, expect: Option<&str>| assert_eq!(name(line.as_bytes()), expect.map(PathBuf::from), "{line}");
        check("b/a.py", Some("a.py"));
        check("b/a b.py\t", Some("a b.py"));
        check(r#""b/a\"b\\c\td\303\251.py""#, Some("a\"b\\c\tdé.py"));
        check("/dev/null", None);
        check(r#""b/a\30"#, None);
    }

    /// Lines of a file may look like those of a diff, and be in any encoding.
    #[test]
    fn text_in_hunks_is_not_read_as_a_diff() {
        let diff = b"+++ b/a.py\n@@ -1,2 +1,2 @@ caf\xe9\n--- a/x.py\n-caf\xe9\n+++ b/b.py\n+@@ -1 +9 @@\n@@ -7 +8 @@\n-x\n+y\n";
        let changes = Changes::read(diff.as_ref(), Path::new("/r"));
        assert_eq!(changes.lines, HashMap::from([(PathBuf::from("/r/a.py"), vec![1..=2, 8..=8])]));
    }

    #[test]
    fn findings_on_changed_lines_count() {
        let diff = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +2,2 @@\n-x\n+y\n+z\n--- a/b.py\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n";
        let changes = Changes::read(diff.as_ref(), Path::new("/r"));
        let at = |line| Position { line, column: 1 };
        let finding = |path: &str, start, end| Finding {
            format: 1,
            analyzer: "native".to_owned(),
            rule: "r".to_owned(),
            cwe: Vec::new(),
            severity: Severity::Low,
            confidence: Confidence::Low,
            path: path.to_owned(),
            start: at(start),
            end: at(end),
            message: String::new(),
            trace: Vec::new(),
        };
        for (path, start, end, expect) in [
            ("/r/a.py", 3, 3, true),
            ("/r/./a.py", 1, 2, true),
            ("/r/a.py", 1, 1, false),
            ("/r/a.py", 4, 9, false),
            ("/r/b.py", 1, 1, false),
        ] {
            assert_eq!(changes.touch(&finding(path, start, end)), expect, "{path} {start}-{end}");
        }
        assert!(changes.has(Path::new("/r/a.py")) && !changes.has(Path::new("/r/b.py")));
    }
}
