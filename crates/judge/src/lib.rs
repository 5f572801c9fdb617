//! Code comes in, a verdict goes out: whether it parses, and what is weak in it.
//!
//! 1. [`python`]: validity, equal to CPython's `ast.parse`.
//! 2. [`native`]: our own rules, one pass over the syntax tree.
//! 3. [`analyzers`]: our rules and others' programs behind one trait.
//! 4. [`sandbox`]: the only place where code is run, confined.
//! 5. [`mod@judge`]: all of it, for many pieces of code at a time.
//! 6. [`output`]: findings as people and other programs read them.
//!
//! Invariants: curation, evaluation, reward, gate, labs and editor tips all ask this crate, so they cannot disagree.
//! Reading code never runs it; no input makes a function here panic or overflow the stack; [`python`] and [`native`]
//! open no file, start no process and know no model.

pub mod analyzers;
pub mod judge;
pub mod native;
pub mod output;
mod parallel;
pub mod python;
pub mod sandbox;
mod syntax;

pub use judge::{Code, Judge, Judged, count_issues};
