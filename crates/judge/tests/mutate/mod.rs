//! Texts that nobody wrote: specifications, rules and reports with pieces cut, doubled, swapped and put where they do not
//! belong, handed to everything that reads foreign text. The fuzz targets in `fuzz/` do the same with coverage; this needs no
//! nightly compiler.

use judge::{
    analyzers::{Analyzer, BanditCompat, File, Settings, replay, reports},
    languages::{Dialect, Rules, check, own, scan, scan_file},
};
use std::{fs, path::Path};

/// A stream of numbers from a seed (xorshift64*).
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap_or(0) % bound.max(1)
    }

    /// A place between two characters.
    fn place(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

const PIECES: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "`",
    "\\",
    "\n",
    "\r\n",
    "\0",
    "$",
    "$$$",
    "#{",
    "${",
    "<",
    "/>",
    "//",
    "/*",
    "é",
    "\u{10000}",
    "\u{feff}",
    "%s",
    "-1",
    "18446744073709551616",
    "null",
    "{}",
    "[]",
    "- ",
    ": ",
    "&a",
    "*a",
    "!!binary",
    "0x",
    "1e999",
    "<<EOF\n",
    "# error",
    "CWE-99999999999",
    "not: ",
    "any: []",
    "regex: '('",
    "stopBy: end",
    "\t",
    ";",
    "=>",
    "if (",
    "else",
    "return ",
    "def ",
    "end",
    "func ",
    "class ",
    "lambda: ",
    "f'{",
    "async ",
    "sizeof(",
    "free(p);",
];

/// A text that differs from a seed in a few places.
fn mutated(draw: &mut Draw, seeds: &[String]) -> String {
    let mut text = seeds[draw.below(seeds.len())].clone();
    for _ in 0..=draw.below(6) {
        let (a, b) = (draw.place(&text), draw.place(&text));
        let (a, b) = (a.min(b), a.max(b));
        // Long cuts leave nothing to look at.
        let mut b = b.min(a + draw.below(60));
        while !text.is_char_boundary(b) {
            b -= 1;
        }
        match draw.below(6) {
            0 => text.replace_range(a..b, ""),
            1 => {
                let piece = text[a..b].repeat(1 + draw.below(8));
                text.insert_str(a, &piece);
            }
            2 | 3 => text.insert_str(a, PIECES[draw.below(PIECES.len())]),
            4 => {
                let other = &seeds[draw.below(seeds.len())];
                let (c, d) = (draw.place(other), draw.place(other));
                let (c, d) = (c.min(d), c.max(d));
                text.insert_str(a, &other[c..d]);
            }
            _ => text.insert_str(a, &PIECES[draw.below(PIECES.len())].repeat(1 + draw.below(300))),
        }
        if text.len() > 20_000 {
            let mut end = 20_000;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
    }
    text
}

fn texts(folder: &str, ending: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            texts.extend(texts_of(&path, ending));
        } else if path.extension().is_some_and(|e| e == ending) {
            texts.extend(fs::read_to_string(path).ok());
        }
    }
    texts
}

fn texts_of(folder: &Path, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    entries.filter(|p| p.extension().is_some_and(|e| e == ending)).filter_map(|p| fs::read_to_string(p).ok()).collect()
}

const REPORTS: &[&str] = &[
    r#"{"errors":[{"filename":"0.py","reason":"syntax error"}],"results":[{"code":"1 x\n","col_offset":0,"end_col_offset":9,"filename":"0.py","issue_confidence":"HIGH","issue_cwe":{"id":78,"link":"https://cwe.mitre.org/data/definitions/78.html"},"issue_severity":"LOW","issue_text":"x","line_number":2,"line_range":[2,3],"more_info":"m","test_id":"B605","test_name":"t"}]}"#,
    r#"[{"code":"S605","message":"x","filename":"/a/0.py","location":{"row":2,"column":1},"end_location":{"row":2,"column":10},"fix":null,"url":"u"}]"#,
    r#"{"version":"1","results":[{"check_id":"r.x","path":"0.py","start":{"line":2,"col":1,"offset":0},"end":{"line":2,"col":9,"offset":9},"extra":{"message":"m","severity":"ERROR","metadata":{"cwe":["CWE-78: x"],"confidence":"HIGH"},"lines":"x"}}],"errors":[{"message":"e","path":"0.py","level":"warn","type":"t"}],"paths":{"scanned":[]}}"#,
    r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"CodeQL","rules":[{"id":"py/x","properties":{"tags":["external/cwe/cwe-078"],"security-severity":"9.8","precision":"high"}}]}},"results":[{"ruleId":"py/x","ruleIndex":0,"message":{"text":"m"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"0.py","uriBaseId":"%SRCROOT%"},"region":{"startLine":2,"startColumn":1,"endLine":2,"endColumn":9}}}],"codeFlows":[]}]}]}"#,
    "1.c\t2\t3\terror\t\tbufferAccessOutOfBounds\t788\tmessage\n1.c:2:3:warning:nullPointer:476:m\n",
    "File,Line,Column,DefaultLevel,Level,Category,Name,Warning,Suggestion,Note,CWEs,Context,Fingerprint,ToolVersion,RuleId,HelpUri\n1.c,2,3,4,4,buffer,gets,\"m, n\",s,,\"CWE-120, CWE-20\",\"gets(x)\",f,2.0,FF1014,u\n",
    r#"[{"filePath":"/a/2.js","messages":[{"ruleId":"security/detect-eval-with-expression","severity":1,"message":"m","line":1,"column":1,"endLine":1,"endColumn":2,"nodeType":"x"},{"ruleId":null,"fatal":true,"severity":2,"message":"Parsing error","line":1,"column":1}],"errorCount":1}]"#,
    "\"SQL query built from user-controlled sources\",\"d\",\"error\",\"m\nn\",\"/0.py\",\"2\",\"1\",\"2\",\"9\"\n",
];

const FILES: &[File] = &[
    File { path: "a.py", source: "import os\nos.system(x)\n" },
    File { path: "b.c", source: "int main() {\r\n  gets(é);\n}" },
    File { path: "c.js", source: "" },
];

/// Everything that seeds are made of.
pub(crate) struct Seeds {
    code: Vec<String>,
    rules: Vec<String>,
    reports: Vec<String>,
}

impl Seeds {
    pub(crate) fn read() -> Self {
        let blocks = |text: &String| -> Vec<String> {
            text.split("```").skip(1).step_by(2).filter_map(|b| Some(b.split_once('\n')?.1.to_owned())).collect()
        };
        Self {
            code: texts("specs", "md").iter().flat_map(blocks).collect(),
            rules: texts("rules", "yml").iter().flat_map(|t| t.split("---\n")).map(str::to_owned).collect(),
            reports: REPORTS.iter().map(|r| (*r).to_owned()).collect(),
        }
    }

    /// Hands one mutated text of each kind to what reads such; panics where something does not hold.
    pub(crate) fn round(&self, draw: &mut Draw) {
        let source = mutated(draw, &self.code);
        let python = scan_file("a.py", &source, None);
        assert_eq!(python.syntax_error.is_none(), judge::python::parse(&source).is_ok());
        let compat = BanditCompat::new(&Settings::default()).scan(&[File { path: "a.py", source: &source }]);
        assert!(compat.is_ok());
        for dialect in Dialect::ALL {
            let scan = scan(dialect, "a", &source, &[own()]);
            assert!(check(dialect, &source).is_ok() || scan.syntax_error.is_some());
            let lines = lexicon::LineIndex::new(&source).lines();
            for finding in &scan.findings {
                assert!(finding.start <= finding.end && finding.end.line <= lines, "{finding:?}");
            }
        }
        if let Ok(rules) = Rules::read(&[("a.yml".to_owned(), mutated(draw, &self.rules))]) {
            for name in ["a.py", "a.jsx", "a.tsx", "a.go", "a.java", "a.rb", "a.cpp"] {
                let _ = scan_file(name, &source, Some(&rules));
            }
        }
        let report = mutated(draw, &self.reports);
        let _ = reports::read(&report, &reports::producer(&report));
        for analyzer in replay::KNOWN {
            if let Ok(scanned) = replay::replay(analyzer, &report, FILES) {
                assert_eq!(scanned.len(), FILES.len());
            }
        }
    }
}

impl Seeds {
    /// How many findings each analyzer's reader makes of the reports that are not changed.
    pub(crate) fn understood(&self) -> Vec<(&'static str, usize)> {
        let count = |analyzer: &'static str| {
            let read = self.reports.iter().filter_map(|report| replay::replay(analyzer, report, FILES).ok());
            (analyzer, read.flatten().map(|s| s.findings.len()).sum())
        };
        replay::KNOWN.iter().map(|analyzer| count(analyzer)).collect()
    }
}
