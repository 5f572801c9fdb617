//! Two sides of a pair as rows of one table: what is the same stands side by side.

use corpus::masks;
use lexicon::Finding;
use std::ops::Range;

/// A run of characters that look alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) text: String,
    /// Whether the other side has it otherwise.
    pub(super) changed: bool,
    /// Whether it stands for something that cannot be seen.
    pub(super) odd: bool,
}

/// A line of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) changed: bool,
    pub(super) runs: Vec<Run>,
    /// What analyzers say about it.
    pub(super) remarks: Vec<String>,
}

/// A row: a line of either side, or of both.
pub(super) type Row = (Option<Line>, Option<Line>);

/// Lines of both sides, the unchanged ones paired.
pub(super) fn rows(before: &str, after: &str, found: [&[Finding]; 2]) -> Vec<Row> {
    let (whole, exact) = (masks::line_diff(before, after), masks::char_diff(before, after));
    let left = lines(before, &whole.deleted, &exact.deleted, found[0]);
    let right = lines(after, &whole.added, &exact.added, found[1]);
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    let mut rows = Vec::new();
    loop {
        let gone = left.next_if(|l| l.changed);
        let come = right.next_if(|l| l.changed);
        if gone.is_some() || come.is_some() {
            rows.push((gone, come));
            continue;
        }
        match (left.next(), right.next()) {
            (None, None) => return rows,
            same => rows.push(same),
        }
    }
}

fn lines(text: &str, changed: &[Range<usize>], exact: &[Range<usize>], findings: &[Finding]) -> Vec<Line> {
    let exact = words(text, exact);
    let mut start = 0;
    let mut out = Vec::new();
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let line_changed = changed.iter().any(|span| span.start == start);
        let mut runs: Vec<Run> = Vec::new();
        for (at, c) in line.trim_end_matches(['\n', '\r']).char_indices() {
            let (shown, odd) = eval::report::visible_char(c);
            let changed = line_changed && exact.iter().any(|span| span.contains(&(start + at)));
            match runs.last_mut() {
                Some(run) if run.changed == changed && run.odd == odd => run.text.push_str(&shown),
                _ => runs.push(Run { text: shown, changed, odd }),
            }
        }
        let remark = |f: &Finding| {
            let cwe = f.cwe.first().map_or_else(String::new, |c| format!(" {c}"));
            format!("{} {}{cwe}: {}", f.analyzer, f.rule, f.message)
        };
        let mut remarks: Vec<String> = findings.iter().filter(|f| f.start.line == i + 1).map(remark).collect();
        remarks.dedup();
        out.push(Line { number: i + 1, changed: line_changed, runs, remarks });
        start += line.len();
    }
    out
}

/// Spans that are grown to whole words: letters within words say nothing to a reader.
fn words(text: &str, spans: &[Range<usize>]) -> Vec<Range<usize>> {
    let of_word = |c: char| c.is_alphanumeric() || c == '_';
    let grown = |span: &Range<usize>| {
        let inside = |from: usize| text[from..].chars().next().is_some_and(of_word);
        let before = text[..span.start].chars().next_back().is_some_and(of_word);
        let after = text[..span.end].chars().next_back().is_some_and(of_word);
        let start = match before && inside(span.start) {
            true => text[..span.start].trim_end_matches(of_word).len(),
            false => span.start,
        };
        let end = match after {
            true => text.len() - text[span.end..].trim_start_matches(of_word).len(),
            false => span.end,
        };
        start..end
    };
    spans.iter().map(grown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str, expect: &[&str]) {
        let side = |line: &Option<Line>| {
            let Some(line) = line else { return "-".to_owned() };
            let run = |r: &Run| if r.changed { format!("[{}]", r.text) } else { r.text.clone() };
            format!("{}{}", line.number, line.runs.iter().map(run).collect::<String>())
        };
        let told: Vec<String> =
            rows(before, after, [&[], &[]]).iter().map(|(l, r)| format!("{} | {}", side(l), side(r))).collect();
        assert_eq!(told, expect);
    }

    #[test]
    fn what_is_the_same_stands_side_by_side() {
        check("a\nb\nc\n", "a\nb\nc\n", &["1a | 1a", "2b | 2b", "3c | 3c"]);
        check("a\nx = 1\nc\n", "a\nx = 2\ny\nc\n", &["1a | 1a", "2x = [1] | 2x = [2]", "- | 3[y]", "3c | 4c"]);
        check("a\nb\n", "b\n", &["1[a] | -", "2b | 1b"]);
        check("return a\n", "with a\n", &["1[return] a | 1[with] a"]);
        check("", "a", &["- | 1[a]"]);
        check("a\u{202e}b", "a\u{202e}b", &["1a\u{27e8}U+202E\u{27e9}b | 1a\u{27e8}U+202E\u{27e9}b"]);
    }
}
