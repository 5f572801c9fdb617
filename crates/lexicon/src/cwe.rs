//! CWE identifiers.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Number of an entry in MITRE's Common Weakness Enumeration; written `CWE-89`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cwe(pub u32);

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
    fn published_spellings() {
        for text in ["CWE-89", "cwe-089", "CWE_089", "89", " CWE-89 "] {
            assert_eq!(text.parse(), Ok(Cwe(89)), "{text}");
        }
        for text in ["", "CWE-", "CWE-x", "89x", "CWE-99999999999", "é9"] {
            assert!(text.parse::<Cwe>().is_err(), "{text}");
        }
    }
}
