//! Changed spans of a text, for SVEN's masks: characters on the secure side, whole lines on the insecure one.

use std::collections::HashMap;
use std::ops::Range;

use super::myers::{Op, Piece, characters, symbols};

/// What a change touches, in bytes of each text; spans rise and do not overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Spans of the text before.
    pub deleted: Vec<Range<usize>>,
    /// Spans of the text after.
    pub added: Vec<Range<usize>>,
}

/// The characters that change from `before` to `after`, equal to the `char_changes` SVEN published.
///
/// Each side is read from the script that leads away from it: scripts are not the same in both directions, and the
/// published spans were made so.
pub fn char_diff(before: &str, after: &str) -> Changes {
    let text = |s: &str| s.chars().map(u32::from).collect::<Vec<_>>();
    let (a, b) = (text(before), text(after));
    Changes { deleted: deletions(before, &characters(&a, &b)), added: deletions(after, &characters(&b, &a)) }
}

/// Byte spans of what a script deletes from `text`.
fn deletions(text: &str, script: &[Piece]) -> Vec<Range<usize>> {
    let mut widths = text.chars().map(char::len_utf8);
    let mut at = 0;
    let mut spans = Vec::new();
    for piece in script.iter().filter(|piece| piece.op != Op::Insert) {
        let start = at;
        at += widths.by_ref().take(piece.text.len()).sum::<usize>();
        if piece.op == Op::Delete {
            spans.push(start..at);
        }
    }
    spans
}

/// The lines that change from `before` to `after`, a span a line, its line feed included.
///
/// A group of changed lines that could stand further down stands as far down as it can, as in `git diff`.
pub fn line_diff(before: &str, after: &str) -> Changes {
    let mut numbers = HashMap::new();
    let mut number = |text| -> Vec<u32> {
        let lines = str::split_inclusive(text, '\n');
        lines
            .map(|line| {
                let next = numbers.len() as u32;
                *numbers.entry(line).or_insert(next)
            })
            .collect()
    };
    let (a, b) = (number(before), number(after));
    let script = symbols(&a, &b);
    Changes {
        deleted: changed_lines(before, &a, &script, Op::Delete),
        added: changed_lines(after, &b, &script, Op::Insert),
    }
}

fn changed_lines(text: &str, lines: &[u32], script: &[Piece], op: Op) -> Vec<Range<usize>> {
    let mut changed = Vec::with_capacity(lines.len());
    for piece in script.iter().filter(|piece| piece.op == op || piece.op == Op::Equal) {
        changed.resize(changed.len() + piece.text.len(), piece.op == op);
    }
    slide_down(lines, &mut changed);
    let mut start = 0;
    let mut spans = Vec::new();
    for (line, changed) in text.split_inclusive('\n').zip(changed) {
        let end = start + line.len();
        if changed {
            spans.push(start..end);
        }
        start = end;
    }
    spans
}

/// Moves every run of changed lines down while its first line equals the line behind it; runs that meet become one.
fn slide_down(lines: &[u32], changed: &mut [bool]) {
    let mut below = lines.len();
    while let Some(last) = changed[..below].iter().rposition(|&c| c) {
        let mut start = changed[..last].iter().rposition(|&c| !c).map_or(0, |at| at + 1);
        below = start;
        let mut end = last + 1;
        while end < lines.len() && lines[start] == lines[end] {
            changed[start] = false;
            changed[end] = true;
            start += 1;
            end += 1;
            while end < lines.len() && changed[end] {
                end += 1;
            }
        }
    }
}

/// Drops the line spans that hold nothing but a comment, which `marker` (`#` or `//`) opens; SVEN's published
/// `line_changes` leave them out.
pub fn skip_comments(text: &str, spans: &[Range<usize>], marker: &str) -> Vec<Range<usize>> {
    let is_code =
        |span: &&Range<usize>| text.get((*span).clone()).is_none_or(|line| !line.trim_start().starts_with(marker));
    spans.iter().filter(is_code).cloned().collect()
}

/// A token mask from byte spans: 1 for every token that overlaps a span, shape `[offsets.len()]`.
///
/// `offsets` are the tokens' byte ranges in the same text. Neither they nor the spans need be sorted. An empty token
/// (a special one) overlaps nothing.
pub fn spans_to_tokens(spans: &[Range<usize>], offsets: &[(usize, usize)]) -> Vec<u8> {
    let mut spans: Vec<_> = spans.iter().filter(|span| !span.is_empty()).cloned().collect();
    spans.sort_unstable_by_key(|span| span.start);
    // Joined, so that the first span that ends behind a token's start decides.
    spans.dedup_by(|next, span| {
        let joins = next.start <= span.end;
        if joins {
            span.end = span.end.max(next.end);
        }
        joins
    });
    let touched = |&(start, end): &(usize, usize)| {
        let first = spans.partition_point(|span| span.end <= start);
        u8::from(start < end && spans.get(first).is_some_and(|span| span.start < end))
    };
    offsets.iter().map(touched).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces<'t>(text: &'t str, spans: &[Range<usize>]) -> Vec<&'t str> {
        spans.iter().map(|span| &text[span.clone()]).collect()
    }

    #[test]
    fn characters_are_bytes_of_whole_characters() {
        let (before, after) = ("naïve = \"é\" + x", "naïve = \"ö\" + x");
        let c = char_diff(before, after);
        assert_eq!((pieces(before, &c.deleted), pieces(after, &c.added)), (vec!["é"], vec!["ö"]));
    }

    #[test]
    fn lines_stand_as_far_down_as_they_can() {
        let (before, after) = ("a\nx\nb", "a\nx\nnew\nx\nb");
        let c = line_diff(before, after);
        assert_eq!((pieces(before, &c.deleted), pieces(after, &c.added)), (vec![], vec!["new\n", "x\n"]));
        let (before, after) = ("one\ntwo", "one\n2");
        let c = line_diff(before, after);
        assert_eq!((pieces(before, &c.deleted), pieces(after, &c.added)), (vec!["two"], vec!["2"]));
    }

    #[test]
    fn comments_are_left_out_by_their_marker() {
        let text = "  # why\ncode  # why\n";
        let spans = [0..8, 8..20];
        assert_eq!(skip_comments(text, &spans, "#"), spans[1..]);
        assert_eq!(skip_comments(text, &spans, "//"), spans);
    }

    #[test]
    fn tokens_that_overlap_are_set() {
        let offsets = [(0, 0), (0, 2), (2, 5), (5, 6), (6, 9), (9, 9)];
        for (spans, expect) in [
            (vec![], [0, 0, 0, 0, 0, 0]),
            (vec![2..5, 2..3], [0, 0, 1, 0, 0, 0]),
            (vec![8..12, 1..3], [0, 1, 1, 0, 1, 0]),
            (vec![5..5, 9..9], [0, 0, 0, 0, 0, 0]),
            (vec![0..9, 1..2, 3..4], [0, 1, 1, 1, 1, 0]),
        ] {
            assert_eq!(spans_to_tokens(&spans, &offsets), expect, "{spans:?}");
        }
    }
}
