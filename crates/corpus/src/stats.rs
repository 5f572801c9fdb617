//! What a data set holds, in numbers: rows come in, counts and distributions go out.

pub mod drawing;
pub mod oversampling;

use crate::{mask_rows::Masked, rows::Row};
use lexicon::{FORMAT, Pair};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A distribution of lengths.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Lengths {
    /// Mean.
    pub mean: f64,
    /// Half are at most this long.
    pub median: usize,
    /// Ninety-five in a hundred are at most this long.
    pub p95: usize,
    /// The longest.
    pub max: usize,
}

impl Lengths {
    /// Of lengths in any order; all zero for none.
    #[must_use]
    pub fn of(mut lengths: Vec<usize>) -> Self {
        lengths.sort_unstable();
        let Some(&max) = lengths.last() else { return Self::default() };
        // Nearest rank: the smallest length that at least this share does not exceed.
        let rank = |percent: usize| lengths[(lengths.len() * percent).div_ceil(100).max(1) - 1];
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        Self { mean, median: rank(50), p95: rank(95), max }
    }
}

/// Rows whose length is from `from` to `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Shortest.
    pub from: usize,
    /// Longest.
    pub to: usize,
    /// Rows.
    pub count: usize,
}

/// Rows that say the same again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Duplicates {
    /// Pairs with both sides of an earlier one, or texts equal to one.
    pub rows: usize,
    /// Pairs with an earlier one's secure side.
    pub secure: usize,
    /// Pairs with an earlier one's insecure side.
    pub insecure: usize,
    /// Pairs with an earlier one's instruction.
    pub instructions: usize,
}

/// What a tokenizer adds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tokens {
    /// Tokens of the insecure sides.
    pub insecure: Lengths,
    /// Tokens of the secure sides.
    pub secure: Lengths,
    /// Tokens of texts.
    pub texts: Lengths,
    /// All tokens of all code and text.
    pub total: usize,
    /// Mean over pairs of the share of insecure tokens that change, in percent; identical and too long pairs left out.
    pub changed_insecure: f64,
    /// The same of secure tokens.
    pub changed_secure: f64,
    /// Pairs whose secure side gains no token: a pure deletion.
    pub unchanged_secure: usize,
    /// Pairs whose insecure side loses no token: a pure addition.
    pub unchanged_insecure: usize,
    /// Pairs with a side too long for masks.
    pub too_long: usize,
}

/// The numbers of a set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stats {
    /// Record format.
    pub format: u32,
    /// Pairs.
    pub pairs: usize,
    /// Texts without sides.
    pub texts: usize,
    /// Pairs by language.
    pub languages: BTreeMap<String, usize>,
    /// Pairs by label, the first weakness; `none` where there is none.
    pub cwes: BTreeMap<String, usize>,
    /// Pairs by language, then by label.
    pub classes: BTreeMap<String, BTreeMap<String, usize>>,
    /// Pairs by licence; `none` where none is stated.
    pub licences: BTreeMap<String, usize>,
    /// Pairs by kind of origin.
    pub origins: BTreeMap<String, usize>,
    /// Distinct sources (lessons, repositories).
    pub sources: usize,
    /// Pairs by who verified them; a pair counts once under each.
    pub verified: BTreeMap<String, usize>,
    /// Lines of the insecure sides.
    pub insecure_lines: Lengths,
    /// Lines of the secure sides.
    pub secure_lines: Lengths,
    /// Lines of texts.
    pub text_lines: Lengths,
    /// Pairs with security reasoning.
    pub reasoned: usize,
    /// Pairs whose sides are the same.
    pub identical: usize,
    /// Repetitions.
    pub duplicates: Duplicates,
    /// Lengths of secure sides and texts, in tokens where a tokenizer is given, else in lines; buckets double.
    pub histogram: Vec<Bucket>,
    /// What a tokenizer adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
}

/// Numbers of rows; `masked` holds every pair's masks in order and every text's number of tokens, where a tokenizer is
/// at hand.
#[must_use]
pub fn stats(rows: &[Row], tokens: Option<(&[Masked], &[usize])>) -> Stats {
    let pairs: Vec<&Pair> = rows.iter().filter_map(|r| if let Row::Pair(p) = r { Some(p) } else { None }).collect();
    let texts: Vec<&str> =
        rows.iter().filter_map(|r| if let Row::Text { text, .. } = r { Some(text.as_str()) } else { None }).collect();
    let count = |keys: &mut dyn Iterator<Item = String>| {
        let mut map = BTreeMap::new();
        keys.for_each(|k| *map.entry(k).or_insert(0) += 1);
        map
    };
    let or_none = |s: &str| if s.trim().is_empty() { "none".to_owned() } else { s.to_owned() };
    let label = |p: &Pair| p.cwe.first().map_or_else(|| "none".to_owned(), ToString::to_string);
    let mut classes: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for pair in &pairs {
        *classes.entry(pair.language.to_string()).or_default().entry(label(pair)).or_default() += 1;
    }
    let lines = |text: &str| text.lines().count();
    let secure_lines: Vec<usize> = pairs.par_iter().map(|p| lines(&p.secure)).collect();
    let text_lines: Vec<usize> = texts.par_iter().map(|t| lines(t)).collect();
    let (histogram, tokens) = match tokens {
        None => (histogram(secure_lines.iter().chain(&text_lines).copied()), None),
        Some((masked, texts)) => {
            let secure = masked.iter().map(|m| m.secure.ids.len());
            (histogram(secure.chain(texts.iter().copied())), Some(self::tokens(masked, texts)))
        }
    };
    Stats {
        format: FORMAT,
        pairs: pairs.len(),
        texts: texts.len(),
        languages: count(&mut pairs.iter().map(|p| p.language.to_string())),
        cwes: count(&mut pairs.iter().map(|p| label(p))),
        classes,
        licences: count(&mut pairs.iter().map(|p| or_none(&p.origin.licence))),
        origins: count(&mut pairs.iter().map(|p| or_none(&p.origin.kind))),
        sources: pairs.iter().map(|p| &p.origin.source).filter(|s| !s.is_empty()).collect::<BTreeSet<_>>().len(),
        verified: count(&mut pairs.iter().flat_map(|p| p.origin.verified.iter().cloned())),
        insecure_lines: Lengths::of(pairs.iter().map(|p| lines(&p.insecure)).collect()),
        secure_lines: Lengths::of(secure_lines),
        text_lines: Lengths::of(text_lines),
        reasoned: pairs.iter().filter(|p| !p.reasoning.trim().is_empty()).count(),
        identical: pairs.iter().filter(|p| p.secure == p.insecure).count(),
        duplicates: Duplicates {
            rows: repeated(pairs.iter().map(|p| (&p.secure, &p.insecure))) + repeated(texts.iter()),
            secure: repeated(pairs.iter().map(|p| &p.secure)),
            insecure: repeated(pairs.iter().map(|p| &p.insecure)),
            instructions: repeated(pairs.iter().map(|p| &p.instruction)),
        },
        histogram,
        tokens,
    }
}

fn repeated<K: Eq + std::hash::Hash>(keys: impl Iterator<Item = K>) -> usize {
    let mut seen = HashSet::new();
    keys.map(|k| usize::from(!seen.insert(k))).sum()
}

fn tokens(masked: &[Masked], texts: &[usize]) -> Tokens {
    let lengths = |side: fn(&Masked) -> usize| masked.iter().map(side).collect::<Vec<_>>();
    let (insecure, secure) = (lengths(|m| m.insecure.ids.len()), lengths(|m| m.secure.ids.len()));
    let total = insecure.iter().chain(&secure).chain(texts).sum();
    let sides: Vec<_> = masked
        .iter()
        .filter(|m| m.changes())
        .filter_map(|m| Some((m.row.insecure.as_ref()?, m.row.secure.as_ref()?)))
        .collect();
    let share = |mask: &[u8]| 100.0 * mask.iter().map(|&b| f64::from(b)).sum::<f64>() / mask.len().max(1) as f64;
    let mean =
        |shares: Vec<f64>| if shares.is_empty() { 0.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 };
    let still = |mask: &[u8]| !mask.contains(&1);
    Tokens {
        insecure: Lengths::of(insecure),
        secure: Lengths::of(secure),
        texts: Lengths::of(texts.to_vec()),
        total,
        changed_insecure: mean(sides.iter().map(|(i, _)| share(i)).collect()),
        changed_secure: mean(sides.iter().map(|(_, s)| share(s)).collect()),
        unchanged_secure: sides.iter().filter(|(_, s)| still(s)).count(),
        unchanged_insecure: sides.iter().filter(|(i, _)| still(i)).count(),
        too_long: masked.iter().filter(|m| m.too_long()).count(),
    }
}

/// Counts in buckets of doubling width: 0, 1, 2-3, 4-7, .. without the empty ones at either end.
fn histogram(lengths: impl Iterator<Item = usize>) -> Vec<Bucket> {
    let mut counts: Vec<usize> = Vec::new();
    for length in lengths {
        let at = (usize::BITS - length.leading_zeros()) as usize;
        if counts.len() <= at {
            counts.resize(at + 1, 0);
        }
        counts[at] += 1;
    }
    let first = counts.iter().position(|&c| c > 0).unwrap_or(0);
    let bucket = |(at, &count): (usize, &usize)| {
        let from = if at == 0 { 0 } else { 1 << (at - 1) };
        Bucket { from, to: from + from.saturating_sub(1), count }
    };
    counts.iter().enumerate().skip(first).map(bucket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lexicon::{Cwe, Language, Origin};

    #[test]
    fn lengths_take_the_nearest_rank() {
        assert_eq!(Lengths::of(vec![]), Lengths::default());
        assert_eq!(Lengths::of(vec![3]), Lengths { mean: 3.0, median: 3, p95: 3, max: 3 });
        let l = Lengths::of((1..=100).rev().collect());
        assert_eq!((l.median, l.p95, l.max), (50, 95, 100));
        assert!((l.mean - 50.5).abs() < 1e-12);
    }

    #[test]
    fn buckets_double_and_hold_every_row() {
        let b = histogram([1, 2, 3, 4, 7, 8, 9].into_iter());
        let told: Vec<_> = b.iter().map(|b| (b.from, b.to, b.count)).collect();
        assert_eq!(told, [(1, 1, 1), (2, 3, 2), (4, 7, 2), (8, 15, 2)]);
        assert_eq!(histogram([0].into_iter()), [Bucket { from: 0, to: 0, count: 1 }]);
        assert!(histogram(std::iter::empty()).is_empty());
    }

    #[test]
    fn repetitions_are_counted_apart() {
        let pair = |secure: &str, insecure: &str| {
            Row::Pair(Pair {
                format: FORMAT,
                id: "p".into(),
                language: Language::Python,
                cwe: vec![Cwe(89), Cwe(20)],
                instruction: "i".into(),
                reasoning: String::new(),
                secure: secure.into(),
                insecure: insecure.into(),
                origin: Origin { kind: "lesson".into(), source: "l".into(), ..Origin::default() },
            })
        };
        let text = Row::Text { id: "t".into(), text: "x\ny\n".into(), origin: Box::default() };
        let rows = [pair("a", "b"), pair("a", "b"), pair("a", "c"), pair("d", "d"), text.clone(), text];
        let s = stats(&rows, None);
        assert_eq!(s.duplicates, Duplicates { rows: 2, secure: 2, insecure: 1, instructions: 3 });
        assert_eq!((s.pairs, s.texts, s.identical, s.sources), (4, 2, 1, 1));
        let labels = BTreeMap::from([("CWE-89".to_owned(), 4)]);
        assert_eq!((&s.cwes, s.licences["none"]), (&labels, 4));
        assert_eq!(s.classes, BTreeMap::from([("python".to_owned(), labels)]));
        assert_eq!((s.text_lines.max, s.histogram.len()), (2, 2));
    }
}
