//! Code comes in, a verdict goes out: whether it parses, and what is weak in it.
//!
//! 1. [`python`]: validity, equal to CPython's `ast.parse`.
//! 2. [`native`]: our own rules, one pass over the syntax tree.
//! 3. [`languages`]: validity and our own rules for other languages.
//! 4. [`analyzers`]: our rules and others' programs behind one trait.
//! 5. [`sandbox`]: the only place where code is run, confined.
//! 6. [`mod@judge`]: all of it, for many pieces of code at a time.
//! 7. [`output`]: findings as people and other programs read them.
//!
//! Invariants: curation, evaluation, reward, gate, labs and editor tips all ask this crate, so they cannot disagree.
//! Reading code never runs it; no input makes a function here panic or overflow the stack; [`python`], [`native`] and
//! [`languages`] open no file, start no process and know no model.

pub mod analyzers;
pub mod judge;
pub mod languages;
pub mod native;
pub mod output;
mod parallel;
pub mod python;
pub mod sandbox;

pub use judge::{Code, Judge, Judged, count_issues};
