//! Numbers to places on a drawing. The drawing itself is in the template; all coordinates are percent of its box.

use super::{Curve, Point, words};
use serde::Serialize;

/// Points drawn at most: more cannot be told apart and make the page heavy.
const MOST_POINTS: usize = 400;
/// Below this many points a smoothed line says nothing that the line itself does not.
const FEWEST_TO_SMOOTH: usize = 24;

/// One line over training steps.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    pub(super) title: String,
    /// `points` of an SVG polyline: the values themselves.
    raw: String,
    /// The same smoothed; empty where there are few.
    smooth: String,
    /// (distance from the top, label).
    y_ticks: Vec<(f64, String)>,
    /// (distance from the left, label).
    x_ticks: Vec<(f64, String)>,
    first: String,
    last: String,
}

/// Charts of a run: its loss, and its margin where there is one.
pub(super) fn of(curve: &Curve) -> Vec<Chart> {
    let series = |of: &dyn Fn(&Point) -> Option<f64>| -> Vec<(f64, f64)> {
        curve.points.iter().filter_map(|p| Some((p.step as f64, of(p).filter(|y| y.is_finite())?))).collect()
    };
    [("loss", series(&|p| Some(p.loss))), ("reward margin", series(&|p| p.margin))]
        .into_iter()
        .filter_map(|(what, points)| chart(format!("{}: {what}", words::stage(&curve.name)), &points))
        .collect()
}

fn chart(title: String, points: &[(f64, f64)]) -> Option<Chart> {
    if points.len() < 2 {
        return None;
    }
    let points = thinned(points);
    let smoothed = smoothed(&points);
    let (x0, x1) = (points[0].0, points[points.len() - 1].0);
    let fold = |f: fn(f64, f64) -> f64, from: f64| points.iter().map(|p| p.1).fold(from, f);
    let ticks = ticks(fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY));
    let (y0, y1) = (ticks[0], ticks[ticks.len() - 1]);
    let x = |v: f64| 100.0 * (v - x0) / (x1 - x0).max(f64::MIN_POSITIVE);
    let y = |v: f64| 100.0 * (y1 - v) / (y1 - y0);
    let line = |points: &[(f64, f64)]| {
        points.iter().map(|&(px, py)| format!("{:.2},{:.2}", x(px), y(py))).collect::<Vec<_>>().join(" ")
    };
    let decimals = decimals(ticks[1] - ticks[0]);
    Some(Chart {
        title,
        raw: line(&points),
        smooth: if points.len() < FEWEST_TO_SMOOTH { String::new() } else { line(&smoothed) },
        y_ticks: ticks.iter().map(|&t| ((y(t) * 100.0).round() / 100.0, format!("{t:.decimals$}"))).collect(),
        x_ticks: [x0, x1].iter().map(|&t| (x(t), format!("{t:.0}"))).collect(),
        first: format!("{:.2}", smoothed[0].1),
        last: format!("{:.2}", smoothed[smoothed.len() - 1].1),
    })
}

/// Means of equal runs of points.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(MOST_POINTS);
    points
        .chunks(size)
        .map(|c| {
            let n = c.len() as f64;
            (c.iter().map(|p| p.0).sum::<f64>() / n, c.iter().map(|p| p.1).sum::<f64>() / n)
        })
        .collect()
}

/// Running mean over a window of a fifteenth of the points, centred, so that it neither lags nor starts at zero.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let reach = points.len() / 30;
    (0..points.len())
        .map(|i| {
            let reach = reach.min(i).min(points.len() - 1 - i);
            let window = &points[i - reach..=i + reach];
            (points[i].0, window.iter().map(|p| p.1).sum::<f64>() / window.len() as f64)
        })
        .collect()
}

/// Three to six round numbers that hold the range.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let range = if high - low > 1e-9 * high.abs().max(1e-3) { high - low } else { high.abs().max(1.0) };
    let rough = range / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(10.0 * power);
    let first = (low / step).floor();
    let last = (high / step).ceil().max(first + 1.0);
    (0..=(last - first) as usize).map(|i| (first + i as f64) * step).collect()
}

/// Digits after the point that tell ticks of this distance apart.
fn decimals(step: f64) -> usize {
    (-step.log10().floor()).clamp(0.0, 6.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_range() {
        let cases: &[(f64, f64, &[f64])] = &[
            (0.0, 1.0, &[0.0, 0.5, 1.0]),
            (0.3, 2.9, &[0.0, 1.0, 2.0, 3.0]),
            (-4.0, 13.0, &[-5.0, 0.0, 5.0, 10.0, 15.0]),
            (2.0, 2.0, &[2.0, 2.5]),
        ];
        for (low, high, expect) in cases {
            let found = ticks(*low, *high);
            assert!(
                found.len() == expect.len() && found.iter().zip(*expect).all(|(a, b)| (a - b).abs() < 1e-9),
                "{found:?}"
            );
        }
        assert_eq!((decimals(0.5), decimals(1.0), decimals(20.0), decimals(0.02)), (1, 0, 0, 2));
    }

    #[test]
    fn a_run_gives_its_charts() {
        let points = |n: usize, margin: bool| -> Vec<Point> {
            (1..=n).map(|i| Point { step: i, loss: 1.0 / i as f64, margin: margin.then_some(i as f64) }).collect()
        };
        let of = |points| of(&Curve { name: "lpo".into(), points });
        let charts = of(points(10, true));
        assert_eq!(charts.iter().map(|c| c.title.as_str()).collect::<Vec<_>>(), ["LPO: loss", "LPO: reward margin"]);
        assert!(charts[0].raw.starts_with("0.00,0.00 ") && charts[0].smooth.is_empty(), "{:?}", charts[0]);
        let long = of(points(5000, false));
        assert_eq!((long.len(), long[0].raw.split(' ').count() <= MOST_POINTS), (1, true));
        assert!(of(points(1, true)).is_empty(), "one point is no line");
        let mut broken = points(3, false);
        broken[1].loss = f64::NAN;
        assert!(!of(broken)[0].raw.contains("NaN"), "a step without a number is left out");
    }
}
