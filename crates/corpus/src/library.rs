//! The lessons that come with the program, and lessons from a folder.

use crate::{Lesson, lesson};
use include_dir::{Dir, include_dir};
use std::{fs, io, path::Path};

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../content/lessons");

/// Lessons cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder or file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Folder or file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Files that are not lessons; all of them, so that an author mends them in one go.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Lessons(Vec<lesson::Error>),
}

/// The lessons inside the binary, by language (Python first) and id.
///
/// # Errors
/// [`Error::Lessons`]; a released binary has none, its tests read them all.
pub fn embedded() -> Result<Vec<Lesson>, Error> {
    let mut files = Vec::new();
    for folder in EMBEDDED.dirs() {
        for file in folder.files().filter(|f| f.path().extension().is_some_and(|e| e == "md")) {
            let text = file.contents_utf8().unwrap_or_default();
            files.push((format!("content/lessons/{}", file.path().display()), text.to_owned()));
        }
    }
    parse(files)
}

/// Lessons of a folder (searched in depth) or a single file, by language and id.
///
/// # Errors
/// [`Error`].
pub fn read(path: &Path) -> Result<Vec<Lesson>, Error> {
    let mut files = Vec::new();
    collect(path, true, &mut files)?;
    parse(files)
}

fn collect(path: &Path, named: bool, files: &mut Vec<(String, String)>) -> Result<(), Error> {
    let fail = |source| Error::Io { path: path.display().to_string(), source };
    if path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path)
            .map_err(fail)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(fail)?
            .iter()
            .map(fs::DirEntry::path)
            .collect();
        entries.sort();
        return entries.iter().try_for_each(|entry| collect(entry, false, files));
    }
    let is_lesson = path.extension().is_some_and(|e| e == "md")
        && path.file_name().is_none_or(|n| n != "FORMAT.md" && n != "README.md");
    if named || is_lesson {
        files.push((path.display().to_string(), fs::read_to_string(path).map_err(fail)?));
    }
    Ok(())
}

fn parse(files: Vec<(String, String)>) -> Result<Vec<Lesson>, Error> {
    let (mut lessons, mut bad) = (Vec::new(), Vec::new());
    for (path, text) in files {
        match Lesson::parse(&path, &text) {
            Ok(lesson) => lessons.push(lesson),
            Err(error) => bad.push(error),
        }
    }
    if bad.is_empty() {
        lessons.sort_by(|a, b| (a.language, &a.id).cmp(&(b.language, &b.id)));
        Ok(lessons)
    } else {
        Err(Error::Lessons(bad))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lexicon::Language;
    use std::collections::BTreeSet;

    /// `rampart explain` and a pair's source name a lesson by its id alone.
    #[test]
    fn ids_are_unique_and_name_their_language() -> Result<(), Error> {
        let lessons = embedded()?;
        let ids: BTreeSet<&str> = lessons.iter().map(|l| l.id.as_str()).collect();
        assert_eq!(ids.len(), lessons.len());
        for lesson in &lessons {
            let prefix = match lesson.language {
                Language::Python => continue,
                Language::JavaScript => "js",
                other => other.name(),
            };
            assert!(lesson.id.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-')), "{}", lesson.id);
        }
        Ok(())
    }
}
