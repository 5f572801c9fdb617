//! Rotary positions: how fast each pair of a head's dimensions turns, as a checkpoint's `config.json` says.
//!
//! Every published way to stretch a context changes the frequencies, and two of them the length of what is turned; the kernels
//! know of neither.

use serde_json::Value;
use std::f64::consts::PI;

/// How a context is stretched.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Every frequency is divided (Chen et al. 2023, arXiv:2306.15595).
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// The base grows with sequences longer than the context (bloc97 2023); up to it nothing changes, and longer ones are not read.
    Dynamic {
        /// The context, in tokens.
        context: f64,
    },
    /// Low frequencies are divided, high ones stay, those between are mixed (Llama 3.1; Grattafiori et al. 2024).
    Llama3 {
        /// Divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are scaled in full.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are left alone.
        high_freq_factor: f64,
        /// Context the base model was trained with, in tokens.
        original: f64,
    },
    /// The same by the number of turns within the original context, and attention made sharper (YaRN; Peng et al. 2023,
    /// arXiv:2309.00071, sections 3.2 and 3.4).
    Yarn {
        /// Divisor of low frequencies.
        factor: f64,
        /// Context the base model was trained with, in tokens.
        original: f64,
        /// Pairs that turn more often are left alone.
        beta_fast: f64,
        /// Pairs that turn less often are divided in full.
        beta_slow: f64,
        /// Whether the ramp between them begins and ends at whole pairs.
        truncate: bool,
        /// Length of what is turned.
        attention: f64,
    },
    /// A divisor for every frequency, found by search (LongRoPE; Ding et al. 2024, arXiv:2402.13753): the ones for sequences up
    /// to the original context, and longer ones are not read.
    PerPair {
        /// The divisors.
        factors: Vec<f64>,
        /// Context of these divisors, in tokens.
        original: f64,
        /// Length of what is turned.
        attention: f64,
    },
}

/// Rotary position embedding (Su et al. 2021).
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Base of the frequencies.
    pub theta: f64,
    /// Leading dimensions of a head that are turned; the rest stand still.
    pub dims: i64,
    /// Scaling of the frequencies, if any.
    pub scaling: Option<RopeScaling>,
}

impl Rotary {
    /// Reads `rope_parameters` or `rope_scaling`; `positions` is the whole context, in tokens.
    ///
    /// # Errors
    /// What is missing or not supported, naming the key.
    pub(crate) fn read(
        rope: Option<&Value>,
        theta: f64,
        dims: i64,
        positions: f64,
        original: Option<f64>,
    ) -> Result<Self, String> {
        let scaling = match rope {
            Some(rope) => scaling(rope, dims, positions, original)?,
            None => None,
        };
        Ok(Self { theta, dims, scaling })
    }

    /// Positions that these frequencies are for, in tokens, where they are fewer than the model's.
    pub(crate) fn reach(&self) -> Option<usize> {
        match &self.scaling {
            Some(RopeScaling::Dynamic { context: reach } | RopeScaling::PerPair { original: reach, .. }) => {
                Some(*reach as usize)
            }
            _ => None,
        }
    }

    /// Refuses numbers that no angle comes from.
    ///
    /// # Errors
    /// The key that holds such a number.
    pub(crate) fn check(&self) -> Result<(), String> {
        let scaling = match &self.scaling {
            None => Vec::new(),
            Some(RopeScaling::Linear { factor }) => vec![*factor],
            Some(RopeScaling::Dynamic { context }) => vec![*context],
            Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original }) => {
                vec![*factor, *low_freq_factor, *high_freq_factor, *original]
            }
            Some(RopeScaling::Yarn { factor, original, beta_fast, beta_slow, attention, .. }) => {
                vec![*factor, *original, *beta_fast, *beta_slow, *attention]
            }
            Some(RopeScaling::PerPair { factors, original, attention }) => {
                if factors.len() as i64 != self.dims / 2 {
                    let (have, want) = (factors.len(), self.dims / 2);
                    return Err(format!("rope_scaling.short_factor holds {have} numbers, expected {want}"));
                }
                factors.iter().copied().chain([*original, *attention]).collect()
            }
        };
        if self.reach() == Some(0) {
            return Err("rope_scaling.original_max_position_embeddings is below 1".into());
        }
        for (name, value) in
            [("rope_theta", self.theta)].into_iter().chain(scaling.into_iter().map(|v| ("rope_scaling", v)))
        {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("{name} holds {value}, expected a number above 0"));
            }
        }
        Ok(())
    }

    /// Angle between neighbouring positions of each turned pair, `dims / 2` of them: `theta^(-2i/dims)`, scaled.
    #[must_use]
    pub fn frequencies(&self) -> Vec<f64> {
        let plain = |i: i64| 1.0 / self.theta.powf(2.0 * i as f64 / self.dims as f64);
        (0..self.dims / 2).map(|i| self.scaled(i, plain(i))).collect()
    }

    /// Length of what is turned: a factor of cosine and sine.
    #[must_use]
    pub const fn length(&self) -> f64 {
        match &self.scaling {
            Some(RopeScaling::Yarn { attention, .. } | RopeScaling::PerPair { attention, .. }) => *attention,
            _ => 1.0,
        }
    }

    fn scaled(&self, pair: i64, f: f64) -> f64 {
        match &self.scaling {
            None | Some(RopeScaling::Dynamic { .. }) => f,
            Some(RopeScaling::Linear { factor }) => f / factor,
            Some(RopeScaling::PerPair { factors, .. }) => f / factors.get(pair as usize).copied().unwrap_or(1.0),
            Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original }) => {
                let wavelength = 2.0 * PI / f;
                if wavelength > original / low_freq_factor {
                    f / factor
                } else if wavelength < original / high_freq_factor {
                    f
                } else {
                    let smooth = (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * f / factor + smooth * f
                }
            }
            Some(RopeScaling::Yarn { factor, original, beta_fast, beta_slow, truncate, .. }) => {
                // The pair that turns so often within the original context.
                let at = |turns: f64| self.dims as f64 * (original / (turns * 2.0 * PI)).ln() / (2.0 * self.theta.ln());
                let (low, high) = (at(*beta_fast), at(*beta_slow));
                let (low, high) = if *truncate { (low.floor(), high.ceil()) } else { (low, high) };
                let (low, high) = (low.max(0.0), high.min(self.dims as f64 - 1.0));
                let width = if high > low { high - low } else { 0.001 };
                let divided = ((pair as f64 - low) / width).clamp(0.0, 1.0);
                f / factor * divided + f * (1.0 - divided)
            }
        }
    }
}

fn scaling(rope: &Value, dims: i64, positions: f64, original: Option<f64>) -> Result<Option<RopeScaling>, String> {
    let kind = rope["rope_type"].as_str().or_else(|| rope["type"].as_str()).unwrap_or("default");
    let stated = |key: &str| rope[key].as_f64();
    let number = |key: &str, default: f64| stated(key).unwrap_or(default);
    let original = stated("original_max_position_embeddings").or(original);
    Ok(match kind {
        "default" => None,
        "dynamic" => Some(RopeScaling::Dynamic { context: positions }),
        "linear" => Some(RopeScaling::Linear { factor: number("factor", 1.0) }),
        "llama3" => Some(RopeScaling::Llama3 {
            factor: number("factor", 1.0),
            low_freq_factor: number("low_freq_factor", 1.0),
            high_freq_factor: number("high_freq_factor", 4.0),
            original: original.unwrap_or(8192.0),
        }),
        "yarn" => {
            let original = original.unwrap_or(positions);
            let factor = stated("factor").unwrap_or(positions / original);
            let sharper = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
            let attention = match (stated("mscale"), stated("mscale_all_dim")) {
                (Some(over), Some(under)) if over != 0.0 && under != 0.0 => sharper(over) / sharper(under),
                _ => sharper(1.0),
            };
            Some(RopeScaling::Yarn {
                factor,
                original,
                beta_fast: stated("beta_fast").filter(|b| *b != 0.0).unwrap_or(32.0),
                beta_slow: stated("beta_slow").filter(|b| *b != 0.0).unwrap_or(1.0),
                truncate: rope["truncate"].as_bool().unwrap_or(true),
                attention: number("attention_factor", attention),
            })
        }
        "longrope" | "su" => {
            let original = original.unwrap_or(positions);
            let factor = stated("factor").unwrap_or(positions / original);
            let attention = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() };
            let listed = rope["short_factor"].as_array();
            let list = listed.ok_or_else(|| format!("rope_scaling.short_factor is missing: {} numbers", dims / 2))?;
            Some(RopeScaling::PerPair {
                factors: list.iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect(),
                original,
                attention: number("attention_factor", attention),
            })
        }
        other => {
            let known = "default, dynamic, linear, llama3, longrope or yarn";
            return Err(format!("rope scaling {other:?} is not supported: expected {known}"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Frequencies and lengths that transformers 5.23 computes (`ROPE_INIT_FUNCTIONS`, f32), by `tests/golden/make_rope.py`.
    #[test]
    fn frequencies_are_those_of_transformers() {
        let golden: Value = serde_json::from_str(include_str!("../tests/golden/rope.json")).expect("JSON");
        let cases = golden.as_array().expect("a list");
        assert!(cases.len() >= 8);
        for case in cases {
            let number = |key: &str| case[key].as_f64();
            let (theta, dims) = (number("theta").expect("theta"), case["dims"].as_i64().expect("dims"));
            let positions = number("positions").expect("positions");
            let rotary =
                Rotary::read(Some(&case["rope"]), theta, dims, positions, number("original")).expect("supported");
            rotary.check().expect("whole");
            let want: Vec<f64> =
                case["frequencies"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
            let got = rotary.frequencies();
            assert_eq!(got.len(), want.len(), "{case}");
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() <= 2e-6 * want.abs(), "{got} {want} {case}");
            }
            assert!((rotary.length() - number("length").expect("length")).abs() < 1e-6, "{case}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let read =
            |rope: Value| Rotary::read(Some(&rope), 1e4, 4, 64.0, Some(16.0)).and_then(|r| r.check().map(|()| r));
        let long = |factors: Value| read(json!({"type": "longrope", "short_factor": factors}));
        assert_eq!(long(json!([1.0, 2.0])).map(|r| r.reach()), Ok(Some(16)));
        assert_eq!(read(json!({"type": "dynamic", "factor": 2.0})).map(|r| r.reach()), Ok(Some(64)));
        let tiny = json!({"type": "longrope", "short_factor": [1.0, 2.0], "original_max_position_embeddings": 0.5});
        for (made, key) in [
            (long(json!([1.0])), "short_factor holds 1 numbers, expected 2"),
            (long(json!([1.0, "x"])), "rope_scaling"),
            (long(Value::Null), "short_factor is missing"),
            (read(tiny), "below 1"),
            (read(json!({"rope_type": "yarn", "factor": -1.0})), "rope_scaling holds -1"),
            (read(json!({"rope_type": "spiral"})), "spiral"),
        ] {
            let why = made.expect_err(key);
            assert!(why.contains(key), "{why}");
        }
    }
}
