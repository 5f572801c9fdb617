//! Rules on the text of Rust files.

use super::{Problem, tree::Tree};

/// Lines above which a file is uneasy, and above which it must be cut.
const UNEASY: usize = 500;
const TOO_LONG: usize = 900;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager", "misc"];

/// A `lib.rs` opens with one sentence: what comes in, what goes out.
pub(super) fn lib_head(tree: &Tree) -> Vec<Problem> {
    let libs = tree.ending("/src/lib.rs").filter(|(path, _)| path.starts_with("crates/"));
    libs.filter(|(_, text)| !opens_with_a_sentence(text))
        .map(|(path, _)| Problem::new(path, 1, "must open with `//!` and one sentence: what comes in, what goes out"))
        .collect()
}

fn opens_with_a_sentence(text: &str) -> bool {
    let head: Vec<&str> = text.lines().map_while(|l| l.strip_prefix("//! ")).collect();
    let starts = head.first().is_some_and(|l| l.starts_with(|c: char| c.is_uppercase() || c == '`'));
    starts && head.iter().any(|l| l.ends_with('.') || l.contains(". "))
}

/// Files stay short enough to read in one sitting.
pub(super) fn length(tree: &Tree) -> Vec<Problem> {
    tree.ending(".rs")
        .filter_map(|(path, text)| match text.lines().count() {
            n if n > TOO_LONG => {
                Some(Problem::new(path, TOO_LONG + 1, format!("{n} lines, at most {TOO_LONG}; cut it by subject")))
            }
            n if n > UNEASY => Some(Problem::warning(path, 0, format!("{n} lines; think of cutting it by subject"))),
            _ => None,
        })
        .collect()
}

/// Modules are named for what they hold.
pub(super) fn names(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let parts = path.trim_end_matches(".rs").split('/');
        if let Some(name) = parts.into_iter().find(|part| EMPTY_NAMES.contains(part)) {
            problems.push(Problem::new(path, 0, format!("`{name}` says nothing; name it for what it holds")));
        }
        for (line, code) in code_lines(text) {
            let word = code.trim_start_matches("pub ").trim_start_matches("pub(crate) ").strip_prefix("mod ");
            if let Some(name) = word.map(|w| w.trim_end_matches([';', '{', ' '])).filter(|n| EMPTY_NAMES.contains(n)) {
                problems.push(Problem::new(path, line, format!("`{name}` says nothing; name it for what it holds")));
            }
        }
    }
    problems
}

/// Attributes that the house does without.
pub(super) fn attributes(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.ending(".rs") {
        for (line, code) in code_lines(text) {
            if let Some(message) = unwanted_attribute(code) {
                problems.push(Problem::new(path, line, message));
            }
        }
    }
    problems
}

fn unwanted_attribute(code: &str) -> Option<&'static str> {
    let inside = code.strip_prefix("#![").or_else(|| code.strip_prefix("#["))?;
    // `cfg_attr(test, allow(..))` counts as `allow(..)`.
    let has = |name: &str| inside.starts_with(name) || inside.contains(&format!(" {name}"));
    if has("allow(") {
        return Some("use `#[expect(lint, reason = \"..\")]`: it says when it is no longer needed");
    }
    if has("ignore]") || has("ignore =") || has("ignore)") {
        return Some("no test is ignored; mend it, delete it, or let it return early and say what it lacks");
    }
    let serde = inside.contains("serde(");
    if serde && ["flatten", "untagged"].iter().any(|word| words(inside).any(|w| w == *word)) {
        return Some("no `flatten` or `untagged`: they lose where an error was; write the fields out");
    }
    None
}

/// `unsafe` lives where the house says, each with its argument.
pub(super) fn unsafe_code(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let elsewhere = |path: &str| !path.starts_with("crates/models/") && !path.starts_with("crates/judge/src/sandbox");
    for (path, text) in tree.ending(".rs").filter(|(path, _)| elsewhere(path)) {
        for (line, code) in code_lines(text) {
            let mut tail = code;
            while let Some(at) = tail.find(concat!("unsafe", " ")) {
                let whole_word = !tail[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                tail = &tail[at + 7..];
                if whole_word && ["{", "fn ", "impl ", "impl<", "extern ", "trait "].iter().any(|n| tail.starts_with(n))
                {
                    let message =
                        "`unsafe` is for crates/models and crates/judge/src/sandbox; find a safe way or move it";
                    problems.push(Problem::new(path, line, message));
                }
            }
        }
    }
    problems
}

/// Results reach the disk whole or not at all.
pub(super) fn atomic_writes(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let is_product = |path: &str| {
        path.starts_with("crates/")
            && path.contains("/src/")
            && path != "crates/lexicon/src/atomic.rs"
            && !path.ends_with("/tests.rs")
            && !path.contains("/tests/")
    };
    for (path, text) in tree.ending(".rs").filter(|(path, _)| is_product(path)) {
        for (line, code) in code_lines(before_tests(text)) {
            let writes =
                [concat!("fs::wr", "ite("), concat!("File::cr", "eate(")].iter().any(|call| code.contains(call));
            if writes && !excused(text, line, "atomic-writes") {
                let message =
                    "may leave half a file; write it with lexicon::atomic, or say `tidy-expect(atomic-writes): why`";
                problems.push(Problem::new(path, line, message));
            }
        }
    }
    problems
}

/// Lines of a file with their numbers, trimmed, less those that are comments.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())).filter(|(_, line)| !line.starts_with("//"))
}

/// A file up to its first test module.
fn before_tests(text: &str) -> &str {
    text.find("#[cfg(test)]").map_or(text, |end| &text[..end])
}

/// Whether a line, or the one above it, says why it breaks a rule.
fn excused(text: &str, line: usize, rule: &str) -> bool {
    let mark = format!("tidy-expect({rule}): ");
    let says = |l: &str| l.split_once(&mark).is_some_and(|(_, why)| !why.trim().is_empty());
    text.lines().skip(line.saturating_sub(2)).take(2.min(line)).any(says)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::{Rule, tree::check};

    /// The lines of one file that a rule reports.
    fn lines(rule: Rule, path: &str, text: &str, expect: &[usize]) -> anyhow::Result<()> {
        let expect: Vec<String> = expect.iter().map(|line| format!("{path}:{line}")).collect();
        assert_eq!(check(rule, &[(path, text)])?, expect, "{text}");
        Ok(())
    }

    #[test]
    fn a_lib_opens_with_a_sentence() -> anyhow::Result<()> {
        let path = "crates/a/src/lib.rs";
        lines(lib_head, path, "//! Code in, verdict out.\n", &[])?;
        lines(lib_head, path, "//! Code in, which is\n//! long; verdict out. And more\n", &[])?;
        lines(lib_head, path, "// Code in, verdict out.\n", &[1])?;
        lines(lib_head, path, "//! # Title\n//!\n//! Text.\n", &[1])?;
        lines(lib_head, path, "//! No end\npub mod a;\n", &[1])
    }

    #[test]
    fn long_files_are_reported() -> anyhow::Result<()> {
        lines(length, "xtask/src/a.rs", &"x\n".repeat(500), &[])?;
        lines(length, "xtask/src/a.rs", &"x\n".repeat(501), &[0])?;
        lines(length, "xtask/src/a.rs", &"x\n".repeat(901), &[901])
    }

    #[test]
    fn names_must_say_something() -> anyhow::Result<()> {
        lines(names, "crates/a/src/utils.rs", "", &[0])?;
        lines(names, "crates/a/src/helpers/mod.rs", "", &[0])?;
        lines(
            names,
            "crates/a/src/lib.rs",
            "// mod utils;\npub(crate) mod common;\nmod helper {\nmod uncommon;\n",
            &[2, 3],
        )
    }

    #[test]
    fn unwanted_attributes() -> anyhow::Result<()> {
        let path = "crates/a/src/lib.rs";
        for bad in [
            concat!("#[", "allow(dead_code)]"),
            concat!("#![", "allow(dead_code)]"),
            "    #[cfg_attr(test, allow(dead_code))]",
            concat!("#[", "ignore]"),
            concat!("#[", "ignore = \"slow\"]"),
            "#[serde(flatten)]",
            "#[serde(default, flatten)]",
            "#[serde(untagged, rename_all = \"kebab-case\")]",
        ] {
            lines(attributes, path, &format!("fn a() {{}}\n{bad}\n"), &[2])?;
        }
        for good in
            ["#[expect(dead_code)]", "// #[serde(flatten)]", "#[serde(rename = \"untagged_one\")]", "#[ignored]"]
        {
            lines(attributes, path, good, &[])?;
        }
        Ok(())
    }

    #[test]
    fn unsafe_stays_in_its_place() -> anyhow::Result<()> {
        let text = concat!("let a = unsafe", " { b };\nunsafe", " fn c() {}\n// unsafe", " fn\n\"unsafe", " input\"\n");
        lines(unsafe_code, "crates/eval/src/a.rs", text, &[1, 2])?;
        lines(unsafe_code, "crates/judge/src/lib.rs", text, &[1, 2])?;
        lines(unsafe_code, "crates/judge/src/sandbox/landlock.rs", text, &[])?;
        lines(unsafe_code, "crates/models/src/a.rs", text, &[])
    }

    #[test]
    fn writes_are_atomic_outside_tests() -> anyhow::Result<()> {
        let write = concat!("std::fs::wr", "ite(p, b)?;");
        let path = "crates/a/src/a.rs";
        lines(atomic_writes, path, &format!("fn a() {{\n{write}\n}}\n#[cfg(test)]\nmod tests {{ {write} }}\n"), &[2])?;
        lines(atomic_writes, path, &format!("// tidy-expect(atomic-writes): lives a second\n{write}\n"), &[])?;
        lines(atomic_writes, path, &format!("// tidy-expect(atomic-writes): \n{write}\n"), &[2])?;
        lines(atomic_writes, "crates/a/tests/a.rs", write, &[])?;
        lines(atomic_writes, "crates/lexicon/src/atomic.rs", write, &[])
    }
}
