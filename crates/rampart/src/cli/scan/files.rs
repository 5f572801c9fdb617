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

/// Files to look at, each once: those named, whatever they are called, and in folders those in one of the languages.
pub(super) fn files(paths: &[PathBuf], languages: &[Language]) -> Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    for path in paths {
        if path == Path::new("-") || path.is_file() {
            found.insert(path.clone());
            continue;
        }
        if !path.is_dir() {
            bail!("{}: no such file or folder", path.display());
        }
        let walk = WalkBuilder::new(path)
            .require_git(false)
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
            let entry = entry.with_context(|| format!("cannot search {}", path.display()))?;
            let extension = entry.path().extension().and_then(|e| e.to_str()).unwrap_or_default();
            let wanted = Language::from_extension(extension).is_some_and(|l| languages.contains(&l));
            if wanted && entry.file_type().is_some_and(|t| t.is_file()) {
                found.insert(entry.into_path());
            }
        }
    }
    Ok(found.into_iter().collect())
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
        let found = files(&[folder.path().to_owned(), at("a.py"), at("named.txt")], &[Language::Python])?;
        assert_eq!(found, [at("a.py"), at("named.txt"), at("sub/b.py")]);
        assert!(files(&[at("absent")], &[]).is_err());
        Ok(())
    }
}
