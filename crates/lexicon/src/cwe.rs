//! CWE identifiers.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Number of an entry in MITRE's Common Weakness Enumeration; written `CWE-89`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cwe(pub u32);

/// Weaknesses that analyzers report under one another's numbers: a finding of one is a finding of the other. An entry may be
/// in several. CWE-20 and CWE-74 are parents of so much that they are kin of nothing.
#[rustfmt::skip]
const FAMILIES: &[&[u32]] = &[
    // Commands, code, paths, queries.
    &[77, 78, 88], &[94, 95, 96, 1336], &[22, 23, 29, 35, 36, 73, 99, 641], &[89, 564, 943], &[90], &[91, 643],
    // Pages, headers, logs.
    &[79, 80, 83, 87, 116], &[93, 113, 117, 644],
    // Data that obeys.
    &[409, 611, 776, 827], &[502, 913, 915],
    // Keys, hashes, chance, secrets.
    &[310, 323, 326, 327, 328, 329, 696, 759, 760, 780, 916, 1204], &[330, 331, 335, 338, 339, 340, 1241],
    &[256, 257, 259, 260, 321, 521, 522, 547, 798], &[295, 296, 297, 298, 599], &[345, 347, 353],
    // Files and rights.
    &[377, 378, 379], &[250, 266, 269, 276, 277, 278, 279, 732],
    // The network and the client.
    &[441, 918], &[200, 311, 312, 315, 319, 523, 532, 614, 1004], &[11, 215, 489], &[200, 209, 215, 497], &[605, 668],
    &[346, 942], &[384, 613],
    // Bounds and failures.
    &[185, 400, 730, 770, 835, 1333], &[252, 390, 391, 617, 703, 754, 755],
];

impl Cwe {
    /// Whether two entries count as one weakness: they are equal, or of one family.
    #[must_use]
    pub fn kin(self, other: Self) -> bool {
        self == other || FAMILIES.iter().any(|f| f.contains(&self.0) && f.contains(&other.0))
    }
}

/// Text that does not name a CWE.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a CWE identifier: write it like \"CWE-89\"")]
pub struct BadCwe(pub String);

impl fmt::Display for Cwe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CWE-{}", self.0)
    }
}

impl FromStr for Cwe {
    type Err = BadCwe;

    /// Reads `CWE-89`, `cwe-089`, `CWE_89` and `89`: all four occur in published data.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let bad = || BadCwe(s.to_owned());
        let text = s.trim();
        let digits = match text.get(..3) {
            Some(head) if head.eq_ignore_ascii_case("cwe") => text[3..].trim_start_matches(['-', '_', ' ']),
            _ => text,
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        digits.parse().map(Self).map_err(|_| bad())
    }
}

impl Serialize for Cwe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cwe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        for (a, b) in [(78, 78), (78, 88), (95, 94), (614, 1004), (12_345, 12_345)] {
            assert!(Cwe(a).kin(Cwe(b)) && Cwe(b).kin(Cwe(a)), "{a} {b}");
        }
        for (a, b) in [(78, 89), (20, 611), (74, 89), (79, 74), (12_345, 12_346)] {
            assert!(!Cwe(a).kin(Cwe(b)), "{a} {b}");
        }
    }

    #[test]
    fn published_spellings() {
        for text in ["CWE-89", "cwe-089", "CWE_089", "89", " CWE-89 "] {
            assert_eq!(text.parse(), Ok(Cwe(89)), "{text}");
        }
        for text in ["", "CWE-", "CWE-x", "89x", "CWE-99999999999", "é9"] {
            assert!(text.parse::<Cwe>().is_err(), "{text}");
        }
    }
}
