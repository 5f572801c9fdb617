//! Tidies an edit script, as the diff-match-patch library does.
//!
//! [`merge`] joins neighbours and moves what a deletion and an insertion share into the equal pieces around them.
//! [`semantic`] gives up equal pieces too short to mean anything and aligns edits with words and lines.

use super::myers::{Op, Piece, common_prefix, common_suffix, find};

/// Joins neighbouring pieces of one kind, factors out what a deletion and an insertion share, and slides an edit
/// sideways where that removes the equal piece beside it. Repeats until nothing moves.
pub(super) fn merge(pieces: &mut Vec<Piece>) {
    loop {
        join(pieces);
        if !slide(pieces) {
            return;
        }
    }
}

/// One pass over the runs of edits between equal pieces.
fn join(pieces: &mut Vec<Piece>) {
    let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
    let (mut deleted, mut inserted) = (Vec::new(), Vec::new());
    let mut edits = 0;
    // An empty equal piece at the end closes the last run.
    for piece in std::mem::take(pieces).into_iter().chain([Piece::new(Op::Equal, &[])]) {
        match piece.op {
            Op::Delete => deleted.extend(piece.text),
            Op::Insert => inserted.extend(piece.text),
            Op::Equal => {
                let mut equal = piece.text;
                if edits > 1 && !deleted.is_empty() && !inserted.is_empty() {
                    let shared = common_prefix(&inserted, &deleted);
                    if shared > 0 {
                        append(&mut out, &deleted[..shared]);
                        deleted.drain(..shared);
                        inserted.drain(..shared);
                    }
                    let shared = common_suffix(&inserted, &deleted);
                    if shared > 0 {
                        equal.splice(..0, inserted.drain(inserted.len() - shared..));
                        deleted.truncate(deleted.len() - shared);
                    }
                }
                for (op, text) in [(Op::Delete, &mut deleted), (Op::Insert, &mut inserted)] {
                    if !text.is_empty() {
                        out.push(Piece { op, text: std::mem::take(text) });
                    }
                }
                append(&mut out, &equal);
                edits = 0;
                continue;
            }
        }
        edits += 1;
    }
    *pieces = out;
}

/// Adds equal text at the end, to the equal piece that stands there if one does.
fn append(pieces: &mut Vec<Piece>, equal: &[u32]) {
    match pieces.last_mut() {
        Some(last) if last.op == Op::Equal => last.text.extend_from_slice(equal),
        _ if equal.is_empty() => {}
        _ => pieces.push(Piece::new(Op::Equal, equal)),
    }
}

/// Slides single edits over a whole equal neighbour: `a<ins>ba</ins>c` becomes `<ins>ab</ins>ac`. True if any moved.
fn slide(pieces: &mut Vec<Piece>) -> bool {
    let mut moved = false;
    let mut at = 1;
    while at + 1 < pieces.len() {
        if pieces[at - 1].op == Op::Equal && pieces[at + 1].op == Op::Equal {
            let (before, edit, after) = (&pieces[at - 1].text, &pieces[at].text, &pieces[at + 1].text);
            if edit.ends_with(before) {
                let shift = before.len();
                let before = pieces.remove(at - 1).text;
                // The edit now stands one to the left.
                pieces[at - 1].text.rotate_right(shift);
                pieces[at].text.splice(..0, before);
                moved = true;
            } else if edit.starts_with(after) {
                let shift = after.len();
                let after = pieces.remove(at + 1).text;
                pieces[at - 1].text.extend(after);
                pieces[at].text.rotate_left(shift);
                moved = true;
            }
        }
        at += 1;
    }
    moved
}

/// Makes a script readable: drops equal pieces no longer than the edits on both of their sides, aligns edits with
/// boundaries, and takes apart a deletion and an insertion that overlap.
pub(super) fn semantic(pieces: &mut Vec<Piece>) {
    drop_short_equalities(pieces);
    align(pieces);
    overlaps(pieces);
}

fn drop_short_equalities(pieces: &mut Vec<Piece>) {
    let mut changed = false;
    // Equal pieces that may yet be dropped, and the edits (inserted, deleted) before and after the last of them.
    let mut equalities: Vec<usize> = Vec::new();
    let mut candidate: Option<usize> = None;
    let (mut before, mut after) = ((0, 0), (0, 0));
    let mut at = 0;
    while at < pieces.len() {
        let length = pieces[at].text.len();
        match pieces[at].op {
            Op::Equal => {
                equalities.push(at);
                (before, after) = (after, (0, 0));
                candidate = (length > 0).then_some(at);
            }
            Op::Insert => after.0 += length,
            Op::Delete => after.1 += length,
        }
        let short = candidate.filter(|&c| {
            let length = pieces[c].text.len();
            pieces[at].op != Op::Equal && length <= before.0.max(before.1) && length <= after.0.max(after.1)
        });
        at += 1;
        if let Some(equal) = short {
            let text = pieces[equal].text.clone();
            pieces[equal].op = Op::Insert;
            pieces.insert(equal, Piece { op: Op::Delete, text });
            // The one before it may have become droppable: start over from the one before that.
            equalities.pop();
            equalities.pop();
            at = equalities.last().map_or(0, |&e| e + 1);
            (before, after) = ((0, 0), (0, 0));
            candidate = None;
            changed = true;
        }
    }
    if changed {
        merge(pieces);
    }
}

/// Shifts a single edit between equal pieces to where it starts and ends on the best boundaries.
fn align(pieces: &mut Vec<Piece>) {
    let mut at = 1;
    while at + 1 < pieces.len() {
        if pieces[at - 1].op == Op::Equal && pieces[at + 1].op == Op::Equal {
            let whole = [&pieces[at - 1].text[..], &pieces[at].text, &pieces[at + 1].text].concat();
            let (head, size) = (pieces[at - 1].text.len(), pieces[at].text.len());
            let mut start = head - common_suffix(&pieces[at - 1].text, &pieces[at].text);
            let score = |s: usize| {
                boundary(&whole[..s], &whole[s..s + size]) + boundary(&whole[s..s + size], &whole[s + size..])
            };
            let (mut best, mut best_score) = (start, score(start));
            while size > 0 && start + size < whole.len() && whole[start] == whole[start + size] {
                start += 1;
                let score = score(start);
                if score >= best_score {
                    (best, best_score) = (start, score);
                }
            }
            if best != head {
                let (op, end) = (pieces[at].op, best + size);
                let mut new = vec![Piece::new(op, &whole[best..end])];
                if best > 0 {
                    new.insert(0, Piece::new(Op::Equal, &whole[..best]));
                }
                if end < whole.len() {
                    new.push(Piece::new(Op::Equal, &whole[end..]));
                }
                let gone = 3 - new.len();
                pieces.splice(at - 1..=at + 1, new);
                at -= gone;
            }
        }
        at += 1;
    }
}

/// How good a place between two texts is for an edit to begin or end: 6 at the edge of everything, 0 inside a word.
fn boundary(left: &[u32], right: &[u32]) -> u32 {
    let (Some(&l), Some(&r)) = (left.last(), right.first()) else { return 6 };
    let class = |c: u32| {
        let c = char::from_u32(c).unwrap_or('\u{fffd}');
        let symbol = !c.is_alphanumeric();
        (symbol, symbol && c.is_whitespace(), c == '\r' || c == '\n')
    };
    let ((symbol_l, space_l, break_l), (symbol_r, space_r, break_r)) = (class(l), class(r));
    if (break_l && blank_line_ends(left)) || (break_r && blank_line_starts(right)) {
        5
    } else if break_l || break_r {
        4
    } else if symbol_l && !space_l && space_r {
        3
    } else if space_l || space_r {
        2
    } else {
        u32::from(symbol_l || symbol_r)
    }
}

const CR: u32 = '\r' as u32;
const LF: u32 = '\n' as u32;

fn blank_line_ends(text: &[u32]) -> bool {
    text.ends_with(&[LF, LF]) || text.ends_with(&[LF, CR, LF])
}

fn blank_line_starts(text: &[u32]) -> bool {
    let rest = text.strip_prefix(&[CR]).unwrap_or(text);
    let Some(rest) = rest.strip_prefix(&[LF]) else { return false };
    rest.strip_prefix(&[CR]).unwrap_or(rest).starts_with(&[LF])
}

/// `<del>abcxxx</del><ins>xxxdef</ins>` becomes `<del>abc</del>xxx<ins>def</ins>`, and the other way round.
fn overlaps(pieces: &mut Vec<Piece>) {
    let mut at = 1;
    while at < pieces.len() {
        if pieces[at - 1].op == Op::Delete && pieces[at].op == Op::Insert {
            let (deletion, insertion) = (pieces[at - 1].text.clone(), pieces[at].text.clone());
            let (ahead, back) = (overlap(&deletion, &insertion), overlap(&insertion, &deletion));
            let size = ahead.max(back);
            if size * 2 >= deletion.len() || size * 2 >= insertion.len() {
                let (first, second) = if ahead >= back {
                    (Piece { op: Op::Delete, text: deletion }, Piece { op: Op::Insert, text: insertion })
                } else {
                    (Piece { op: Op::Insert, text: insertion }, Piece { op: Op::Delete, text: deletion })
                };
                pieces[at - 1] = Piece::new(first.op, &first.text[..first.text.len() - size]);
                pieces[at] = Piece::new(second.op, &second.text[size..]);
                pieces.insert(at, Piece::new(Op::Equal, &second.text[..size]));
                at += 1;
            }
            at += 1;
        }
        at += 1;
    }
}

/// Length of the longest end of `a` that is a beginning of `b`.
fn overlap(a: &[u32], b: &[u32]) -> usize {
    let most = a.len().min(b.len());
    let (a, b) = (&a[a.len() - most..], &b[..most]);
    if a == b {
        return most;
    }
    let (mut best, mut length) = (0, 1);
    // Wherever the end of length `length` stands in `b`, an overlap must be at least that much longer.
    while length <= most {
        let Some(at) = find(b, &a[most - length..], 0) else { break };
        length += at;
        if at == 0 || (length <= most && a[most - length..] == b[..length]) {
            best = length;
            length += 1;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Vec<Piece> {
        let pieces = text.split('|').filter(|p| !p.is_empty()).map(|p| {
            let op = match &p[..1] {
                "-" => Op::Delete,
                "+" => Op::Insert,
                _ => Op::Equal,
            };
            Piece { op, text: p[1..].chars().map(u32::from).collect() }
        });
        pieces.collect()
    }

    fn check(tidy: fn(&mut Vec<Piece>), from: &str, to: &str) {
        let mut got = script(from);
        tidy(&mut got);
        assert_eq!(got, script(to), "{from}");
    }

    /// After the cases of the library's own test suite (`diff_cleanupMerge`).
    #[test]
    fn merging() {
        check(merge, "", "");
        check(merge, "=a|-b|+c", "=a|-b|+c");
        check(merge, "=a|=b|=c", "=abc");
        check(merge, "-a|-b|-c", "-abc");
        check(merge, "-a|+b|-c|+d|=e|=f", "-ac|+bd|=ef");
        check(merge, "-a|+abc|-dc", "=a|-d|+b|=c");
        check(merge, "=x|-a|+abc|-dc|=y", "=xa|-d|+b|=cy");
        check(merge, "=a|+ba|=c", "+ab|=ac");
        check(merge, "=c|+ab|=a", "=ca|+ba");
        check(merge, "=a|-b|=c|-ac|=x", "-abc|=acx");
        check(merge, "=x|-ca|=c|-b|=a", "=xca|-cba");
    }

    /// After the library's own cases (`diff_cleanupSemantic`).
    #[test]
    fn meaning() {
        check(semantic, "", "");
        check(semantic, "-ab|+cd|=12|-e", "-ab|+cd|=12|-e");
        check(semantic, "-abc|+ABC|=1234|-wxyz", "-abc|+ABC|=1234|-wxyz");
        check(semantic, "-a|=b|-c", "-abc|+b");
        check(semantic, "-ab|=cd|-e|=f|+g", "-abcdef|+cdfg");
        check(semantic, "+1|=A|-B|+2|=_|+1|=A|-B|+2", "-AB_AB|+1A2_1A2");
        check(semantic, "=The c|-ow and the c|=at.", "=The |-cow and the |=cat.");
        check(semantic, "-abcxx|+xxdef", "-abcxx|+xxdef");
        check(semantic, "-abcxxx|+xxxdef", "-abc|=xxx|+def");
        check(semantic, "-xxxabc|+defxxx", "+def|=xxx|-abc");
        check(semantic, "-abcd1212|+1212efghi|=----|-A3|+3BC", "-abcd|=1212|+efghi|=----|-A|=3|+BC");
    }

    /// After the library's own cases (`diff_cleanupSemanticLossless`).
    #[test]
    fn alignment() {
        check(align, "=AAA\r\n\r\nBBB|+\r\nDDD\r\n\r\nBBB|=\r\nEEE", "=AAA\r\n\r\n|+BBB\r\nDDD\r\n\r\n|=BBB\r\nEEE");
        check(align, "=AAA\r\nBBB|+ DDD\r\nBBB|= EEE", "=AAA\r\n|+BBB DDD\r\n|=BBB EEE");
        check(align, "=The c|+ow and the c|=at.", "=The |+cow and the |=cat.");
        check(align, "=The-c|+ow-and-the-c|=at.", "=The-|+cow-and-the-|=cat.");
        check(align, "=a|-a|=ax", "-a|=aax");
        check(align, "=xa|-a|=a", "=xaa|-a");
        check(align, "=The xxx. The |+zzz. The |=yyy.", "=The xxx.|+ The zzz.|= The yyy.");
    }

    #[test]
    fn overlapping() {
        for (a, b, expect) in [("", "abcd", 0), ("abc", "abcd", 3), ("123456", "abcd", 0), ("123456xxx", "xxxabcd", 3)]
        {
            let text = |s: &str| s.chars().map(u32::from).collect::<Vec<_>>();
            assert_eq!(overlap(&text(a), &text(b)), expect, "{a} {b}");
        }
    }
}
