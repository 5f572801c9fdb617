//! Examples of a part of a step as the decoder takes them, and where each predicted token stands.

use crate::{Example, Result, Sequence};
use models::{Decoder, Group, Packed, head::Labels, packing::Placed};
use objectives::Side;
use std::collections::HashMap;

/// Which prefixes examples stand behind, where the decoder has prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// The first: as the model is used.
    First,
    /// Every sequence twice: its side's own and the other's.
    Both,
    /// None: the frozen model.
    Nothing,
}

/// A sequence of the packed batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// Its group.
    group: usize,
    /// Its number in the group.
    place: usize,
    /// Its example's number.
    pub(crate) example: usize,
    side: Side,
    pub(crate) sequence: &'a Sequence,
}

/// Examples laid out.
pub(crate) struct Layout<'a> {
    pub(crate) packed: Packed,
    /// Sequences in the order objectives take them.
    pub(crate) entries: Vec<Entry<'a>>,
    pub(crate) labels: Labels,
    /// Label of every position from 1 on, for every entry; `None` where the objective does not look.
    pub(crate) index: Vec<Vec<Option<usize>>>,
}

/// Number of a side's control.
const fn control(side: Side) -> usize {
    match side {
        Side::Standard | Side::Secure => 0,
        Side::Insecure => 1,
    }
}

impl<'a> Layout<'a> {
    /// Lays examples out; labels are those that `looks` takes a log-prob of, by side and focus, out of the response's.
    ///
    /// # Errors
    /// [`crate::Error::Model`] for ids outside the vocabulary.
    pub(crate) fn of(
        decoder: &Decoder,
        examples: &[&'a Example],
        before: Before,
        looks: impl Fn(Side, f64) -> bool,
    ) -> Result<Self> {
        let (mut groups, mut entries) = (Vec::new(), Vec::new());
        for (example, e) in examples.iter().enumerate() {
            let controls = match (before, e) {
                (Before::First, _) => vec![Some(0)],
                (Before::Nothing, _) => vec![None],
                (Before::Both, Example::Single { side, .. }) => vec![Some(control(*side)), Some(1 - control(*side))],
                (Before::Both, Example::Pair { .. }) => vec![Some(0), Some(1)],
            };
            for control in controls {
                let sequences = e.sequences();
                let group = groups.len();
                let side = |place| match e {
                    Example::Single { side, .. } => *side,
                    Example::Pair { .. } if place == 0 => Side::Secure,
                    Example::Pair { .. } => Side::Insecure,
                };
                entries.extend(sequences.iter().enumerate().map(|(place, &sequence)| Entry {
                    group,
                    place,
                    example,
                    side: side(place),
                    sequence,
                }));
                groups.push(Group { sequences: sequences.iter().map(|s| s.ids.clone()).collect(), control });
            }
        }
        let packed = Packed::new(&groups, decoder)?;
        let (labels, index) = ask(&entries, &packed.groups, looks);
        Ok(Self { packed, entries, labels, index })
    }

    /// For every label its row, and the row of the same token where the same examples stand behind nothing.
    pub(crate) fn beside(&self, reference: &Layout) -> Vec<(i64, i64)> {
        let mut rows = vec![(0, 0); self.labels.len()];
        for (entry, positions) in self.entries.iter().zip(&self.index) {
            let of_example = |e: &&Entry| e.example == entry.example && e.place == entry.place;
            let Some(twin) = reference.entries.iter().find(of_example) else { continue };
            for (t, at) in positions.iter().enumerate().filter_map(|(t, at)| Some((t, (*at)?))) {
                rows[at] = (self.labels.rows[at], reference.packed.groups[twin.group].row(twin.place, t) as i64);
            }
        }
        rows
    }
}

/// Collects the labels of a packed batch; a label that two sequences share is asked once.
fn ask(entries: &[Entry], placed: &[Placed], looks: impl Fn(Side, f64) -> bool) -> (Labels, Vec<Vec<Option<usize>>>) {
    let mut seen: HashMap<(usize, u32), usize> = HashMap::new();
    let mut labels = Labels::default();
    let mut index = Vec::with_capacity(entries.len());
    for Entry { group, place, side, sequence, .. } in entries {
        let mut positions = Vec::with_capacity(sequence.ids.len().saturating_sub(1));
        for t in 1..sequence.ids.len() {
            if sequence.response[t] == 0.0 || !looks(*side, sequence.focus[t]) {
                positions.push(None);
                continue;
            }
            let row = placed[*group].row(*place, t - 1);
            let token = sequence.ids[t];
            let at = *seen.entry((row, token)).or_insert_with(|| {
                labels.rows.push(row as i64);
                labels.tokens.push(i64::from(token));
                labels.rows.len() - 1
            });
            positions.push(Some(at));
        }
        index.push(positions);
    }
    (labels, index)
}
