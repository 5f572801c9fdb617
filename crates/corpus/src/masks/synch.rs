//! Synchronisation points inside a replaced block, Python's `Differ._fancy_replace`.
//!
//! Python looks for the most similar pair of unlike elements (digit strings with a ratio of at least 0.75; ties to the
//! first in `b`, then in `a`), splits the block there and starts over on both parts; a part without such a pair is
//! split at its first pair of equal elements. That is cubic. The same splits come out of one sweep for each ratio:
//!
//! - Once a part holds no pair above some ratio, its split for that ratio is the first `j` with any partner, at the
//!   first such `i`. Nothing of that ratio is then left below `j`, so the sweep goes on above the split and never back.
//! - Parts are disjoint in `b`, so one sweep over `b` serves all parts.
//! - Equal elements come last in every part: they are the last sweep.
//!
//! Only these last are unchanged elements; the similar pairs matter for where they cut.

use super::similar::{Decimal, ratio};

/// Positions in the block: `(i, j)`.
type Pair = (usize, usize);

/// An element of the block's `b` side that may pair with an element of its `a` side.
#[derive(Clone, Copy)]
struct Edge {
    /// Bits of the ratio, which order as the ratio does; 0 for equal elements.
    ratio: u64,
    a: u32,
    b: u32,
}

/// Finds what stays the same inside replaced blocks. Holds what can be reused from block to block.
pub(super) struct Synch<'s> {
    ids: &'s [u32],
    a: Places,
    b: Places,
    edges: Vec<Edge>,
    /// Occurrences for one sweep: position in `b`, group of `a`.
    sweep: Vec<(u32, u32)>,
    splits: Vec<Pair>,
    merged: Vec<Pair>,
    equal: Vec<Pair>,
}

/// Where every symbol stands in one side of the block, grouped.
#[derive(Default)]
struct Places {
    sorted: Vec<(u32, u32)>,
    groups: Vec<Group>,
}

/// A symbol and where it stands.
struct Group {
    symbol: u32,
    decimal: Decimal,
    /// The range of `sorted` that holds its positions.
    from: usize,
    to: usize,
}

impl Places {
    fn set(&mut self, side: &[u32], ids: &[u32]) {
        self.sorted.clear();
        self.sorted.extend(side.iter().zip(0..).map(|(&symbol, at)| (symbol, at)));
        self.sorted.sort_unstable();
        self.groups.clear();
        let mut from = 0;
        for run in self.sorted.chunk_by(|x, y| x.0 == y.0) {
            let (symbol, to) = (run[0].0, from + run.len());
            self.groups.push(Group { symbol, decimal: Decimal::new(ids[symbol as usize]), from, to });
            from = to;
        }
    }

    fn of(&self, group: u32) -> &[(u32, u32)] {
        let group = &self.groups[group as usize];
        &self.sorted[group.from..group.to]
    }
}

impl<'s> Synch<'s> {
    /// For blocks of symbols that stand for these token ids.
    pub(super) fn new(ids: &'s [u32]) -> Self {
        Self {
            ids,
            a: Places::default(),
            b: Places::default(),
            edges: Vec::new(),
            sweep: Vec::new(),
            splits: Vec::new(),
            merged: Vec::new(),
            equal: Vec::new(),
        }
    }

    /// The pairs of equal elements that `ndiff` prints as unchanged when it replaces `a` by `b`, in order.
    pub(super) fn replace(&mut self, a: &[u32], b: &[u32]) -> &[Pair] {
        self.equal.clear();
        self.splits.clear();
        self.a.set(a, self.ids);
        self.b.set(b, self.ids);
        self.find_edges();
        // Without equal elements nothing can come out, wherever the block is split.
        if self.edges.last().is_some_and(|edge| edge.ratio == 0) {
            let edges = std::mem::take(&mut self.edges);
            for level in edges.chunk_by(|x, y| x.ratio == y.ratio) {
                self.sweep(level, a.len());
            }
            self.edges = edges;
        }
        &self.equal
    }

    /// All pairs of symbols that can synchronise, the most similar first.
    fn find_edges(&mut self) {
        self.edges.clear();
        for (b, y) in (0..).zip(&self.b.groups) {
            for (a, x) in (0..).zip(&self.a.groups) {
                if x.symbol == y.symbol {
                    self.edges.push(Edge { ratio: 0, a, b });
                } else if let Some(ratio) = ratio(&x.decimal, &y.decimal) {
                    self.edges.push(Edge { ratio: ratio.to_bits(), a, b });
                }
            }
        }
        self.edges.sort_unstable_by_key(|edge| std::cmp::Reverse(edge.ratio));
    }

    /// Splits every part at its pairs of one ratio. `a_len` is the length of the block's `a` side.
    fn sweep(&mut self, level: &[Edge], a_len: usize) {
        self.sweep.clear();
        for edge in level {
            self.sweep.extend(self.b.of(edge.b).iter().map(|&(_, j)| (j, edge.a)));
        }
        self.sweep.sort_unstable();
        self.merged.clear();
        let is_equal = level[0].ratio == 0;
        let mut splits = self.splits.iter().copied().peekable();
        // The part that holds `j` starts at `from` in `a` and ends before the next split.
        let mut from = 0;
        for partners in self.sweep.chunk_by(|x, y| x.0 == y.0) {
            let j = partners[0].0 as usize;
            let mut taken = false;
            while let Some(split) = splits.next_if(|split| split.1 <= j) {
                from = split.0 + 1;
                taken = split.1 == j;
                self.merged.push(split);
            }
            if taken {
                continue;
            }
            let to = splits.peek().map_or(a_len, |split| split.0);
            let first = partners.iter().filter_map(|&(_, group)| {
                let places = self.a.of(group);
                let at = places.partition_point(|&(_, i)| (i as usize) < from);
                places.get(at).map(|&(_, i)| i as usize)
            });
            if let Some(i) = first.min().filter(|&i| i < to) {
                self.merged.push((i, j));
                from = i + 1;
                if is_equal {
                    self.equal.push((i, j));
                }
            }
        }
        self.merged.extend(splits);
        std::mem::swap(&mut self.splits, &mut self.merged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &[u32], b: &[u32], expect: &[Pair]) {
        let (x, y, ids) = super::super::alphabet::intern(a, b);
        assert_eq!(Synch::new(&ids).replace(&x, &y), expect, "{a:?} | {b:?}");
    }

    #[test]
    fn equal_elements_synchronise_from_the_left() {
        check(&[7, 2, 2, 2], &[8, 2, 2, 2], &[(1, 1), (2, 2), (3, 3)]);
        check(&[1, 2], &[2, 1], &[(1, 0)]);
        check(&[1, 2], &[3, 4], &[]);
    }

    /// 1234 and 1243 are alike, so they cut first; the 5 that crosses the cut no longer matches.
    #[test]
    fn similar_elements_cut_before_equal_ones() {
        check(&[5, 1234], &[1243, 5], &[]);
        check(&[5, 1234], &[77, 5], &[(0, 1)]);
        check(&[5, 1234, 6], &[5, 1243, 6], &[(0, 0), (2, 2)]);
    }
}
