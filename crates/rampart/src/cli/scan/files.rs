//! Which files a scan looks at, and what they say.

use anyhow::{Context, Result, bail};
use ignore::WalkBuilder;
use lexicon::Language;
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Shows each file to look at once: those named, whatever they are called, and in folders those in one of the languages. They
/// are shown while folders are searched, so that a million of them take no memory.
pub(super) fn files(
    paths: &[PathBuf],
    languages: &[Language],
    visit: &mut dyn FnMut(PathBuf) -> Result<()>,
) -> Result<()> {
    let named: BTreeSet<&PathBuf> = paths.iter().filter(|p| p.as_path() == Path::new("-") || p.is_file()).collect();
    if let Some(absent) = paths.iter().find(|p| !named.contains(p) && !p.is_dir()) {
        bail!("{}: no such file or folder", absent.display());
    }
    for path in &named {
        visit((*path).clone())?;
    }
    let folders: Vec<&PathBuf> = paths.iter().filter(|p| !named.contains(p)).collect();
    for (number, folder) in folders.iter().enumerate() {
        let walk = WalkBuilder::new(folder)
            .require_git(false)
            .sort_by_file_name(std::cmp::Ord::cmp)
            .filter_entry(|entry| {
                let name = entry.file_name().to_string_lossy();
                let folder = entry.file_type().is_some_and(|t| t.is_dir());
                !(folder
                    && entry.depth() > 0
                    && (matches!(&*name, "__pycache__" | "node_modules" | "site-packages")
                        || entry.path().join("pyvenv.cfg").is_file()))
            })
            .build();
        for entry in walk {
            let entry = entry.with_context(|| format!("cannot search {}", folder.display()))?;
            let extension = entry.path().extension().and_then(|e| e.to_str()).unwrap_or_default();
            let wanted = Language::from_extension(extension).is_some_and(|l| languages.contains(&l));
            if !wanted || !entry.file_type().is_some_and(|t| t.is_file()) {
                continue;
            }
            let path = entry.into_path();
            let seen = named.contains(&path) || folders[..number].iter().any(|earlier| path.starts_with(earlier));
            if !seen {
                visit(path)?;
            }
        }
    }
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
        return Ok(bytes);
    }
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Text of a source file: UTF-8, or Latin-1 where one of its first two lines says so (PEP 263).
pub(super) fn decode(bytes: Vec<u8>) -> Result<String, String> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => error.into_bytes(),
    };
    let head: Vec<u8> = bytes.split_inclusive(|&b| b == b'\n').take(2).flatten().copied().collect();
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase().replace('_', "-");
    let comment =
        head.lines().filter_map(|line| line.trim_start().strip_prefix('#')).find_map(|c| c.split_once("coding"));
    let name: String = comment
        .and_then(|(_, rest)| rest.strip_prefix([':', '=']))
        .map(|rest| {
            rest.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).collect()
        })
        .unwrap_or_default();
    match name.as_str() {
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" => Ok(bytes.into_iter().map(char::from).collect()),
        "" => Err("the file is not UTF-8 and names no other encoding".to_owned()),
        other => Err(format!("the encoding {other} is not supported: save the file as UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        let check = |bytes: &[u8], expect: Option<&str>| {
            assert_eq!(decode(bytes.to_vec()).ok().as_deref(), expect, "{bytes:?}");
        };
        check("x = 'é'".as_bytes(), Some("x = 'é'"));
        check(b"\xef\xbb\xbfx = 1", Some("x = 1"));
        check(b"# -*- coding: latin-1 -*-\nx = '\xe9'", Some("# -*- coding: latin-1 -*-\nx = 'é'"));
        check(
            b"#!/usr/bin/python\n# vim: fileencoding=ISO_8859-1\n'\xe9'",
            Some("#!/usr/bin/python\n# vim: fileencoding=ISO_8859-1\n'é'"),
        );
        check(b"x = '\xe9'", None);
        check(b"# coding: koi8-r\nx = '\xe9'", None);
        check(b"\n\n# coding: latin-1\nx = '\xe9'", None);
    }

    #[test]
    fn folders_are_searched() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        for name in
            ["a.py", "sub/b.py", "sub/c.txt", "venv/lib/d.py", ".git/e.py", "node_modules/f.py", "named.txt", "g/h.py"]
        {
            let path = at(name);
            fs::create_dir_all(path.parent().context("parent")?)?;
            fs::write(path, "")?;
        }
        fs::write(at("venv/pyvenv.cfg"), "")?;
        fs::write(at(".gitignore"), "g/\n")?;
        let found = |paths: &[PathBuf]| -> Result<Vec<PathBuf>> {
            let mut found = Vec::new();
            files(paths, &[Language::Python], &mut |path| {
                found.push(path);
                Ok(())
            })?;
            found.sort();
            Ok(found)
        };
        // Nothing twice, however it is named.
        assert_eq!(found(&[folder.path().to_owned(), at("sub"), at("a.py")])?, [at("a.py"), at("sub/b.py")]);
        assert_eq!(found(&[at("sub"), folder.path().to_owned()])?, [at("a.py"), at("sub/b.py")]);
        let found = found(&[folder.path().to_owned(), at("a.py"), at("named.txt")])?;
        assert_eq!(found, [at("a.py"), at("named.txt"), at("sub/b.py")]);
        assert!(files(&[at("absent")], &[], &mut |_| Ok(())).is_err());
        Ok(())
    }
}
