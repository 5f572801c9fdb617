//! Credentials and personal data in texts: a text comes in, where they stand goes out.
//!
//! Kinds with a form of their own (a provider's prefix, a checksum) are told by it; a value that is merely given to a name
//! such as `password` must also look drawn at random. What documentation reserves for examples is neither.

use regex::Regex;
use serde::Serialize;
use std::{ops::Range, sync::LazyLock};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A private key in PEM form.
    PrivateKey,
    /// A token with a provider's prefix.
    ProviderToken,
    /// A signed JSON web token.
    Jwt,
    /// User and password in an address.
    AddressPassword,
    /// A value that looks random, given to a name that says it is secret.
    NamedSecret,
    /// A mail address.
    Mail,
    /// A telephone number in international form.
    Telephone,
    /// A card number, by its checksum.
    Card,
    /// A bank account, by its checksum.
    Account,
    /// A public network address.
    Address,
}

impl Kind {
    /// What stands in the place of one that is taken out.
    #[must_use]
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::PrivateKey => "REDACTED-PRIVATE-KEY",
            Self::ProviderToken | Self::NamedSecret => "REDACTED-SECRET",
            Self::Jwt => "REDACTED-TOKEN",
            Self::AddressPassword => "user:REDACTED@",
            Self::Mail => "user@example.com",
            Self::Telephone => "+1 202-555-0100",
            Self::Card => "0000000000000000",
            Self::Account => "XX00EXAMPLE",
            Self::Address => "192.0.2.1",
        }
    }
}

/// A place with something that should not be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What.
    pub kind: Kind,
    /// Bytes of the text.
    pub span: Range<usize>,
}

fn patterns() -> &'static [(Kind, Regex)] {
    static ALL: LazyLock<Vec<(Kind, Regex)>> = LazyLock::new(|| {
        let sources: &[(Kind, &str)] = &[
            (
                Kind::PrivateKey,
                r"(?s)-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----.{20,6000}?-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
            ),
            (
                Kind::ProviderToken,
                r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{50,}\b|\bglpat-[A-Za-z0-9_-]{20,}|\bxox[abprs]-[0-9A-Za-z-]{20,}|\bAIza[0-9A-Za-z_-]{35}\b|\b[sr]k_live_[0-9a-zA-Z]{20,}\b|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{30,}|\bnpm_[A-Za-z0-9]{36}\b|\bpypi-[A-Za-z0-9_-]{60,}|\bhf_[A-Za-z0-9]{30,}\b|\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}",
            ),
            (Kind::Jwt, r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
            (Kind::AddressPassword, r"[a-z][a-z0-9+.-]*://([A-Za-z0-9._%+-]+:[^\s:@/'\x22<>{}$]{3,}@)"),
            (
                Kind::NamedSecret,
                r#"(?i)(?:passw(?:or)?d|passwd|secret|token|api_?key|access_?key|private_?key|auth_?key|signing_?key|encryption_?key)\w*["']?\]?\s*(?:=|:=|=>|:)\s*(?:new String\()?b?["']([^"'\s]{16,})["']"#,
            ),
            (Kind::Mail, r"[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b"),
            (Kind::Telephone, r"\+[1-9][0-9]{0,2}[ .-]\(?[0-9]{2,4}\)?[ .-][0-9]{2,4}(?:[ .-]?[0-9]{2,4})+\b"),
            (Kind::Card, r"\b(?:[3-6][0-9]{3}[ -]?(?:[0-9]{4}[ -]?){2}[0-9]{3,4})\b"),
            (Kind::Account, r"\b[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\b"),
            (Kind::Address, r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b"),
        ];
        // A pattern that does not compile would be missed by the tests below.
        sources.iter().filter_map(|(kind, source)| Some((*kind, Regex::new(source).ok()?))).collect()
    });
    &ALL
}

/// Everything found in a text, in order; where two overlap, the one that begins first.
#[must_use]
pub fn find(text: &str) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for (kind, pattern) in patterns() {
        for captures in pattern.captures_iter(text) {
            // The whole, or the part that is the secret.
            let Some(place) = captures.get(1).or_else(|| captures.get(0)) else { continue };
            if real(*kind, place.as_str(), &text[..place.start()], &text[place.end()..]) {
                all.push(Found { kind: *kind, span: place.range() });
            }
        }
    }
    all.sort_by_key(|f| (f.span.start, f.kind));
    let mut end = 0;
    all.retain(|f| {
        let free = f.span.start >= end;
        if free {
            end = f.span.end;
        }
        free
    });
    all
}

/// The text with placeholders; the same secret has the same placeholder on both sides of a pair.
#[must_use]
pub fn redact(text: &str, found: &[Found]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for one in found {
        out.push_str(&text[from..one.span.start]);
        out.push_str(one.kind.placeholder());
        from = one.span.end;
    }
    out + &text[from..]
}

fn real(kind: Kind, value: &str, before: &str, after: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let made_up = ["example", "changeme", "redacted", "xxxx", "placeholder", "dummy", "your-", "your_", "0123456789"];
    match kind {
        Kind::PrivateKey | Kind::Jwt => true,
        Kind::ProviderToken => !made_up.iter().any(|w| lower.contains(w)) && entropy(value) > 2.5,
        Kind::NamedSecret => {
            let classes = [
                value.bytes().any(|b| b.is_ascii_digit()),
                value.bytes().any(|b| b.is_ascii_lowercase()),
                value.bytes().any(|b| b.is_ascii_uppercase()),
            ];
            let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=_-.$!@#%^&*".contains(&b));
            plain
                && !made_up.iter().any(|w| lower.contains(w))
                && classes.iter().filter(|c| **c).count() >= 2
                && classes[0]
                && entropy(value) >= 3.5
        }
        Kind::AddressPassword => !made_up.iter().any(|w| lower.contains(w)) && !lower.contains("password@"),
        Kind::Mail => {
            let host = lower.rsplit('@').next().unwrap_or_default();
            let reserved =
                ["example.com", "example.org", "example.net", "test.com", "domain.com", "email.com", "localhost"];
            let ends = [".example", ".test", ".invalid", ".local", ".localhost"];
            let role = [
                "noreply@",
                "no-reply@",
                "user@",
                "admin@",
                "info@",
                "test@",
                "foo@",
                "git@",
                "me@",
                "you@",
                "someone@",
            ];
            // `user@host.attr` is also a decorator or an address of ssh: a known ending is asked for.
            let known = [
                "com", "org", "net", "edu", "gov", "io", "dev", "de", "fr", "uk", "jp", "cn", "ru", "nl", "ch", "info",
                "eu", "us", "in", "br", "it", "se", "cz", "pl", "ca", "au",
            ];
            let domain = host.rsplit('.').next().unwrap_or_default();
            known.contains(&domain)
                && !reserved.iter().any(|r| host == *r || host.ends_with(&format!(".{r}")))
                && !ends.iter().any(|e| host.ends_with(e))
                && !role.iter().any(|r| lower.starts_with(r))
                && !before.ends_with('/')
                && !before.ends_with(':')
        }
        Kind::Telephone => !value.contains("555") && value.bytes().filter(u8::is_ascii_digit).count() >= 10,
        Kind::Card => {
            let digits: Vec<u32> = value.chars().filter_map(|c| c.to_digit(10)).collect();
            let edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '.' && c != '_');
            let known =
                ["4111111111111111", "4242424242424242", "4012888888881881", "5555555555554444", "378282246310005"];
            let all: String = digits.iter().map(ToString::to_string).collect();
            edge(before.chars().next_back())
                && edge(after.chars().next())
                && luhn(&digits)
                && !known.contains(&all.as_str())
                && entropy(&all) > 2.0
        }
        Kind::Account => mod97(value),
        Kind::Address => {
            let parts: Vec<u32> = value.split('.').filter_map(|p| p.parse().ok()).collect();
            let &[a, b, c, d] = parts.as_slice() else { return false };
            let near =
                |c: Option<char>| c.is_some_and(|c| c == '.' || c == '-' || c == '_' || c.is_ascii_alphanumeric());
            let version = before
                .to_ascii_lowercase()
                .trim_end_matches([' ', '=', ':', '"', '\'', '>', '<', '~', 'v'])
                .ends_with("version");
            let outside = matches!(a, 0 | 10 | 127 | 224..)
                || (a == 172 && (16..32).contains(&b))
                || (a == 192 && b == 168)
                || (a == 169 && b == 254)
                || (a == 100 && (64..128).contains(&b))
                || matches!((a, b, c), (192, 0, 2) | (198, 51, 100) | (203, 0, 113))
                || (a == 198 && (18..20).contains(&b))
                // Public resolvers, and numbers that are counted: 1.2.3.4.
                || matches!((a, b, c, d), (8, 8, 8, 8) | (8, 8, 4, 4) | (1, 1, 1, 1) | (1, 0, 0, 1) | (9, 9, 9, 9) | (1, 2, 3, 4))
                || a < 10;
            let sane = value.split('.').all(|p| p.len() == 1 || !p.starts_with('0'))
                && a < 256
                && b < 256
                && c < 256
                && d < 256;
            sane && !outside
                && !version
                && !near(before.chars().next_back())
                && !near(after.strip_prefix('.').unwrap_or(after).chars().next().filter(|c| *c != '.'))
        }
    }
}

/// Shannon entropy of the characters, in bits.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    text.bytes().for_each(|b| counts[usize::from(b)] += 1);
    let all = text.len().max(1) as f64;
    counts.iter().filter(|c| **c > 0).map(|&c| f64::from(c) / all).map(|p| -p * p.log2()).sum()
}

/// Luhn's checksum (ISO/IEC 7812-1).
fn luhn(digits: &[u32]) -> bool {
    let doubled = |(i, &d): (usize, &u32)| if i % 2 == 1 { d * 2 / 10 + d * 2 % 10 } else { d };
    digits.len() >= 15 && digits.iter().rev().enumerate().map(doubled).sum::<u32>().is_multiple_of(10)
}

/// The checksum of account numbers (ISO 13616): 1 modulo 97, letters as numbers from 10.
fn mod97(account: &str) -> bool {
    let turned = account[4..].chars().chain(account[..4].chars());
    let mut rest = 0_u32;
    for c in turned {
        let Some(value) = c.to_digit(36) else { return false };
        rest = (rest * if value > 9 { 100 } else { 10 } + value) % 97;
    }
    rest == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_and_what_is_not() {
        let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", "MIIEow".repeat(8));
        let github = format!("t = 'gh{}_{}'", "p", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
        let amazon = format!("key = 'AK{}4Q7TW2ZD5MNB8RVX'", "IA");
        let cases: &[(&str, &[Kind])] = &[
            (&pem, &[Kind::PrivateKey]),
            (&github, &[Kind::ProviderToken]),
            (&amazon, &[Kind::ProviderToken]),
            ("url = 'postgres://joe:hunter22@db.corp/x'", &[Kind::AddressPassword]),
            ("SECRET_KEY = 'x7Gf2kQ9vTz4LmPw8sRb'", &[Kind::NamedSecret]),
            ("\"api_key\": \"9f86d081884c7d659a2feaa0c55ad015\"", &[Kind::NamedSecret]),
            ("mail to ada.lovelace@gmail.com now", &[Kind::Mail]),
            ("call +49 30 901820 11", &[Kind::Telephone]),
            ("card 4539 1488 0343 6467", &[Kind::Card]),
            ("pay DE89370400440532013000", &[Kind::Account]),
            ("host = '93.184.216.34'", &[Kind::Address]),
            // What looks like one of them.
            ("password = 'correct horse battery staple'", &[]),
            ("password = 'change-me-example-please-1'", &[]),
            ("password = request.form['password_of_the_user']", &[]),
            ("token = 'token_of_the_session_cookie'", &[]),
            ("key = 'AKIAIOSFODNN7EXAMPLE'", &[]),
            ("a@example.com, noreply@github.com, @app.route, x@y.z", &[]),
            ("git@github.com:a/b.git", &[]),
            ("version = '10.2.33.4'; 192.168.1.7; 127.0.0.1; 1.2.3.4; 300.1.1.1; 93.184.216.34.5", &[]),
            ("4539 1488 0343 6468; 1234567890123456", &[]),
            ("DE89370400440532013001", &[]),
            ("postgres://user:{password}@host", &[]),
        ];
        for (text, expect) in cases {
            let found: Vec<Kind> = find(text).into_iter().map(|f| f.kind).collect();
            assert_eq!(found, *expect, "{text}");
        }
        assert_eq!(patterns().len(), 10);
    }

    #[test]
    fn placeholders_hide_and_are_not_found_again() {
        let text = "a = 'ada@gmail.com'; SECRET = 'x7Gf2kQ9vTz4LmPw8sRb'; é = '93.184.216.34'";
        let hidden = redact(text, &find(text));
        assert_eq!(hidden, "a = 'user@example.com'; SECRET = 'REDACTED-SECRET'; é = '192.0.2.1'");
        assert!(find(&hidden).is_empty(), "{hidden}");
    }
}
