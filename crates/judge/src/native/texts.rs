//! Memory for the texts that a pass over one file makes: dotted names and strings built from parts. They live as long as the
//! pass, so values share them without counting.

use bumpalo::Bump;
use std::cell::Cell;

/// Longest text kept of a built string, in bytes: more than any statement or page that is written by hand.
const MAX_TEXT: usize = 16_384;
/// Bytes kept for each byte of source, and for a file whatever its size. Real files need a hundredth of it.
const BYTES: usize = 64;
const LEAST: usize = 16 << 20;

/// Texts of one pass.
pub(crate) struct Texts<'a> {
    memory: &'a Bump,
    /// Bytes that may still be kept; hostile files ask for any number.
    left: Cell<usize>,
}

impl<'a> Texts<'a> {
    pub(super) fn new(memory: &'a Bump, source: &str) -> Self {
        Self { memory, left: Cell::new(LEAST + BYTES * source.len()) }
    }

    /// The parts in one.
    pub(crate) fn concat(&self, parts: &[&str]) -> &'a str {
        let length = parts.iter().map(|p| p.len()).sum();
        let Some(left) = self.left.get().checked_sub(length) else { return "" };
        self.left.set(left);
        let mut text = bumpalo::collections::String::with_capacity_in(length, self.memory);
        parts.iter().for_each(|p| text.push_str(p));
        text.into_bump_str()
    }

    /// A text as values keep it: one that doubles in every line must not fill the memory.
    pub(super) fn keep(&self, text: &str) -> &'a str {
        self.concat(&[&text[..text.floor_char_boundary(MAX_TEXT)]])
    }

    /// Some parts as values keep them.
    pub(super) fn join(&self, parts: &[&'a str]) -> &'a str {
        // What is long enough alone need not be copied.
        match parts {
            [first, ..] if first.len() >= MAX_TEXT => &first[..first.floor_char_boundary(MAX_TEXT)],
            _ => {
                let length: usize = parts.iter().map(|p| p.len()).sum();
                if length <= MAX_TEXT { self.concat(parts) } else { self.keep(&parts.concat()) }
            }
        }
    }
}
