//! A crate depends only on crates of strictly lower floors.

use super::{Problem, manifest, tree::Tree};
use std::collections::BTreeMap;

pub(super) fn floors(tree: &Tree) -> Vec<Problem> {
    let (members, mut problems) = manifest::members(tree);
    let floor_of: BTreeMap<&str, i64> = members.iter().filter_map(|m| Some((m.name.as_str(), m.floor?))).collect();
    for member in &members {
        let Some(floor) = member.floor else {
            problems.push(Problem::new(member.path, 0, "has no floor; add `[package.metadata.house] floor = N`"));
            continue;
        };
        for (name, line) in &member.dependencies {
            let Some(&below) = floor_of.get(name.as_str()) else { continue };
            if below >= floor {
                let message = format!(
                    "`{}` (floor {floor}) depends on `{name}` (floor {below}); depend downward only, \
                     or move what both need to a lower floor",
                    member.name
                );
                problems.push(Problem::new(member.path, *line, message));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::check;

    fn manifest(name: &str, floor: i64, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n[package.metadata.house]\nfloor = {floor}\n{rest}")
    }

    #[test]
    fn downward_is_fine_level_and_upward_are_not() -> anyhow::Result<()> {
        let low = manifest("low", 0, "");
        let mid = manifest("mid", 1, "[dependencies]\nlow.workspace = true\nserde = \"1\"\n");
        let peer = manifest("peer", 1, "[dev-dependencies]\nmid = { path = \"../mid\" }\n");
        let up = manifest(
            "up",
            0,
            "[target.'cfg(unix)'.dependencies]\nalias = { package = \"peer\", path = \"../peer\" }\n",
        );
        let found = check(
            floors,
            &[
                ("crates/low/Cargo.toml", &low),
                ("crates/mid/Cargo.toml", &mid),
                ("crates/peer/Cargo.toml", &peer),
                ("crates/up/Cargo.toml", &up),
            ],
        )?;
        assert_eq!(found, ["crates/peer/Cargo.toml:6", "crates/up/Cargo.toml:6"]);
        Ok(())
    }

    #[test]
    fn a_crate_without_a_floor_and_a_broken_manifest_are_reported() -> anyhow::Result<()> {
        let found = check(
            floors,
            &[("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"), ("crates/b/Cargo.toml", "[package\n")],
        )?;
        assert_eq!(found, ["crates/b/Cargo.toml:0", "crates/a/Cargo.toml:0"]);
        Ok(())
    }
}
