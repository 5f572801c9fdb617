//! An open file: its text, and places in it as the client counts them.

use lexicon::{LineIndex, Position};
use serde_json::{Value, json};

/// What a column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Bytes of UTF-8.
    Utf8,
    /// Units of UTF-16: what every client speaks.
    Utf16,
}

impl Encoding {
    /// What the protocol calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16 => "utf-16",
        }
    }

    const fn width(self, c: char) -> usize {
        match self {
            Self::Utf8 => c.len_utf8(),
            Self::Utf16 => c.len_utf16(),
        }
    }
}

/// A file in the editor.
#[derive(Debug)]
pub(super) struct Document {
    /// Its address; the ending says the language.
    pub(super) name: String,
    pub(super) text: String,
    pub(super) version: i64,
    pub(super) encoding: Encoding,
}

/// Text that one change put in, where it is more than one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Insertion {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Document {
    /// Offset of a protocol position, moved into the text where it lies outside.
    pub(super) fn offset(&self, position: &Value) -> usize {
        let number = |key: &str| position[key].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let lines = LineIndex::new(&self.text);
        let line = number("line");
        if line >= lines.lines() {
            return self.text.len();
        }
        let start = lines.line_start(line + 1).unwrap_or(self.text.len());
        let mut units = number("character");
        let mut offset = start;
        for c in self.text[start..].chars() {
            if matches!(c, '\n' | '\r') || units < self.encoding.width(c) {
                break;
            }
            units -= self.encoding.width(c);
            offset += c.len_utf8();
        }
        offset
    }

    /// A finding's place as the protocol says it.
    pub(super) fn position(&self, lines: &LineIndex, at: Position) -> Value {
        let start = lines.line_start(at.line).unwrap_or(self.text.len());
        let before = self.text[start..].chars().take(at.column.saturating_sub(1)).take_while(|c| *c != '\n');
        let units: usize = before.map(|c| self.encoding.width(c)).sum();
        json!({ "line": at.line - 1, "character": units })
    }

    /// Applies one change, and says what it put in.
    pub(super) fn change(&mut self, change: &Value) -> Option<Insertion> {
        let text = change["text"].as_str().unwrap_or_default();
        let range = &change["range"];
        if range.is_null() {
            text.clone_into(&mut self.text);
            return None;
        }
        let (start, end) = (self.offset(&range["start"]), self.offset(&range["end"]));
        let (start, end) = (start.min(end), start.max(end));
        self.text.replace_range(start..end, text);
        (text.trim().lines().count() > 1).then(|| Insertion { start, end: start + text.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str, encoding: Encoding) -> Document {
        Document { name: "a.py".to_owned(), text: text.to_owned(), version: 1, encoding }
    }

    #[test]
    fn columns_are_the_client_s() {
        let text = "a\n'é𝒳' x\n";
        for (encoding, column) in [(Encoding::Utf16, 6), (Encoding::Utf8, 9)] {
            let document = document(text, encoding);
            let lines = LineIndex::new(text);
            let at = document.position(&lines, Position { line: 2, column: 6 });
            assert_eq!(at, json!({ "line": 1, "character": column }), "{encoding:?}");
            assert_eq!(&text[document.offset(&at)..], "x\n");
        }
    }

    #[test]
    fn places_outside_are_moved_inside() {
        let document = document("ab\r\nc", Encoding::Utf16);
        for (line, character, offset) in [(0, 9, 2), (1, 9, 5), (7, 0, 5), (0, 1, 1)] {
            assert_eq!(document.offset(&json!({ "line": line, "character": character })), offset, "{line}:{character}");
        }
    }

    #[test]
    fn changes_apply_in_order() {
        let mut document = document("one\ntwo\n", Encoding::Utf16);
        let at = |line: u32, character: u32| json!({ "line": line, "character": character });
        let range = |a: Value, b: Value| json!({ "start": a, "end": b });
        assert_eq!(document.change(&json!({ "range": range(at(0, 0), at(0, 3)), "text": "1" })), None);
        let put = document.change(&json!({ "range": range(at(1, 0), at(1, 0)), "text": "x = 1\ny = 2\n" }));
        assert_eq!(put, Some(Insertion { start: 2, end: 14 }));
        assert_eq!(document.text, "1\nx = 1\ny = 2\ntwo\n");
        assert_eq!(document.change(&json!({ "text": "new" })), None);
        assert_eq!(document.text, "new");
    }
}
