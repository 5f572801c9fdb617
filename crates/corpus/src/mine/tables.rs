//! Mining of tables: who reads them tells which rows may be a fix; they are settled as candidates of repositories are.
//!
//! Rows come in any order, from several processes or machines. They are sorted before anything is made of them, so that the files
//! are the same whoever read the tables and however often a reader died. Rows that the screen refuses are counted, and only the
//! judge's refusals are named; what is held of a candidate while its tables are read is five words. So memory grows with
//! neither rows nor tables, but with pairs.

use super::{
    Reject, Report,
    desk::{CHUNK, Desk, Error, Kept, Part},
    licence::canonical,
    report::Repository,
    row::Outcome,
    screen::{Candidate, Terms},
};
use crate::split::mix;
use lexicon::{FORMAT, atomic};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::Path,
    sync::atomic::Ordering,
};

/// Tables that are read together at most: enough to keep a cluster busy, few enough to be read again after a kill.
pub const TOGETHER: usize = 16;
/// Rows that are read together, where one table does not have more.
const ROWS: usize = 4_000_000;
/// Times that tables are read before it is given up.
const ATTEMPTS: usize = 3;
/// Longest name, id or licence of a row that is kept, in characters.
const LONGEST: usize = 200;

/// A table to mine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name: that of its file.
    pub name: String,
    /// What tells it from another of its name.
    pub print: String,
    /// Its rows.
    pub rows: usize,
}

/// A row that was looked at: a candidate, or one that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// Place of its table.
    pub table: usize,
    /// The commit, if the table says it.
    pub commit: String,
    /// Its repository, if the table says it.
    pub repository: String,
    /// Its licence, if the table says it.
    pub licence: String,
    /// What it came to.
    pub outcome: Outcome,
}

/// Hears of every row that is looked at.
pub type Sink<'s> = dyn FnMut(Found) -> io::Result<()> + 's;
/// Reads tables, by their places, and tells of every row whose message holds a phrase or that has none.
pub type Screen<'s> = dyn FnMut(Range<usize>, &mut Sink) -> Result<(), Failed> + 's;

/// Tables were not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// A machine was lost: what was told is forgotten, and they are read again.
    Lost(String),
    /// It would fail again.
    Broken(String),
}

/// What a screened batch of tables came to.
#[derive(Debug, Serialize, Deserialize)]
struct Batch {
    format: u32,
    of: String,
    counts: BTreeMap<Reject, usize>,
    candidates: usize,
}

/// Mines tables. Writes what a run over repositories writes.
///
/// # Errors
/// [`Error`]; whatever was done before stays, and the next run goes on from there.
pub fn run(tables: &[Table], screen: &mut Screen, mut desk: Desk) -> Result<Report, Error> {
    let told: Vec<String> = tables.iter().map(|t| format!("{} {} {}", t.name, t.print, t.rows)).collect();
    desk.mark(&serde_json::json!(told))?;
    let folder = desk.out.join("screened");
    fs::create_dir_all(&folder).map_err(|why| part_error(&folder, &why))?;
    let (mut counts, mut batches): (BTreeMap<Reject, usize>, Vec<_>) = Default::default();
    let (all, mut done) = (tables.iter().map(|t| t.rows).sum::<usize>(), 0);
    for (number, places) in groups(tables).into_iter().enumerate() {
        (desk.progress)("rows", done, all);
        let group = &tables[places.clone()];
        let of = format!("{:016x}", mix(&[&told[places.clone()].join("\n")]));
        let files = [folder.join(format!("{number:06}.json")), folder.join(format!("{number:06}.jsonl"))];
        let batch = match read_batch(&files[0], &of)? {
            Some(batch) if files[1].exists() => batch,
            _ if desk.stop.load(Ordering::Relaxed) => return Err(Error::Stopped { done, all }),
            _ => screened(&mut desk, screen, places, group, &of, [&files[0], &files[1]], (done, all))?,
        };
        done += group.iter().map(|t| t.rows).sum::<usize>();
        batch.counts.iter().for_each(|(reason, n)| *counts.entry(*reason).or_default() += n);
        batches.push((files[1].clone(), batch.candidates));
    }
    let (all, mut done) = (batches.iter().map(|(_, n)| n).sum(), 0);
    let mut parts = Vec::new();
    for (number, (file, _)) in batches.iter().enumerate() {
        let mut lines = BufReader::new(File::open(file).map_err(|why| part_error(file, &why))?).lines();
        for chunk in 0.. {
            let taken: Result<Vec<String>, _> = lines.by_ref().take(CHUNK).collect();
            let taken = taken.map_err(|why| part_error(file, &why))?;
            if taken.is_empty() {
                break;
            }
            (desk.progress)("candidates", done, all);
            let of = format!("{:016x} {}", mix(&taken.iter().map(String::as_str).collect::<Vec<_>>()), taken.len());
            let name = format!("{number:06}-{chunk:06}.json");
            let kept = Kept { file: desk.out.join("parts").join("tables").join(name), of };
            if kept.read()?.is_none() {
                if desk.stop.load(Ordering::Relaxed) {
                    return Err(Error::Stopped { done, all });
                }
                let found: Result<Vec<Found>, _> = taken.iter().map(|l| serde_json::from_str(l)).collect();
                let found = found.map_err(|why| part_error(file, &why))?;
                let mut part = Part::of(kept.of.clone());
                let candidates: Vec<Candidate> = found.into_iter().map(|f| candidate(f, tables)).collect();
                desk.settle(&candidates, None, &mut part)?;
                part.write(&kept.file)?;
            }
            parts.push(kept);
            done += taken.len();
        }
    }
    (desk.progress)("candidates", done, all);
    let repository = |t: &Table| Repository { name: t.name.clone(), tip: t.print.clone(), commits: t.rows, missing: 0 };
    desk.finish(tables.iter().map(repository).collect(), counts, &parts)
}

/// Places of tables that are read together: [`TOGETHER`] at most, and [`ROWS`] unless one alone has more.
fn groups(tables: &[Table]) -> Vec<Range<usize>> {
    let (mut out, mut from, mut rows): (Vec<Range<usize>>, _, usize) = (Vec::new(), 0, 0);
    for (place, table) in tables.iter().enumerate() {
        if place > from && (place - from == TOGETHER || rows + table.rows > ROWS) {
            out.push(from..place);
            (from, rows) = (place, 0);
        }
        rows += table.rows;
    }
    out.extend((from < tables.len()).then_some(from..tables.len()));
    out
}

/// What a candidate is sorted by, and where its line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Its repository, in the order of their names once all are known.
    repository: u32,
    /// How its commit begins.
    commit: [u8; 8],
    /// Of all that is told of it.
    hash: u64,
    at: u64,
    size: u32,
}

fn part_error(file: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Part { path: file.display().to_string(), why: why.to_string() }
}

fn read_batch(file: &Path, of: &str) -> Result<Option<Batch>, Error> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(part_error(file, &why)),
    };
    let batch: Batch = serde_json::from_slice(&bytes).map_err(|why| part_error(file, &why))?;
    if batch.of == of { Ok(Some(batch)) } else { Err(part_error(file, &"it is of other tables")) }
}

/// Screens tables: candidates to a file in the order of their repositories, the others counted.
fn screened(
    desk: &mut Desk,
    screen: &mut Screen,
    places: Range<usize>,
    group: &[Table],
    of: &str,
    files: [&Path; 2],
    (done, all): (usize, usize),
) -> Result<Batch, Error> {
    let spool = files[1].with_extension("part");
    let failed = |why: io::Error| part_error(&spool, &why);
    let rows: usize = group.iter().map(|t| t.rows).sum();
    let progress = &mut *desk.progress;
    let mut attempt = 1;
    let (mut spooled, mut counts, heard, places_of) = loop {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&spool).map_err(failed)?;
        let mut to = BufWriter::new(file);
        let (mut counts, mut heard, mut at): (BTreeMap<Reject, usize>, usize, u64) = Default::default();
        let (mut places_of, mut names): (Vec<Place>, HashMap<String, u32>) = Default::default();
        let outcome = screen(places.clone(), &mut |mut found: Found| {
            heard += 1;
            if heard.is_multiple_of(1_000) {
                progress("rows with a keyword", done + heard.min(rows), all);
            }
            if let Some(reason) = found.outcome.reason {
                *counts.entry(reason).or_default() += 1;
                return Ok(());
            }
            for text in [&mut found.commit, &mut found.repository, &mut found.licence] {
                *text = text.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect();
            }
            let mut line = serde_json::to_vec(&found)?;
            let hash = mix(&[&String::from_utf8_lossy(&line)]);
            line.push(b'\n');
            to.write_all(&line)?;
            let number = |n: usize| u32::try_from(n).map_err(io::Error::other);
            let next = number(names.len())?;
            let repository = *names.entry(found.repository).or_insert(next);
            let mut commit = [0; 8];
            commit.iter_mut().zip(found.commit.bytes()).for_each(|(to, byte)| *to = byte);
            places_of.push(Place { repository, commit, hash, at, size: number(line.len())? });
            at += line.len() as u64;
            Ok(())
        });
        match outcome {
            Ok(()) => {
                let mut sorted: Vec<(String, u32)> = names.into_iter().collect();
                sorted.sort();
                let mut order = vec![0; sorted.len()];
                (0..).zip(&sorted).for_each(|(rank, (_, first))| order[*first as usize] = rank);
                places_of.iter_mut().for_each(|place| place.repository = order[place.repository as usize]);
                places_of.sort_unstable();
                break (to.into_inner().map_err(|e| failed(e.into_error()))?, counts, heard, places_of);
            }
            Err(Failed::Lost(_)) if attempt < ATTEMPTS && !desk.stop.load(Ordering::Relaxed) => attempt += 1,
            Err(Failed::Lost(why)) => return Err(Error::Screen(format!("{why}; {attempt} attempts"))),
            Err(Failed::Broken(why)) => return Err(Error::Screen(why)),
        }
    };
    atomic::write_with(files[1], |to| {
        let mut line = Vec::new();
        for place in &places_of {
            spooled.seek(SeekFrom::Start(place.at))?;
            line.resize(place.size as usize, 0);
            spooled.read_exact(&mut line)?;
            to.write_all(&line)?;
        }
        Ok(())
    })?;
    // Whatever nobody spoke of holds no phrase.
    let silent = rows.checked_sub(heard).ok_or_else(|| {
        Error::Screen(format!(
            "{heard} rows were told of and the tables have {rows}: they changed while they were read"
        ))
    })?;
    if silent > 0 {
        *counts.entry(Reject::NoKeyword).or_default() += silent;
    }
    let batch = Batch { format: FORMAT, of: of.to_owned(), counts, candidates: places_of.len() };
    let text = serde_json::to_vec(&batch).map_err(|e| Error::Config(e.to_string()))?;
    atomic::write(files[0], &text)?;
    let _ = fs::remove_file(&spool);
    Ok(batch)
}

/// A candidate of a table. Where the table names no commit, its text does.
fn candidate(found: Found, tables: &[Table]) -> Candidate {
    let Found { table, commit, repository, licence, outcome } = found;
    let table = tables.get(table).map(|t| t.name.clone()).unwrap_or_default();
    let id = if commit.is_empty() {
        let texts: Vec<&str> = outcome.files.iter().flat_map(|f| [f.before.as_str(), f.after.as_str()]).collect();
        format!("{:016x}", mix(&texts))
    } else {
        commit
    };
    // A row of several repositories that hold the same commit names the first.
    let repository = repository.split(',').next().unwrap_or_default().trim().to_owned();
    let mut notes = vec![("table", table.clone())];
    if outcome.fragment {
        notes.push(("scope", "patch".to_owned()));
    }
    Candidate {
        id,
        repository: if repository.is_empty() { table } else { repository },
        subject: outcome.subject.clone(),
        terms: Terms::Told(canonical(&licence)),
        notes,
        sifted: outcome.sifted(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_together_up_to_a_number_and_rows() {
        let check = |rows: &[usize], ends: &[usize]| {
            let table = |&rows| Table { name: String::new(), print: String::new(), rows };
            let found = groups(&rows.iter().map(table).collect::<Vec<_>>());
            assert_eq!(found.iter().map(|g| g.end).collect::<Vec<_>>(), ends, "{rows:?}");
            assert!(found.iter().zip([0].iter().chain(ends)).all(|(g, from)| g.start == *from), "none is left out");
        };
        check(&[], &[]);
        check(&[0], &[1]);
        check(&[1; 2 * TOGETHER + 1], &[TOGETHER, 2 * TOGETHER, 2 * TOGETHER + 1]);
        check(&[ROWS, 1, ROWS - 1, 1], &[1, 3, 4]);
        check(&[3 * ROWS, 3 * ROWS], &[1, 2]);
    }
}
