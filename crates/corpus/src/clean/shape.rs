//! A text as it is compared: code by the leaves of its grammar, prose by its words.

use judge::languages::{Dialect, Leaf, leaves};
use lexicon::Language;

/// Leaves that a run of code must have in common to count ([`Shape::shingles`]).
const RUN: usize = 5;
/// Leaves that a part of a tree must have to be compared.
pub const PART: usize = 12;

/// A piece of code as numbers; equal numbers mean equal leaves (64 bits: two in a thousand million differ in vain).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Leaves as they are written.
    pub plain: Vec<u64>,
    /// Leaves with own names numbered: equal where only those differ.
    pub renamed: Vec<u64>,
    /// Parts of the tree without own names, strings and numbers, sorted.
    pub parts: Vec<u64>,
}

/// The code of a language as numbers. What no grammar reads (too deep) is taken by its words.
#[must_use]
pub fn shape(language: Language, code: &str) -> Shape {
    let dialect = Dialect::ALL.into_iter().find(|d| d.language() == language).unwrap_or(Dialect::Python);
    let code = crate::validate::dedent(code);
    let Some(found) = leaves(dialect, &code, PART) else {
        let plain = words(&code);
        return Shape { renamed: plain.clone(), plain, parts: Vec::new() };
    };
    let plain = found.leaves.iter().map(|(range, _)| hash(code[range.clone()].as_bytes())).collect();
    let renamed = found.leaves.iter().map(|(range, leaf)| match leaf {
        Leaf::Own(number) => mixed(u64::from(*number) ^ OWN),
        _ => hash(code[range.clone()].as_bytes()),
    });
    let mut parts = found.trees;
    parts.sort_unstable();
    parts.dedup();
    Shape { plain, renamed: renamed.collect(), parts }
}

/// The code with its own names called otherwise; `None` where it has none, or no grammar reads it.
#[must_use]
pub fn rename(language: Language, code: &str, name: impl Fn(u32, &str) -> String) -> Option<String> {
    let dialect = Dialect::ALL.into_iter().find(|d| d.language() == language)?;
    let found = leaves(dialect, code, usize::MAX)?;
    let (mut out, mut from) = (String::with_capacity(code.len() + 64), 0);
    for (range, leaf) in found.leaves {
        if let Leaf::Own(number) = leaf {
            out.push_str(&code[from..range.start]);
            out.push_str(&name(number, &code[range.clone()]));
            from = range.end;
        }
    }
    (from > 0).then(|| out + &code[from..])
}

impl Shape {
    /// Numbers of all runs of five leaves, own names numbered, sorted; the whole where it is shorter.
    #[must_use]
    pub fn shingles(&self) -> Vec<u64> {
        runs(&self.renamed, RUN)
    }
}

/// Words of prose without case, signs and layout, as numbers.
#[must_use]
pub fn words(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(|w| hash(w.to_lowercase().as_bytes()))
        .collect()
}

/// Numbers of all runs of `length` items, sorted, each once.
#[must_use]
pub fn runs(items: &[u64], length: usize) -> Vec<u64> {
    let one = |run: &[u64]| run.iter().fold(OWN, |sum, &item| mixed(sum.rotate_left(5) ^ item));
    let mut all: Vec<u64> = if items.len() < length && !items.is_empty() {
        vec![one(items)]
    } else {
        items.windows(length).map(one).collect()
    };
    all.sort_unstable();
    all.dedup();
    all
}

const OWN: u64 = 0x9e37_79b9_7f4a_7c15;

/// FNV-1a, then mixed: the same on every machine and in every version.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    mixed(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &b| (sum ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)))
}

/// The end of splitmix64: every bit of the result depends on every bit of the number.
#[must_use]
pub const fn mixed(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_layout_do_not_count_and_constants_do() {
        let base = "def f(a):\n    return h.md5(a, 2048)\n";
        for (code, plain, renamed) in [
            ("def  f(a):\n\n  # c\n  return h.md5(a,2048)", true, true),
            ("    def f(a):\n        return h.md5(a, 2048)\n", true, true),
            ("def g(zz):\n    return h.md5(zz, 2048)\n", false, true),
            ("def f(a):\n    return h.md5(a, 1024)\n", false, false),
            ("def f(a):\n    return h.sha256(a, 2048)\n", false, false),
        ] {
            let (one, other) = (shape(Language::Python, base), shape(Language::Python, code));
            assert_eq!((one.plain == other.plain, one.renamed == other.renamed), (plain, renamed), "{code}");
        }
        assert_eq!(words("Read the file, `x`!"), words("read THE file x"));
        assert_eq!(runs(&[1, 2], 5).len(), 1);
        assert!(runs(&[], 5).is_empty());
    }
}
