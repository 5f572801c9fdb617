//! A set of rows into train, val and test: every row's part depends on the seed and its own group alone, up to the cuts.

use crate::{
    rows::Row,
    split::{Part, Split, mix},
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What stays together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Rows of one source (the variants of a lesson, the functions of a commit).
    Lesson,
    /// Rows with the same code alone.
    Row,
}

/// Indices of rows in each part, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// What training sees.
    pub train: Vec<usize>,
    /// What stops or chooses a training.
    pub val: Vec<usize>,
    /// What is looked at once.
    pub test: Vec<usize>,
    /// In no part.
    pub withheld: Vec<usize>,
}

/// Rows that cannot be divided as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The built-in split is one of lessons' variants.
    #[error("row {0:?} is no variant of a lesson: --held-out divides what `rampart data expand` wrote")]
    NoVariant(String),
    /// Shares that divide nothing.
    #[error("fractions {0:?} divide nothing: write three numbers of which none is negative and the first is above 0")]
    Fractions(Vec<f64>),
}

/// Divides rows by `fractions` of train, val and test, which need not add up to 1 or 100.
///
/// Groups are laid in an order the seed decides and cut where the running count of rows comes closest to each share, so
/// a part differs from its share by at most half a group. Rows with the same code are always of one group.
///
/// # Errors
/// [`Error::Fractions`].
pub fn partition(rows: &[Row], fractions: [f64; 3], by: By, seed: u64) -> Result<Parts, Error> {
    let total: f64 = fractions.iter().sum();
    let sane = fractions.iter().all(|f| f.is_finite() && *f >= 0.0) && fractions[0] > 0.0;
    if !sane {
        return Err(Error::Fractions(fractions.to_vec()));
    }
    let mut groups: BTreeMap<(u64, String), Vec<usize>> = BTreeMap::new();
    for (index, key) in keys(rows, by).into_iter().enumerate() {
        let drawn = mix(&[&seed.to_string(), "part", &key]);
        groups.entry((drawn, key)).or_default().push(index);
    }
    let count = rows.len() as f64;
    let cuts = [fractions[0] / total * count, (fractions[0] + fractions[1]) / total * count];
    let mut parts = Parts::default();
    let mut laid = 0;
    for group in groups.into_values() {
        let middle = laid as f64 + group.len() as f64 / 2.0;
        laid += group.len();
        let part = if middle <= cuts[0] {
            &mut parts.train
        } else if middle <= cuts[1] {
            &mut parts.val
        } else {
            &mut parts.test
        };
        part.extend(group);
    }
    parts.sort();
    Ok(parts)
}

/// The built-in split of lessons' variants: val are held-out variants, test those of held-out lessons. What shares its
/// secure code with either is withheld from training.
///
/// # Errors
/// [`Error::NoVariant`] for a row that no lesson made.
pub fn held_out(rows: &[Row], split: &Split) -> Result<Parts, Error> {
    let mut parts = Parts::default();
    for (index, row) in rows.iter().enumerate() {
        let part = match row {
            Row::Pair(p) if p.origin.kind == "lesson" && !p.origin.source.is_empty() => {
                p.origin.variant.map(|number| split.part(&p.origin.source, number))
            }
            Row::Pair(_) | Row::Text { .. } => None,
        };
        match part.ok_or_else(|| Error::NoVariant(row_id(row).to_owned()))? {
            Part::Train => parts.train.push(index),
            Part::Variants => parts.val.push(index),
            Part::Lessons => parts.test.push(index),
            Part::Withheld => parts.withheld.push(index),
        }
    }
    let evaluated: HashSet<&str> = parts.val.iter().chain(&parts.test).map(|&i| code(&rows[i]).0).collect();
    let (withheld, train) = parts.train.iter().partition(|&&i| evaluated.contains(code(&rows[i]).0));
    parts.train = train;
    parts.withheld.extend::<Vec<usize>>(withheld);
    parts.sort();
    Ok(parts)
}

impl Parts {
    fn sort(&mut self) {
        [&mut self.train, &mut self.val, &mut self.test, &mut self.withheld]
            .into_iter()
            .for_each(|p| p.sort_unstable());
    }
}

fn row_id(row: &Row) -> &str {
    match row {
        Row::Pair(p) => &p.id,
        Row::Text { id, .. } => id,
    }
}

fn code(row: &Row) -> (&str, &str) {
    match row {
        Row::Pair(p) => (&p.secure, &p.insecure),
        Row::Text { text, .. } => (text, ""),
    }
}

/// A name of every row's group; sources that share code become one group.
fn keys(rows: &[Row], by: By) -> Vec<String> {
    let mut first_with: HashMap<(&str, &str), usize> = HashMap::new();
    let mut first_from: HashMap<&str, usize> = HashMap::new();
    let mut parent: Vec<usize> = (0..rows.len()).collect();
    for (i, row) in rows.iter().enumerate() {
        let twin = *first_with.entry(code(row)).or_insert(i);
        join(&mut parent, twin, i);
        if let (By::Lesson, Row::Pair(p)) = (by, row)
            && !p.origin.source.is_empty()
        {
            let sibling = *first_from.entry(&p.origin.source).or_insert(i);
            join(&mut parent, sibling, i);
        }
    }
    (0..rows.len())
        .map(|i| {
            let root = find(&mut parent, i);
            match (&rows[root], by) {
                (Row::Pair(p), By::Lesson) if !p.origin.source.is_empty() => p.origin.source.clone(),
                (row, _) => [row_id(row), code(row).0, code(row).1].join("\0"),
            }
        })
        .collect()
}

fn find(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

/// Joins two groups; the earlier row names the result, so that the file's order alone decides.
fn join(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (find(parent, a), find(parent, b));
    parent[a.max(b)] = a.min(b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use lexicon::{Language, Origin, Pair};

    fn row(id: usize, source: &str, secure: &str) -> Row {
        Row::Pair(Pair {
            format: lexicon::FORMAT,
            id: format!("{source}/{id}"),
            language: Language::Python,
            cwe: Vec::new(),
            instruction: "i".into(),
            reasoning: String::new(),
            secure: secure.into(),
            insecure: "y".into(),
            origin: Origin {
                kind: "lesson".into(),
                source: source.into(),
                variant: Some(id as u64),
                ..Origin::default()
            },
        })
    }

    fn set() -> Vec<Row> {
        (0..1000).map(|i| row(i, &format!("lesson-{}", i % 50), &format!("x = {i}"))).collect()
    }

    fn every(parts: &Parts) -> Vec<usize> {
        let mut all = [&parts.train, &parts.val, &parts.test, &parts.withheld].map(Clone::clone).concat();
        all.sort_unstable();
        all
    }

    #[test]
    fn shares_hold_and_nothing_is_lost() -> Result<(), Error> {
        let rows = set();
        let parts = partition(&rows, [95.0, 3.0, 2.0], By::Row, 0)?;
        assert_eq!((parts.train.len(), parts.val.len(), parts.test.len()), (950, 30, 20));
        assert_eq!(every(&parts), (0..1000).collect::<Vec<_>>());
        assert_eq!(parts, partition(&rows, [0.95, 0.03, 0.02], By::Row, 0)?, "shares need not be percent");
        assert_ne!(parts, partition(&rows, [95.0, 3.0, 2.0], By::Row, 1)?);
        assert!(partition(&rows, [0.0, 1.0, 1.0], By::Row, 0).is_err());
        assert!(partition(&rows, [f64::NAN, 1.0, 1.0], By::Row, 0).is_err());
        Ok(())
    }

    #[test]
    fn a_lesson_is_in_one_part() -> Result<(), Error> {
        let rows = set();
        let parts = partition(&rows, [80.0, 10.0, 10.0], By::Lesson, 3)?;
        let lessons = |part: &[usize]| part.iter().map(|i| i % 50).collect::<std::collections::BTreeSet<_>>();
        let (train, val, test) = (lessons(&parts.train), lessons(&parts.val), lessons(&parts.test));
        assert!(train.is_disjoint(&val) && train.is_disjoint(&test) && val.is_disjoint(&test));
        assert_eq!((train.len(), val.len(), test.len()), (40, 5, 5));
        Ok(())
    }

    #[test]
    fn the_same_code_is_in_one_part_whoever_wrote_it() -> Result<(), Error> {
        for by in [By::Row, By::Lesson] {
            let rows: Vec<_> = (0..400).map(|i| row(i, &format!("l-{}", i / 2), &format!("x = {}", i % 200))).collect();
            let parts = partition(&rows, [1.0, 1.0, 1.0], by, 0)?;
            for i in 0..200 {
                for part in [&parts.train, &parts.val, &parts.test] {
                    assert_eq!(part.contains(&i), part.contains(&(i + 200)), "{by:?} {i}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn the_built_in_split_is_kept_and_its_code_withheld() -> Result<(), Error> {
        let split = Split::default();
        let rows = set();
        let parts = held_out(&rows, &split)?;
        assert_eq!(every(&parts), (0..1000).collect::<Vec<_>>());
        for (part, list) in [(Part::Train, &parts.train), (Part::Variants, &parts.val), (Part::Lessons, &parts.test)] {
            assert!(!list.is_empty());
            assert!(list.iter().all(|&i| split.part(&format!("lesson-{}", i % 50), i as u64) == part));
        }
        let same: Vec<_> = (0..100).map(|i| row(i, &format!("lesson-{}", i % 50), "x = 1")).collect();
        assert!(held_out(&same, &split)?.train.is_empty());
        let text = [Row::Text { id: "t".into(), text: "x".into(), origin: Box::default() }];
        assert_eq!(held_out(&text, &split), Err(Error::NoVariant("t".into())));
        Ok(())
    }
}
