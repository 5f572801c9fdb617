//! Answers on stdout; progress on stderr, quiet when it is no terminal.

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, BufWriter, IsTerminal, Write};

/// A bar over `length` steps with room for a message.
pub(crate) fn bar(length: usize, unit: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr_with_hz(4));
    let template = format!("{{prefix}}{{bar:28}} {{pos}}/{{len}} {unit} {{msg}} [{{elapsed}} < {{eta}}]");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// A count of steps whose number is not known.
pub(crate) fn spinner(unit: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
    if let Ok(style) = ProgressStyle::with_template(&format!("{{spinner}} {{pos}} {unit} [{{elapsed}}]")) {
        bar.set_style(style);
    }
    bar
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no failure.
pub(crate) fn print(fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match fill(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        _ => Ok(()),
    }
}

/// Writes a line to stdout. See [`print`].
pub(crate) fn answer(line: impl std::fmt::Display) -> Result<()> {
    print(|out| writeln!(out, "{line}"))
}

/// Says a line of progress. Hours of work must not end because nobody listens (`2>&1 | head`) or a log is full.
pub(crate) fn say(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Whether a person watches.
pub(crate) fn watched() -> bool {
    io::stderr().is_terminal()
}
/// An error with its causes. Many errors name their cause themselves, for those who print them alone: nothing is said twice.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.ends_with(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let io = || anyhow::Error::from(io::Error::other("no such file"));
        for (error, expect) in [
            (io(), "no such file"),
            (io().context("cannot read a"), "cannot read a: no such file"),
            (io().context("cannot read a: no such file"), "cannot read a: no such file"),
            (io().context("cannot read a: no such file").context("pairs"), "pairs: cannot read a: no such file"),
        ] {
            assert_eq!(causes(&error), expect);
        }
    }
}
