//! A pair's code through a tokenizer, and which of its tokens differ: the rows `rampart data mask` prints.
//!
//! Each side's code is encoded alone, without a special token, so that a row holds one number a token of the code and
//! of nothing else. Before is the insecure side, after the secure one.

use crate::masks::{self, Changes};
use lexicon::{FORMAT, Language, Pair};
use models::{Tokenizer, tokenizer::Encoded};
use rayon::prelude::*;
use serde::Serialize;

/// Which difference a mask shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kind {
    /// Tokens that change, as SafeCoder and LPO train with ([`masks::token_diff`]).
    #[default]
    Token,
    /// Tokens that hold a character that changes ([`masks::char_diff`]).
    Char,
    /// Tokens of lines that change, lines of mere comment left out ([`masks::line_diff`]).
    Line,
    /// SVEN's mixture: characters on the secure side, lines on the insecure one.
    Mix,
}

/// One line of output: a number a token, 1 where it changes; no masks where a side is too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MaskRow {
    /// Record format.
    pub format: u32,
    /// The pair's id.
    pub id: String,
    /// Mask of the insecure side, shape `[tokens]`.
    pub insecure: Option<Vec<u8>>,
    /// Mask of the secure side, shape `[tokens]`.
    pub secure: Option<Vec<u8>>,
}

/// A pair with its tokens: what a row is made from, and what a terminal needs to draw it.
#[derive(Clone, Debug)]
pub struct Masked {
    /// The row.
    pub row: MaskRow,
    /// Tokens of the insecure side.
    pub insecure: Encoded,
    /// Tokens of the secure side.
    pub secure: Encoded,
}

impl Masked {
    /// Tokens of the longer side.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.insecure.ids.len().max(self.secure.ids.len())
    }

    /// Whether a side has more tokens than were asked for, so that there are no masks.
    #[must_use]
    pub fn too_long(&self) -> bool {
        self.row.insecure.is_none()
    }

    /// Whether some token of some side changes.
    #[must_use]
    pub fn changes(&self) -> bool {
        [&self.row.insecure, &self.row.secure].into_iter().flatten().flatten().any(|&m| m == 1)
    }
}

/// A pair's code cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tokenizer fails on the text.
    #[error("pair {id:?}")]
    Encode {
        /// The pair.
        id: String,
        /// What the tokenizer said.
        source: models::Error,
    },
    /// The tokenizer knows nothing of the text and, having no unknown token, drops it.
    #[error("pair {0:?}: {1} makes no token of its code: is it a tokenizer for text?")]
    Nothing(String, String),
}

/// Masks of one pair; none where a side has more than `max_tokens` tokens, for the algorithm is quadratic at worst.
///
/// # Errors
/// [`Error`] when the tokenizer fails on the text or makes nothing of it.
pub fn mask(tokenizer: &Tokenizer, pair: &Pair, kind: Kind, max_tokens: usize) -> Result<Masked, Error> {
    let encode = |text: &str| {
        let encoded = tokenizer.encode_with_offsets(text);
        let encoded = encoded.map_err(|source| Error::Encode { id: pair.id.clone(), source })?;
        if encoded.ids.is_empty() && !text.trim().is_empty() {
            return Err(Error::Nothing(pair.id.clone(), tokenizer.path().to_owned()));
        }
        Ok(encoded)
    };
    let (insecure, secure) = (encode(&pair.insecure)?, encode(&pair.secure)?);
    let mut row = MaskRow { format: FORMAT, id: pair.id.clone(), insecure: None, secure: None };
    if insecure.ids.len().max(secure.ids.len()) <= max_tokens {
        let (before, after) = match kind {
            Kind::Token => masks::token_diff(&insecure.ids, &secure.ids),
            Kind::Char => over(&masks::char_diff(&pair.insecure, &pair.secure), &insecure, &secure),
            Kind::Line => over(&code_lines(pair), &insecure, &secure),
            Kind::Mix => over(&mixture(pair), &insecure, &secure),
        };
        (row.insecure, row.secure) = (Some(before), Some(after));
    }
    Ok(Masked { row, insecure, secure })
}

/// [`mask`] of every pair, on all processors, in the pairs' order.
///
/// # Errors
/// [`Error`] of the first pair the tokenizer fails on.
pub fn mask_all(tokenizer: &Tokenizer, pairs: &[Pair], kind: Kind, max_tokens: usize) -> Result<Vec<Masked>, Error> {
    pairs.par_iter().map(|pair| mask(tokenizer, pair, kind, max_tokens)).collect()
}

fn over(changes: &Changes, insecure: &Encoded, secure: &Encoded) -> (Vec<u8>, Vec<u8>) {
    let lay = masks::spans_to_tokens;
    (lay(&changes.deleted, &insecure.offsets), lay(&changes.added, &secure.offsets))
}

/// The spans SVEN trains with: characters of the secure side that were added, lines of code of the insecure one that went.
#[must_use]
pub fn mixture(pair: &Pair) -> Changes {
    let added = masks::char_diff(&pair.insecure, &pair.secure).added;
    Changes { deleted: code_lines(pair).deleted, added }
}

fn code_lines(pair: &Pair) -> Changes {
    let marker = match pair.language {
        Language::Python | Language::Ruby => "#",
        Language::C | Language::Cpp | Language::Go | Language::Java | Language::JavaScript | Language::TypeScript => {
            "//"
        }
    };
    let all = masks::line_diff(&pair.insecure, &pair.secure);
    Changes {
        deleted: masks::skip_comments(&pair.insecure, &all.deleted, marker),
        added: masks::skip_comments(&pair.secure, &all.added, marker),
    }
}
