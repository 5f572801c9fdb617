//! Edit scripts, as the diff-match-patch library makes them.
//!
//! SVEN's published character changes come from that library, so its steps are followed in their order: common ends are
//! cut off, then a contained text, then a shared middle of at least half the longer text, then (between long texts)
//! whole lines first, then the middle snake of Myers, "An O(ND) Difference Algorithm and Its Variations", 1986.
//! The library stops at a deadline; here the number of edits is bounded instead, so that a result never depends on
//! the machine.

use std::collections::HashMap;

use super::cleanup;

/// Edits between two texts after which the search for a middle snake gives up and replaces the one by the other.
const MOST_EDITS: usize = 4000;

/// Length of both texts above which whole lines are compared first.
const BY_LINES: usize = 100;

/// What happens to a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Delete,
    Insert,
    Equal,
}

/// A step of an edit script: the deleted and equal pieces make up the one text, the inserted and equal the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) op: Op,
    pub(super) text: Vec<u32>,
}

impl Piece {
    pub(super) fn new(op: Op, text: &[u32]) -> Self {
        Self { op, text: text.to_vec() }
    }
}

/// The script from `a` to `b`, two texts of code points.
pub(super) fn characters(a: &[u32], b: &[u32]) -> Vec<Piece> {
    script(a, b, true)
}

/// The script from `a` to `b`, two sequences of symbols that are no text.
pub(super) fn symbols(a: &[u32], b: &[u32]) -> Vec<Piece> {
    script(a, b, false)
}

fn script(a: &[u32], b: &[u32], by_lines: bool) -> Vec<Piece> {
    let prefix = common_prefix(a, b);
    let (head, a, b) = (&a[..prefix], &a[prefix..], &b[prefix..]);
    let suffix = common_suffix(a, b);
    let (a, tail) = a.split_at(a.len() - suffix);
    let b = &b[..b.len() - suffix];
    let mut pieces = Vec::new();
    if !head.is_empty() {
        pieces.push(Piece::new(Op::Equal, head));
    }
    pieces.extend(middle(a, b, by_lines));
    if !tail.is_empty() {
        pieces.push(Piece::new(Op::Equal, tail));
    }
    cleanup::merge(&mut pieces);
    pieces
}

/// The script of two texts that share neither their first nor their last element.
fn middle(a: &[u32], b: &[u32], by_lines: bool) -> Vec<Piece> {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Vec::new(),
        (true, false) => return vec![Piece::new(Op::Insert, b)],
        (false, true) => return vec![Piece::new(Op::Delete, a)],
        (false, false) => {}
    }
    let (long, short, op) = if a.len() > b.len() { (a, b, Op::Delete) } else { (b, a, Op::Insert) };
    if let Some(at) = find(long, short, 0) {
        let (head, tail) = (&long[..at], &long[at + short.len()..]);
        return vec![Piece::new(op, head), Piece::new(Op::Equal, short), Piece::new(op, tail)];
    }
    if short.len() == 1 {
        return replaced(a, b);
    }
    if let Some(((a_head, a_tail), (b_head, b_tail), shared)) = half_match(a, b) {
        let mut pieces = script(a_head, b_head, by_lines);
        pieces.push(Piece::new(Op::Equal, shared));
        pieces.extend(script(a_tail, b_tail, by_lines));
        return pieces;
    }
    if by_lines && short.len() > BY_LINES { lines_first(a, b) } else { bisect(a, b) }
}

fn replaced(a: &[u32], b: &[u32]) -> Vec<Piece> {
    vec![Piece::new(Op::Delete, a), Piece::new(Op::Insert, b)]
}

/// Length of the common beginning.
pub(super) fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Length of the common end.
pub(super) fn common_suffix(a: &[u32], b: &[u32]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count()
}

/// Where `part` first stands in `text` at or after `from`.
pub(super) fn find(text: &[u32], part: &[u32], from: usize) -> Option<usize> {
    let Some(first) = part.first() else { return (from <= text.len()).then_some(from) };
    let starts = text.len().checked_sub(part.len())? + 1;
    (from..starts).find(|&at| text[at] == *first && text[at..at + part.len()] == *part)
}

/// Two halves of a text.
type Halves<'t> = (&'t [u32], &'t [u32]);

/// What `a` and `b` share, if it is at least half of the longer one, and what stands before and behind it in each.
/// Not every such piece is found: it must cover the second or the third quarter of the longer text.
fn half_match<'t>(a: &'t [u32], b: &'t [u32]) -> Option<(Halves<'t>, Halves<'t>, &'t [u32])> {
    let (long, short) = if a.len() > b.len() { (a, b) } else { (b, a) };
    if long.len() < 4 || short.len() * 2 < long.len() {
        return None;
    }
    let second = shared_around(long, short, long.len().div_ceil(4));
    let third = shared_around(long, short, long.len().div_ceil(2));
    let (i, j, size) = match (second, third) {
        (Some(x), Some(y)) => {
            if x.2 > y.2 {
                x
            } else {
                y
            }
        }
        (x, y) => x.or(y)?,
    };
    let in_long = (&long[..i], &long[i + size..]);
    let in_short = (&short[..j], &short[j + size..]);
    let shared = &long[i..i + size];
    Some(if a.len() > b.len() { (in_long, in_short, shared) } else { (in_short, in_long, shared) })
}

/// The longest piece shared around the quarter of `long` that starts at `i`: its start in each text and its size.
fn shared_around(long: &[u32], short: &[u32], i: usize) -> Option<(usize, usize, usize)> {
    let seed = &long[i..i + long.len() / 4];
    let mut best = (0, 0, 0);
    let mut from = 0;
    while let Some(j) = find(short, seed, from) {
        let after = common_prefix(&long[i..], &short[j..]);
        let before = common_suffix(&long[..i], &short[..j]);
        if before + after > best.2 {
            best = (i - before, j - before, before + after);
        }
        from = j + 1;
    }
    (best.2 * 2 >= long.len()).then_some(best)
}

/// Compares whole lines, then the characters of the blocks that were replaced.
fn lines_first(a: &[u32], b: &[u32]) -> Vec<Piece> {
    let mut numbers = HashMap::new();
    let mut lines = Vec::new();
    let mut number = |text| -> Vec<u32> {
        let each = <[u32]>::split_inclusive(text, |&c| c == u32::from('\n'));
        each.map(|line| {
            *numbers.entry(line).or_insert_with(|| {
                lines.push(line);
                lines.len() as u32 - 1
            })
        })
        .collect()
    };
    let (a, b) = (number(a), number(b));
    let mut pieces = script(&a, &b, false);
    for piece in &mut pieces {
        piece.text = piece.text.iter().flat_map(|&n| lines[n as usize]).copied().collect();
    }
    cleanup::semantic(&mut pieces);

    let mut out = Vec::new();
    for run in pieces.chunk_by(|x, y| (x.op == Op::Equal) == (y.op == Op::Equal)) {
        let side = |op| -> Vec<u32> {
            run.iter().filter(|piece| piece.op == op).flat_map(|piece| &piece.text).copied().collect()
        };
        let (deleted, inserted) = (side(Op::Delete), side(Op::Insert));
        if run.iter().any(|piece| piece.op == Op::Delete) && run.iter().any(|piece| piece.op == Op::Insert) {
            out.extend(script(&deleted, &inserted, false));
        } else {
            out.extend_from_slice(run);
        }
    }
    out
}

/// One of the two searches of [`bisect`]: how far each diagonal reaches, and which diagonals are still inside.
struct Search {
    reach: Vec<isize>,
    start: isize,
    end: isize,
}

/// Splits at the middle snake: the forward and the backward search of an optimal path meet there.
fn bisect(a: &[u32], b: &[u32]) -> Vec<Piece> {
    let (n, m) = (a.len() as isize, b.len() as isize);
    let most = (a.len() + b.len()).div_ceil(2) as isize;
    let search = || {
        let mut reach = vec![-1; 2 * most as usize + 2];
        reach[most as usize + 1] = 0;
        Search { reach, start: 0, end: 0 }
    };
    let mut searches = [search(), search()];
    let delta = n - m;
    for d in 0..most.min(MOST_EDITS as isize) {
        for backward in [false, true] {
            let at = |x: isize, y: isize| {
                let (x, y) = (x as usize, y as usize);
                if backward { a[a.len() - 1 - x] == b[b.len() - 1 - y] } else { a[x] == b[y] }
            };
            let [forward, back] = &mut searches;
            let (this, other) = if backward { (back, forward) } else { (forward, back) };
            let mut k = -d + this.start;
            while k <= d - this.end {
                let here = (most + k) as usize;
                let down = k == -d || (k != d && this.reach[here - 1] < this.reach[here + 1]);
                let mut x = if down { this.reach[here + 1] } else { this.reach[here - 1] + 1 };
                let mut y = x - k;
                while x < n && y < m && at(x, y) {
                    x += 1;
                    y += 1;
                }
                this.reach[here] = x;
                if x > n {
                    this.end += 2;
                } else if y > m {
                    this.start += 2;
                } else if (delta % 2 != 0) != backward {
                    let there = most + delta - k;
                    if (0..2 * most).contains(&there) && other.reach[there as usize] != -1 {
                        let met = other.reach[there as usize];
                        if x >= n - met {
                            let split = if backward { (met, met - (there - most)) } else { (x, y) };
                            return split_at(a, b, split.0 as usize, split.1 as usize);
                        }
                    }
                }
                k += 2;
            }
        }
    }
    replaced(a, b)
}

fn split_at(a: &[u32], b: &[u32], x: usize, y: usize) -> Vec<Piece> {
    let mut pieces = script(&a[..x], &b[..y], false);
    pieces.extend(script(&a[x..], &b[y..], false));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str) {
        let text = |s: &str| s.chars().map(u32::from).collect::<Vec<_>>();
        let (a, b) = (text(a), text(b));
        let pieces = characters(&a, &b);
        let side = |op| {
            let pieces = pieces.iter().filter(|p| p.op == op || p.op == Op::Equal);
            pieces.flat_map(|p| p.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!((side(Op::Delete), side(Op::Insert)), (a, b), "{pieces:?}");
    }

    #[test]
    fn a_script_rebuilds_both_texts() {
        for (a, b) in
            [("", ""), ("a", ""), ("", "a"), ("abc", "abc"), ("mouse", "sofas"), ("cat", "map"), ("1ayb2", "abxab")]
        {
            check(a, b);
        }
        // Long enough for whole lines, with lines that move.
        let line = |i: usize| format!("line {} of {}\n", i * 7 % 13, i % 5);
        let a: String = (0..40).map(line).collect();
        let b: String = (0..40).rev().map(|i| line(i + i % 3)).collect();
        check(&a, &b);
        check(&b, &a);
    }

    /// More edits than are searched for: the one text replaces the other, in bounded time.
    #[test]
    fn texts_without_anything_in_common_end() {
        let a: Vec<u32> = (0..20_000).collect();
        let b: Vec<u32> = (50_000..70_000).collect();
        assert_eq!(symbols(&a, &b), replaced(&a, &b));
    }
}
