//! Comments that silence findings on their line: `# nosec`, `# nosec: B101`, `# rampart: ignore`,
//! `# rampart: ignore[rule, CWE-89]`.

use lexicon::Finding;
use memchr::memmem;
use ruff_python_ast::token::{Token, TokenKind};
use ruff_text_size::Ranged;

/// What one comment silences.
pub(crate) struct Suppression {
    line: usize,
    /// Rules and CWEs; empty means all.
    only: Vec<String>,
}

/// Reads the comments of a file.
pub(super) fn read(source: &str, tokens: &[Token], line_of: impl Fn(usize) -> usize) -> Vec<Suppression> {
    if memmem::find(source.as_bytes(), b"nosec").or_else(|| memmem::find(source.as_bytes(), b"rampart:")).is_none() {
        return Vec::new();
    }
    let comments = tokens.iter().filter(|t| t.kind() == TokenKind::Comment);
    comments
        .filter_map(|token| {
            let only = parse(&source[token.range()])?;
            Some(Suppression { line: line_of(token.range().start().to_usize()), only })
        })
        .collect()
}

/// What one comment of any language silences.
pub(crate) fn of(comment: &str, line: usize) -> Option<Suppression> {
    parse(comment.trim_start_matches(['/', '*', '#', ' '])).map(|only| Suppression { line, only })
}

/// The rules a comment names, or nothing where it is an ordinary comment. Bandit's numbers silence us altogether: whoever
/// wrote one has looked at the line.
fn parse(comment: &str) -> Option<Vec<String>> {
    for part in comment.split('#').map(str::trim) {
        if let Some(rest) = part.strip_prefix("rampart:") {
            let rest = rest.trim_start().strip_prefix("ignore")?;
            let list = rest.trim_start().strip_prefix('[').and_then(|r| r.split_once(']')).map_or("", |(list, _)| list);
            return Some(list.split(',').map(|s| s.trim().to_lowercase()).filter(|s| !s.is_empty()).collect());
        }
        if let Some(rest) = part.strip_prefix("nosec")
            && !rest.starts_with(|c: char| c.is_alphanumeric())
        {
            return Some(Vec::new());
        }
    }
    None
}

/// Whether a comment on the finding's first or last line silences it.
pub(crate) fn silenced(finding: &Finding, comments: &[Suppression]) -> bool {
    comments.iter().any(|c| {
        (c.line == finding.start.line || c.line == finding.end.line)
            && (c.only.is_empty()
                || c.only.contains(&finding.rule)
                || finding.cwe.iter().any(|cwe| c.only.contains(&cwe.to_string().to_lowercase())))
    })
}
