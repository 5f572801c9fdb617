//! Under which terms a commit's code stands: what its files and its tree say, as SPDX writes it.

use super::history::Reader;
use gix::ObjectId;

/// Bytes of a licence that are read.
const MOST: u64 = 256 << 10;

/// What a licence's text holds, in small letters with single blanks; the first that holds all of its texts decides.
const TEXTS: &[(&str, &[&str])] = &[
    ("AGPL-3.0-only", &["gnu affero general public license", "version 3"]),
    ("LGPL-3.0-only", &["gnu lesser general public license", "version 3"]),
    ("LGPL-2.1-only", &["gnu lesser general public license", "version 2.1"]),
    ("GPL-3.0-only", &["gnu general public license", "version 3"]),
    ("GPL-2.0-only", &["gnu general public license", "version 2"]),
    ("MPL-2.0", &["mozilla public license", "2.0"]),
    ("EPL-2.0", &["eclipse public license", "2.0"]),
    ("Apache-2.0", &["apache license", "version 2.0"]),
    ("Unlicense", &["this is free and unencumbered software released into the public domain"]),
    ("CC0-1.0", &["cc0 1.0 universal"]),
    ("BSL-1.0", &["boost software license"]),
    ("ISC", &["permission to use, copy, modify, and/or distribute this software for any purpose"]),
    ("ISC", &["permission to use, copy, modify, and distribute this software for any purpose with or without fee"]),
    ("BSD-3-Clause", &["redistribution and use in source and binary forms", "neither the name"]),
    ("BSD-2-Clause", &["redistribution and use in source and binary forms"]),
    ("Zlib", &["this software is provided 'as-is'", "altered source versions must be plainly marked"]),
    ("MIT", &["permission is hereby granted, free of charge", "the above copyright notice and this permission notice"]),
];

/// The licence of a text, if it is one that we know.
#[must_use]
pub fn of_text(text: &str) -> Option<&'static str> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    TEXTS.iter().find(|(_, parts)| parts.iter().all(|p| text.contains(p))).map(|(id, _)| *id)
}

/// What a file says of itself in its first lines: `SPDX-License-Identifier: MIT`.
#[must_use]
pub fn of_header(source: &str) -> Option<String> {
    let line = source.lines().take(30).find_map(|l| l.split_once("SPDX-License-Identifier:"))?.1;
    let id = line.trim().trim_end_matches("*/").trim_end_matches("-->").trim();
    let sound = |c: char| c.is_ascii_alphanumeric() || " .-+()".contains(c);
    (!id.is_empty() && id.len() < 100 && id.chars().all(sound)).then(|| id.to_owned())
}

/// The licence of a tree by the files in its root; several are a choice. Empty where there is none, `NOASSERTION` where there
/// is one that we do not know.
#[must_use]
pub fn of_tree(reader: &Reader, tree: ObjectId) -> String {
    let Ok(files) = reader.root(tree) else { return String::new() };
    let named = |path: &str| {
        let name = path.to_ascii_lowercase();
        ["license", "licence", "copying", "unlicense", "mit-license"].iter().any(|n| name.starts_with(n))
    };
    let mut found: Vec<String> = Vec::new();
    for file in files.iter().filter(|f| named(&f.path)) {
        let text = reader.file(file.id, MOST).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let id = text.ok().as_deref().and_then(of_text).unwrap_or("NOASSERTION").to_owned();
        if !found.contains(&id) {
            found.push(id);
        }
    }
    if found.len() > 1 {
        found.retain(|id| id != "NOASSERTION");
    }
    found.sort();
    found.join(" OR ")
}

/// A licence as a table names it, in SPDX's letters: `mit` is `MIT`. What SPDX does not know stays.
#[must_use]
pub fn canonical(name: &str) -> String {
    let name = name.trim();
    if ["none", "unknown", "other", "null", "n/a", "no license"].contains(&name.to_lowercase().as_str()) {
        return if name.eq_ignore_ascii_case("other") { "NOASSERTION".to_owned() } else { String::new() };
    }
    let known = spdx::identifiers::LICENSES.iter().find(|l| l.name.eq_ignore_ascii_case(name));
    known.map_or_else(|| name.to_owned(), |l| l.name.to_owned())
}

/// Whether an expression is met by licences that are allowed: one of a choice, all of a sum. An unknown licence never is.
#[must_use]
pub fn allowed(expression: &str, allow: &[String]) -> bool {
    let bare = expression.replace(['(', ')'], " ");
    let one = |id: &str| {
        let id = id.split(" WITH ").next().unwrap_or_default().trim();
        let short =
            |id: &str| id.trim_end_matches("-only").trim_end_matches("-or-later").trim_end_matches('+').to_lowercase();
        !id.is_empty() && allow.iter().any(|a| a.eq_ignore_ascii_case(id) || short(a) == short(id))
    };
    // Brackets could mean more than this; then every licence must be allowed.
    if expression.contains('(') {
        return bare.split(" OR ").flat_map(|s| s.split(" AND ")).all(one);
    }
    bare.split(" OR ").any(|choice| choice.split(" AND ").all(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_headers() {
        let mit = "Copyright X\n\nPermission is hereby granted, free of\ncharge, to any person .. The above copyright notice and \
                   this permission notice shall be included";
        assert_eq!(of_text(mit), Some("MIT"));
        assert_eq!(of_text("Apache License\n   Version 2.0, January 2004"), Some("Apache-2.0"));
        assert_eq!(of_text("All rights reserved."), None);
        assert_eq!(of_header("// SPDX-License-Identifier: MIT OR Apache-2.0\nx").as_deref(), Some("MIT OR Apache-2.0"));
        assert_eq!(of_header("/* SPDX-License-Identifier: ISC */").as_deref(), Some("ISC"));
        assert_eq!(of_header("# SPDX-License-Identifier: \u{1b}[31m"), None);
        assert_eq!(of_header("x = 1"), None);
    }

    #[test]
    fn names_of_tables() {
        for (name, expect) in [
            ("mit", "MIT"),
            (" apache-2.0", "Apache-2.0"),
            ("unknown", ""),
            ("other", "NOASSERTION"),
            ("My own", "My own"),
        ] {
            assert_eq!(canonical(name), expect);
        }
    }

    #[test]
    fn a_choice_needs_one_and_a_sum_all() {
        let allow = ["MIT".to_owned(), "apache-2.0".to_owned(), "GPL-2.0".to_owned()];
        let cases = [
            ("MIT", true),
            ("mit", true),
            ("GPL-2.0-or-later", true),
            ("GPL-3.0-only OR MIT", true),
            ("GPL-3.0-only AND MIT", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("(MIT OR GPL-3.0-only) AND Apache-2.0", false),
            ("NOASSERTION", false),
            ("", false),
        ];
        for (expression, expect) in cases {
            assert_eq!(allowed(expression, &allow), expect, "{expression}");
        }
    }
}
