//! Any text as a Python file: our own rules, Bandit's tests in process, and validity.
#![no_main]

use judge::analyzers::{Analyzer, BanditCompat, File, Settings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let scan = judge::native::scan("a.py", source);
    assert_eq!(scan.syntax_error.is_none(), judge::python::parse(source).is_ok());
    // A lone carriage return ends a line of Python too.
    let lines = source.split(['\n', '\r']).count();
    for finding in &scan.findings {
        assert!(finding.start <= finding.end && finding.end.line <= lines, "{finding:?}");
    }
    let compat = BanditCompat::new(&Settings::default());
    compat.scan(&[File { path: "a.py", source }]).expect("it needs nothing");
});
