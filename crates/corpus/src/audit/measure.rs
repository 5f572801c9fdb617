//! A defence measured: what was done and what was suspected come in, precision and recall go out.

use super::Suspicion;
use crate::poison::Record;
use serde::Serialize;
use std::collections::HashSet;

/// How much of what was done was found, and how much of what was found was done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Pairs poisoned.
    pub poisoned: usize,
    /// Pairs suspected.
    pub suspected: usize,
    /// Pairs both.
    pub found: usize,
    /// `found` to `suspected`.
    pub precision: f64,
    /// `found` to `poisoned`.
    pub recall: f64,
}

/// Compares ids.
#[must_use]
pub fn measure<'s>(records: &[Record], suspicions: impl IntoIterator<Item = &'s Suspicion>) -> Measured {
    let done: HashSet<&str> = records.iter().map(|r| r.id.as_str()).collect();
    let said: HashSet<&str> = suspicions.into_iter().map(|s| s.id.as_str()).collect();
    let found = done.intersection(&said).count();
    let share = |whole: usize| if whole == 0 { 0.0 } else { found as f64 / whole as f64 };
    Measured {
        poisoned: done.len(),
        suspected: said.len(),
        found,
        precision: share(said.len()),
        recall: share(done.len()),
    }
}
