//! Rules on files of any kind.

use super::{Problem, tree::Tree};

/// The longest file that a clone should have to fetch.
const LARGEST: u64 = 1_000_000;

/// Nothing names the machine it was written on.
pub(super) fn machine_paths(tree: &Tree) -> Vec<Problem> {
    let here = tree.root().display().to_string();
    // In two pieces, so that this file does not report itself.
    let mut places: Vec<String> = [("/wo", "rk/main"), ("/wo", "rk/shared"), ("/wo", "rk/.library"), ("/tm", "p/w/")]
        .iter()
        .map(|(a, b)| format!("{a}{b}"))
        .collect();
    if here.matches('/').count() > 1 {
        places.push(here);
    }
    let mut problems = Vec::new();
    for (path, file) in tree.iter() {
        for (i, line) in file.text.as_deref().unwrap_or_default().lines().enumerate() {
            let private =
                places.iter().find(|place| line.contains(place.as_str())).cloned().or_else(|| tools_of_a_home(line));
            if let Some(place) = private {
                let message = format!("names a place on one machine ({place}); make it relative, or an argument");
                problems.push(Problem::new(path, i + 1, message));
            }
        }
    }
    problems
}

/// A user's own caches and tools, such as `~/.cargo` written out in full.
fn tools_of_a_home(line: &str) -> Option<String> {
    [".cache", ".cargo", ".rustup", ".pyenv", ".local"].iter().find_map(|tool| {
        let (before, after) = line.split_once(&format!("/{tool}/"))?;
        let home = before.rsplit(|c: char| !c.is_alphanumeric() && !"/-_.".contains(c)).next()?;
        let known =
            home == "/root" || home.strip_prefix("/home/").is_some_and(|user| !user.is_empty() && !user.contains('/'));
        (known && !after.is_empty()).then(|| format!("{home}/{tool}"))
    })
}

/// A clone stays small; only the embedded model's weights may be large.
pub(super) fn size(tree: &Tree) -> Vec<Problem> {
    let is_model = |path: &str| path.starts_with("models/tiny/") && path.ends_with(".safetensors");
    tree.iter()
        .filter(|(path, file)| file.bytes > LARGEST && !is_model(path))
        .map(|(path, file)| {
            let size = file.bytes / 1_000;
            Problem::new(path, 0, format!("{size} kB, at most {} kB; make it when it is needed", LARGEST / 1_000))
        })
        .collect()
}

/// What is meant to be run can be run.
pub(super) fn executable(tree: &Tree) -> Vec<Problem> {
    tree.iter()
        .filter(|(path, file)| (path.starts_with("scripts/") || path.starts_with(".ci/")) && !file.executable)
        .map(|(path, _)| Problem::new(path, 0, format!("cannot be run; chmod +x {path}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::check;

    #[test]
    fn machine_paths_are_found_and_relative_ones_are_not() -> anyhow::Result<()> {
        let text = concat!(
            "see ../shared\n/wo",
            "rk/main/Makefile\nopen('/root/.ssh/id_rsa')\n/home/ann/.ca",
            "che/pip\n~/.cache/rampart\n/root/.car",
            "go/bin\nhttps://x.org/home/.cache/\n"
        );
        assert_eq!(check(machine_paths, &[("a.md", text)])?, ["a.md:2", "a.md:4", "a.md:6"]);
        Ok(())
    }

    #[test]
    fn the_checkout_itself_is_a_machine_path() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("a.md"), format!("first\n{}/b\n", folder.path().display()))?;
        let tree = Tree::read(folder.path(), ["a.md"])?;
        assert_eq!(machine_paths(&tree).iter().map(|p| p.line).collect::<Vec<_>>(), [2]);
        Ok(())
    }

    #[test]
    fn only_the_model_may_be_large() -> anyhow::Result<()> {
        let large = "x".repeat(1_000_001);
        let found = check(
            size,
            &[("models/tiny/model.safetensors", &large), ("models/tiny/data.jsonl", &large), ("a.txt", &large[1..])],
        )?;
        assert_eq!(found, ["models/tiny/data.jsonl:0"]);
        Ok(())
    }

    #[test]
    fn scripts_are_executable() -> anyhow::Result<()> {
        assert_eq!(check(executable, &[("scripts/a", ""), (".ci/run", ""), ("b", "")])?, [".ci/run:0", "scripts/a:0"]);
        Ok(())
    }
}
