//! `rampart data stats`.

use super::{OutputFormat, input, print, print_json};
use crate::cli::exit;
use anyhow::Result;
use corpus::{
    mask_rows::{self, Kind},
    rows::Row,
    stats::{self, Bucket, Lengths, Stats},
};
use lexicon::Pair;
use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

/// Counts what a data set holds: rows, languages, weaknesses, lengths, duplicates, the share of changed tokens.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Files of pairs or texts.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// A tokenizer.json or the folder of a model: adds tokens and the share of them that changes.
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    /// Pairs with more tokens on a side have no share of changed tokens.
    #[arg(long, default_value_t = 4000)]
    max_tokens: usize,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Full)]
    output_format: OutputFormat,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let tokenizer = args.tokenizer.as_deref().map(input::tokenizer).transpose()?;
    let rows: Vec<Row> = input::rows(&args.files)?.into_iter().flat_map(|s| s.rows).collect();
    let stats = match &tokenizer {
        None => stats::stats(&rows, None),
        Some(tokenizer) => {
            let pairs: Vec<Pair> =
                rows.iter().filter_map(|r| if let Row::Pair(p) = r { Some(p.clone()) } else { None }).collect();
            let masked = mask_rows::mask_all(tokenizer, &pairs, Kind::Token, args.max_tokens)?;
            let mut texts = Vec::new();
            for row in &rows {
                if let Row::Text { text, .. } = row {
                    texts.push(tokenizer.encode(text)?.len());
                }
            }
            stats::stats(&rows, Some((&masked, &texts)))
        }
    };
    match args.output_format {
        OutputFormat::Json => print_json(&stats)?,
        OutputFormat::Full => print(|out| out.write_all(full(&stats, args.max_tokens).as_bytes()))?,
    }
    Ok(exit::CLEAN)
}

const MOST: usize = 12;

fn full(s: &Stats, max_tokens: usize) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<22} {value}");
    };
    line("rows", format!("{} pairs, {} texts", s.pairs, s.texts));
    for (name, map) in
        [("languages", &s.languages), ("weaknesses", &s.cwes), ("origins", &s.origins), ("verified by", &s.verified)]
    {
        if !map.is_empty() {
            line(name, top(map));
        }
    }
    if s.pairs > 0 {
        line("sources", s.sources.to_string());
        line("with reasoning", s.reasoned.to_string());
        line("lines, insecure", lengths(&s.insecure_lines));
        line("lines, secure", lengths(&s.secure_lines));
    }
    if s.texts > 0 {
        line("lines, texts", lengths(&s.text_lines));
    }
    if let Some(t) = &s.tokens {
        line("tokens in all", t.total.to_string());
        if s.pairs > 0 {
            line("tokens, insecure", lengths(&t.insecure));
            line("tokens, secure", lengths(&t.secure));
            line(
                "tokens that change",
                format!("insecure {:.1} %, secure {:.1} %", t.changed_insecure, t.changed_secure),
            );
            line("pure deletions", t.unchanged_secure.to_string());
            line("pure additions", t.unchanged_insecure.to_string());
            line(&format!("over {max_tokens} tokens"), t.too_long.to_string());
        }
        if s.texts > 0 {
            line("tokens, texts", lengths(&t.texts));
        }
    }
    let d = s.duplicates;
    line("sides equal", s.identical.to_string());
    line(
        "duplicates",
        format!("{} rows, {} secure, {} insecure, {} instructions", d.rows, d.secure, d.insecure, d.instructions),
    );
    let unit = if s.tokens.is_some() { "tokens" } else { "lines" };
    let most = s.histogram.iter().map(|b| b.count).max().unwrap_or(0).max(1);
    line(&format!("lengths in {unit}"), "of secure sides and texts".to_owned());
    for &Bucket { from, to, count } in &s.histogram {
        let range = if from == to { from.to_string() } else { format!("{from}-{to}") };
        line(&format!("{range:>20}"), format!("{count:>7} {}", "#".repeat((40 * count).div_ceil(most))));
    }
    out
}

fn lengths(l: &Lengths) -> String {
    format!("mean {:.1}, median {}, 95 % within {}, longest {}", l.mean, l.median, l.p95, l.max)
}

/// The most frequent keys with their counts, and how many more there are.
fn top(map: &BTreeMap<String, usize>) -> String {
    let mut list: Vec<_> = map.iter().collect();
    list.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let shown = list.iter().take(MOST).map(|(k, n)| format!("{k} {n}")).collect::<Vec<_>>().join(", ");
    match list.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
