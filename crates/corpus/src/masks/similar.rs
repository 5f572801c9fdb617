//! How alike two token ids are when written in decimal, as Python's `SequenceMatcher.ratio` has it.

/// Digits of the largest id.
const MOST: usize = 10;

/// An id in decimal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    digits: [u8; MOST],
    length: usize,
    /// How often each digit occurs; padded to a vector register.
    counts: [u8; 16],
}

impl Decimal {
    pub(super) fn new(mut id: u32) -> Self {
        let mut backwards = [0; MOST];
        let mut length = 0;
        loop {
            backwards[length] = (id % 10) as u8;
            length += 1;
            id /= 10;
            if id == 0 {
                break;
            }
        }
        let mut digits = [0; MOST];
        let mut counts = [0; 16];
        for (to, &from) in digits.iter_mut().zip(backwards[..length].iter().rev()) {
            *to = from;
            counts[usize::from(from)] += 1;
        }
        Self { digits, length, counts }
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.length]
    }
}

/// `2 M / T` of two ids, `M` the digits in matching blocks and `T` all digits, where it is at least 0.75.
///
/// The order of the arguments matters: blocks are those of `a` against `b`.
pub(super) fn ratio(a: &Decimal, b: &Decimal) -> Option<f64> {
    let total = a.length + b.length;
    let enough = |matches: usize| 8 * matches >= 3 * total;
    // Two upper bounds before the blocks themselves, as in Python: the shorter length, the digits in common.
    if !enough(a.length.min(b.length)) {
        return None;
    }
    let common: u8 = a.counts.iter().zip(&b.counts).map(|(x, y)| x.min(y)).sum();
    if !enough(usize::from(common)) {
        return None;
    }
    let matches = matches(a.digits(), b.digits());
    enough(matches).then(|| 2.0 * matches as f64 / total as f64)
}

/// Digits in the matching blocks of two strings. The recursion is at most as deep as the shorter string is long.
fn matches(a: &[u8], b: &[u8]) -> usize {
    let mut best = (0, 0, 0);
    // `row[j]` is the length of the block that ends before `b[j]` and before the current element of `a`.
    let mut row = [0usize; MOST + 1];
    for (i, x) in a.iter().enumerate() {
        for j in (0..b.len()).rev() {
            row[j + 1] = if *x == b[j] { row[j] + 1 } else { 0 };
        }
        for (j, &k) in row[..=b.len()].iter().enumerate() {
            if k > best.2 {
                best = (i + 1 - k, j - k, k);
            }
        }
    }
    let (i, j, k) = best;
    if k == 0 {
        return 0;
    }
    k + matches(&a[..i], &b[..j]) + matches(&a[i + k..], &b[j + k..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values printed by `difflib.SequenceMatcher(None, str(a), str(b)).ratio()`.
    #[test]
    fn ratios_are_pythons() {
        for (a, b, expect) in [
            (1234, 1243, Some(0.75)),
            (12345, 12354, Some(0.8)),
            (100, 1000, Some(6.0 / 7.0)),
            (4294967295, 4294967205, Some(0.9)),
            (12, 1, None),
            (12, 123, Some(0.8)),
            (123, 132, None),
            (0, 1, None),
            (5150, 1505, Some(0.75)),
            (1505, 5150, Some(0.75)),
        ] {
            assert_eq!(ratio(&Decimal::new(a), &Decimal::new(b)), expect, "{a} {b}");
        }
    }
}
