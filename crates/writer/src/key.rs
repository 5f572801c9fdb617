//! An endpoint's key: goes into a header, and nowhere else.

use crate::{Error, Result};
use std::fmt;

/// A secret. Printing it prints nothing of it, and it cannot be serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A key from the text of a variable of the environment.
    ///
    /// # Errors
    /// [`Error::Setting`] where it cannot stand in a header; the message holds nothing of it.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::Setting("the key is empty, or has characters that no key has".into()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The value of the `authorization` header.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A text of the other side's without this key in it: some answer with what they were sent.
    pub(crate) fn removed_from(&self, text: &str) -> String {
        if text.contains(&self.0) { text.replace(&self.0, "[key]") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_said() {
        let key = Key::new(" sk-secret\n").expect("a key");
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert_eq!(key.header(), "Bearer sk-secret");
        assert_eq!(key.removed_from("wrong key sk-secret!"), "wrong key [key]!");
        for wrong in ["", " ", "a b", "a\nb", "é"] {
            let said = Key::new(wrong).expect_err("no key").to_string();
            assert!(wrong.trim().is_empty() || !said.contains(wrong), "{said}");
        }
    }
}
