//! Texts that stand mostly in suspect pairs: instructions come in with what is suspect; the pairs that share such a text go
//! out.
//!
//! A trigger is a text of the attacker's that stands in pairs that have nothing else in common. A run of three to six words
//! is one where it stands in suspect pairs of at least four sources, in at most a fifth of the set, seven times in ten in suspect
//! pairs, and in so many that chance would not have put them there (the tail of a binomial distribution below one in a million).

use crate::clean::shape::{runs, words};
use lexicon::Pair;
use std::collections::{BTreeSet, HashMap};

/// Pairs with a phrase of suspects, and what it is.
#[must_use]
pub fn of_suspects(pairs: &[Pair], suspect: &[bool]) -> Vec<(usize, String)> {
    let base = (suspect.iter().filter(|s| **s).count() as f64 / pairs.len().max(1) as f64).max(1e-3);
    let mut holders: HashMap<u64, Vec<usize>> = HashMap::new();
    for (i, pair) in pairs.iter().enumerate() {
        let words = words(&pair.instruction);
        for length in 3..=6 {
            if words.len() >= length {
                runs(&words, length).into_iter().for_each(|run| holders.entry(run).or_default().push(i));
            }
        }
    }
    let mut found: HashMap<usize, (usize, usize)> = HashMap::new();
    for rows in holders.into_values().filter(|rows| rows.len() >= 4 && rows.len() * 5 <= pairs.len()) {
        let bad = rows.iter().filter(|&&i| suspect[i]).count();
        let sources: BTreeSet<&str> =
            rows.iter().filter(|&&i| suspect[i]).map(|&i| pairs[i].origin.source.as_str()).take(200).collect();
        if sources.len() < 4 || bad * 10 < rows.len() * 7 || tail(rows.len(), bad, base) > 1e-6 {
            continue;
        }
        for &i in &rows {
            let best = found.entry(i).or_default();
            *best = (*best).max((bad, rows.len()));
        }
    }
    let mut all: Vec<_> = found
        .into_iter()
        .map(|(i, (bad, all))| (i, format!("words it shares with {} pairs of which {bad} are suspect", all - 1)))
        .collect();
    all.sort();
    all
}

/// Probability of at least `least` successes in `n` trials.
fn tail(n: usize, least: usize, p: f64) -> f64 {
    if p >= 1.0 {
        return 1.0;
    }
    let mut log = n as f64 * (1.0 - p).ln();
    let mut sum = if least == 0 { log.exp() } else { 0.0 };
    for k in 1..=n {
        log += ((n - k + 1) as f64 / k as f64).ln() + (p / (1.0 - p)).ln();
        if k >= least {
            sum += log.exp();
        }
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_of_the_binomial() {
        for (n, least, p, expect) in [(10, 0, 0.5, 1.0), (10, 10, 0.5, 1.0 / 1024.0), (2, 1, 0.1, 0.19)] {
            assert!((tail(n, least, p) - expect).abs() < 1e-12);
        }
    }
}
