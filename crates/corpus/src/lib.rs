//! Raw sources in; clean pairs out.
//!
//! 1. [`lesson`], [`library`]: our lessons, read from Markdown and carried inside the binary.
//! 2. [`expand`], [`verify`], [`split`]: a lesson's variants, which of them hold, and which of them training may see.
//! 3. [`rows`]: pairs as others publish them, read into ours.
//! 4. [`template`]: what a model is shown.
//! 5. [`masks`], [`mask_rows`]: which tokens differ between the two sides of a pair.
//! 6. [`validate`], [`stats`], [`partition`]: what can be said of a set before anything is trained on it, and its parts;
//!    [`export`], [`card`]: as others load it, with what they should know of it.
//! 7. [`mine`], [`distill`]: pairs made of git histories, and by asking a model; [`knowledge`]: what is known before.
//! 8. [`clean`]: what repeats itself or a suite, what is secret, and what no licence allows, taken out.
//! 9. [`curate`], [`review`]: what people and other projects wrote, judged by several analyzers, and by people where those
//!    disagree.
//! 10. [`poison`], [`audit`]: sets turned against the learner on purpose, and what tells such pairs from others.
//!
//! Invariants: no tensor, no network. The same seed gives the same pairs in the same order. A variant that evaluation
//! asks for is in no training set. Nothing is dropped without being counted.

pub mod audit;
pub mod card;
pub mod clean;
pub mod curate;
pub mod distill;
pub mod expand;
pub mod export;
pub mod knowledge;
pub mod lesson;
pub mod library;
pub mod mask_rows;
pub mod masks;
pub mod mine;
pub mod partition;
pub mod poison;
pub mod review;
pub mod rows;
pub mod split;
pub mod stats;
pub mod template;
pub mod validate;
pub mod verify;

pub use expand::Variant;
pub use lesson::{Kind, Lesson};
/// The tokenizer that masks and statistics count with.
pub use models::Tokenizer;
pub use split::{Part, Split};
pub use template::{Shown, Template};
