//! Masks a second, and how that compares with Python's difflib on the same pairs in the same run.
//!
//! `cargo bench -p corpus --bench masks`. Real pairs where the public data is at hand, random ones elsewhere.

#[path = "../tests/masks_peer/mod.rs"]
mod masks_peer;

use std::sync::OnceLock;
use std::time::Instant;

use corpus::masks::{char_diff, line_diff, token_diff};
use divan::Bencher;
use masks_peer::Pair;

fn main() {
    compare();
    divan::main();
}

fn pairs() -> &'static [Pair] {
    static PAIRS: OnceLock<Vec<Pair>> = OnceLock::new();
    PAIRS.get_or_init(|| masks_peer::corpus_pairs().unwrap_or_else(|| masks_peer::random_pairs(1, 1000)))
}

/// Prints Python's time over ours, pair by pair and in total. Ours is the best of ten, Python's a single run in
/// processor time: both leave out what else the machine was doing.
fn compare() {
    let Some(rows) = masks_peer::python(pairs()) else { return };
    let (mut theirs, mut ours) = (0.0, 0.0);
    let mut ratios: Vec<f64> = Vec::new();
    for ((before, after), (.., python)) in pairs().iter().zip(rows) {
        let once = |_| {
            let start = Instant::now();
            divan::black_box(token_diff(divan::black_box(before), divan::black_box(after)));
            start.elapsed().as_secs_f64()
        };
        let best = (0..10).map(once).fold(f64::INFINITY, f64::min);
        theirs += python;
        ours += best;
        ratios.push(python / best);
    }
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((ratios.len() - 1) as f64 * share) as usize];
    println!("{} pairs: python {theirs:.3} s, here {ours:.4} s, ratio {:.0}", ratios.len(), theirs / ours);
    println!("ratio of a pair: lowest {:.0}, tenth {:.0}, median {:.0}", at(0.0), at(0.1), at(0.5));
}

#[divan::bench]
fn tokens(bencher: Bencher<'_, '_>) {
    let tokens: usize = pairs().iter().map(|(a, b)| a.len() + b.len()).sum();
    bencher
        .counter(divan::counter::ItemsCount::new(tokens))
        .bench(|| pairs().iter().map(|(a, b)| token_diff(a, b).0.len()).sum::<usize>());
}

/// A function of 60 lines with a change in every sixth.
fn texts() -> (String, String) {
    let line = |i: usize, what: &str| format!("    value_{i} = {what}(argument_{}, {i})\n", i % 7);
    let before = (0..60).map(|i| line(i, "execute")).collect();
    let after = (0..60).map(|i| line(i, if i % 6 == 0 { "escape" } else { "execute" })).collect();
    (before, after)
}

#[divan::bench]
fn characters(bencher: Bencher<'_, '_>) {
    let (before, after) = texts();
    bencher.bench(|| char_diff(divan::black_box(&before), divan::black_box(&after)));
}

#[divan::bench]
fn lines(bencher: Bencher<'_, '_>) {
    let (before, after) = texts();
    bencher.bench(|| line_diff(divan::black_box(&before), divan::black_box(&after)));
}
