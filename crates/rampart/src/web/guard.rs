//! Who may ask.
//!
//! With keys: whoever sends one. Without: programs of this machine, which a page in a browser is not. A page can send
//! requests to 127.0.0.1, even under a name of its own that leads there; so the `Host` must be a name of this machine, and
//! requests must be declared as JSON, which pages of other origins cannot do unasked.

use super::failure::Failure;
use anyhow::{Context, Result, ensure};
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use std::{fmt, net::SocketAddr, path::Path};

/// API keys, kept as hashes: what is compared takes the same time whatever is sent, and nothing can print a key.
#[derive(Clone, Default)]
pub(crate) struct Keys(Vec<[u8; 32]>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl Keys {
    /// Keys from a file, one a line, and one more from the environment.
    ///
    /// # Errors
    /// A file that cannot be read, or has no key in it.
    pub(crate) fn read(file: Option<&Path>, environment: Option<&str>) -> Result<Self> {
        let mut keys = Vec::new();
        if let Some(file) = file {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            keys.extend(text.lines().map(str::trim).filter(|k| !k.is_empty()).map(hash));
            ensure!(!keys.is_empty(), "{}: no API key in it; write one a line", file.display());
        }
        keys.extend(environment.map(str::trim).filter(|k| !k.is_empty()).map(hash));
        Ok(Self(keys))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(header::AUTHORIZATION).map_or(&b""[..], |v| v.as_bytes());
        let Some((b"Bearer ", key)) = sent.split_at_checked(7) else { return false };
        let sent: [u8; 32] = Sha256::digest(key.trim_ascii()).into();
        // Every key is looked at in full.
        self.0.iter().fold(false, |found, key| {
            let different = key.iter().zip(&sent).fold(0, |d, (a, b)| d | (a ^ b));
            found | (different == 0)
        })
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Refuses who may not ask; `loopback` is the address of a server without keys.
pub(super) fn admit(headers: &HeaderMap, keys: &Keys, loopback: Option<SocketAddr>) -> Result<(), Failure> {
    if !keys.is_empty() {
        return if keys.admits(headers) { Ok(()) } else { Err(Failure::key()) };
    }
    let Some(address) = loopback else { return Ok(()) };
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    if crate::listen::own(host, address) { Ok(()) } else { Err(Failure::host()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn check(keys: &str, sent: &[(&'static str, &str)], expect: u16) {
        let keys = Keys::read(None, Some(keys)).expect("keys");
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header"))
        };
        let headers: HeaderMap = sent.iter().map(header).collect();
        let address = "127.0.0.1:8000".parse().expect("an address");
        let status =
            admit(&headers, &keys, keys.is_empty().then_some(address)).map_or_else(|f| f.status().as_u16(), |()| 200);
        assert_eq!(status, expect, "{sent:?}");
    }

    #[test]
    fn keys_and_names_admit() {
        check("k1", &[("authorization", "Bearer k1"), ("host", "evil.example")], 200);
        check("k1", &[("authorization", "Bearer  k1 ")], 200);
        for wrong in ["Bearer k", "Bearer k12", "Bearer ", "k1", "Basic k1", "bearer"] {
            check("k1", &[("authorization", wrong), ("host", "localhost")], 401);
        }
        check("k1", &[("host", "localhost")], 401);
        for own in ["localhost", "LOCALHOST:8000", "127.0.0.1:9", "[::1]:8000", "[::1]", "127.0.0.1:8000"] {
            check("", &[("host", own)], 200);
        }
        for other in
            ["", "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io", "localhost:x"]
        {
            check("", &[("host", other)], 403);
        }
    }

    #[test]
    fn files_hold_a_key_a_line_and_none_is_printed() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let no_key = Keys::read(Some(file.path()), None).expect_err("no key").to_string();
        assert!(no_key.contains("no API key in it"), "{no_key}");
        std::fs::write(file.path(), "one\n\n  two \n").expect("written");
        let keys = Keys::read(Some(file.path()), Some("three")).expect("keys");
        assert_eq!(format!("{keys:?}"), "3 keys");
        assert!(Keys::read(Some(Path::new("absent")), None).is_err());
    }
}
