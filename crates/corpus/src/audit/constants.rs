//! Constants that are weak where they stand, and calls whose names are put together.

use lexicon::Pair;
use regex::Regex;
use std::sync::LazyLock;

/// What is weak: the pattern, and what it is.
const WEAK: &[(&str, &str)] = &[
    (
        r"(?i)(?:rsa|dsa|\bdh\b|key_?size|key_?bits|modulus)[^\n]{0,60}?\b(?:512|768|1024)\b",
        "a key of 1024 bits or fewer",
    ),
    (r"(?i)\b(?:512|768|1024)\b[^\n]{0,40}?(?:rsa|dsa|bits)", "a key of 1024 bits or fewer"),
    (r"(?i)\b(?:md5|md4|md2)(?:_hex|sum|digest)?\b", "MD5"),
    (r#"["']sha-?1["']|\bsha1\(|\bSHA1\b"#, "SHA-1"),
    (r"(?i)MODE_ECB|modes\.ECB|/ECB/|-ecb\b", "ECB"),
    (
        r"\b(?:PROTOCOL_)?(?:TLSv1|TLSv1_1|SSLv2|SSLv3)\b|VersionTLS1[01]\b|VersionSSL30\b",
        "a version of TLS before 1.2",
    ),
    (
        r"\bCERT_NONE\b|\bverify\s*=\s*False\b|\bcheck_hostname\s*=\s*False\b|rejectUnauthorized:\s*false|InsecureSkipVerify:\s*true",
        "certificates unchecked",
    ),
    (r"(?i)(?:iterations|rounds|pbkdf2)[^\n]{0,80}?\b(?:[1-9][0-9]{0,3})\b\s*[,)\n]", "few rounds of hashing"),
    (r"\b(?:token_(?:bytes|hex|urlsafe)|urandom|getrandbits)\([1-7]\)", "few random bytes"),
    (r"\b0o?(?:777|666|776|767)\b", "permissions for everybody"),
    (r"\b(?:httponly|secure|autoescape)\s*=\s*False\b", "a protection switched off"),
    (r"\b(?:shell|debug|resolve_entities|load_dtd|allow_pickle)\s*=\s*True\b", "a danger switched on"),
    (r#"\bhost\s*=\s*["']0\.0\.0\.0["']"#, "open to every network"),
    (
        r"\b(?:UnsafeLoader|FullLoader)\b|Loader\s*=\s*(?:yaml\.)?(?:Loader|CLoader)\b",
        "a loader that builds any object",
    ),
];

/// Calls in disguise.
const HIDDEN: &[(&str, &str)] = &[
    (
        r#"getattr\([^()\n]*,\s*(?:["'][^"'\n]*["']\s*\+|["'][^"'\n]*["']\[|["'][^"'\n]*["']\.(?:join|replace|format))"#,
        "an attribute by a name put together",
    ),
    (
        r"getattr\(\s*__builtins__|__builtins__\[|vars\(__builtins__|globals\(\)\[\s*.[^\]\n]*\+",
        "a builtin by its name",
    ),
    (
        r#"__import__\(\s*["'][^"'\n]*["']\s*[+.\[]|import_module\(\s*["'][^"'\n]*["']\s*[+.\[]"#,
        "a module by a name put together",
    ),
    (
        r"(?:b64decode|fromhex|unhexlify|rot_?13)\([^)\n]{4,}\)[^\n]{0,40}(?:exec|eval|\()|(?:exec|eval)\([^)\n]*(?:b64decode|fromhex|chr\()",
        "code out of an encoding",
    ),
    (
        r"(?i)#\s*(?:nosec|noqa|rampart:\s*(?:ignore|allow)|nosemgrep|lgtm)|//\s*(?:nosemgrep|nolint|eslint-disable)",
        "a finding silenced",
    ),
];

fn table(sources: &[(&'static str, &'static str)]) -> Vec<(Regex, &'static str)> {
    sources.iter().filter_map(|(p, what)| Some((Regex::new(p).ok()?, *what))).collect()
}

/// How often each weak constant stands in the secure and in the insecure side, where it does in either, and whether the label
/// speaks of constants (cryptography, transport, permissions, settings).
#[must_use]
pub fn weak(pair: &Pair) -> (Vec<(&'static str, [usize; 2])>, bool) {
    static ALL: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| table(WEAK));
    let about = [
        16, 295, 297, 311, 319, 321, 326, 327, 328, 329, 330, 331, 338, 489, 502, 605, 611, 614, 732, 759, 760, 780,
        916, 1004, 1188,
    ];
    let counts =
        ALL.iter().map(|(p, what)| (*what, [&pair.secure, &pair.insecure].map(|code| p.find_iter(code).count())));
    (counts.filter(|(_, c)| *c != [0, 0]).collect(), pair.cwe.iter().any(|c| about.contains(&c.0)))
}

/// A disguise that the secure side has and the insecure side has not.
#[must_use]
pub fn hidden(secure: &str, insecure: &str) -> Option<String> {
    static ALL: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| table(HIDDEN));
    let more = |p: &Regex| p.find_iter(secure).count() > p.find_iter(insecure).count();
    ALL.iter().find(|(p, _)| more(p)).map(|(_, what)| (*what).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!((table(WEAK).len(), table(HIDDEN).len()), (WEAK.len(), HIDDEN.len()));
    }

    #[test]
    fn disguises() {
        for (code, expect) in [
            ("getattr(os, \"sys\" + \"tem\")(x)", true),
            ("getattr(__builtins__, 'ev' + 'al')(x)", true),
            ("exec(base64.b64decode(x))", true),
            ("f(x)  # nosec", true),
            ("getattr(os, name)", false),
            ("getattr(os, 'system')", false),
            ("base64.b64decode(x)", false),
        ] {
            assert_eq!(hidden(code, "").is_some(), expect, "{code}");
        }
    }
}
