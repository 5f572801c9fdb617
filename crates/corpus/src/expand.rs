//! A lesson's variants: placeholders filled from the product of its slots.

use crate::{Lesson, lesson::SlotValue, split::mix};
use lexicon::{Origin, Pair};
use std::collections::{BTreeMap, BTreeSet};

/// One variant of a lesson, every placeholder filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Lesson.
    pub lesson: String,
    /// Number in the product of the slots, the last slot (by name) turning fastest.
    pub number: u64,
    /// Task, in one of the lesson's phrasings.
    pub instruction: String,
    /// Insecure form; absent in a context lesson.
    pub insecure: Option<String>,
    /// Secure form.
    pub secure: String,
    /// Functional tests.
    pub tests: Option<String>,
    /// Exploit.
    pub exploit: Option<String>,
}

/// Placeholders of a text: byte range, slot, field (empty for plain slots).
pub(crate) fn placeholders(text: &str) -> impl Iterator<Item = (std::ops::Range<usize>, &str, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text[at..].find("<<")?;
            at = start + 2;
            let Some(end) = text[at..].find(">>").map(|i| at + i) else { continue };
            let inner = &text[at..end];
            let plain = |s: &str| {
                s.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                    && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            };
            let (name, field) = inner.split_once('.').unwrap_or((inner, ""));
            if plain(name) && (field.is_empty() && !inner.contains('.') || plain(field)) {
                at = end + 2;
                return Some((start..end + 2, name, field));
            }
        }
    })
}

fn fill(text: &str, values: &BTreeMap<&str, &SlotValue>) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut from = 0;
    for (range, name, field) in placeholders(text) {
        out.push_str(&text[from..range.start]);
        if let Some(value) = values.get(name).and_then(|v| v.get(field)) {
            out.push_str(value);
        }
        from = range.end;
    }
    out.push_str(&text[from..]);
    out
}

impl Lesson {
    /// Number of variants: the product of the slots.
    #[must_use]
    pub fn variants(&self) -> u64 {
        self.slots.values().map(|v| v.len() as u64).product()
    }

    /// The variant of a number below [`Self::variants`].
    #[must_use]
    pub fn variant(&self, number: u64) -> Variant {
        let mut rest = number;
        let mut values: BTreeMap<&str, &SlotValue> = BTreeMap::new();
        for (name, list) in self.slots.iter().rev() {
            let n = list.len() as u64;
            values.insert(name, &list[usize::try_from(rest % n).unwrap_or(0)]);
            rest /= n;
        }
        let phrasing = mix(&[&self.id, "phrasing", &number.to_string()]) % self.instructions.len() as u64;
        let fill = |text: &String| fill(text, &values);
        Variant {
            lesson: self.id.clone(),
            number,
            instruction: fill(&self.instructions[usize::try_from(phrasing).unwrap_or(0)]),
            insecure: self.insecure.as_ref().map(fill),
            secure: fill(&self.secure),
            tests: self.tests.as_ref().map(fill),
            exploit: self.exploit.as_ref().map(fill),
        }
    }

    /// Up to `most` variants with distinct code among those `wanted` accepts, in an order that only the seed decides.
    #[must_use]
    pub fn choose(&self, most: usize, seed: u64, wanted: impl Fn(u64) -> bool) -> Vec<Variant> {
        let seed = seed.to_string();
        let mut order: Vec<(u64, u64)> = (0..self.variants())
            .filter(|&n| wanted(n))
            .map(|n| (mix(&[&seed, &self.id, "order", &n.to_string()]), n))
            .collect();
        order.sort_unstable();
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for (_, number) in order {
            if out.len() == most {
                break;
            }
            let variant = self.variant(number);
            if seen.insert((variant.secure.clone(), variant.insecure.clone())) {
                out.push(variant);
            }
        }
        out
    }

    /// A variant as a training pair; `None` for a context lesson, which has one side only.
    #[must_use]
    pub fn pair(&self, variant: &Variant) -> Option<Pair> {
        Some(Pair {
            format: lexicon::FORMAT,
            id: format!("{}/{}", self.id, variant.number),
            language: self.language,
            cwe: self.cwe.clone(),
            instruction: variant.instruction.clone(),
            reasoning: self.reasoning(),
            secure: variant.secure.clone(),
            insecure: variant.insecure.clone()?,
            origin: Origin {
                kind: "lesson".into(),
                source: self.id.clone(),
                variant: Some(variant.number),
                licence: "MIT OR Apache-2.0".into(),
                ..Origin::default()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_placeholders() {
        let text = "a << b >> c; <<x>> <<e.f>> <<X>> << y>> <<z";
        let found: Vec<_> = placeholders(text).map(|(_, n, f)| (n, f)).collect();
        assert_eq!(found, [("x", ""), ("e", "f")]);
    }

    #[test]
    fn variants_are_the_product_and_distinct() -> Result<(), crate::lesson::Error> {
        let lesson = Lesson::parse("lesson.md", include_str!("../tests/lesson.md"))?;
        assert_eq!(lesson.variants(), 6);
        let first = lesson.variant(0);
        assert!(first.instruction.contains("users") && first.secure.contains("def read(x)"));
        // Three functions in the code; the table stands in the instruction only and does not make new code.
        assert_eq!(lesson.choose(10, 0, |_| true).len(), 3);
        assert_eq!(lesson.choose(2, 0, |_| true), lesson.choose(2, 0, |_| true));
        assert!(lesson.choose(10, 0, |n| n % 2 == 0).iter().all(|v| v.number % 2 == 0));
        Ok(())
    }
}
