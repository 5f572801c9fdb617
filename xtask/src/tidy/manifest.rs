//! What `Cargo.toml` files say about crates and what they depend on.

use super::{Problem, tree::Tree};
use toml::{Table, Value};

/// One crate of the workspace.
pub(super) struct Member<'a> {
    /// Path of its `Cargo.toml`.
    pub(super) path: &'a str,
    pub(super) name: String,
    /// `package.metadata.house.floor`.
    pub(super) floor: Option<i64>,
    /// Packages it names in any dependency table, dev and build ones included, with the line of each.
    pub(super) dependencies: Vec<(String, usize)>,
}

/// Every crate under `crates/`, and a problem for each manifest that cannot be read.
pub(super) fn members(tree: &Tree) -> (Vec<Member<'_>>, Vec<Problem>) {
    let mut members = Vec::new();
    let mut problems = Vec::new();
    for (path, text) in tree.ending("/Cargo.toml").filter(|(path, _)| path.starts_with("crates/")) {
        match text.parse::<Table>() {
            Ok(manifest) => members.push(Member {
                path,
                name: lookup(&manifest, &["package", "name"]).and_then(Value::as_str).unwrap_or_default().to_owned(),
                floor: lookup(&manifest, &["package", "metadata", "house", "floor"]).and_then(Value::as_integer),
                dependencies: dependencies(&manifest, text),
            }),
            Err(error) => problems.push(Problem::new(path, 0, format!("is not TOML: {}", error.message()))),
        }
    }
    (members, problems)
}

/// Packages named in `[workspace.dependencies]` that come from outside, with their lines.
pub(super) fn shared_dependencies(tree: &Tree) -> Vec<(String, usize)> {
    let Some(text) = tree.text("Cargo.toml") else { return Vec::new() };
    let Ok(manifest) = text.parse::<Table>() else { return Vec::new() };
    let table = lookup(&manifest, &["workspace", "dependencies"]).and_then(Value::as_table);
    let outside = table.into_iter().flatten().filter(|(_, spec)| spec.get("path").is_none());
    outside.map(|(key, spec)| (package(key, spec), line_of(text, key))).collect()
}

fn dependencies(manifest: &Table, text: &str) -> Vec<(String, usize)> {
    let platforms = manifest.get("target").and_then(Value::as_table);
    let tables = std::iter::once(manifest).chain(platforms.into_iter().flatten().filter_map(|(_, t)| t.as_table()));
    let mut found = Vec::new();
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, spec) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                found.push((package(key, spec), line_of(text, key)));
            }
        }
    }
    found
}

/// The package behind a dependency's key, which may be an alias.
fn package(key: &str, spec: &Value) -> String {
    spec.get("package").and_then(Value::as_str).unwrap_or(key).to_owned()
}

fn lookup<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (last, tables) = path.split_last()?;
    tables.iter().try_fold(table, |table, key| table.get(*key)?.as_table())?.get(*last)
}

/// The first line that begins with a key, or 0 where it is written in a way we do not look for.
fn line_of(text: &str, key: &str) -> usize {
    let begins = |line: &str| {
        let rest = line.trim_start().trim_start_matches('"').strip_prefix(key)?;
        rest.starts_with(['.', ' ', '=', '"']).then_some(())
    };
    text.lines().position(|line| begins(line).is_some()).map_or(0, |i| i + 1)
}
