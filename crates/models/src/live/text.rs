//! Tokens in one by one, text out as soon as no later token can change it.

use crate::Tokenizer;

/// The text of one answer while it grows.
///
/// Held back are bytes of an unfinished character, and what may be the beginning of a stop string. All pieces together,
/// with [`Self::finish`]'s, are the answer's text.
#[derive(Clone, Debug)]
pub struct TextStream {
    stops: Vec<String>,
    /// Tokens before this one are decoded for good; those up to `read` give the next ones their context.
    context: usize,
    read: usize,
    /// Everything decoded, and how much of it has left.
    text: String,
    sent: usize,
}

impl TextStream {
    /// A stream for an answer that these texts would end.
    #[must_use]
    pub fn new(stops: &[String]) -> Self {
        Self { stops: stops.to_vec(), context: 0, read: 0, text: String::new(), sent: 0 }
    }

    /// All tokens so far go in; what became certain comes out.
    ///
    /// A token is decoded together with those of the piece before it: decoders of words join tokens by what precedes them.
    pub fn push(&mut self, tokenizer: &Tokenizer, tokens: &[u32]) -> String {
        let before = tokenizer.decode(&tokens[self.context..self.read]);
        let with = tokenizer.decode(&tokens[self.context..]);
        // An unfinished character decodes as U+FFFD: its other bytes may follow.
        if with.len() > before.len() && !with.ends_with('\u{fffd}') && with.is_char_boundary(before.len()) {
            self.text.push_str(&with[before.len()..]);
            self.context = self.read;
            self.read = tokens.len();
        }
        let certain = self.text.len() - self.held();
        let piece = self.text.get(self.sent..certain).unwrap_or_default().to_owned();
        self.sent += piece.len();
        piece
    }

    /// The whole text, cut at its stop string, goes in; what has not left yet comes out.
    #[must_use]
    pub fn finish(self, text: &str) -> String {
        text.get(self.sent..).unwrap_or_default().to_owned()
    }

    /// Bytes at the end that a stop string begins with.
    fn held(&self) -> usize {
        let unsent = self.text.get(self.sent..).unwrap_or_default();
        let begins = |stop: &String| {
            (1..stop.len().min(unsent.len() + 1))
                .rev()
                .find(|&n| stop.is_char_boundary(n) && unsent.ends_with(&stop[..n]))
                .unwrap_or(0)
        };
        self.stops.iter().map(begins).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn pieces_are_the_text() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
        let tokenizer = Tokenizer::load(&folder).expect("models/tiny");
        let long = "def f(x):\n    return '€ 漢字 🦀🏽 é' + x  # done\n".repeat(3);
        // (text, stop strings, what must have left before the end)
        let cases: &[(&str, &[&str], Option<&str>)] = &[
            (&long, &[], Some(&long)),
            ("a\n\"\"\"b", &["\n\"\"\""], None),
            ("abcabcab", &["abcabd"], Some("abc")),
            ("€€€", &["€€€€"], Some("")),
            ("🦀", &[], Some("🦀")),
            ("", &["x"], Some("")),
        ];
        for &(text, stops, expect) in cases {
            let ids = tokenizer.encode(text).expect("a text");
            let stops: Vec<String> = stops.iter().map(|&s| s.to_owned()).collect();
            let mut stream = TextStream::new(&stops);
            let mut out = String::new();
            // The token that completes a stop string ends the answer.
            let whole = |n: &usize| !stops.iter().any(|s| tokenizer.decode(&ids[..*n]).contains(s.as_str()));
            for n in (1..=ids.len()).take_while(whole) {
                out.push_str(&stream.push(&tokenizer, &ids[..n]));
                assert!(text.starts_with(&out), "{out:?} is not how {text:?} begins");
            }
            if let Some(expect) = expect {
                assert_eq!(out, expect, "{text:?}");
            }
            let cut = stops.iter().filter_map(|s| text.find(s.as_str())).min().unwrap_or(text.len());
            assert!(out.len() <= cut, "a stop string has left: {out:?}");
            out.push_str(&stream.finish(&text[..cut]));
            assert_eq!(out, text[..cut], "{text:?}");
        }
    }
}
