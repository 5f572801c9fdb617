//! Matching blocks of two sequences, as Python's `SequenceMatcher` finds them.
//!
//! The longest block of equal elements splits the problem in two, and so on down (Ratcliff and Obershelp, 1988). Ties
//! go to the block that starts first in `a`, then first in `b`. When `b` has 200 elements or more, an element that
//! makes up more than a hundredth of it is popular: no block starts from it, though a block may grow over it.

/// Length of `b` from which elements can be popular.
const POPULAR_FROM: usize = 200;

/// No symbol: there are fewer tokens than that.
const POPULAR: u32 = u32::MAX;

/// `a[a..a + size]` equals `b[b..b + size]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) a: usize,
    pub(super) b: usize,
    pub(super) size: usize,
}

/// A part of the problem: `a[a_from..a_to]` against `b[b_from..b_to]`.
#[derive(Clone, Copy)]
struct Part {
    a_from: usize,
    a_to: usize,
    b_from: usize,
    b_to: usize,
}

/// The blocks of `a` and `b`, in order. Both hold symbols below `symbols`.
///
/// Blocks that touch are left apart; Python joins them, which no reader of the gaps between them can see.
pub(super) fn matching_blocks(a: &[u32], b: &[u32], symbols: usize) -> Vec<Block> {
    let matcher = Matcher::new(a, b, symbols);
    let mut parts = vec![Part { a_from: 0, a_to: a.len(), b_from: 0, b_to: b.len() }];
    let mut blocks = Vec::new();
    while let Some(part) = parts.pop() {
        let block = matcher.longest(part);
        if block.size == 0 {
            continue;
        }
        blocks.push(block);
        if part.a_from < block.a && part.b_from < block.b {
            parts.push(Part { a_to: block.a, b_to: block.b, ..part });
        }
        let (a_from, b_from) = (block.a + block.size, block.b + block.size);
        if a_from < part.a_to && b_from < part.b_to {
            parts.push(Part { a_from, b_from, ..part });
        }
    }
    blocks.sort_unstable_by_key(|block| block.a);
    blocks
}

struct Matcher<'s> {
    a: &'s [u32],
    b: &'s [u32],
    /// `b` with [`POPULAR`] in the place of popular elements, which equals nothing in `a`.
    seeds: Vec<u32>,
    /// Where each symbol stands in `b`: `positions[starts[s]..starts[s + 1]]`, rising; nothing for a popular symbol.
    starts: Vec<u32>,
    positions: Vec<u32>,
}

impl<'s> Matcher<'s> {
    fn new(a: &'s [u32], b: &'s [u32], symbols: usize) -> Self {
        // `starts[s + 2]` counts first, so that filling the positions turns `starts[s + 1]` into where `s` ends.
        let mut starts = vec![0u32; symbols + 2];
        for &s in b {
            starts[s as usize + 2] += 1;
        }
        let mut seeds = b.to_vec();
        if b.len() >= POPULAR_FROM {
            let most = (b.len() / 100 + 1) as u32;
            for s in &mut seeds {
                if starts[*s as usize + 2] > most {
                    *s = POPULAR;
                }
            }
            for count in &mut starts {
                if *count > most {
                    *count = 0;
                }
            }
        }
        let mut total = 0;
        for count in &mut starts {
            total += *count;
            *count = total;
        }
        let mut positions = vec![0; total as usize];
        for (&s, j) in seeds.iter().zip(0..) {
            if s != POPULAR {
                let at = &mut starts[s as usize + 1];
                positions[*at as usize] = j;
                *at += 1;
            }
        }
        Self { a, b, seeds, starts, positions }
    }

    /// Where the element `a[i]` stands in `b[from..to]`; nowhere if it is popular.
    fn places(&self, i: usize, from: usize, to: usize) -> &[u32] {
        let s = self.a[i] as usize;
        let mut places = &self.positions[self.starts[s] as usize..self.starts[s + 1] as usize];
        if from > 0 {
            places = &places[places.partition_point(|&j| (j as usize) < from)..];
        }
        if to < self.b.len() {
            places = &places[..places.partition_point(|&j| (j as usize) < to)];
        }
        places
    }

    /// The longest block of a part; size 0 where there is none.
    ///
    /// A block longer than the best so far that starts below the last element looked at covers the element `best + 1`
    /// further on, so only that one need be looked at. What is found at one element is found in the order of ties:
    /// a block that starts earlier in `a` and reaches this element would have been met at the one before.
    fn longest(&self, part: Part) -> Block {
        let Part { a_from, a_to, b_from, b_to } = part;
        let mut best = Block { a: a_from, b: b_from, size: 0 };
        let mut i = a_from;
        while i < a_to {
            let known = best.size;
            for &j in self.places(i, b_from, b_to) {
                let j = j as usize;
                let before = agreement(self.a[a_from..i].iter().rev(), self.seeds[b_from..j].iter().rev());
                let after = agreement(self.a[i..a_to].iter(), self.seeds[j..b_to].iter());
                let (a, size) = (i - before, before + after);
                if size > best.size || (size > known && size == best.size && a < best.a) {
                    best = Block { a, b: j - before, size };
                }
            }
            i += best.size + 1;
        }
        self.grow(best, part)
    }

    /// Extends a block over equal elements at both ends, which popular ones can be.
    fn grow(&self, block: Block, part: Part) -> Block {
        let (a_end, b_end) = (block.a + block.size, block.b + block.size);
        let (a_head, b_head) = (&self.a[part.a_from..block.a], &self.b[part.b_from..block.b]);
        let before = agreement(a_head.iter().rev(), b_head.iter().rev());
        let after = agreement(self.a[a_end..part.a_to].iter(), self.b[b_end..part.b_to].iter());
        Block { a: block.a - before, b: block.b - before, size: before + block.size + after }
    }
}

/// How many elements agree before the first that does not.
fn agreement<'x>(a: impl Iterator<Item = &'x u32>, b: impl Iterator<Item = &'x u32>) -> usize {
    a.zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, expect: &[(usize, usize, usize)]) {
        let symbols = |s: &str| s.bytes().map(u32::from).collect::<Vec<_>>();
        let got = matching_blocks(&symbols(a), &symbols(b), 256);
        let got: Vec<_> = got.iter().map(|block| (block.a, block.b, block.size)).collect();
        assert_eq!(got, expect, "{a} | {b}");
    }

    #[test]
    fn ties_go_to_the_first_in_a_then_in_b() {
        check("abxcd", "abcd", &[(0, 0, 2), (3, 2, 2)]);
        check("ab", "acab", &[(0, 2, 2)]);
        check("xaya", "a", &[(1, 0, 1)]);
        check("a", "xaya", &[(0, 1, 1)]);
        check("ab", "c", &[]);
    }

    /// With 200 elements `b` may hold three of a kind before it is popular; the fourth makes the block invisible.
    #[test]
    fn the_two_hundredth_element_makes_others_popular() {
        for (length, found) in [(199, true), (200, false)] {
            let mut b: Vec<u32> = (1000..1000 + length).collect();
            for at in [10, 20, 30, 40] {
                b[at] = 1;
            }
            assert_eq!(!matching_blocks(&[1], &b, 2000).is_empty(), found, "{length}");
        }
    }
}
