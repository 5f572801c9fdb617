//! Cohen's kappa: agreement of two people beyond what chance gives (Cohen 1960, equation 1).

use super::Verdict;
use serde::Serialize;

/// Two people's agreement on the rows that both have decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// One.
    pub first: String,
    /// The other.
    pub second: String,
    /// Rows that both have decided.
    pub both: usize,
    /// Rows decided alike.
    pub alike: usize,
    /// (observed - expected) / (1 - expected); none where nothing is shared, or where chance alone gives agreement.
    pub kappa: Option<f64>,
}

impl Agreement {
    /// Of two people's verdicts on shared rows.
    pub fn of(first: &str, second: &str, verdicts: impl IntoIterator<Item = (Verdict, Verdict)>) -> Self {
        let mut table = [[0usize; 3]; 3];
        for (a, b) in verdicts {
            table[a as usize][b as usize] += 1;
        }
        let both: usize = table.iter().flatten().sum();
        let alike: usize = (0..3).map(|i| table[i][i]).sum();
        let share = |count: usize| count as f64 / both as f64;
        let expected: f64 =
            (0..3).map(|i| share(table[i].iter().sum()) * share(table.iter().map(|row| row[i]).sum())).sum();
        let kappa = (both > 0 && expected < 1.0 - 1e-12).then(|| (share(alike) - expected) / (1.0 - expected));
        Self { first: first.to_owned(), second: second.to_owned(), both, alike, kappa }
    }

    /// The figures as a phrase.
    #[must_use]
    pub fn said(&self) -> String {
        let Self { first, second, both, alike, .. } = self;
        let kappa = match self.kappa {
            Some(kappa) => format!("kappa {kappa:.2}"),
            None if *both == 0 => "nothing decided by both".to_owned(),
            None => "one verdict throughout: no kappa".to_owned(),
        };
        format!("{first} and {second}: {alike} of {both} alike, {kappa}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts by [first's verdict][second's].
    fn check(table: [[usize; 3]; 3], expect: Option<f64>) {
        let verdicts = (0..9).flat_map(|k| {
            let cell = (Verdict::ALL[k / 3], Verdict::ALL[k % 3]);
            std::iter::repeat_n(cell, table[k / 3][k % 3])
        });
        let found = Agreement::of("a", "b", verdicts);
        let near = match (found.kappa, expect) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9,
            (a, b) => a == b,
        };
        assert!(near, "{table:?}: {found:?}, expected {expect:?}");
    }

    #[test]
    fn known_tables() {
        check([[0; 3]; 3], None);
        check([[7, 0, 0], [0, 0, 0], [0, 0, 0]], None);
        check([[5, 0, 0], [0, 3, 0], [0, 0, 2]], Some(1.0));
        // The usual example of two readers of 50 proposals: 20 yes and yes, 5 and 10 apart, 15 no and no: 0.4.
        check([[20, 0, 5], [0, 0, 0], [10, 0, 15]], Some(0.4));
        // Worse than chance.
        check([[0, 0, 5], [0, 0, 0], [5, 0, 0]], Some(-1.0));
        // Three categories: observed 0.70, expected 0.375.
        check([[30, 5, 5], [5, 20, 5], [5, 5, 20]], Some((0.70 - 0.34) / (1.0 - 0.34)));
    }
}
