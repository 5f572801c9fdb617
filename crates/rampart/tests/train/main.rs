//! `rampart train` with real processes: bad input ends in one message and exit 2, nothing written before is lost, and
//! `--resume` continues exactly.
//!
//! A model with random weights and a dozen pairs are made anew for every test; nothing waits for a clock, everything
//! for what a process says or writes.
#![cfg(all(feature = "torch", unix))]
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test")]

mod bad_input;
mod bench;
mod full_disk;
mod hostile;
mod memory;
mod prefixes;
mod ranks;
mod resume;
