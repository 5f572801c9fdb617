//! Checks the rules of the house that no compiler knows: a tree of files in, problems with file and line out.
//!
//! A rule is a function over [`Tree`], listed once in [`ALL`]. Rules read text line by line and know nothing
//! of Rust's grammar: a comment is a line that starts with `//`, and the tests of a file are what follows its
//! first `#[cfg(test)]`. Where a rule must be broken, the line or the one above it says
//! `tidy-expect(rule): why`.

mod documents;
mod files;
mod floors;
mod manifest;
mod source;
mod tree;

use std::{fmt, path::Path};
use tree::Tree;

/// One breach of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Path from the root, with slashes.
    path: String,
    /// 1-based; 0 where the whole file is meant.
    line: usize,
    /// What is wrong and what to do about it.
    message: String,
    /// A warning is printed and forgiven.
    forgiven: bool,
}

impl Problem {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into(), forgiven: false }
    }

    fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { forgiven: true, ..Self::new(path, line, message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = if self.line == 0 { String::new() } else { format!(":{}", self.line) };
        let warning = if self.forgiven { "warning: " } else { "" };
        write!(f, "{}{line}: {warning}{}", self.path, self.message)
    }
}

type Rule = fn(&Tree) -> Vec<Problem>;

/// Every rule, in the order in which they report.
const ALL: &[(&str, Rule)] = &[
    ("floors", floors::floors),
    ("lib-head", source::lib_head),
    ("length", source::length),
    ("names", source::names),
    ("attributes", source::attributes),
    ("unsafe", source::unsafe_code),
    ("atomic-writes", source::atomic_writes),
    ("machine-paths", files::machine_paths),
    ("size", files::size),
    ("executable", files::executable),
    ("links", documents::links),
    ("architecture", documents::architecture),
];

/// Runs every rule over the checkout at `root` and prints what it finds; true where nothing must be mended.
///
/// # Errors
/// When the files of the checkout cannot be listed.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let tree = Tree::of_checkout(root)?;
    let problems = check(&tree);
    for (rule, problem) in &problems {
        println!("{problem} [{rule}]");
    }
    let failed = problems.iter().filter(|(_, p)| !p.forgiven).count();
    eprintln!(
        "tidy: {} files, {} rules, {failed} to mend, {} warnings",
        tree.len(),
        ALL.len(),
        problems.len() - failed
    );
    Ok(failed == 0)
}

fn check(tree: &Tree) -> Vec<(&'static str, Problem)> {
    ALL.iter().flat_map(|(name, rule)| rule(tree).into_iter().map(move |problem| (*name, problem))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_checkout_is_tidy() -> anyhow::Result<()> {
        let tree = Tree::of_checkout(&crate::root())?;
        let found: Vec<String> =
            check(&tree).iter().filter(|(_, p)| !p.forgiven).map(|(rule, p)| format!("{p} [{rule}]")).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
        Ok(())
    }

    #[test]
    fn a_problem_reads_as_file_line_and_what_to_do() {
        assert_eq!(Problem::new("a/b.rs", 3, "mend it").to_string(), "a/b.rs:3: mend it");
        assert_eq!(Problem::warning("a/b.rs", 0, "look").to_string(), "a/b.rs: warning: look");
    }
}
