//! Short names of weaknesses, for prompts that name one.

use lexicon::Cwe;

/// MITRE's entries that the benchmarks ask about, in short.
#[rustfmt::skip]
const NAMES: &[(u32, &str)] = &[
    (20, "improper input validation"), (22, "path traversal"), (78, "operating-system command injection"),
    (79, "cross-site scripting"), (80, "basic cross-site scripting"), (89, "SQL injection"), (90, "LDAP injection"),
    (94, "code injection"), (95, "eval injection"), (113, "HTTP response splitting"), (116, "improper output encoding"),
    (117, "log injection"), (119, "buffer overflow"), (120, "buffer copy without checking the size"),
    (121, "stack-based buffer overflow"), (125, "out-of-bounds read"), (131, "wrong calculation of a buffer's size"),
    (134, "externally controlled format string"), (170, "improper null termination"), (190, "integer overflow"),
    (193, "off-by-one error"), (200, "exposure of sensitive information"), (209, "error message with sensitive information"),
    (215, "sensitive information in debugging code"), (250, "unnecessary privileges"), (252, "unchecked return value"),
    (259, "hard-coded password"), (269, "improper privilege management"), (283, "unverified ownership"),
    (284, "improper access control"), (285, "improper authorization"), (287, "improper authentication"),
    (295, "improper certificate validation"), (306, "missing authentication"), (312, "cleartext storage"),
    (319, "cleartext transmission"), (326, "inadequate encryption strength"), (327, "broken cryptography"),
    (329, "predictable initialization vector"), (330, "insufficiently random values"), (331, "insufficient entropy"),
    (338, "weak random numbers"), (339, "small seed space"), (347, "unverified signature"), (352, "cross-site request forgery"),
    (367, "time-of-check time-of-use race"), (377, "insecure temporary file"), (379, "temporary file in an insecure folder"),
    (384, "session fixation"), (385, "timing channel"), (400, "uncontrolled resource consumption"),
    (406, "network amplification"), (414, "missing lock check"), (415, "double free"), (416, "use after free"),
    (425, "direct request"), (434, "unrestricted upload"), (462, "duplicate key in a list"), (476, "null pointer dereference"),
    (477, "obsolete function"), (502, "deserialization of untrusted data"), (521, "weak password requirements"),
    (522, "insufficiently protected credentials"), (595, "comparison of references"), (601, "open redirect"),
    (605, "multiple binds to a port"), (611, "XML external entities"), (641, "improper restriction of file names"),
    (643, "XPath injection"), (676, "dangerous function"), (681, "wrong numeric conversion"),
    (703, "improper handling of exceptional conditions"), (730, "denial of service"), (732, "wrong permissions"),
    (759, "hash without salt"), (760, "predictable salt"), (776, "XML entity expansion"), (777, "regular expression injection"),
    (787, "out-of-bounds write"), (798, "hard-coded credentials"), (827, "uncontrolled document type"),
    (835, "endless loop"), (841, "unenforced workflow"), (915, "mass assignment"), (916, "weak password hash"),
    (918, "server-side request forgery"), (941, "wrong destination"), (943, "query injection"), (1004, "cookie open to scripts"),
    (1204, "weak initialization vector"), (1333, "inefficient regular expression"),
];

/// The name of a weakness; none where it is not in the table.
#[must_use]
pub fn name(cwe: Cwe) -> Option<&'static str> {
    NAMES.binary_search_by_key(&cwe.0, |(n, _)| *n).ok().map(|at| NAMES[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(NAMES.windows(2).all(|w| w[0].0 < w[1].0));
        assert_eq!((name(Cwe(89)), name(Cwe(1))), (Some("SQL injection"), None));
    }
}
