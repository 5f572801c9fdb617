//! Any text as a report that is given, shown in every form beside the files it speaks of, and counted against another.
#![no_main]

use judge::{
    analyzers::{overlap::paper_compat, reports},
    count_issues,
    output::{Format, ScanReport, Sources, write},
};
use libfuzzer_sys::fuzz_target;

const FILES: &[(&str, &str)] =
    &[("a.py", "import os\nos.system(x)\n"), ("b.c", "int main() {\r\n\tgets(é\u{1b}[31m);\n}"), ("c.js", "")];

fuzz_target!(|text: &str| {
    let analyzer = reports::producer(text);
    let Ok(findings) = reports::read(text, &analyzer) else { return };
    let sources: Sources = FILES.iter().copied().collect();
    let _ = count_issues(&findings);
    let _ = paper_compat(&findings, text);
    let report = ScanReport {
        format: 1,
        files: FILES.len(),
        invalid: Vec::new(),
        findings,
        skipped: Vec::new(),
        analyzers: vec![analyzer],
    };
    for format in Format::ALL {
        let mut out = Vec::new();
        write(&report, &sources, *format, false, &mut out).expect("memory takes everything");
        let shown = String::from_utf8(out).expect("text");
        assert!(!shown.contains('\u{1b}'), "{format}: {shown:?}");
    }
});
