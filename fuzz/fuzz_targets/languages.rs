//! Any text as a file of every other language; the first byte chooses which.
#![no_main]

use judge::languages::{Dialect, check, own, scan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| {
    let (choice, source) = input;
    let dialect = Dialect::ALL[usize::from(choice) % Dialect::ALL.len()];
    let found = scan(dialect, "a", source, &[own()]);
    // A tree that is too deep is refused though it may be valid.
    assert!(check(dialect, source).is_ok() || found.syntax_error.is_some());
    let lines = source.split(['\n', '\r']).count() + 1;
    for finding in &found.findings {
        assert!(finding.start <= finding.end && finding.end.line <= lines, "{finding:?}");
    }
});
