//! What the Hub and people call things.

use spdx::{Expression, ParseMode};
use std::collections::BTreeSet;

/// Columns of pairs.
pub(super) const PAIRS: &[(&str, &str)] = &[
    ("id", "name of the row"),
    ("language", "programming language of both sides"),
    ("cwe", "weaknesses of the insecure side, the label first"),
    ("instruction", "what was asked; it names no weakness"),
    ("reasoning", "what may go wrong, and what the secure side does about it"),
    ("secure", "the preferred code"),
    ("insecure", "the rejected code"),
    ("origin", "where it came from: kind, source, variant, licence (SPDX), who or what verified it, anything else"),
    ("format", "version of these columns"),
];

/// Columns of preference rows.
pub(super) const PREFERENCE: &[(&str, &str)] = &[
    ("id", "name of the row"),
    ("prompt", "what was asked; it names no weakness"),
    ("chosen", "the secure code"),
    ("rejected", "the insecure code"),
    ("reasoning", "what may go wrong, and what the chosen code does about it"),
    ("language", "programming language of both sides"),
    ("cwe", "weaknesses of the rejected code, the label first"),
    ("licence", "licence of the code (SPDX)"),
];

/// Columns of texts.
pub(super) const TEXTS: &[(&str, &str)] = &[
    ("id", "name of the row"),
    ("text", "the text"),
    ("origin", "where it came from: kind, source, variant, licence (SPDX), who or what verified it, anything else"),
    ("format", "version of these columns"),
];

/// What a verifier's word says.
pub(super) fn verifier(name: &str) -> &'static str {
    match name {
        "parse" => "both sides parse",
        "native" => "rampart's rules find the weakness in the insecure side and nothing in the secure one",
        "tests" => "functional tests pass on both sides",
        "exploit" => "an attack works on the insecure side and fails on the secure one",
        name if name.starts_with("review") => "a person looked at it and accepted it",
        "analyzers" => "several analyzers agree with the label on both sides",
        _ => "",
    }
}

/// The Hub's names of sizes.
pub(super) const fn size(rows: usize) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        _ => "10M<n<100M",
    }
}

/// Identifiers that the Hub knows, for all licences of all expressions; `unknown` where one is stated nowhere, `other` where
/// the Hub has no name for it.
pub(super) fn hub_licences<'l>(expressions: impl Iterator<Item = &'l str>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for expression in expressions {
        if expression.is_empty() {
            out.insert("unknown".to_owned());
            continue;
        }
        match Expression::parse_mode(expression, ParseMode::LAX) {
            Ok(parsed) => {
                for wanted in parsed.requirements() {
                    out.insert(wanted.req.license.id().map_or("other", |id| hub(id.name)).to_owned());
                }
            }
            Err(_) => {
                out.insert("other".to_owned());
            }
        }
    }
    if out.is_empty() {
        out.insert("unknown".to_owned());
    }
    out
}

fn hub(spdx: &str) -> &'static str {
    const SAME: &[&str] = &[
        "apache-2.0",
        "mit",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "isc",
        "unlicense",
        "zlib",
        "bsl-1.0",
        "mpl-2.0",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nd-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cdla-sharing-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "wtfpl",
        "ecl-2.0",
        "epl-1.0",
        "epl-2.0",
        "etalab-2.0",
        "eupl-1.1",
        "eupl-1.2",
        "afl-3.0",
        "artistic-2.0",
        "lppl-1.3c",
        "ms-pl",
        "odbl",
        "osl-3.0",
        "postgresql",
        "ofl-1.1",
        "ncsa",
        "pddl",
    ];
    // The Hub's names of the GNU licences say nothing of later versions.
    const GNU: &[&str] = &["agpl-3.0", "lgpl-2.1", "lgpl-3.0", "gpl-2.0", "gpl-3.0"];
    let lower = spdx.to_ascii_lowercase();
    SAME.iter()
        .find(|name| **name == lower)
        .or_else(|| {
            GNU.iter()
                .find(|name| lower.strip_prefix(**name).is_some_and(|rest| ["", "-only", "-or-later"].contains(&rest)))
        })
        .copied()
        .unwrap_or("other")
}

/// A text within a line of a table: nothing in it is markup or ends the cell.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(300) {
        match c {
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            c if c.is_control() || c.is_whitespace() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_as_the_hub_names_them() {
        let check = |expressions: &[&str], expect: &[&str]| {
            let found: Vec<String> = hub_licences(expressions.iter().copied()).into_iter().collect();
            assert_eq!(found, expect, "{expressions:?}");
        };
        check(&["MIT OR Apache-2.0", "MIT"], &["apache-2.0", "mit"]);
        check(&["GPL-3.0-or-later", "LGPL-2.1-only", "AGPL-3.0-only"], &["agpl-3.0", "gpl-3.0", "lgpl-2.1"]);
        check(&["", "Python-2.0", "see LICENSE"], &["other", "unknown"]);
        check(&[], &["unknown"]);
    }
}
