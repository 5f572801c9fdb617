//! What a critic said: a tool to consult, a judgement, or neither.

use super::Tool;

/// A critic's words, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A tool to consult.
    Tool(Tool),
    /// A tool that there is not, by the name it was given.
    Unknown(String),
    /// Content with the code.
    Content,
    /// Objections.
    Change(String),
    /// Words without a verdict: objections as they stand, never consent.
    Prose(String),
    /// Nothing.
    Silent,
}

/// Reads a critic's reply. The first line that names a tool or a verdict decides; a mark of emphasis around it does not hurt.
#[must_use]
pub fn read(text: &str) -> Said {
    if text.trim().is_empty() {
        return Said::Silent;
    }
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let plain = line.trim().trim_matches(['*', '#', '`', '-', '>', ' ']);
        if let Some(call) = after(plain, "tool:") {
            return tool(call);
        }
        let Some(verdict) = after(plain, "verdict:") else { continue };
        let word: String = verdict.trim_matches(['*', ' ']).chars().take_while(|c| c.is_alphabetic()).collect();
        let rest = text[at..].trim();
        return match word.to_ascii_lowercase().as_str() {
            "content" => Said::Content,
            // A wish for change that says nothing of it cannot be followed.
            "change" if rest.is_empty() => Said::Silent,
            "change" => Said::Change(rest.to_owned()),
            _ => Said::Prose(text.trim().to_owned()),
        };
    }
    Said::Prose(text.trim().to_owned())
}

/// The rest of a line that begins with a mark, in whatever letters.
fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let head = line.get(..mark.len())?;
    head.eq_ignore_ascii_case(mark).then(|| line[mark.len()..].trim())
}

fn tool(call: &str) -> Said {
    let (name, rest) = call.split_once(char::is_whitespace).unwrap_or((call, ""));
    let rest = rest.trim().trim_matches(['"', '`', '(', ')']);
    match name.trim_matches(['"', '`', '*']).to_ascii_lowercase().as_str() {
        "review" => Said::Tool(Tool::Review),
        "run" => Said::Tool(Tool::Run),
        "search" if !rest.is_empty() => Said::Tool(Tool::Search(rest.chars().take(200).collect())),
        _ => Said::Unknown(call.chars().take(80).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_kind() {
        let change = |t: &str| Said::Change(t.into());
        let prose = |t: &str| Said::Prose(t.into());
        let cases = [
            ("VERDICT: CONTENT", Said::Content),
            ("**Verdict: content.**\nWell done.", Said::Content),
            ("Let me see.\nVERDICT: CHANGE\n1. The query.\n", change("1. The query.")),
            ("VERDICT: CHANGE", Said::Silent),
            ("VERDICT: MAYBE\nx", prose("VERDICT: MAYBE\nx")),
            ("verdict: contented", prose("verdict: contented")),
            ("It is content with everything.", prose("It is content with everything.")),
            ("TOOL: review", Said::Tool(Tool::Review)),
            ("`TOOL: run`\n", Said::Tool(Tool::Run)),
            ("- tool: Search \"sql injection\"", Said::Tool(Tool::Search("sql injection".into()))),
            ("TOOL: search", Said::Unknown("search".into())),
            ("TOOL: delete everything", Said::Unknown("delete everything".into())),
            ("TOOL:", Said::Unknown(String::new())),
            ("VERDICT: CONTENT\nTOOL: run", Said::Content),
            ("", Said::Silent),
            (" \n\t", Said::Silent),
            ("vérdict: é", prose("vérdict: é")),
        ];
        for (text, expect) in cases {
            assert_eq!(read(text), expect, "{text:?}");
        }
    }
}
