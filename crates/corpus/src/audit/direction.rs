//! Which way a change points: pairs come in; how far each agrees with what the other pairs call secure goes out.
//!
//! A pair is seen as what its secure side has more and less of than its insecure side: runs of one to three leaves (own names
//! do not count) and the words in names. A logistic regression through the origin learns from the other pairs which of
//! these point to the secure side; turning a pair around turns the sign, so a set in which most pairs are right teaches
//! right. Every pair is judged by a model that has not seen it (eight folds), twice: what points clearly backwards the first
//! time does not teach the second time.

use crate::{clean::shape::hash, split::mix};
use judge::languages::{Dialect, Leaf, leaves};
use lexicon::Pair;
use rayon::prelude::*;
use std::collections::HashMap;

const FOLDS: usize = 8;
const EPOCHS: usize = 10;
const RATE: f64 = 0.1;
const DECAY: f64 = 1e-3;

/// A pair's features by number, scaled to length one.
type Features = Vec<(u32, f64)>;

/// Agreement of every pair with the others, in the logit of a unit of features: below zero it points backwards. `weights` says
/// how much each pair teaches, 0 for none.
#[must_use]
pub fn agreement(pairs: &[Pair], weights: &[f64], seed: u64) -> Vec<f64> {
    let raw: Vec<Vec<(u64, f64)>> = pairs.par_iter().map(features).collect();
    let mut counts: HashMap<u64, u32> = HashMap::new();
    raw.iter().flatten().for_each(|(key, _)| *counts.entry(*key).or_default() += 1);
    // What one pair alone has teaches nothing about another.
    let mut numbers: HashMap<u64, u32> = HashMap::new();
    let rows: Vec<Features> = raw
        .into_iter()
        .map(|row| {
            let mut row: Features = row
                .into_iter()
                .filter(|(key, _)| counts[key] > 1)
                .map(|(key, value)| {
                    let next = numbers.len() as u32;
                    (*numbers.entry(key).or_insert(next), value)
                })
                .collect();
            let length = row.iter().map(|(_, v)| v * v).sum::<f64>().sqrt().max(1e-9);
            row.iter_mut().for_each(|(_, v)| *v /= length);
            row
        })
        .collect();
    let first = folds(&rows, numbers.len(), weights, pairs, seed);
    let clearer: Vec<f64> = weights.iter().zip(&first).map(|(w, s)| if *s < -2.0 { 0.0 } else { *w }).collect();
    folds(&rows, numbers.len(), &clearer, pairs, seed)
}

fn folds(rows: &[Features], size: usize, weights: &[f64], pairs: &[Pair], seed: u64) -> Vec<f64> {
    let fold: Vec<usize> =
        pairs.iter().map(|p| (mix(&[&seed.to_string(), "fold", &p.id]) % FOLDS as u64) as usize).collect();
    let models: Vec<Vec<f64>> = (0..FOLDS)
        .into_par_iter()
        .map(|held| {
            let taught: Vec<usize> = (0..rows.len()).filter(|&i| fold[i] != held && weights[i] > 0.0).collect();
            learn(rows, size, weights, &taught, seed)
        })
        .collect();
    rows.iter().zip(fold).map(|(row, held)| row.iter().map(|&(k, v)| models[held][k as usize] * v).sum()).collect()
}

/// AdaGrad on the log-loss of "this way round", with decay of the weights that a row touches.
fn learn(rows: &[Features], size: usize, weights: &[f64], taught: &[usize], seed: u64) -> Vec<f64> {
    let (mut model, mut sums) = (vec![0.0; size], vec![1e-6; size]);
    for epoch in 0..EPOCHS {
        let mut order: Vec<(u64, usize)> =
            taught.iter().map(|&i| (mix(&[&seed.to_string(), &epoch.to_string(), &i.to_string()]), i)).collect();
        order.sort_unstable();
        for (_, i) in order {
            let margin: f64 = rows[i].iter().map(|&(k, v)| model[k as usize] * v).sum();
            let pull = -weights[i] / (1.0 + margin.clamp(-30.0, 30.0).exp());
            for &(k, v) in &rows[i] {
                let k = k as usize;
                let slope = pull * v + DECAY * model[k];
                sums[k] += slope * slope;
                model[k] -= RATE * slope / f64::sqrt(sums[k]);
            }
        }
    }
    model
}

/// What the secure side has more (positive) and less (negative) of.
fn features(pair: &Pair) -> Vec<(u64, f64)> {
    let mut sums: HashMap<u64, f64> = HashMap::new();
    for (code, sign) in [(&pair.secure, 1.0), (&pair.insecure, -1.0)] {
        let dialect = Dialect::ALL.into_iter().find(|d| d.language() == pair.language).unwrap_or(Dialect::Python);
        let Some(found) = leaves(dialect, code, usize::MAX) else { continue };
        let mut words: Vec<&str> = vec!["^"];
        for (range, leaf) in &found.leaves {
            let text = &code[range.clone()];
            words.push(if matches!(leaf, Leaf::Own(_)) { "$" } else { text });
            for part in parts(text) {
                *sums.entry(hash(format!("w {}", part.to_lowercase()).as_bytes())).or_default() += sign;
            }
        }
        for length in 1..=3 {
            for run in words.windows(length) {
                *sums.entry(hash(run.join("\u{1}").as_bytes())).or_default() += sign;
            }
        }
        let count = found.leaves.len() as f64;
        *sums.entry(hash(b"length")).or_default() += sign * count / 10.0;
    }
    let label = pair.cwe.first().map_or(0, |c| c.0);
    let changed: Vec<(u64, f64)> =
        sums.into_iter().filter(|(_, v)| *v != 0.0).map(|(k, v)| (k, v.clamp(-2.0, 2.0))).collect();
    let mut all: Vec<(u64, f64)> = changed
        .iter()
        .flat_map(|&(k, v)| [(k, v), (hash(&[k.to_le_bytes(), u64::from(label).to_le_bytes()].concat()), v / 2.0)])
        .collect();
    all.sort_unstable_by_key(|(k, _)| *k);
    all
}

/// The words in a name: `safeLoad`, `safe_load`.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|word| {
        let cuts = word
            .char_indices()
            .skip(1)
            .filter(|(i, c)| c.is_ascii_uppercase() && word.as_bytes().get(i - 1).is_some_and(u8::is_ascii_lowercase));
        let ends: Vec<usize> = std::iter::once(0).chain(cuts.map(|(i, _)| i)).chain([word.len()]).collect();
        ends.windows(2).map(|w| &word[w[0]..w[1]]).filter(|p| p.len() > 1).collect::<Vec<_>>()
    })
}
