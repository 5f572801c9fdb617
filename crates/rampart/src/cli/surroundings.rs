//! Programs of others that commands need: where they are on this machine.

use std::{
    env,
    path::{Path, PathBuf},
};

/// Folders in which programs are looked for: `.venv/bin` of the current folder and of the checkout this program was built
/// in, then `PATH`.
#[expect(clippy::disallowed_methods, reason = "the binary reads the environment, so that no crate below does")]
pub(crate) fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut own = |base: &Path| {
        let bin = base.join(".venv/bin");
        if bin.is_dir() && !folders.contains(&bin) {
            folders.push(bin);
        }
    };
    if let Ok(here) = env::current_dir() {
        own(&here);
    }
    if let Ok(program) = env::current_exe() {
        program.ancestors().skip(1).take(4).for_each(&mut own);
    }
    // An empty entry of PATH means the current folder, where anybody's program may lie.
    folders.extend(env::var_os("PATH").iter().flat_map(env::split_paths).filter(|p| p.is_absolute()));
    folders
}

/// The Python that runs tests: the project's own, which has the packages, else the first on `PATH`.
pub(crate) fn python() -> PathBuf {
    let mut candidates = folders().into_iter().map(|folder| folder.join("python3"));
    candidates.find(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("python3"))
}

/// Where `rampart suites pull` keeps benchmarks: `rampart/suites` in the user's cache. None without a home.
#[expect(clippy::disallowed_methods, reason = "the binary reads the environment, so that no crate below does")]
pub(crate) fn suites() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("rampart/suites"))
}
