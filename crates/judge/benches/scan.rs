//! Files a second, parsing alone and with all rules, over the code of the lessons.

use divan::{Bencher, counter::ItemsCount};
use std::{fs, path::Path};

fn main() {
    divan::main();
}

/// Every fenced Python block of every lesson, placeholders turned into names.
fn files() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content/lessons/python");
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for block in text.split("```python\n").skip(1) {
            let code = block.split("\n```").next().unwrap_or_default();
            let code = code.replace("<<", "").replace(">>", "") + "\n";
            if judge::python::parse(&code).is_ok() {
                files.push(code);
            }
        }
    }
    assert!(!files.is_empty(), "no lessons to scan");
    files
}

#[divan::bench]
fn parse(bencher: Bencher) {
    let files = files();
    bencher
        .counter(ItemsCount::new(files.len()))
        .bench_local(|| files.iter().filter(|code| judge::python::parse(code).is_ok()).count());
}

#[divan::bench]
fn scan(bencher: Bencher) {
    let files = files();
    bencher
        .counter(ItemsCount::new(files.len()))
        .bench_local(|| files.iter().map(|code| judge::native::scan("f.py", code).findings.len()).sum::<usize>());
}
