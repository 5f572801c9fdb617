//! A repository's commits, and what each of them changes.
//!
//! Read through gix with an isolated configuration: nothing of the user's or the system's is read, no filter or program of the
//! repository's is started. Trees are compared here, entry by entry: equal subtrees are never opened.

use super::Reject;
use gix::{
    ObjectId, ThreadSafeRepository,
    objs::{CommitRef, Kind, TreeRefIter},
};
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    path::Path,
};

/// Changed entries after which a commit is not looked at any further.
const MOST_CHANGES: usize = 200;
/// Deepest folder that is opened.
const DEEPEST: usize = 200;

/// A repository cannot be mined at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a repository, or a broken one.
    #[error("cannot open {path} as a git repository: {why}")]
    Open {
        /// As given.
        path: String,
        /// What gix says.
        why: String,
    },
    /// A repository without commits.
    #[error("{0} has no commit yet: there is nothing to mine")]
    Empty(String),
    /// A revision that it does not have.
    #[error("{path} has no revision {revision:?} (a branch, a tag or a whole commit id): {why}")]
    Revision {
        /// As given.
        path: String,
        /// As given.
        revision: String,
        /// What gix says.
        why: String,
    },
}

/// A repository, open for reading by many threads.
pub struct History {
    repository: ThreadSafeRepository,
    /// Where it was cloned from, without user and password; the folder's name where it was not.
    pub name: String,
    /// The commit that everything is reached from.
    pub tip: ObjectId,
    shallow: HashSet<ObjectId>,
}

/// The commits of a history, from its tip on.
#[derive(Clone, Debug, Default)]
pub struct Commits {
    /// Their ids; parents stand after their children's other parents, in the same order every time.
    pub ids: Vec<ObjectId>,
    /// Commits that are named as parents and are not there.
    pub missing: usize,
}

impl History {
    /// Opens a repository: a working copy, a bare one or its `.git`. Without a revision its `HEAD` is the tip.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(path: &Path, revision: Option<&str>) -> Result<Self, Error> {
        let name = path.display().to_string();
        let failed = |why: String| Error::Open { path: name.clone(), why };
        let options = gix::open::Options::isolated();
        let repository = gix::open_opts(path, options).map_err(|e| failed(one_line(&e)))?;
        let tip = match revision {
            None => {
                let head = repository.head().map_err(|e| failed(one_line(&e)))?;
                if head.is_unborn() {
                    return Err(Error::Empty(name));
                }
                head.into_peeled_id().map_err(|e| failed(one_line(&e)))?.detach()
            }
            Some(revision) => {
                let unknown = |why: String| Error::Revision { path: name.clone(), revision: revision.to_owned(), why };
                match ObjectId::from_hex(revision.as_bytes()) {
                    Ok(id) => id,
                    Err(_) => {
                        let mut found = repository.find_reference(revision).map_err(|e| unknown(one_line(&e)))?;
                        found.peel_to_id().map_err(|e| unknown(one_line(&e)))?.detach()
                    }
                }
            }
        };
        let shallow = repository.shallow_commits().map_err(|e| failed(one_line(&e)))?;
        let shallow = shallow.iter().flat_map(|s| s.iter()).copied().collect();
        let url = repository.config_snapshot().string("remote.origin.url").map(|url| url.to_string());
        let name = url.as_deref().and_then(public).unwrap_or_else(|| folder(path));
        let history = Self { repository: repository.into_sync(), name, tip, shallow };
        if history.reader().commit(tip).is_err() {
            return Err(failed(format!("its tip {tip} is no commit that can be read")));
        }
        Ok(history)
    }

    /// The commits reached from the tip, at most so many: those nearest to it.
    #[must_use]
    pub fn commits(&self, most: usize) -> Commits {
        let reader = self.reader();
        let mut out = Commits::default();
        let mut seen = HashSet::from([self.tip]);
        let mut queue = VecDeque::from([self.tip]);
        while let Some(id) = queue.pop_front().filter(|_| out.ids.len() < most) {
            match reader.commit(id) {
                Err(Reject::MissingObject) => out.missing += 1,
                // It is counted where it is looked at.
                Err(_) => out.ids.push(id),
                Ok(commit) => {
                    out.ids.push(id);
                    if !self.shallow.contains(&id) {
                        queue.extend(commit.parents.into_iter().filter(|p| seen.insert(*p)));
                    }
                }
            }
        }
        out
    }

    /// Whether a commit's parents lie beyond what was cloned.
    #[must_use]
    pub fn is_boundary(&self, id: ObjectId) -> bool {
        self.shallow.contains(&id)
    }

    /// A view for one thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { repository: self.repository.to_thread_local() }
    }
}

/// Reads objects; each thread has its own.
pub struct Reader {
    repository: gix::Repository,
}

/// A commit.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its message; what is no UTF-8 in it is replaced.
    pub message: String,
    /// Its parents.
    pub parents: Vec<ObjectId>,
    /// Its tree.
    pub tree: ObjectId,
}

/// An entry of a tree that is no folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<I = ObjectId> {
    /// Path from the root; what is no UTF-8 in it is replaced.
    pub path: String,
    /// Its object.
    pub id: I,
    /// Whether it is a file: neither a link nor another repository.
    pub file: bool,
}

/// What a commit does to one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<I = ObjectId> {
    /// What was there.
    pub before: Option<Entry<I>>,
    /// What is there.
    pub after: Option<Entry<I>>,
}

/// Where the texts of changed files are: objects of a repository, or a row of a table.
pub trait Texts<I> {
    /// A file's bytes; one larger than `most` is not read.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn bytes(&self, id: &I, most: u64) -> Result<Vec<u8>, Reject>;
}

impl Texts<ObjectId> for Reader {
    fn bytes(&self, id: &ObjectId, most: u64) -> Result<Vec<u8>, Reject> {
        self.file(*id, most)
    }
}

impl Reader {
    fn object(&self, id: ObjectId, kind: Kind) -> Result<Vec<u8>, Reject> {
        match self.repository.try_find_object(id) {
            Ok(Some(object)) if object.kind == kind => Ok(object.detach().data),
            Ok(Some(_)) | Err(_) => Err(Reject::Malformed),
            Ok(None) => Err(Reject::MissingObject),
        }
    }

    /// A commit by its id.
    ///
    /// # Errors
    /// [`Reject::MissingObject`] or [`Reject::Malformed`].
    pub fn commit(&self, id: ObjectId) -> Result<Commit, Reject> {
        let data = self.object(id, Kind::Commit)?;
        let commit = CommitRef::from_bytes(&data, id.kind()).map_err(|_| Reject::Malformed)?;
        let message = String::from_utf8_lossy(commit.message).into_owned();
        Ok(Commit { message, parents: commit.parents().collect(), tree: commit.tree() })
    }

    /// The paths that differ between two trees, by name.
    ///
    /// # Errors
    /// [`Reject::MissingObject`], [`Reject::Malformed`], or [`Reject::TooManyFiles`] above any sensible number.
    pub fn changes(&self, before: ObjectId, after: ObjectId) -> Result<Vec<Change>, Reject> {
        let mut out = Vec::new();
        let mut folders: Vec<(String, Option<ObjectId>, Option<ObjectId>, usize)> =
            vec![(String::new(), Some(before), Some(after), 0)];
        while let Some((prefix, before, after, depth)) = folders.pop() {
            if depth > DEEPEST {
                return Err(Reject::Malformed);
            }
            let (old, new) = (self.tree(before)?, self.tree(after)?);
            for name in old.keys().chain(new.keys().filter(|n| !old.contains_key(*n))) {
                let (old, new) = (old.get(name), new.get(name));
                if old == new {
                    continue;
                }
                let path = format!("{prefix}{name}");
                let folder = |e: Option<&Item>| e.filter(|e| e.folder).map(|e| e.id);
                let entry = |e: Option<&Item>| {
                    let e = e.filter(|e| !e.folder)?;
                    Some(Entry { path: path.clone(), id: e.id, file: e.file })
                };
                let change = Change { before: entry(old), after: entry(new) };
                if change.before.is_some() || change.after.is_some() {
                    out.push(change);
                }
                if folder(old).is_some() || folder(new).is_some() {
                    folders.push((format!("{path}/"), folder(old), folder(new), depth + 1));
                }
                if out.len() > MOST_CHANGES || folders.len() > MOST_CHANGES * DEEPEST {
                    return Err(Reject::TooManyFiles);
                }
            }
        }
        let path = |c: &Change| c.after.as_ref().or(c.before.as_ref()).map(|e| e.path.clone());
        out.sort_by_key(path);
        Ok(out)
    }

    /// Files of a tree's root, by name.
    ///
    /// # Errors
    /// [`Reject::MissingObject`] or [`Reject::Malformed`].
    pub fn root(&self, tree: ObjectId) -> Result<Vec<Entry>, Reject> {
        let items = self.tree(Some(tree))?;
        Ok(items.into_iter().filter(|(_, i)| i.file).map(|(path, i)| Entry { path, id: i.id, file: true }).collect())
    }

    fn tree(&self, id: Option<ObjectId>) -> Result<BTreeMap<String, Item>, Reject> {
        let Some(id) = id else { return Ok(BTreeMap::new()) };
        let data = self.object(id, Kind::Tree)?;
        let mut items = BTreeMap::new();
        for entry in TreeRefIter::from_bytes(&data, id.kind()) {
            let entry = entry.map_err(|_| Reject::Malformed)?;
            let item = Item { id: entry.oid.to_owned(), folder: entry.mode.is_tree(), file: entry.mode.is_blob() };
            items.insert(String::from_utf8_lossy(entry.filename).into_owned(), item);
        }
        Ok(items)
    }

    /// A file's bytes; one larger than `most` is not read.
    ///
    /// # Errors
    /// [`Reject::MissingObject`], [`Reject::Malformed`] or [`Reject::TooLargeFile`].
    pub fn file(&self, id: ObjectId, most: u64) -> Result<Vec<u8>, Reject> {
        match self.repository.try_find_header(id) {
            Ok(Some(header)) if header.size() > most => Err(Reject::TooLargeFile),
            Ok(Some(_)) => self.object(id, Kind::Blob),
            Ok(None) => Err(Reject::MissingObject),
            Err(_) => Err(Reject::Malformed),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    id: ObjectId,
    folder: bool,
    file: bool,
}

/// An error with its causes, on one line.
fn one_line(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !out.contains(&text) {
            out = format!("{out}: {text}");
        }
        cause = error.source();
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An address that others know too, without user and password; none for a folder of this machine.
fn public(url: &str) -> Option<String> {
    if let Some((scheme, rest)) = url.split_once("://") {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.rsplit('@').next().unwrap_or_default();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        return (scheme != "file" && !host.is_empty()).then(|| format!("{scheme}://{host}/{path}"));
    }
    // user@host:path
    let (host, path) = url.split_once(':').filter(|(host, _)| host.len() > 1 && !host.contains('/'))?;
    let host = host.rsplit('@').next().unwrap_or_default();
    Some(format!("ssh://{host}/{}", path.trim_start_matches('/')))
}

/// The name of a repository's folder.
fn folder(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let named = if whole.ends_with(".git") { whole.parent().unwrap_or(&whole) } else { &whole };
    named.file_name().map_or_else(|| "repository".into(), |n| n.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_no_secret() {
        let cases = [
            ("https://user:token@example.com/a/b.git?x=secret", Some("https://example.com/a/b.git")),
            ("https://example.com", Some("https://example.com/")),
            ("git@example.com:a/b.git", Some("ssh://example.com/a/b.git")),
            ("ssh://git@example.com:22/a", Some("ssh://example.com:22/a")),
            ("/home/me/project", None),
            ("file:///home/me/project", None),
            ("C:\\project", None),
            ("../project", None),
        ];
        for (url, expect) in cases {
            assert_eq!(public(url).as_deref(), expect, "{url}");
        }
    }
}
