//! A history that is known commit by commit: fixes, what only looks like one, and everyday work.

mod templates;

use gix::{
    ObjectId,
    actor::Signature,
    date::Time,
    objs::{
        Commit, Tree,
        tree::{Entry, EntryKind},
    },
};
use std::{collections::BTreeMap, path::Path};
use templates::{ALL, Template, comment, plain};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What looks like a fix and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Decoy {
    CommentOnly,
    WhiteSpace,
    TooLarge,
    TooManyFiles,
    KeywordAlone,
    OtherType,
    StillThere,
    TestsOnly,
    Renamed,
    Removed,
    Undone,
    Merge,
    NotText,
    MovedElsewhere,
    NewFile,
    OneOfTwo,
}

const DECOYS: [Decoy; 16] = {
    use Decoy::*;
    [
        CommentOnly,
        WhiteSpace,
        TooLarge,
        TooManyFiles,
        KeywordAlone,
        OtherType,
        StillThere,
        TestsOnly,
        Renamed,
        Removed,
        Undone,
        Merge,
        NotText,
        MovedElsewhere,
        NewFile,
        OneOfTwo,
    ]
};

/// What a history holds.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) fixes: BTreeMap<String, &'static str>,
    pub(crate) decoys: BTreeMap<String, Decoy>,
    pub(crate) commits: usize,
}

/// Numbers that the seed decides.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// Writes commits one after another; a tree is folders of files.
pub(crate) struct History {
    pub(crate) repository: gix::Repository,
    pub(crate) files: BTreeMap<String, BTreeMap<String, ObjectId>>,
    folders: BTreeMap<String, ObjectId>,
    pub(crate) tip: Option<ObjectId>,
    pub(crate) commits: usize,
}

impl History {
    pub(crate) fn new(path: &Path) -> Outcome<Self> {
        let repository = gix::init(path)?;
        Ok(Self { repository, files: BTreeMap::new(), folders: BTreeMap::new(), tip: None, commits: 0 })
    }

    /// Sets or removes a file; its folder has one level, or none.
    pub(crate) fn set(&mut self, path: &str, bytes: Option<&[u8]>) -> Outcome {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let files = self.files.entry(folder.to_owned()).or_default();
        match bytes {
            Some(bytes) => drop(files.insert(name.to_owned(), self.repository.write_blob(bytes)?.detach())),
            None => drop(files.remove(name)),
        }
        self.folders.remove(folder);
        Ok(())
    }

    pub(crate) fn tree(&mut self) -> Outcome<ObjectId> {
        let mut root = Vec::new();
        for (folder, files) in &self.files {
            let entries = files.iter().map(|(name, id)| entry(name, *id, EntryKind::Blob));
            if folder.is_empty() {
                root.extend(entries);
                continue;
            }
            if files.is_empty() {
                continue;
            }
            let id = match self.folders.get(folder) {
                Some(id) => *id,
                None => {
                    let mut entries: Vec<_> = entries.collect();
                    entries.sort();
                    let id = self.repository.write_object(Tree { entries })?.detach();
                    self.folders.insert(folder.clone(), id);
                    id
                }
            };
            root.push(entry(folder, id, EntryKind::Tree));
        }
        root.sort();
        Ok(self.repository.write_object(Tree { entries: root })?.detach())
    }

    pub(crate) fn commit(&mut self, message: &str, parents: &[ObjectId]) -> Outcome<ObjectId> {
        let tree = self.tree()?;
        let time = Time { seconds: 1_600_000_000 + 60 * self.commits as i64, offset: 0 };
        let who = Signature { name: "A. Author".into(), email: "author@example.com".into(), time };
        let commit = Commit {
            tree,
            parents: parents.iter().copied().collect(),
            author: who.clone(),
            committer: who,
            encoding: None,
            message: message.into(),
            extra_headers: Vec::new(),
        };
        self.commits += 1;
        Ok(self.repository.write_object(&commit)?.detach())
    }

    pub(crate) fn next(&mut self, message: &str) -> Outcome<ObjectId> {
        let parents: Vec<ObjectId> = self.tip.into_iter().collect();
        let id = self.commit(message, &parents)?;
        self.tip = Some(id);
        Ok(id)
    }

    /// Lets the branch point to the last commit.
    pub(crate) fn finish(&self) -> Outcome {
        let tip = self.tip.ok_or("no commit")?;
        let any = gix::refs::transaction::PreviousValue::Any;
        let head = self.repository.head_name()?.ok_or("a branch")?;
        self.repository.reference(head.as_bstr().to_string().as_str(), tip, any, "made")?;
        Ok(())
    }
}

fn entry(name: &str, id: ObjectId, kind: EntryKind) -> Entry {
    Entry { mode: kind.into(), filename: name.into(), oid: id }
}

/// A file around a function, with a harmless one before it.
fn file(t: &Template, body: &str, name: &str, n: u64) -> String {
    let body = body.replace("NAME", name);
    format!("{}{body}{}{}", t.around[0], plain(t.extension, &format!("plain_{name}"), n), t.around[1])
}

const LICENCE: &str = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy.\nThe above \
                       copyright notice and this permission notice shall be included in all copies.\n";

/// Makes a history of so many commits, so many of them fixes and decoys, the others everyday work.
pub(crate) fn make(path: &Path, seed: u64, commits: usize, fixes: usize, decoys: usize) -> Outcome<Truth> {
    let (mut dice, mut h, mut truth) = (Dice(seed), History::new(path)?, Truth::default());
    h.set("LICENSE", Some(LICENCE.as_bytes()))?;
    h.set("README.md", Some(b"# A project\n"))?;
    h.next("Begin")?;
    // Everything that a fix or decoy needs is committed before it; all the rest of the commits lie between.
    let mut plan: Vec<Option<Decoy>> = vec![None; fixes];
    plan.extend((0..decoys).map(|n| Some(DECOYS[n % DECOYS.len()])));
    for at in (1..plan.len()).rev() {
        plan.swap(at, dice.below(at + 1));
    }
    let (mut fix, mut number) = (0, 0);
    let steps = plan.len();
    for (step, what) in plan.into_iter().enumerate() {
        number += 1;
        let n = if what.is_none() { fix } else { dice.below(ALL.len()) };
        let t = &ALL[n % ALL.len()];
        let name = format!("work_{number}");
        let place = format!("part{}/{name}.{}", number % 23, t.extension);
        let said = |t: &Template, k: usize| t.messages[k % t.messages.len()].replace("NAME", &name);
        match what {
            None => {
                h.set(&place, Some(file(t, t.before, &name, 1).as_bytes()))?;
                h.next(&format!("Add {name}"))?;
                h.set(&place, Some(file(t, t.after, &name, 1).as_bytes()))?;
                if fix % 5 == 4 {
                    h.set("README.md", Some(format!("# A project\n\nFix {fix}.\n").as_bytes()))?;
                }
                let id = h.next(&said(t, fix / ALL.len()))?;
                truth.fixes.insert(id.to_string(), t.extension);
                fix += 1;
            }
            Some(decoy) => {
                let id = make_decoy(&mut h, decoy, t, &name, &place, &said(t, number), &mut dice)?;
                truth.decoys.insert(id.to_string(), decoy);
            }
        }
        // Everyday work, evenly.
        while h.commits * steps < commits * (step + 1) {
            everyday(&mut h, &mut dice)?;
        }
    }
    h.finish()?;
    truth.commits = h.commits;
    Ok(truth)
}

fn everyday(h: &mut History, dice: &mut Dice) -> Outcome {
    const WORDS: [&str; 8] = [
        "Rename a variable",
        "Faster lookup",
        "Update dependencies",
        "Tidy up",
        "Add a report",
        "Typo",
        "Refactor the loader",
        "Bump version",
    ];
    let extension = ["py", "go", "java", "rb", "js", "ts", "c", "md"][dice.below(8)];
    let n = dice.below(400);
    let path = format!("lib{}/file{n}.{extension}", n % 11);
    let text = if extension == "md" {
        format!("# {n} {}\n", dice.below(1_000_000))
    } else {
        plain(extension, &format!("f{n}"), dice.below(1_000_000) as u64)
    };
    h.set(&path, Some(text.as_bytes()))?;
    h.next(WORDS[dice.below(WORDS.len())])?;
    Ok(())
}

fn make_decoy(
    h: &mut History,
    decoy: Decoy,
    t: &Template,
    name: &str,
    place: &str,
    said: &str,
    dice: &mut Dice,
) -> Outcome<ObjectId> {
    let weak = file(t, t.before, name, 1);
    let mended = file(t, t.after, name, 1);
    let begin = |h: &mut History, text: &str| -> Outcome {
        h.set(place, Some(text.as_bytes()))?;
        h.next(&format!("Add {name}"))?;
        Ok(())
    };
    match decoy {
        Decoy::CommentOnly => {
            begin(h, &weak)?;
            h.set(place, Some((weak + &comment(t.extension, "TODO: this is not safe")).as_bytes()))?;
        }
        Decoy::WhiteSpace => {
            begin(h, &weak)?;
            h.set(place, Some(format!("{weak}\n\n").as_bytes()))?;
        }
        Decoy::TooLarge => {
            begin(h, &weak)?;
            let many: String = (0..20).map(|i| plain(t.extension, &format!("{name}_{i}"), i)).collect();
            let end = mended.len() - t.around[1].len();
            h.set(place, Some(format!("{}{many}{}", &mended[..end], t.around[1]).as_bytes()))?;
        }
        Decoy::TooManyFiles => {
            begin(h, &weak)?;
            h.set(place, Some(mended.as_bytes()))?;
            for i in 0..2 {
                h.set(&format!("more/{name}_{i}.{}", t.extension), Some(weak.as_bytes()))?;
            }
        }
        Decoy::KeywordAlone => {
            begin(h, &weak)?;
            h.set(place, Some(file(t, t.before, name, 2 + dice.below(900) as u64).as_bytes()))?;
        }
        Decoy::OtherType => {
            begin(h, &weak)?;
            h.set(place, Some(mended.as_bytes()))?;
            let words = said.to_lowercase();
            let cross = words.contains("xss") || words.contains("html");
            let other =
                if cross { "Fix LDAP injection in the directory" } else { "Fix a cross-site scripting vulnerability" };
            return h.next(other);
        }
        Decoy::StillThere => {
            begin(h, &weak)?;
            h.set(place, Some(file(t, t.still, name, 1).as_bytes()))?;
        }
        Decoy::TestsOnly => {
            let test = format!("tests/test_{name}.{}", t.extension);
            h.set(&test, Some(weak.as_bytes()))?;
            h.next(&format!("Test {name}"))?;
            h.set(&test, Some(mended.as_bytes()))?;
        }
        Decoy::Renamed => {
            begin(h, &weak)?;
            h.set(place, None)?;
            h.set(&format!("moved/{name}.{}", t.extension), Some(weak.as_bytes()))?;
        }
        Decoy::Removed => {
            begin(h, &weak)?;
            let rest = format!("{}{}{}", t.around[0], plain(t.extension, &format!("plain_{name}"), 1), t.around[1]);
            h.set(place, Some(rest.as_bytes()))?;
        }
        Decoy::Undone => {
            begin(h, &mended)?;
            h.set(place, Some(weak.as_bytes()))?;
            return h.next(&format!("Revert \"{said}\""));
        }
        Decoy::Merge => {
            begin(h, &weak)?;
            let base = h.tip.ok_or("a tip")?;
            h.set(place, Some(mended.as_bytes()))?;
            // The fix itself is on the other branch with a silent message.
            let side = h.commit("Work", &[base])?;
            h.set("README.md", Some(format!("# {name}\n").as_bytes()))?;
            let tip = h.commit(&format!("Merge: {said}"), &[base, side])?;
            h.tip = Some(tip);
            return Ok(tip);
        }
        Decoy::NotText => {
            begin(h, &weak)?;
            let mut bytes = mended.into_bytes();
            bytes.extend([b'\n', 0xff, 0xfe, 0]);
            h.set(place, Some(&bytes))?;
        }
        Decoy::MovedElsewhere => {
            begin(h, &weak)?;
            let moved = file(t, t.before, &format!("{name}_inner"), 1);
            h.set(place, Some(moved.as_bytes()))?;
        }
        Decoy::NewFile => {
            h.set(place, Some(mended.as_bytes()))?;
        }
        Decoy::OneOfTwo => {
            let two = |body: &str| {
                let second = t.before.replace("NAME", &format!("{name}_second"));
                let all = file(t, body, name, 1);
                let end = all.len() - t.around[1].len();
                format!("{}\n{second}{}", &all[..end], t.around[1])
            };
            begin(h, &two(t.before))?;
            h.set(place, Some(two(t.after).as_bytes()))?;
        }
    }
    h.next(said)
}
