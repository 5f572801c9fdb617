//! Any text as a report: of every program that is asked, as SARIF, and as the table that CodeQL writes.
#![no_main]

use judge::analyzers::{
    File,
    replay::{KNOWN, replay},
    reports,
};
use libfuzzer_sys::fuzz_target;

const FILES: &[File] = &[
    File { path: "a.py", source: "import os\nos.system(x)\n" },
    File { path: "b.c", source: "int main() {\r\n  gets(é);\n}" },
    File { path: "c.js", source: "" },
];

fuzz_target!(|text: &str| {
    let analyzer = reports::producer(text);
    let _ = reports::read(text, &analyzer);
    for analyzer in KNOWN {
        let Ok(scanned) = replay(analyzer, text, FILES) else { continue };
        assert_eq!(scanned.len(), FILES.len());
        for (file, scanned) in FILES.iter().zip(&scanned) {
            let lines = file.source.lines().count() + 1;
            for finding in &scanned.findings {
                assert!(finding.start.line >= 1 && finding.end.line <= lines, "{finding:?}");
            }
        }
    }
});
