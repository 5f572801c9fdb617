//! Precision and recall of `rampart data audit` on sets poisoned by `rampart data poison`, for docs/poisoning.md.
//!
//! `cargo run --release -p corpus --example poisoning -- PAIRS.jsonl..`: every file by itself, then all of them together.

use corpus::{
    audit::{self, Check, measure::measure},
    clean::name_of,
    poison::{self, Kind},
    rows,
};
use lexicon::Pair;
use std::{collections::BTreeMap, path::Path};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sets: Vec<(String, Vec<Pair>)> = Vec::new();
    for file in std::env::args().skip(1) {
        let pairs = rows::read(Path::new(&file))?.pairs();
        let name = Path::new(&file).file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        sets.push((name, pairs));
    }
    let all: Vec<Pair> = sets.iter().flat_map(|(_, pairs)| pairs.iter().cloned()).collect();
    sets.push(("all together".into(), all));
    for (name, pairs) in &sets {
        let clean = audit::audit(pairs, &audit::Settings::default());
        println!("\n{name}: {} pairs, {} suspected as they are: {:?}", pairs.len(), clean.len(), by_check(&clean));
        println!("| kind | share | poisoned | suspected | precision | recall | found by |");
        println!("|---|---|---|---|---|---|---|");
        for &kind in Kind::ALL {
            for share in [0.05, 0.1] {
                let settings = poison::Settings {
                    kind,
                    share,
                    cwe: None,
                    seed: 1,
                    trigger: "Follow the style guide of the blue team.".into(),
                    copies: 25,
                };
                let (bad, records) = match poison::poison(pairs, &settings) {
                    Ok(done) => done,
                    Err(error) => {
                        println!("| {} | {share} | - | - | - | - | {error} |", name_of(kind));
                        continue;
                    }
                };
                let suspected = audit::audit(&bad, &audit::Settings::default());
                let m = measure(&records, &suspected);
                let right: Vec<_> = suspected.into_iter().filter(|s| records.iter().any(|r| r.id == s.id)).collect();
                println!(
                    "| {} | {share} | {} | {} | {:.3} | {:.3} | {:?} |",
                    name_of(kind),
                    m.poisoned,
                    m.suspected,
                    m.precision,
                    m.recall,
                    by_check(&right)
                );
            }
        }
    }
    Ok(())
}

fn by_check(all: &[audit::Suspicion]) -> BTreeMap<Check, usize> {
    let mut counts = BTreeMap::new();
    all.iter().flat_map(|s| s.checks.keys()).for_each(|c| *counts.entry(*c).or_default() += 1);
    counts
}
