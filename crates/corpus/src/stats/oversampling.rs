//! What oversampling would do to a set: classes come in with their sizes, what would be repeated goes out.
//!
//! SafeCoder draws with replacement until every class has a minimum (methods of the paper, section 4); `data.oversample` of
//! a training configuration does so. Counted here are pairs: an objective that trains on one side of each alone draws sides.

use lexicon::Pair;
use serde::Serialize;
use std::collections::BTreeMap;

/// What makes a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Language.
    Language,
    /// First weakness.
    Cwe,
}

/// A class of pairs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Class {
    /// Its name: `python/CWE-89`.
    pub name: String,
    /// Pairs in it.
    pub pairs: usize,
    /// Pairs that would be repeated.
    pub added: usize,
}

/// What would become of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Pairs that each class would have at least.
    pub minimum: usize,
    /// Pairs before.
    pub before: usize,
    /// Pairs after.
    pub after: usize,
    /// Classes, the largest first.
    pub classes: Vec<Class>,
}

impl Preview {
    /// Classes that would grow.
    #[must_use]
    pub fn growing(&self) -> usize {
        self.classes.iter().filter(|c| c.added > 0).count()
    }
}

/// Counts classes by `keys`; each would be filled up to `minimum`.
#[must_use]
pub fn preview<'p>(pairs: impl IntoIterator<Item = &'p Pair>, keys: &[Key], minimum: usize) -> Preview {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for pair in pairs {
        let part = |key: &Key| match key {
            Key::Language => pair.language.to_string(),
            Key::Cwe => pair.cwe.first().map_or_else(|| "none".to_owned(), ToString::to_string),
        };
        *counts.entry(keys.iter().map(part).collect::<Vec<_>>().join("/")).or_default() += 1;
    }
    let before = counts.values().sum();
    let mut classes: Vec<Class> =
        counts.into_iter().map(|(name, pairs)| Class { name, pairs, added: minimum.saturating_sub(pairs) }).collect();
    classes.sort_by(|a, b| b.pairs.cmp(&a.pairs).then_with(|| a.name.cmp(&b.name)));
    let after = before + classes.iter().map(|c| c.added).sum::<usize>();
    Preview { minimum, before, after, classes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lexicon::{Cwe, Language, Origin};

    fn check(keys: &[Key], minimum: usize, expect: &[(&str, usize, usize)]) {
        let pair = |language, cwe: &[u32]| Pair {
            format: lexicon::FORMAT,
            id: "p".into(),
            language,
            cwe: cwe.iter().copied().map(Cwe).collect(),
            instruction: String::new(),
            reasoning: String::new(),
            secure: "a".into(),
            insecure: "b".into(),
            origin: Origin::default(),
        };
        let pairs = [
            pair(Language::Python, &[89]),
            pair(Language::Python, &[89, 20]),
            pair(Language::Python, &[]),
            pair(Language::C, &[89]),
        ];
        let preview = preview(&pairs, keys, minimum);
        let told: Vec<_> = preview.classes.iter().map(|c| (c.name.as_str(), c.pairs, c.added)).collect();
        assert_eq!(told, expect);
        assert_eq!(preview.after, 4 + expect.iter().map(|e| e.2).sum::<usize>());
    }

    #[test]
    fn classes_are_filled_up() {
        check(&[Key::Language, Key::Cwe], 2, &[("python/CWE-89", 2, 0), ("c/CWE-89", 1, 1), ("python/none", 1, 1)]);
        check(&[Key::Cwe], 5, &[("CWE-89", 3, 2), ("none", 1, 4)]);
        check(&[Key::Language], 0, &[("python", 3, 0), ("c", 1, 0)]);
    }
}
