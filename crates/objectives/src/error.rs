//! What can be wrong with the numbers an objective is given.

use std::fmt;

/// Which of the arrays of a [`Scored`](crate::Scored) is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Array {
    /// Log-probabilities under the model in training.
    Logp,
    /// The focus mask.
    Mask,
    /// The response weights.
    Response,
    /// Log-probabilities under the reference model.
    Reference,
    /// KL divergence from the reference, per token.
    Kl,
}

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logp => "log-probs",
            Self::Mask => "mask",
            Self::Response => "response",
            Self::Reference => "reference log-probs",
            Self::Kl => "kl",
        })
    }
}

/// Why an objective has no value here. Every message is a fragment; the caller says which pair it was.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// Two arrays that describe the same tokens differ in length.
    #[error("{array} of the {side} side has shape [{got}], its log-probs have shape [{expected}]")]
    Shape {
        /// Which sequence: `chosen`, `rejected`, `standard`, `secure` or `insecure`.
        side: &'static str,
        /// The array that does not fit.
        array: Array,
        /// Its length.
        got: usize,
        /// The length of the log-probs.
        expected: usize,
    },
    /// The same sequence under two controls must have the same tokens.
    #[error("the right control has shape [{right}], the wrong control [{wrong}], and they score the same tokens")]
    Controls {
        /// Tokens under the right control.
        right: usize,
        /// Tokens under the wrong control.
        wrong: usize,
    },
    /// A NaN or an infinity among the numbers.
    #[error("{array}[{index}] of the {side} side is {value}, not a finite number")]
    NonFinite {
        /// Which sequence.
        side: &'static str,
        /// The array.
        array: Array,
        /// Position in it.
        index: usize,
        /// What stands there.
        value: f64,
    },
    /// A log-probability above zero (beyond rounding) is the log of no probability.
    #[error("{array}[{index}] of the {side} side is {value}: above zero it is the log of no probability")]
    Positive {
        /// Which sequence.
        side: &'static str,
        /// The array.
        array: Array,
        /// Position in it.
        index: usize,
        /// What stands there.
        value: f64,
    },
    /// Masks and response weights live in `[0, 1]`.
    #[error("{array}[{index}] of the {side} side is {value}, outside [0, 1]")]
    Weight {
        /// Which sequence.
        side: &'static str,
        /// The array.
        array: Array,
        /// Position in it.
        index: usize,
        /// What stands there.
        value: f64,
    },
    /// The mask selects no response token, so a localised objective has nothing to learn from.
    #[error("the mask of the {side} side selects none of its {tokens} tokens")]
    NoFocus {
        /// Which sequence; `chosen and rejected` where one of them would have sufficed.
        side: &'static str,
        /// Tokens looked at.
        tokens: usize,
    },
    /// No token counts as response, so there is nothing to average over.
    #[error("none of the {tokens} tokens of the {side} side counts as response")]
    NoResponse {
        /// Which sequence.
        side: &'static str,
        /// Tokens looked at.
        tokens: usize,
    },
    /// The objective compares with a reference model, and no reference log-probs were given.
    #[error("{objective} needs reference log-probs, and the {side} side has none")]
    MissingReference {
        /// The objective.
        objective: &'static str,
        /// Which sequence.
        side: &'static str,
    },
    /// The objective has a KL term and no KL was given.
    #[error("{objective} has kl-weight {weight} and was given no kl")]
    MissingKl {
        /// The objective.
        objective: &'static str,
        /// Its weight of the KL term.
        weight: f64,
    },
    /// `pair` was called on an objective of single sequences.
    #[error("{objective} takes single sequences, not pairs")]
    NotPairwise {
        /// The objective.
        objective: &'static str,
    },
    /// `single` was called on an objective of pairs.
    #[error("{objective} takes pairs, not single sequences")]
    Pairwise {
        /// The objective.
        objective: &'static str,
    },
    /// A parameter outside the domain of the formula.
    #[error("{name} is {value}, must be {allowed}")]
    BadParameter {
        /// Its configuration name.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The values allowed, in words.
        allowed: &'static str,
    },
    /// A group of fewer than two rollouts has no sample standard deviation.
    #[error("a group of {size} has no sample standard deviation, at least 2 rollouts are needed")]
    SmallGroup {
        /// Rollouts in the group.
        size: usize,
    },
}
