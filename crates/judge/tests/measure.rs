//! Detection and false alarms on published pairs and on code without weaknesses, where that data is present.
//!
//! The data is not ours to ship: it lies beside the repository, in `../shared`, or the tests say that they skip.

mod labelled;

use judge::native::scan;
use labelled::{Families, Pair};

/// Shares, in percent, of vulnerable functions found, of fixed ones flagged under the label, and of pairs told apart.
fn rates(pairs: &[Pair], families: &Families) -> [f64; 3] {
    let flagged = |pair: &Pair, code: &str| scan("f.py", code).findings.iter().any(|f| families.matches(pair.label, f));
    let mut counts = [0u32; 3];
    for pair in pairs {
        let (vulnerable, fixed) = (flagged(pair, &pair.vulnerable), flagged(pair, &pair.fixed));
        counts[0] += u32::from(vulnerable);
        counts[1] += u32::from(fixed);
        counts[2] += u32::from(vulnerable && !fixed);
    }
    let total = u32::try_from(pairs.len()).unwrap_or(u32::MAX).max(1);
    counts.map(|n| 100.0 * f64::from(n) / f64::from(total))
}

#[test]
fn published_pairs() {
    let Some(families) = labelled::families() else { return };
    for (name, pairs) in labelled::pairs() {
        let (least, most, apart) = if name == "SVEN" { (64.0, 5.0, 60.0) } else { (76.0, 10.0, 65.0) };
        let [found, false_alarms, told_apart] = rates(&pairs, &families);
        let said = format!(
            "{name}: {found:.1} % found, {false_alarms:.1} % false alarms, {told_apart:.1} % told apart, {} pairs",
            pairs.len()
        );
        eprintln!("{said}");
        assert!(found >= least && false_alarms <= most && told_apart >= apart, "{said}");
    }
}

/// Puzzles have no weaknesses worth a word: at most two in a hundred may be flagged.
#[test]
fn puzzles_stay_silent() {
    for name in ["data/humaneval/HumanEval.jsonl.gz", "data/mbpp/mbpp_release_v1.jsonl"] {
        let puzzles = labelled::puzzles(name);
        let rule = |code: &String| scan("f.py", code).findings.first().map(|f| f.rule.clone());
        let flagged: Vec<String> = puzzles.iter().filter_map(rule).collect();
        assert!(flagged.len() * 100 <= 2 * puzzles.len(), "{name}: {flagged:?}");
    }
}
