//! `rampart data stats`.

use super::{OutputFormat, input, print, print_json};
use crate::cli::exit;
use anyhow::Result;
use clap::ValueEnum;
use corpus::{
    mask_rows::{self, Kind},
    rows::Row,
    stats::{
        self, Bucket, Lengths, Stats, drawing,
        oversampling::{self, Key, Preview},
    },
};
use lexicon::{Pair, atomic};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

/// Counts what a data set holds: rows, languages, weaknesses, licences, lengths, duplicates, the share of changed tokens.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data stats pairs.jsonl
  rampart data stats pairs.jsonl --tokenizer models/tiny --svg lengths.svg
  rampart data stats pairs.jsonl --oversample 20         what data.oversample would repeat")]
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
    /// Writes the lengths of both sides as histograms, SVG; with --tokenizer in tokens, and the share that changes.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Shows what oversampling would do: pairs that each class has at least (`data.oversample.minimum` of a training).
    #[arg(long, value_name = "PAIRS")]
    oversample: Option<usize>,
    /// What makes a class.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "language,cwe", requires = "oversample")]
    oversample_by: Vec<ClassKey>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Full)]
    output_format: OutputFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ClassKey {
    Language,
    Cwe,
}

#[derive(Serialize)]
struct Answer<'s> {
    stats: &'s Stats,
    #[serde(skip_serializing_if = "Option::is_none")]
    oversampling: Option<&'s Preview>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let tokenizer = args.tokenizer.as_deref().map(input::tokenizer).transpose()?;
    let rows: Vec<Row> = input::rows(&args.files)?.into_iter().flat_map(|s| s.rows).collect();
    let (stats, drawn) = match &tokenizer {
        None => (stats::stats(&rows, None), drawing::svg(&rows, None)),
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
            let tokens = Some((masked.as_slice(), texts.as_slice()));
            (stats::stats(&rows, tokens), drawing::svg(&rows, tokens))
        }
    };
    let preview = args.oversample.map(|minimum| {
        let keys: Vec<Key> = args
            .oversample_by
            .iter()
            .map(|key| match key {
                ClassKey::Language => Key::Language,
                ClassKey::Cwe => Key::Cwe,
            })
            .collect();
        let pairs = rows.iter().filter_map(|r| if let Row::Pair(p) = r { Some(p) } else { None });
        oversampling::preview(pairs, &keys, minimum)
    });
    if let Some(file) = &args.svg {
        atomic::write(file, drawn.as_bytes())?;
    }
    match args.output_format {
        OutputFormat::Json if preview.is_some() => {
            print_json(&Answer { stats: &stats, oversampling: preview.as_ref() })?;
        }
        OutputFormat::Json => print_json(&stats)?,
        OutputFormat::Full => print(|out| {
            out.write_all(full(&stats, args.max_tokens).as_bytes())?;
            out.write_all(preview.as_ref().map(previewed).unwrap_or_default().as_bytes())
        })?,
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
    for (name, map) in [
        ("languages", &s.languages),
        ("weaknesses", &s.cwes),
        ("origins", &s.origins),
        ("verified by", &s.verified),
        ("licences", &s.licences),
    ] {
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

/// Classes that would grow, and by how much in all.
fn previewed(p: &Preview) -> String {
    let mut out = format!(
        "{:<22} {} pairs would become {}: {} of {} classes have fewer than {}\n",
        "oversampling",
        p.before,
        p.after,
        p.growing(),
        p.classes.len(),
        p.minimum
    );
    let growing: Vec<_> = p.classes.iter().filter(|c| c.added > 0).collect();
    for class in growing.iter().take(MOST) {
        let _ = writeln!(out, "{:>20}   {:>7} +{}", class.name, class.pairs, class.added);
    }
    if growing.len() > MOST {
        let _ = writeln!(out, "{:>20}   and {} more", "", growing.len() - MOST);
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
