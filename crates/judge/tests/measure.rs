//! Detection and false alarms on published pairs and on code without weaknesses, where that data is present.
//!
//! The data is not ours to ship: it lies beside the repository, in `../shared`, or the tests say that they skip.

mod labelled;

use judge::{
    analyzers::{Analyzer, Bandit, BanditCompat, File, Settings},
    languages::scan_file,
    native::scan,
};
use labelled::{Families, Pair};
use lexicon::Severity;
use std::{collections::BTreeSet, error::Error, path::Path};

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

/// The same in the other languages; the figures are in `docs/accuracy.md`, and these keep them from getting worse.
#[test]
fn published_pairs_in_other_languages() {
    let Some(families) = labelled::families() else { return };
    for set in labelled::foreign_pairs() {
        let name = format!("f.{}", set.extension);
        let flagged = |pair: &Pair, code: &str| {
            scan_file(&name, code, None).findings.iter().any(|f| families.matches(pair.label, f))
        };
        let apart = set.pairs.iter().filter(|p| flagged(p, &p.vulnerable) && !flagged(p, &p.fixed)).count();
        let share = 100 * apart / set.pairs.len().max(1);
        let least = LEAST.iter().find(|(set_name, _)| *set_name == set.name).map_or(0, |(_, least)| *least);
        assert!(share >= least, "{}: {share} % of {} pairs told apart", set.name, set.pairs.len());
    }
}

/// Least shares of pairs told apart, in percent.
const LEAST: &[(&str, usize)] = &[
    ("JavaScript, SafeCoder", 45),
    ("Ruby, SafeCoder", 50),
    ("Go, SafeCoder", 35),
    ("Java, SafeCoder", 70),
    ("C and C++, SafeCoder", 50),
];

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

/// Bandit and our reading of it hit with the same tests in the same files, on at least 98 of 100.
#[test]
fn bandit_compat_says_what_bandit_says() -> Result<(), Box<dyn Error>> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/bandit");
    let settings = Settings { bandit: Some(program), min_severity: Severity::Low, nosec: false, ..Settings::default() };
    let Ok(bandit) = Bandit::find(&settings) else {
        eprintln!("skipped: no .venv/bin/bandit (make setup)");
        return Ok(());
    };
    let code: Vec<String> =
        labelled::pairs().into_iter().flat_map(|(_, pairs)| pairs).flat_map(|p| [p.vulnerable, p.fixed]).collect();
    let names: Vec<String> = (0..code.len()).map(|i| i.to_string()).collect();
    let files: Vec<File> = names.iter().zip(&code).map(|(path, source)| File { path, source }).collect();
    let hits = |analyzer: &dyn Analyzer| -> Result<BTreeSet<(String, String)>, Box<dyn Error>> {
        let findings = analyzer.scan(&files)?.into_iter().flat_map(|s| s.findings);
        Ok(findings.map(|f| (f.path, f.rule)).collect())
    };
    let (theirs, ours) = (hits(&bandit)?, hits(&BanditCompat::new(&settings))?);
    let (both, either) = (theirs.intersection(&ours).count(), theirs.union(&ours).count());
    let apart: Vec<_> = theirs.symmetric_difference(&ours).collect();
    assert!(both * 100 >= either * 98, "{both} of {either}: {apart:?}");
    assert!(code.is_empty() || both > 100, "{both} hits are too few to tell");
    Ok(())
}
