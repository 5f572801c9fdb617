//! Rules on Markdown: links lead somewhere, and ARCHITECTURE.md names every crate and dependency.

use super::{Problem, manifest, tree::Tree};
use std::collections::BTreeSet;

const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Links between files lead to files that exist.
pub(super) fn links(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.ending(".md") {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (line, target) in link_targets(text) {
            let file = target.split(['#', '?']).next().unwrap_or_default();
            if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !tree.root().join(folder).join(file).exists() {
                problems.push(Problem::new(path, line, format!("links to {target}, which does not exist")));
            }
        }
    }
    problems
}

/// Targets of `[text](target)`, outside code, with their lines.
fn link_targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for (i, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark)) {
            match fence {
                None => fence = Some(mark),
                Some(open) if open == mark => fence = None,
                Some(_) => {}
            }
            continue;
        }
        if fence.is_some() {
            continue;
        }
        // Odd pieces between backticks are code.
        for piece in line.split('`').step_by(2) {
            for tail in piece.split("](").skip(1) {
                let target = tail.split([')', ' ']).next().unwrap_or_default();
                found.push((i + 1, target.trim_matches(['<', '>'])));
            }
        }
    }
    found
}

/// ARCHITECTURE.md has a table row for each crate and for each dependency.
pub(super) fn architecture(tree: &Tree) -> Vec<Problem> {
    let Some(text) = tree.text(ARCHITECTURE) else {
        return vec![Problem::new(ARCHITECTURE, 0, "is missing; it holds a row per crate and a row per dependency")];
    };
    let rows: BTreeSet<&str> = text.lines().filter_map(first_cell).flat_map(names_in).collect();
    let (members, _) = manifest::members(tree);
    let own: BTreeSet<&str> = members.iter().map(|m| m.name.as_str()).collect();

    let mut problems = Vec::new();
    for member in members.iter().filter(|m| !rows.contains(m.name.as_str())) {
        problems.push(Problem::new(member.path, 0, format!("`{}` has no row in {ARCHITECTURE}; add it", member.name)));
    }
    let shared = manifest::shared_dependencies(tree);
    let shared = shared.iter().map(|(name, line)| ("Cargo.toml", name, *line));
    let declared = members.iter().flat_map(|m| m.dependencies.iter().map(|(name, line)| (m.path, name, *line)));
    let mut seen = BTreeSet::new();
    for (path, name, line) in shared.chain(declared) {
        if !rows.contains(name.as_str()) && !own.contains(name.as_str()) && seen.insert(name) {
            let message =
                format!("`{name}` has no row in {ARCHITECTURE}'s table of dependencies; say there what it is for");
            problems.push(Problem::new(path, line, message));
        }
    }
    problems
}

fn first_cell(line: &str) -> Option<&str> {
    line.trim().strip_prefix('|')?.split('|').next()
}

/// The names in a cell: `serde`, `serde_json` are two.
fn names_in(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::check;

    #[test]
    fn links_that_lead_nowhere() -> anyhow::Result<()> {
        let text = "[a](b.md) [c](missing.md#part \"title\")\n[d](../top.md)\n[e](https://x.org/y) [f](#here)\n\
                    `x[0](y)`\n```\n[g](missing)\n```\n![h](<gone.png>)\n";
        let found = check(links, &[("docs/a.md", text), ("docs/b.md", ""), ("top.md", "")])?;
        assert_eq!(found, ["docs/a.md:1", "docs/a.md:8"]);
        Ok(())
    }

    #[test]
    fn every_crate_and_dependency_has_a_row() -> anyhow::Result<()> {
        let files = |document| {
            [
                ("ARCHITECTURE.md", document),
                ("Cargo.toml", "[workspace.dependencies]\nlow = { path = \"crates/low\" }\nserde = \"1\"\n"),
                (
                    "crates/low/Cargo.toml",
                    "[package]\nname = \"low\"\n[dependencies]\nserde.workspace = true\nlibc = \"0.2\"\n",
                ),
            ]
        };
        assert_eq!(check(architecture, &files("| `low` | words |\n| `serde`, `libc` | formats |\n"))?, [""; 0]);
        let found = check(architecture, &files("low serde\n| no | libc |\n"))?;
        assert_eq!(found, ["crates/low/Cargo.toml:0", "Cargo.toml:3", "crates/low/Cargo.toml:5"]);
        assert_eq!(check(architecture, &files("")[1..])?, ["ARCHITECTURE.md:0"]);
        Ok(())
    }
}
