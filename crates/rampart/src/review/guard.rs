//! Who may ask, and whether a form is one of ours.
//!
//! A page of others in the reviewer's browser can send forms to 127.0.0.1. So the `Host` must be a name of this machine, a
//! form's `Origin` must be that host, and every form carries a token that only our pages hold.

use anyhow::{Result, anyhow};
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;

/// Knows the address and the token of this run.
#[derive(Clone)]
pub(super) struct Guard {
    address: SocketAddr,
    token: String,
}

impl Guard {
    /// A guard with a fresh token.
    pub(super) fn new(address: SocketAddr) -> Result<Self> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|e| anyhow!("no random number for the forms' token: {e}"))?;
        let token = bytes.iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self { address, token })
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Whether a request comes from this machine's own pages or programs.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).and_then(|h: &header::HeaderValue| h.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        let same = |origin: &str| origin == format!("http://{host}");
        let own = crate::listen::own(host, self.address) && text(header::ORIGIN).is_none_or(same);
        let site = headers.get("sec-fetch-site").and_then(|h| h.to_str().ok());
        // A link from elsewhere may lead here; a form from elsewhere may not.
        let site = site.is_none_or(|s| ["same-origin", "none"].contains(&s)) || text(header::ORIGIN).is_none();
        own && site
    }

    /// Whether a form is one of ours. The time it takes says nothing about the token.
    pub(super) fn knows(&self, token: &str) -> bool {
        let hash = |text: &str| -> [u8; 32] { Sha256::digest(text).into() };
        hash(token) == hash(&self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    #[test]
    fn only_this_machine_is_admitted() {
        let guard = Guard::new("127.0.0.1:8377".parse().expect("an address")).expect("a guard");
        let check = |sent: &[(&'static str, &'static str)], expect: bool| {
            let header = |(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            let headers: HeaderMap = sent.iter().map(header).collect();
            assert_eq!(guard.admits(&headers), expect, "{sent:?}");
        };
        check(&[("host", "127.0.0.1:8377")], true);
        check(
            &[("host", "localhost:8377"), ("origin", "http://localhost:8377"), ("sec-fetch-site", "same-origin")],
            true,
        );
        check(&[("host", "127.0.0.1:8377"), ("sec-fetch-site", "cross-site")], true);
        check(&[("host", "evil.example")], false);
        check(&[], false);
        check(&[("host", "127.0.0.1:8377"), ("origin", "http://evil.example")], false);
        check(&[("host", "127.0.0.1:8377"), ("origin", "null")], false);
        check(
            &[("host", "127.0.0.1:8377"), ("origin", "http://127.0.0.1:8377"), ("sec-fetch-site", "same-site")],
            false,
        );
        assert!(guard.knows(guard.token()) && !guard.knows("") && !guard.knows("00"));
        assert_ne!(guard.token(), Guard::new(guard.address).expect("another").token());
    }
}
