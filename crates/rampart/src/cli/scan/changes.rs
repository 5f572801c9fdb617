//! Lines that differ from another revision, as git tells them.

use anyhow::{Context, Result, bail};
use lexicon::Finding;
use std::{
    collections::HashMap,
    ops::RangeInclusive,
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
        let root = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?.trim_end_matches('\n'));
        let revision = git(&["rev-parse", "--verify", "--quiet", &format!("{base}^{{commit}}")])
            .with_context(|| format!("{base:?} is no revision here"))?;
        let diff = git(&[
            "diff",
            "--unified=0",
            "--no-color",
            "--no-ext-diff",
            "--no-renames",
            "--relative",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            revision.trim(),
        ])?;
        // `--relative` counts from the current folder, as `ls-files` does.
        let here = std::path::absolute(".").unwrap_or(root);
        let mut changes = Self::read(&diff, &here);
        for name in git(&["ls-files", "--others", "--exclude-standard", "-z"])?.split('\0').filter(|n| !n.is_empty()) {
            changes.lines.insert(plain(&here.join(name)), vec![1..=usize::MAX]);
        }
        Ok(changes)
    }

    /// Reads a diff without context.
    fn read(diff: &str, folder: &Path) -> Self {
        let (mut changes, mut file) = (Self::default(), None);
        for line in diff.lines() {
            if let Some(name) = line.strip_prefix("+++ ") {
                file = name.strip_prefix("b/").map(|n| plain(&folder.join(n.trim_end_matches('\t'))));
            } else if let (Some(hunk), Some(file)) = (line.strip_prefix("@@ "), &file)
                && let Some(range) = new_lines(hunk)
            {
                changes.lines.entry(file.clone()).or_default().push(range);
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

/// Lines on the new side of `-a,b +c,d @@ ..`; nothing where lines were only removed.
fn new_lines(hunk: &str) -> Option<RangeInclusive<usize>> {
    let new = hunk.split(' ').find_map(|part| part.strip_prefix('+'))?;
    let (start, count) = new.split_once(',').unwrap_or((new, "1"));
    let (start, count): (usize, usize) = (start.parse().ok()?, count.parse().ok()?);
    (count > 0).then(|| start..=start + count - 1)
}

/// A full path without `.` in it.
fn plain(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components().collect()
}

/// What git answers.
fn git(arguments: &[&str]) -> Result<String> {
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
    String::from_utf8(output.stdout).context("git answers in something else than UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lexicon::{Confidence, Position, Severity};

    #[test]
    fn hunks_name_the_new_lines() {
        let check = |hunk: &str, expect: Option<RangeInclusive<usize>>| assert_eq!(new_lines(hunk), expect, "{hunk}");
        check("-1,2 +3,4 @@ def f():", Some(3..=6));
        check("-1 +2 @@", Some(2..=2));
        check("-5,3 +4,0 @@", None);
        check("nonsense", None);
    }

    #[test]
    fn findings_on_changed_lines_count() {
        let diff = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +2,2 @@\n-x\n+y\n+z\n--- a/b.py\n+++ /dev/null\n@@ -1,2 +0,0 @@\n";
        let changes = Changes::read(diff, Path::new("/r"));
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
