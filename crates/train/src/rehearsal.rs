//! Which step of a run holds the most at once.
//!
//! Taken once before the first update and forgotten, it shows in the run's first seconds whether the run fits, and brings memory
//! to where it stays: what a process holds is what its largest step needed, and which step that is depends on the data alone.

use crate::{Example, batches::Order, step};
use std::ops::Range;

/// The step of the rank's own that packs the most tokens into one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Largest {
    /// Step, from 0; the first of equals.
    pub(crate) step: usize,
    /// Tokens of its largest part, what pairs share counted once.
    pub(crate) tokens: usize,
}

impl Largest {
    /// Finds it among `steps`; `own` picks the rank's examples out of a batch, and parts are those of
    /// [`step::split`] at `most` tokens. `None` where there is no step.
    pub(crate) fn of(
        examples: &[Example],
        order: &mut Order,
        steps: Range<usize>,
        own: impl Fn(&[usize]) -> Vec<usize>,
        most: usize,
    ) -> Option<Self> {
        let sizes: Vec<usize> = examples.iter().map(Example::unique_tokens).collect();
        let mut largest: Option<Self> = None;
        for step in steps {
            let chosen = own(&order.step(step));
            let batch: Vec<&Example> = chosen.iter().map(|&i| &examples[i]).collect();
            let part = |part: Range<usize>| chosen[part].iter().map(|&i| sizes[i]).sum::<usize>();
            let tokens = step::split(&batch, most).into_iter().map(part).max().unwrap_or(0);
            if largest.is_none_or(|l| tokens > l.tokens) {
                largest = Some(Self { step, tokens });
            }
        }
        largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sequence;
    use objectives::Side;

    fn sequence(ids: Vec<u32>) -> Sequence {
        let n = ids.len();
        Sequence { ids, response: vec![1.0; n], focus: vec![1.0; n] }
    }

    /// Examples of 10, 2, 40, 3, 30 and 31 tokens, and a pair of 50 + 50 that shares 45.
    fn examples() -> Vec<Example> {
        let mut out: Vec<Example> = [10, 2, 40, 3, 30, 31]
            .iter()
            .enumerate()
            .map(|(i, &n)| Example::Single { id: i.to_string(), sequence: sequence(vec![7; n]), side: Side::Secure })
            .collect();
        let half = |last| sequence((0..45).chain(std::iter::repeat_n(last, 5)).collect());
        out.push(Example::Pair { id: "pair".into(), chosen: half(100), rejected: half(200) });
        out
    }

    #[test]
    fn it_is_found_by_parts_and_ranks() {
        let examples = examples();
        assert_eq!(examples[6].unique_tokens(), 55);
        let mut order = Order::new(6, 2, 0, false);
        let mut of = |steps, most| Largest::of(&examples, &mut order, steps, <[usize]>::to_vec, most);
        // Steps hold 12, 43 and 61 tokens; parts of at most 32 are 12, 40 and 31.
        assert_eq!(of(0..3, 1_000), Some(Largest { step: 2, tokens: 61 }));
        assert_eq!(of(0..3, 32), Some(Largest { step: 1, tokens: 40 }));
        assert_eq!(of(0..1, 32), Some(Largest { step: 0, tokens: 12 }));
        assert_eq!(of(3..3, 32), None);
        // The second epoch holds the same; the first of equals is taken.
        assert_eq!(of(0..6, 1_000), Some(Largest { step: 2, tokens: 61 }));
        let second = |batch: &[usize]| batch.iter().copied().skip(1).step_by(2).collect();
        assert_eq!(Largest::of(&examples, &mut order, 0..3, second, 99), Some(Largest { step: 2, tokens: 31 }));
        // A pair counts what it shares once, though parts are cut by all its tokens: 116 and 55 of 100, or one of 171.
        let mut order = Order::new(7, 7, 0, false);
        let mut of = |most| Largest::of(&examples, &mut order, 0..1, <[usize]>::to_vec, most).map(|l| l.tokens);
        assert_eq!((of(120), of(1_000)), (Some(116), Some(171)));
    }
}
