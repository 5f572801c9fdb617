//! `rampart data mask`.

use super::{input, print};
use crate::cli::{exit, terminal};
use anyhow::{Result, ensure};
use clap::ValueEnum;
use corpus::mask_rows::{self, Masked};
use lexicon::{Pair, jsonl};
use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

/// Prints a row a pair: for every token of each side's code alone, 1 where it changes and 0 where it does not.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data mask --tokenizer models/tiny pairs.jsonl --out masks.jsonl
  rampart data mask --tokenizer models/tiny --show pairs.jsonl | less -R")]
pub(crate) struct Args {
    /// Files of pairs: ours, preference rows, SafeCoder's and SVEN's (.jsonl), DiSCo's (.csv).
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// A tokenizer.json or the folder of a model.
    #[arg(long)]
    tokenizer: PathBuf,
    /// File to write instead of printing, JSON Lines.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What counts as changed: token (SafeCoder, LPO), char, line, mix (SVEN: characters where secure, lines where not).
    #[arg(long, value_enum, default_value_t = Kind::Token)]
    kind: Kind,
    /// Pairs with more tokens on a side have null for masks.
    #[arg(long, default_value_t = 4000)]
    max_tokens: usize,
    /// Draws the pairs for a person instead: removed tokens red, added ones green; [-so-] and {+so+} without a terminal.
    #[arg(long, conflicts_with = "out")]
    show: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Token,
    Char,
    Line,
    Mix,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let tokenizer = input::tokenizer(&args.tokenizer)?;
    let pairs = input::pairs(&args.files)?;
    let same = pairs.iter().filter(|p| p.secure == p.insecure).count();
    ensure!(
        same < pairs.len(),
        "{}: no pair has a difference between its sides, so there is nothing to mask",
        args.files[0].display()
    );
    let kind = match args.kind {
        Kind::Token => mask_rows::Kind::Token,
        Kind::Char => mask_rows::Kind::Char,
        Kind::Line => mask_rows::Kind::Line,
        Kind::Mix => mask_rows::Kind::Mix,
    };
    let masked = mask_rows::mask_all(&tokenizer, &pairs, kind, args.max_tokens)?;
    if args.show {
        let colour = io::stdout().is_terminal();
        print(|out| pairs.iter().zip(&masked).try_for_each(|(pair, masked)| show(out, pair, masked, colour)))?;
    } else if let Some(path) = &args.out {
        jsonl::write(path, masked.iter().map(|m| &m.row))?;
        terminal::answer(path.display())?;
    } else {
        print(|out| {
            masked.iter().try_for_each(|m| {
                serde_json::to_writer(&mut *out, &m.row)?;
                writeln!(out)
            })
        })?;
    }
    let too_long = masked.iter().filter(|m| m.too_long()).count();
    terminal::say(&format!("{} pairs, {} without a difference", pairs.len(), same));
    if too_long > 0 {
        let longest = masked.iter().map(Masked::longest).max().unwrap_or(0);
        terminal::say(&format!(
            "{too_long} pairs have no masks: more than {} tokens on a side (the longest has {longest})",
            args.max_tokens
        ));
    }
    Ok(exit::CLEAN)
}

fn show(out: &mut dyn Write, pair: &Pair, masked: &Masked, colour: bool) -> io::Result<()> {
    let cwes = pair.cwe.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (bold, off) = if colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    writeln!(out, "{bold}{}{off} {cwes}", pair.id)?;
    let removed = if colour { ("\x1b[41;97m", "\x1b[0m") } else { ("[-", "-]") };
    let added = if colour { ("\x1b[42;30m", "\x1b[0m") } else { ("{+", "+}") };
    for (name, code, encoded, mask, marks) in [
        ("insecure", &pair.insecure, &masked.insecure, &masked.row.insecure, removed),
        ("secure", &pair.secure, &masked.secure, &masked.row.secure, added),
    ] {
        let Some(mask) = mask else {
            writeln!(out, "--- {name}: {} tokens, too long for a mask", encoded.ids.len())?;
            continue;
        };
        let set = mask.iter().filter(|&&m| m == 1).count();
        writeln!(out, "--- {name}: {set} of {} tokens change", mask.len())?;
        writeln!(out, "{}", marked(code, &encoded.offsets, mask, marks).trim_end_matches('\n'))?;
    }
    writeln!(out)
}

/// The code with a mark around every run of changed tokens, ended and opened again at line ends so that colours do not
/// run on. Control characters of the code are shown, not sent: a terminal would obey them.
fn marked(code: &str, offsets: &[(usize, usize)], mask: &[u8], (open, close): (&str, &str)) -> String {
    let mut changed = vec![false; code.len()];
    for (&(start, end), _) in offsets.iter().zip(mask).filter(|(_, m)| **m == 1) {
        if let Some(bytes) = changed.get_mut(start..end) {
            bytes.fill(true);
        }
    }
    let mut out = String::with_capacity(code.len() * 2);
    let mut inside = false;
    for (at, c) in code.char_indices() {
        let wanted = changed[at] && c != '\n';
        if wanted != inside {
            out.push_str(if wanted { open } else { close });
            inside = wanted;
        }
        if c.is_control() && c != '\n' && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if inside {
        out.push_str(close);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_around_runs_and_inside_lines() {
        let marks = ("[-", "-]");
        let code = "ab\ncd e\x1b";
        let offsets = [(0, 1), (1, 3), (3, 5), (5, 7), (7, 8)];
        let cases = [
            ([0, 0, 0, 0, 0], "ab\ncd e\\u{1b}"),
            ([0, 1, 1, 0, 0], "a[-b-]\n[-cd-] e\\u{1b}"),
            ([1, 0, 0, 0, 1], "[-a-]b\ncd e[-\\u{1b}-]"),
        ];
        for (mask, expect) in cases {
            assert_eq!(marked(code, &offsets, &mask, marks), expect);
        }
        assert_eq!(marked("é", &[(0, 2), (0, 9)], &[1, 1], marks), "[-é-]");
    }
}
