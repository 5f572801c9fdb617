//! Any text as a file of rules; what is taken for a rule is tried on a text of its language.
#![no_main]

use judge::languages::{Rules, scan_file};
use libfuzzer_sys::fuzz_target;

const SOURCES: &[(&str, &str)] = &[
    ("a.py", "import os\ndef f(x):\n    os.system('a' + x)\n"),
    ("a.js", "function f(x) { exec('a' + x); return <b>{x}</b>; }\n"),
    ("a.ts", "const f = (x: string): void => { db.query(`a ${x}`) };\n"),
    ("a.go", "package main\nfunc f(x string) { exec.Command(\"sh\", \"-c\", x) }\n"),
    ("a.java", "class A { void f(String x) { run(\"a\" + x); } }\n"),
    ("a.rb", "def f(x)\n  system(\"a #{x}\")\nend\n"),
    ("a.cpp", "void f(char *x) { char b[4]; strcpy(b, x); }\n"),
];

fuzz_target!(|text: &str| {
    let Ok(rules) = Rules::read(&[("a.yml".to_owned(), text.to_owned())]) else { return };
    for (name, source) in SOURCES {
        let _ = scan_file(name, source, Some(&rules));
    }
});
