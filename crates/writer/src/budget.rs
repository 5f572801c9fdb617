//! Tokens and money of a run.
//!
//! Before a question is sent, what it may cost at most is set aside; afterwards what it did cost takes its place. What fails
//! after it was sent may have been billed, and counts in full.

use crate::{Ask, Error, Result, Usage};
use serde::Serialize;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of text that are counted as one token where nobody has counted: code has three to four.
const BYTES_A_TOKEN: u64 = 3;
/// Tokens that roles and frames add.
const FRAME: u64 = 16;

/// Prices, in any one currency for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Prices {
    /// Tokens of prompts.
    pub prompt: f64,
    /// Tokens of answers.
    pub completion: f64,
}

/// What was used.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spent {
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// In the currency of the prices.
    pub cost: f64,
}

impl Spent {
    /// All tokens.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// Adds tokens at their prices.
    pub(crate) fn add(&mut self, usage: Usage, prices: Prices) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(usage.prompt);
        self.completion_tokens = self.completion_tokens.saturating_add(usage.completion);
        self.cost += cost(usage, prices);
    }
}

fn cost(usage: Usage, prices: Prices) -> f64 {
    (usage.prompt as f64 * prices.prompt + usage.completion as f64 * prices.completion) / 1e6
}

/// Tokens of a text by its length.
pub(crate) const fn guess(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_A_TOKEN)
}

/// What a question may use at most.
pub(crate) fn most(ask: &Ask) -> Usage {
    Usage { prompt: guess(ask.question.bytes()) + FRAME, completion: ask.parameters.max_tokens as u64, estimated: true }
}

#[derive(Default)]
struct State {
    spent: Spent,
    /// Set aside for questions on their way.
    aside: Spent,
}

/// The budget of a run.
pub struct Budget {
    prices: Prices,
    tokens: Option<u64>,
    money: Option<f64>,
    state: Mutex<State>,
}

impl Budget {
    /// At most so many tokens and so much money; `None` is no limit.
    ///
    /// # Errors
    /// [`Error::Setting`] for prices or a limit that mean nothing, or money without a price.
    pub fn new(prices: Prices, tokens: Option<u64>, money: Option<f64>) -> Result<Self> {
        let sound = |n: f64| n.is_finite() && n >= 0.0;
        if !(sound(prices.prompt) && sound(prices.completion) && money.is_none_or(sound)) {
            return Err(Error::Setting("prices and budgets are numbers from 0 up".into()));
        }
        if money.is_some() && prices == Prices::default() {
            return Err(Error::Setting("a budget of money needs the prices of a million tokens".into()));
        }
        Ok(Self { prices, tokens, money, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets aside what a question may use; an error says which limit it would pass.
    pub(crate) fn set_aside(&self, most: Usage) -> Result<()> {
        let mut state = self.state();
        let tokens = state.spent.tokens() + state.aside.tokens() + most.prompt + most.completion;
        if let Some(limit) = self.tokens.filter(|&limit| tokens > limit) {
            return Err(Error::Budget(format!(
                "{} of {limit} tokens are spent, and the next question may take {}",
                state.spent.tokens(),
                most.prompt + most.completion
            )));
        }
        let money = state.spent.cost + state.aside.cost + cost(most, self.prices);
        if let Some(limit) = self.money.filter(|&limit| money > limit) {
            let (spent, next) = (state.spent.cost, cost(most, self.prices));
            return Err(Error::Budget(format!(
                "{spent:.4} of {limit} is spent, and the next question may cost {next:.4}"
            )));
        }
        let prices = self.prices;
        state.aside.add(most, prices);
        Ok(())
    }

    /// Replaces what was set aside by what was used.
    pub(crate) fn settle(&self, aside: Usage, used: Usage) {
        let mut state = self.state();
        state.aside.prompt_tokens = state.aside.prompt_tokens.saturating_sub(aside.prompt);
        state.aside.completion_tokens = state.aside.completion_tokens.saturating_sub(aside.completion);
        state.aside.cost = (state.aside.cost - cost(aside, self.prices)).max(0.0);
        let prices = self.prices;
        state.spent.add(used, prices);
    }

    /// What was used so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.state().spent
    }

    /// Prices of this run.
    #[must_use]
    pub const fn prices(&self) -> Prices {
        self.prices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_that_may_pass_the_limit() {
        let prices = Prices { prompt: 1.0, completion: 10.0 };
        let used = |prompt, completion| Usage { prompt, completion, estimated: false };
        let budget = Budget::new(prices, Some(1_000), None).expect("a budget");
        budget.set_aside(used(100, 400)).expect("room");
        budget.set_aside(used(100, 400)).expect("room");
        let full = budget.set_aside(used(1, 0)).expect_err("all set aside").to_string();
        assert!(full.contains("0 of 1000 tokens are spent"), "{full}");
        budget.settle(used(100, 400), used(90, 10));
        budget.set_aside(used(100, 300)).expect("what was not used is free again");
        assert_eq!(budget.spent(), Spent { prompt_tokens: 90, completion_tokens: 10, cost: 190.0 / 1e6 });

        let money = Budget::new(prices, None, Some(0.01)).expect("a budget");
        money.set_aside(used(0, 1_000)).expect("exactly the limit");
        assert!(money.set_aside(used(1, 0)).is_err());
        assert!(Budget::new(Prices::default(), None, Some(1.0)).is_err(), "money without prices");
        assert!(Budget::new(Prices { prompt: f64::NAN, completion: 0.0 }, None, None).is_err());
    }
}
