//! The lengths of a set as a picture: rows come in, an SVG goes out that stands by itself, in light and dark.

use crate::{mask_rows::Masked, rows::Row};
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const PLOT: f64 = 150.0;
const PANEL: f64 = 236.0;
/// Bars of a panel at most.
const BARS: usize = 32;

const STYLE: &str = "\
svg{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;background:#fff}\
text{fill:#57606a}.t{fill:#1f2328;font-size:15px;font-weight:600}.n{text-anchor:end}.m{text-anchor:middle}\
.g{stroke:#d8dee4;stroke-width:1}.s{fill:#1a7f64}.i{fill:#d1603d}.o{fill:#4a6fa5}.s,.i,.o{fill-opacity:.78}\
@media(prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#9198a1}.t{fill:#f0f6fc}.g{stroke:#30363d}\
.s{fill:#3fb98f}.i{fill:#f08c66}.o{fill:#7aa2e3}}";

/// A distribution to draw: values with the class of their colour and what they are called.
struct Series<'a> {
    name: &'a str,
    class: &'a str,
    values: Vec<usize>,
}

/// Histograms of the lengths of both sides (and of texts), in tokens where a tokenizer is given, else in lines; with tokens
/// also of the share of each side that changes.
#[must_use]
pub fn svg(rows: &[Row], tokens: Option<(&[Masked], &[usize])>) -> String {
    let unit = if tokens.is_some() { "tokens" } else { "lines" };
    let (mut insecure, mut secure, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    match tokens {
        Some((masked, counts)) => {
            insecure.extend(masked.iter().map(|m| m.insecure.ids.len()));
            secure.extend(masked.iter().map(|m| m.secure.ids.len()));
            texts.extend_from_slice(counts);
        }
        None => {
            for row in rows {
                match row {
                    Row::Pair(p) => {
                        insecure.push(p.insecure.lines().count());
                        secure.push(p.secure.lines().count());
                    }
                    Row::Text { text, .. } => texts.push(text.lines().count()),
                }
            }
        }
    }
    let mut panels = Vec::new();
    if !secure.is_empty() {
        let series = [
            Series { name: "insecure", class: "i", values: insecure },
            Series { name: "secure", class: "s", values: secure },
        ];
        panels.push(panel(&format!("Length of each side, in {unit}"), &series, None));
    }
    if !texts.is_empty() {
        panels.push(panel(
            &format!("Length of texts, in {unit}"),
            &[Series { name: "texts", class: "o", values: texts }],
            None,
        ));
    }
    if let Some((masked, _)) = tokens.filter(|(m, _)| !m.is_empty()) {
        let changing = || masked.iter().filter(|m| m.changes());
        let share = |mask: &Option<Vec<u8>>| {
            let mask = mask.as_deref()?;
            let changed = mask.iter().filter(|&&b| b == 1).count();
            Some((100 * changed).div_ceil(mask.len().max(1)))
        };
        let series = [
            Series {
                name: "insecure",
                class: "i",
                values: changing().filter_map(|m| share(&m.row.insecure)).collect(),
            },
            Series { name: "secure", class: "s", values: changing().filter_map(|m| share(&m.row.secure)).collect() },
        ];
        panels.push(panel("Share of tokens that change, in percent", &series, Some(100)));
    }
    let height = PANEL * panels.len().max(1) as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Lengths of {} rows\"><style>{STYLE}</style>",
        rows.len()
    );
    for (i, panel) in panels.iter().enumerate() {
        let _ = write!(out, "<g transform=\"translate(0 {})\">{panel}</g>", PANEL * i as f64);
    }
    if panels.is_empty() {
        let _ = write!(out, "<text class=\"m\" x=\"{}\" y=\"{}\">no rows</text>", WIDTH / 2.0, PANEL / 2.0);
    }
    out + "</svg>\n"
}

/// Bars side by side; what is longer than 99 in 100 stands in the last. `end` fixes the axis.
fn panel(title: &str, series: &[Series], end: Option<usize>) -> String {
    let mut all: Vec<usize> = series.iter().flat_map(|s| s.values.iter().copied()).collect();
    all.sort_unstable();
    let longest = all.last().copied().unwrap_or(0);
    let most = end.unwrap_or_else(|| all.get(all.len() * 99 / 100).copied().unwrap_or(0)).max(1);
    let step = step(most);
    let bars = most / step + 1;
    let counts: Vec<Vec<usize>> = series
        .iter()
        .map(|s| {
            let mut counts = vec![0; bars];
            s.values.iter().for_each(|v| counts[(v / step).min(bars - 1)] += 1);
            counts
        })
        .collect();
    let tallest = counts.iter().flatten().copied().max().unwrap_or(0).max(1);
    let (top, base) = (44.0, 44.0 + PLOT);
    let width = (WIDTH - LEFT - RIGHT) / bars as f64;
    let mut out = format!("<text class=\"t\" x=\"{LEFT}\" y=\"24\">{title}</text>");
    // Colours are named where the title leaves room.
    let mut x = WIDTH - RIGHT;
    for s in series.iter().rev().filter(|_| series.len() > 1) {
        x -= 8.0 * s.name.len() as f64 + 26.0;
        let _ = write!(
            out,
            "<rect class=\"{}\" x=\"{x}\" y=\"13\" width=\"12\" height=\"12\" rx=\"2\"/><text x=\"{}\" y=\"24\">{}</text>",
            s.class,
            x + 18.0,
            s.name
        );
    }
    for share in [0.0, 0.5, 1.0] {
        let (y, n) = (base - PLOT * share, (tallest as f64 * share).round());
        let _ = write!(
            out,
            "<line class=\"g\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/><text class=\"n\" x=\"{}\" y=\"{}\">{n}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        );
    }
    let bar = width * 0.86 / series.len() as f64;
    for (k, (s, counts)) in series.iter().zip(&counts).enumerate() {
        for (i, &count) in counts.iter().enumerate().filter(|(_, c)| **c > 0) {
            let height = (PLOT * count as f64 / tallest as f64).max(1.0);
            let last = i + 1 == bars && longest >= bars * step;
            let range =
                if last { format!("{} and more", i * step) } else { format!("{} to {}", i * step, (i + 1) * step - 1) };
            let _ = write!(
                out,
                "<rect class=\"{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{bar:.1}\" height=\"{height:.1}\" rx=\"1\"><title>{}: {range}: \
                 {count}</title></rect>",
                s.class,
                LEFT + width * (i as f64 + 0.07) + bar * k as f64,
                top + PLOT - height,
                s.name,
            );
        }
    }
    let every = bars.div_ceil(10);
    for i in (0..bars).step_by(every) {
        let more = if i + 1 == bars && longest >= bars * step { "+" } else { "" };
        let _ = write!(
            out,
            "<text class=\"m\" x=\"{:.1}\" y=\"{}\">{}{more}</text>",
            LEFT + width * i as f64,
            base + 20.0,
            i * step
        );
    }
    out
}

/// The smallest of 1, 2, 5, 10, 20, .. that needs at most [`BARS`] bars.
fn step(most: usize) -> usize {
    let mut power = 1;
    loop {
        if let Some(step) = [1, 2, 5].into_iter().map(|m| m * power).find(|s| most / s < BARS) {
            return step;
        }
        power *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_enough() {
        for (most, expect) in [(0, 1), (31, 1), (32, 2), (100, 5), (320, 20), (5_000, 200), (1_000_000, 50_000)] {
            assert_eq!(step(most), expect, "{most}");
        }
    }

    #[test]
    fn every_row_is_in_a_bar_and_the_picture_is_xml() {
        let rows: Vec<Row> = (0..200)
            .map(|i| Row::Text { id: String::new(), text: "x\n".repeat(i % 7), origin: Box::default() })
            .collect();
        let picture = svg(&rows, None);
        let told: usize = picture
            .split("<title>")
            .skip(1)
            .filter_map(|t| t.split("</title>").next()?.rsplit(' ').next()?.parse::<usize>().ok())
            .sum();
        assert_eq!(told, 200, "{picture}");
        let mut reader = quick_xml::Reader::from_str(&picture);
        let ended = loop {
            match reader.read_event() {
                Ok(quick_xml::events::Event::Eof) => break true,
                Ok(_) => {}
                Err(_) => break false,
            }
        };
        assert!(ended, "{picture}");
        assert!(svg(&[], None).contains("no rows"));
    }
}
