//! Which examples a step sees: a function of seed and step alone, so that a resumed run sees what it would have seen.

use corpus::split::mix;

/// Order of the examples over all epochs.
#[derive(Clone, Debug)]
pub struct Order {
    examples: usize,
    batch: usize,
    seed: u64,
    shuffle: bool,
    epoch: Option<(usize, Vec<usize>)>,
}

impl Order {
    /// An order over `examples` examples, `batch` a step.
    #[must_use]
    pub const fn new(examples: usize, batch: usize, seed: u64, shuffle: bool) -> Self {
        Self { examples, batch, seed, shuffle, epoch: None }
    }

    /// Steps that see every example `epochs` times, the last batch full.
    #[must_use]
    pub fn steps(&self, epochs: f64) -> usize {
        let seen = epochs * self.examples as f64;
        ((seen / self.batch as f64).ceil() as usize).max(1)
    }

    /// Examples of a step (from 0). Batches run across the end of an epoch.
    pub fn step(&mut self, step: usize) -> Vec<usize> {
        (step * self.batch..(step + 1) * self.batch).map(|at| self.at(at)).collect()
    }

    fn at(&mut self, at: usize) -> usize {
        let (epoch, place) = (at / self.examples, at % self.examples);
        if !self.shuffle {
            return place;
        }
        if self.epoch.as_ref().is_none_or(|(e, _)| *e != epoch) {
            let (seed, name) = (self.seed.to_string(), epoch.to_string());
            let mut keys: Vec<(u64, usize)> =
                (0..self.examples).map(|i| (mix(&[&seed, "epoch", &name, &i.to_string()]), i)).collect();
            keys.sort_unstable();
            self.epoch = Some((epoch, keys.into_iter().map(|(_, i)| i).collect()));
        }
        self.epoch.as_ref().map_or(place, |(_, order)| order[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_sees_everything_once() {
        let mut order = Order::new(10, 4, 1, true);
        assert_eq!(order.steps(2.0), 5);
        let seen: Vec<usize> = (0..5).flat_map(|s| order.step(s)).collect();
        for epoch in seen.chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(seen[..10], seen[10..]);
        // A fresh order asked for step 3 alone gives the same.
        assert_eq!(Order::new(10, 4, 1, true).step(3), seen[12..16]);
        assert_eq!(Order::new(3, 2, 1, false).step(1), [2, 0]);
    }
}
