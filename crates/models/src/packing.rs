//! Sequences laid end to end without padding; what the sequences of a group share stands there once.

use crate::{Compute, Decoder, Error, Result, kernels, prefix::Places};
use tch::{Device, Kind, Tensor};

/// Sequences that may share a beginning, such as the two sides of a preference pair.
#[derive(Debug, Clone)]
pub struct Group {
    /// Whole sequences, beginning included.
    pub sequences: Vec<Vec<u32>>,
    /// Control whose prefix stands before them, where the decoder has prefixes; `None` leaves it out.
    pub control: Option<usize>,
}

impl Group {
    /// Sequences as the model is used: after the first prefix, where it has any.
    #[must_use]
    pub const fn new(sequences: Vec<Vec<u32>>) -> Self {
        Self { sequences, control: Some(0) }
    }
}

/// Where a group's tokens stand in the packed row: a prefix's places, the shared beginning, then each sequence's rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// First row of the group.
    pub start: usize,
    /// Rows of a prefix: no token's, and seen by every token.
    pub prefix: usize,
    /// Rows of the prefix and of the shared beginning.
    pub shared: usize,
    /// Tokens of each sequence's rest.
    pub rests: Vec<usize>,
}

impl Placed {
    /// Rows the group takes.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shared + self.rests.iter().sum::<usize>()
    }

    /// Row that holds token `t` of sequence `s`.
    #[must_use]
    pub fn row(&self, s: usize, t: usize) -> usize {
        let t = self.prefix + t;
        if t < self.shared {
            self.start + t
        } else {
            self.start + self.shared + self.rests[..s].iter().sum::<usize>() + (t - self.shared)
        }
    }
}

/// Groups laid end to end, ready for the decoder.
#[derive(Debug)]
pub struct Packed {
    /// Token ids, `[rows]`, and padding up to [`even`] rows.
    pub ids: Tensor,
    /// Position of each row in its sequence, like `ids`; tokens after a prefix are counted from its end on, as PEFT does.
    pub positions: Tensor,
    /// The groups.
    pub groups: Vec<Placed>,
    /// Rows kept for prefixes.
    pub(crate) prefixes: Option<Places>,
    /// Additive attention mask `[1, 1, n, n]` of groups with several sequences; `None` is plain causal attention. No
    /// masks at all where our own kernels serve, which see from a row's place what it sees.
    pub(crate) masks: Vec<Option<Tensor>>,
}

impl Packed {
    /// Lays groups end to end.
    ///
    /// # Errors
    /// [`Error::TokenRange`] for an id that the embedding does not have: libtorch would read past its end.
    /// [`Error::Unavailable`] for a control without a prefix.
    pub fn new(groups: &[Group], decoder: &Decoder) -> Result<Self> {
        let rows = |g: &Group| g.sequences.iter().map(Vec::len).sum::<usize>();
        let own = decoder.compute.device == Device::Cpu && groups.iter().all(|g| rows(g) <= kernels::SHORT);
        Self::lay(groups, decoder, !own)
    }

    /// [`Self::new`] for libtorch's attention.
    #[cfg(test)]
    pub(crate) fn with_masks(groups: &[Group], decoder: &Decoder) -> Result<Self> {
        Self::lay(groups, decoder, true)
    }

    fn lay(groups: &[Group], decoder: &Decoder, masked: bool) -> Result<Self> {
        let (config, compute) = (&decoder.config, decoder.compute);
        let mut ids: Vec<i64> = Vec::new();
        let mut positions: Vec<i64> = Vec::new();
        let mut placed = Vec::with_capacity(groups.len());
        let mut masks = Vec::with_capacity(groups.len());
        for group in groups {
            let shared = if group.sequences.len() > 1 { common_prefix(&group.sequences) } else { 0 };
            let prefix = decoder.prefix_before(group)?;
            decoder.reaches(group.sequences.iter().map(Vec::len).max().unwrap_or(0))?;
            let start = ids.len();
            ids.resize(start + prefix, 0);
            positions.extend(0..prefix as i64);
            let mut push = |from: usize, tokens: &[u32]| -> Result<()> {
                for (i, &id) in tokens.iter().enumerate() {
                    if i64::from(id) >= config.vocab {
                        return Err(Error::TokenRange { id, vocab: config.vocab });
                    }
                    ids.push(i64::from(id));
                    positions.push((prefix + from + i) as i64);
                }
                Ok(())
            };
            push(0, &group.sequences[0][..shared])?;
            let mut rests = Vec::with_capacity(group.sequences.len());
            for sequence in &group.sequences {
                push(shared, &sequence[shared..])?;
                rests.push(sequence.len() - shared);
            }
            let place = Placed { start, prefix, shared: prefix + shared, rests };
            if masked {
                let windowed = config.window.is_some_and(|w| w < place.rows());
                let plain = group.sequences.len() == 1 && !windowed;
                masks.push((!plain).then(|| tree_mask(&place, config.window, compute)));
            }
            placed.push(place);
        }
        let rows = even(ids.len(), compute);
        ids.resize(rows, 0);
        positions.resize(rows, 0);
        Ok(Self {
            ids: Tensor::from_slice(&ids).to_device(compute.device),
            positions: Tensor::from_slice(&positions).to_device(compute.device),
            prefixes: Places::of(groups, &placed, compute.device),
            groups: placed,
            masks,
        })
    }

    /// Rows at the end that belong to no group.
    pub(crate) fn padding(&self) -> i64 {
        self.ids.size()[0] - self.rows() as i64
    }

    /// Rows of the groups.
    pub(crate) fn rows(&self) -> usize {
        self.groups.iter().map(Placed::rows).sum()
    }

    /// Distinct tokens of the groups: each stands in one row.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.groups.iter().map(|g| g.rows() - g.prefix).sum()
    }
}

/// The next of sixteen numbers of rows an octave.
///
/// oneDNN compiles a product for every new number of rows, which takes longer than small products themselves, and libtorch keeps
/// for good those that [`crate::kernels`] asks for; so numbers of rows are made to come back, at the price of 3 % more rows on
/// average.
pub(crate) fn even(rows: usize, compute: Compute) -> usize {
    if !compute.compiles() || rows < 16 {
        return rows;
    }
    rows.next_multiple_of(1 << (rows.ilog2() - 4))
}

/// [`even`] for numbers that are often small, such as that of a step's labels: below 128 the next power of two.
///
/// A product of bf16 with so few rows is oneDNN's, and each that it compiled holds 1.8 MB for good (measured).
pub(crate) fn few(rows: usize, compute: Compute) -> usize {
    if compute.device == Device::Cpu && compute.kind == Kind::BFloat16 && rows < 128 {
        return rows.next_power_of_two();
    }
    even(rows, compute)
}

/// Tokens that all sequences begin with, one at most less than the shortest: every sequence keeps a row of its own.
fn common_prefix(sequences: &[Vec<u32>]) -> usize {
    let first = &sequences[0];
    let mut n = first.len();
    for other in &sequences[1..] {
        n = first.iter().zip(other).take(n).take_while(|(a, b)| a == b).count();
    }
    n.min(sequences.iter().map(|s| s.len().saturating_sub(1)).min().unwrap_or(0))
}

/// Rows of a group, as ranges, that one of its rows sees: the shared beginning, and its own rest up to itself.
pub(crate) type Seen = [(usize, usize); 2];

/// What every row of a group sees: never another rest, and with a window only the last positions up to its own.
pub(crate) fn seen(place: &Placed, window: Option<usize>) -> Vec<Seen> {
    // First position that a row at `position` sees.
    let first = |position: usize| window.map_or(0, |w| (position + 1).saturating_sub(w));
    let mut all: Vec<Seen> = (0..place.shared).map(|i| [(first(i), i + 1), (0, 0)]).collect();
    let mut start = place.shared;
    for &rest in &place.rests {
        all.extend((start..start + rest).map(|i| {
            let first = first(place.shared + i - start);
            [(first.min(place.shared), place.shared), (start + first.saturating_sub(place.shared), i + 1)]
        }));
        start += rest;
    }
    all
}

/// [`seen`] as an additive mask.
fn tree_mask(place: &Placed, window: Option<usize>, compute: Compute) -> Tensor {
    let n = place.rows();
    let mut allowed = vec![f32::NEG_INFINITY; n * n];
    for (row, seen) in allowed.chunks_exact_mut(n).zip(seen(place, window)) {
        for (from, to) in seen {
            row[from..to].fill(0.0);
        }
    }
    Tensor::from_slice(&allowed)
        .view([1, 1, n as i64, n as i64])
        .to_device(compute.device)
        .to_kind(if compute.kind == Kind::BFloat16 { Kind::BFloat16 } else { Kind::Float })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_shared_then_rests() {
        let place = Placed { start: 10, prefix: 0, shared: 2, rests: vec![3, 1] };
        assert_eq!(
            [place.row(0, 1), place.row(0, 2), place.row(0, 4), place.row(1, 1), place.row(1, 2)],
            [11, 12, 14, 11, 15]
        );
        assert_eq!(place.rows(), 6);
        let place = Placed { prefix: 2, shared: 3, ..place };
        assert_eq!([place.row(0, 0), place.row(0, 1), place.row(1, 1)], [12, 13, 16]);
    }

    #[test]
    fn a_window_moves_with_the_position() {
        let place = Placed { start: 10, prefix: 0, shared: 3, rests: vec![3, 1] };
        let whole = [(0, 1), (0, 2), (0, 3)].map(|r| [r, (0, 0)]);
        assert_eq!(seen(&place, None)[..3], whole);
        assert_eq!(seen(&place, None)[3..], [[(0, 3), (3, 4)], [(0, 3), (3, 5)], [(0, 3), (3, 6)], [(0, 3), (6, 7)]]);
        let two = [[(0, 1), (0, 0)], [(0, 2), (0, 0)], [(1, 3), (0, 0)], [(2, 3), (3, 4)], [(3, 3), (3, 5)]];
        assert_eq!(seen(&place, Some(2))[..5], two);
        assert_eq!(seen(&place, Some(2))[5..], [[(3, 3), (4, 6)], [(2, 3), (6, 7)]]);
    }

    #[test]
    fn numbers_of_rows_come_back() {
        let bf16 = Compute { device: Device::Cpu, kind: Kind::BFloat16, nf4: false, products: crate::Products::High };
        let sizes: std::collections::BTreeSet<usize> = (4096..8192).map(|n| even(n, bf16)).collect();
        assert_eq!((sizes.len(), even(4097, bf16), even(7, bf16)), (17, 4352, 7));
        let float = Compute { kind: Kind::Float, ..bf16 };
        assert_eq!(even(4097, float), if float.compiles() { 4352 } else { 4097 });
        assert_eq!(even(4097, Compute { device: Device::Cuda(0), ..bf16 }), 4097);
        assert_eq!([1, 3, 100, 128, 129].map(|n| few(n, bf16)), [1, 4, 128, 128, 136]);
        assert_eq!(few(100, float), even(100, float));
    }

    #[test]
    fn every_sequence_keeps_a_row() {
        assert_eq!(common_prefix(&[vec![1, 2, 3], vec![1, 2, 3]]), 2);
        assert_eq!(common_prefix(&[vec![1, 2, 3], vec![1, 2]]), 1);
        assert_eq!(common_prefix(&[vec![1, 2, 3], vec![4, 2]]), 0);
    }
}
