//! A secure and an insecure answer to one instruction.

use crate::{Cwe, Language, format_one};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor},
};
use std::{collections::BTreeMap, fmt};

/// Where a pair came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Origin {
    /// `lesson`, `mined`, `distilled`, `preference-row`, ..
    #[serde(default)]
    pub kind: String,
    /// Lesson id, repository, file: what `kind` calls its source.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Number of the variant inside its source, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<u64>,
    /// Licence of the code, as an SPDX expression.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub licence: String,
    /// Who or what verified the pair: `parse`, `native`, `tests`, `exploit`, ..
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<String>,
    /// Anything else its maker wants to keep. Also read as a list of `{"key", "value"}`: tables have no columns for names that
    /// differ from row to row.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "extra")]
    pub extra: BTreeMap<String, String>,
}

/// One preference pair: what training, masks and audits work on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Record format.
    #[serde(default = "format_one")]
    pub format: u32,
    /// Stable name.
    pub id: String,
    /// Language of both sides.
    #[serde(default)]
    pub language: Language,
    /// Weaknesses of the insecure side, the label first.
    #[serde(default)]
    pub cwe: Vec<Cwe>,
    /// What was asked; names no weakness.
    pub instruction: String,
    /// Security reasoning: what may go wrong and what the secure side does about it.
    #[serde(default)]
    pub reasoning: String,
    /// The preferred code.
    pub secure: String,
    /// The rejected code.
    pub insecure: String,
    /// Provenance.
    #[serde(default)]
    pub origin: Origin,
}

/// A map of texts, as an object or as a list of keys and values.
fn extra<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    struct Entry {
        key: String,
        value: String,
    }
    struct Either;
    impl<'de> Visitor<'de> for Either {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object of texts, or a list of {\"key\", \"value\"}")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut out = BTreeMap::new();
            while let Some((key, value)) = map.next_entry()? {
                out.insert(key, value);
            }
            Ok(out)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut out = BTreeMap::new();
            while let Some(Entry { key, value }) = list.next_element()? {
                out.insert(key, value);
            }
            Ok(out)
        }
    }
    deserializer.deserialize_any(Either)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_is_an_object_or_a_list() {
        let read = |extra: &str| serde_json::from_str::<Origin>(&format!("{{\"extra\":{extra}}}")).map(|o| o.extra);
        let one = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        for (text, expect) in [
            (r#"{"a":"b"}"#, &one),
            (r#"[{"key":"a","value":"b"}]"#, &one),
            ("[]", &BTreeMap::new()),
            ("{}", &BTreeMap::new()),
            ("null", &BTreeMap::new()),
        ] {
            assert_eq!(read(text).ok().as_ref(), Some(expect), "{text}");
        }
        for text in ["1", r#"{"a":1}"#, r#"[{"key":"a"}]"#, r#"["a"]"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
