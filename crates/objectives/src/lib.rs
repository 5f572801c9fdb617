//! Token log-probabilities and masks come in; a loss and its derivative per token go out.
//!
//! Invariants:
//! - Numbers only. There is no tensor, no file, no network, no thread and no random number here.
//! - Everything is `f64`: what an objective says differs from its formula by rounding alone.
//! - A derivative returned here is the exact derivative of the loss returned beside it; the conformance
//!   test holds every entry of [`ALL`] to finite differences.
//! - One example at a time. Averaging over a batch is the caller's: multiply by `1 / batch`.
//! - Bad input is an [`Error`] that names the array, its shape and the offending index, never a NaN.
//!
//! An objective is one file: its parameters (which are its configuration table), the formula with its source,
//! the derivative, its golden values. Adding one is that file and a line in the list below.

mod dpo;
mod error;
pub mod grpo;
mod hinge;
mod ipo;
mod lpo;
mod margin;
mod numeric;
mod safecoder;
mod scored;
mod sft;
mod simpo;
mod sven;

pub use dpo::Dpo;
pub use error::{Array, Error};
pub use hinge::Hinge;
pub use ipo::{Ipo, IpoReduction};
pub use lpo::Lpo;
pub use margin::{Margin, MarginReduction};
pub use safecoder::SafeCoder;
pub use scored::{Compat, Kl, Metrics, Needs, PairLoss, Scored, Side, TokenLoss};
pub use sft::Sft;
pub use simpo::SimPo;
pub use sven::Sven;

use serde::{Deserialize, Serialize};

/// What every objective can say of itself and do.
///
/// An objective overrides the one of [`Loss::pair`] and [`Loss::single`] that it is; the other refuses.
pub trait Loss: Sized {
    /// The name it has in a configuration file (`kind`).
    const NAME: &'static str;
    /// One sentence for `--help` and the generated documentation.
    const ABOUT: &'static str;

    /// What the caller must compute before calling.
    fn needs(&self) -> Needs;

    /// Whether the log-prob of a response token has a say in the loss of a sequence on `side`. See [`Objective::looks`].
    fn looks(&self, _side: Side, _focus: f64) -> bool {
        true
    }

    /// Refuses parameters outside the domain of the formula.
    ///
    /// # Errors
    /// [`Error::BadParameter`].
    fn check(&self) -> Result<(), Error>;

    /// The settings the conformance test runs: the default and each variant with its own formula.
    fn variants() -> Vec<Self>;

    /// Loss of a pair. See [`Objective::pair`].
    ///
    /// # Errors
    /// [`Error::NotPairwise`] unless overridden.
    fn pair(&self, _chosen: Scored<'_>, _rejected: Scored<'_>, _kl: Option<Kl<'_>>) -> Result<PairLoss, Error> {
        Err(Error::NotPairwise { objective: Self::NAME })
    }

    /// Loss of one sequence. See [`Objective::single`].
    ///
    /// # Errors
    /// [`Error::Pairwise`] unless overridden.
    fn single(&self, _sample: Scored<'_>, _side: Side, _kl: Option<&[f64]>) -> Result<TokenLoss, Error> {
        Err(Error::Pairwise { objective: Self::NAME })
    }
}

/// A row of [`ALL`].
#[derive(Clone, Copy)]
pub struct Entry {
    /// The name it has in a configuration file (`kind`).
    pub name: &'static str,
    /// One sentence about it.
    pub about: &'static str,
    /// The settings the conformance test runs; the first is the default.
    pub variants: fn() -> Vec<Objective>,
}

macro_rules! objectives {
    ($($(#[$doc:meta])* $variant:ident,)*) => {
        /// An objective with its parameters, as the `[objective]` table of a training configuration holds it.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "lowercase")]
        pub enum Objective { $($(#[$doc])* $variant($variant),)* }

        /// Every objective. Conformance tests, documentation and the configuration schema walk this list.
        pub const ALL: &[Entry] = &[$(Entry {
            name: <$variant as Loss>::NAME,
            about: <$variant as Loss>::ABOUT,
            variants: || <$variant as Loss>::variants().into_iter().map(Objective::$variant).collect(),
        },)*];

        /// Binds the parameters of whichever objective this is.
        macro_rules! each {
            ($objective:expr, $name:ident => $body:expr) => { match $objective { $(Objective::$variant($name) => $body,)* } };
        }
    };
}

// The list. A line here makes the configuration kind, the entry of `ALL` and the dispatch.
objectives! {
    /// Supervised fine-tuning.
    Sft,
    /// SafeCoder's three losses.
    SafeCoder,
    /// Direct preference optimization.
    Dpo,
    /// Identity preference optimization.
    Ipo,
    /// Hinge on DPO's implicit rewards.
    Hinge,
    /// Simple preference optimization.
    SimPo,
    /// Localized preference optimization.
    Lpo,
    /// Contrastive margin ranking.
    Margin,
    /// SVEN's prefix objective.
    Sven,
}

impl Objective {
    /// The name it has in a configuration file.
    pub fn name(&self) -> &'static str {
        fn name<L: Loss>(_: &L) -> &'static str {
            L::NAME
        }
        each!(self, p => name(p))
    }

    /// What the caller must compute before calling [`Objective::pair`] or [`Objective::single`].
    pub fn needs(&self) -> Needs {
        each!(self, p => p.needs())
    }

    /// Whether the log-prob of a response token with this value of the focus mask has a say in the loss of a sequence on
    /// `side` (of a pair: [`Side::Secure`] is the chosen one). Where it has none the derivative is zero, and any value serves.
    pub fn looks(&self, side: Side, focus: f64) -> bool {
        each!(self, p => p.looks(side, focus))
    }

    /// Refuses parameters outside the domain of the formula. Call it once, when the configuration is read.
    ///
    /// # Errors
    /// [`Error::BadParameter`] names the parameter, its value and what is allowed.
    pub fn check(&self) -> Result<(), Error> {
        each!(self, p => p.check())
    }

    /// Loss of a secure (`chosen`) and an insecure (`rejected`) response and its derivative per token.
    ///
    /// For SVEN the two are the same sequence under the right and under the wrong control.
    ///
    /// # Errors
    /// [`Error::NotPairwise`] when [`Needs::pair`] and [`Needs::controls`] are both false; otherwise what
    /// [`Error`] lists for the input.
    pub fn pair(&self, chosen: Scored<'_>, rejected: Scored<'_>) -> Result<PairLoss, Error> {
        self.pair_with_kl(chosen, rejected, None)
    }

    /// As [`Objective::pair`], with the KL divergence of every token where [`Needs::kl`] asks for it.
    ///
    /// # Errors
    /// As [`Objective::pair`], and [`Error::MissingKl`].
    pub fn pair_with_kl(
        &self,
        chosen: Scored<'_>,
        rejected: Scored<'_>,
        kl: Option<Kl<'_>>,
    ) -> Result<PairLoss, Error> {
        each!(self, p => p.pair(chosen, rejected, kl))
    }

    /// Loss of one sequence that stands on `side`, and its derivative per token.
    ///
    /// # Errors
    /// [`Error::Pairwise`] when the objective compares two sequences; otherwise what [`Error`] lists for the input.
    pub fn single(&self, sample: Scored<'_>, side: Side) -> Result<TokenLoss, Error> {
        self.single_with_kl(sample, side, None)
    }

    /// As [`Objective::single`], with the KL divergence of every token where [`Needs::kl`] asks for it.
    ///
    /// # Errors
    /// As [`Objective::single`], and [`Error::MissingKl`].
    pub fn single_with_kl(&self, sample: Scored<'_>, side: Side, kl: Option<&[f64]>) -> Result<TokenLoss, Error> {
        each!(self, p => p.single(sample, side, kl))
    }
}
