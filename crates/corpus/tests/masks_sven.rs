//! Character and line spans, compared with the changes SVEN published with its data.

use std::ops::Range;
use std::path::Path;

use corpus::masks::{Changes, char_diff, line_diff, skip_comments};
use proptest::prelude::*;
use serde_json::Value;

/// Spans of `row[field]`, published in characters, in bytes. Empty ones, which the library that made them leaves
/// behind now and then, say nothing.
fn published(row: &Value, field: &str) -> Changes {
    let spans = |side: &str, code: &str| -> Vec<Range<usize>> {
        let text = row[code].as_str().expect("code is a string");
        let mut starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        starts.push(text.len());
        let at = |change: &Value, key: &str| {
            starts[change[key].as_u64().and_then(|n| usize::try_from(n).ok()).expect("a position")]
        };
        let changes = row[field][side].as_array().expect("a list of changes").iter();
        changes.map(|c| at(c, "char_start")..at(c, "char_end")).filter(|span| !span.is_empty()).collect()
    };
    Changes { deleted: spans("deleted", "func_src_before"), added: spans("added", "func_src_after") }
}

#[test]
fn published_changes_are_met() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/sven/train");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not here", folder.display());
        return;
    }
    let (mut rows, mut characters, mut lines) = (0, 0, 0);
    for entry in std::fs::read_dir(folder).expect("sven/train is a folder") {
        let text = std::fs::read_to_string(entry.expect("a folder entry").path()).expect("a text file");
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).expect("a row is JSON");
            let code = |key: &str| row[key].as_str().expect("a string").to_owned();
            let (before, after) = (code("func_src_before"), code("func_src_after"));
            rows += 1;
            characters += usize::from(char_diff(&before, &after) == published(&row, "char_changes"));
            let marker = if code("file_name").ends_with(".py") { "#" } else { "//" };
            let mut got = line_diff(&before, &after);
            got.deleted = skip_comments(&before, &got.deleted, marker);
            got.added = skip_comments(&after, &got.added, marker);
            lines += usize::from(got == published(&row, "line_changes"));
        }
    }
    eprintln!("{rows} rows: characters of {characters}, lines of {lines} as published");
    assert!(rows >= 700, "only {rows} rows");
    assert_eq!(characters, rows);
    // Lines were taken from whole-file diffs and cleaned by hand; those cannot be had back from the function alone.
    assert!(lines * 100 >= rows * 96, "lines of {lines} in {rows}");
}

/// Short texts over few characters, some of several bytes, with lines and blanks.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![Just("a"), Just("b("), Just("é"), Just("\n"), Just(" "), Just("線\n")],
        0..120,
    )
    .prop_map(|pieces| pieces.concat())
}

/// What is left of a text without some spans.
fn rest(text: &str, spans: &[Range<usize>]) -> String {
    let mut at = 0;
    let mut out = String::new();
    for span in spans {
        assert!(at <= span.start && span.start < span.end, "{spans:?}");
        out.push_str(&text[at..span.start]);
        at = span.end;
    }
    out + &text[at..]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_without_the_changed_ones_are_equal(before in text(), after in text()) {
        let c = line_diff(&before, &after);
        let lines = |text: &str, spans| rest(text, spans).split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(lines(&before, &c.deleted), lines(&after, &c.added));
    }

    #[test]
    fn characters_that_stay_are_in_both(before in text(), after in text()) {
        let c = char_diff(&before, &after);
        let within = |part: &str, whole: &str| {
            let mut whole = whole.chars();
            part.chars().all(|c| whole.any(|other| other == c))
        };
        prop_assert!(within(&rest(&before, &c.deleted), &after));
        prop_assert!(within(&rest(&after, &c.added), &before));
        prop_assert_eq!(before == after, c == Changes::default());
    }
}
