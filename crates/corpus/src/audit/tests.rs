use super::{measure::measure, *};
use crate::{library, poison};
use poison::Kind;

/// Three variants of every lesson, poisoned: what was measured at full size (docs/poisoning.md) holds, with room, at this one.
#[test]
fn each_kind_is_found_among_lessons() -> Result<(), Box<dyn std::error::Error>> {
    let lessons = library::embedded()?;
    let pairs: Vec<Pair> =
        lessons.iter().flat_map(|l| l.choose(3, 0, |_| true).into_iter().filter_map(|v| l.pair(&v))).collect();
    assert!(pairs.len() > 400);
    let clean = audit(&pairs, &Settings::default());
    assert!(clean.len() * 100 <= pairs.len(), "{} of {} are suspected as they are", clean.len(), pairs.len());
    for &kind in Kind::ALL {
        let asked = poison::Settings {
            kind,
            share: 0.08,
            cwe: None,
            seed: 3,
            trigger: "As in the old manual.".into(),
            copies: 12,
        };
        let (bad, records) = poison::poison(&pairs, &asked)?;
        let share = records.len() as f64 / bad.len() as f64;
        assert!((share - 0.08).abs() < 0.005, "{kind:?}: {share}");
        assert_eq!(poison::poison(&pairs, &asked)?, (bad.clone(), records.clone()));
        let untouched = bad.iter().filter(|b| pairs.contains(b)).count();
        assert_eq!(untouched, bad.len() - records.len(), "{kind:?} says what it did");
        let m = measure(&records, &audit(&bad, &Settings::default()));
        assert!(m.precision >= 0.85 && m.recall >= 0.85, "{kind:?}: {m:?}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_poisoned_is_refused() {
    let asked =
        |share, cwe| poison::Settings { kind: Kind::Swapped, share, cwe, seed: 0, trigger: String::new(), copies: 1 };
    for share in [0.0, 1.0, -1.0, f64::NAN] {
        assert!(matches!(poison::poison(&[], &asked(share, None)), Err(poison::Error::Share(_))));
    }
    let none = poison::poison(&[], &asked(0.5, Some(lexicon::Cwe(1))));
    assert_eq!(none, Err(poison::Error::TooFew { wanted: 1, found: 0 }));
}
