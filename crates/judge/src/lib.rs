//! Code comes in, a verdict goes out: whether it parses, and what is weak in it.
//!
//! 1. [`python`]: validity, equal to CPython's `ast.parse`.
//! 2. [`native`]: our own rules, one pass over the syntax tree.
//!
//! Invariants: curation, evaluation, reward, gate, labs and editor tips all ask this crate, so they cannot disagree.
//! Reading code never runs it; no input makes a function here panic or overflow the stack; [`python`] and [`native`]
//! open no file, start no process and know no model.

pub mod native;
pub mod python;
