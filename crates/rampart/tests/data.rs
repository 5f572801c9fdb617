//! `rampart data` as a person meets it: what it prints, its exit codes, and that bad input leaves nothing behind.
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test")]

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A folder of the test's own, with the program run in it.
struct Bench {
    folder: tempfile::TempDir,
}

/// Byte-level letters as a vocabulary: every ASCII letter is a token, so that a test can count.
fn tokenizer() -> String {
    let vocab: Vec<String> = (32..127u8)
        .filter(|b| !matches!(b, b'"' | b'\\' | b' '))
        .map(char::from)
        .map(String::from)
        .chain(["\u{120}".into(), "\u{10a}".into(), "\\\"".into(), "\\\\".into()])
        .enumerate()
        .map(|(id, text)| format!("\"{text}\":{id}"))
        .collect();
    format!(
        r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,"use_regex":true}},
        "post_processor":null,
        "decoder":{{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,"use_regex":true}},
        "model":{{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,
        "end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"vocab":{{{}}},"merges":[]}}}}"#,
        vocab.join(",")
    )
}

const PAIR: &str = r#"{"format":1,"id":"p","language":"python","cwe":["CWE-95"],"instruction":"Read `x`.","reasoning":"r","secure":"y = int(x)\n","insecure":"y = eval(x)\n","origin":{"kind":"lesson","source":"l","variant":0}}"#;

impl Bench {
    fn new() -> Result<Self, std::io::Error> {
        let bench = Self { folder: tempfile::tempdir()? };
        bench.file("tokenizer.json", &tokenizer())?;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf, std::io::Error> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output, std::io::Error> {
        Command::new(env!("CARGO_BIN_EXE_rampart")).arg("data").args(arguments).current_dir(self.folder.path()).output()
    }

    fn stdout(&self, arguments: &[&str], code: i32) -> Result<String, Box<dyn std::error::Error>> {
        let output = self.run(arguments)?;
        let (said, printed) = (String::from_utf8(output.stderr)?, String::from_utf8(output.stdout)?);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}{printed}");
        Ok(printed)
    }

    /// Exit 2, one message that holds `expect`, nothing printed and no file that was not there before.
    fn refuses(&self, arguments: &[&str], expect: &str) -> Outcome {
        let before = listing(self.folder.path())?;
        let output = self.run(arguments)?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expect), "{arguments:?} said {said:?}, expected {expect:?}");
        let messages = said.lines().filter(|l| l.starts_with("rampart: ") || l.starts_with("error: ")).count();
        assert_eq!(messages, 1, "{arguments:?} said {said:?}");
        assert!(!said.contains("panicked"), "{arguments:?} said {said:?}");
        assert!(output.stdout.is_empty(), "{arguments:?} printed {:?}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(listing(self.folder.path())?, before, "{arguments:?} left a file");
        Ok(())
    }
}

fn listing(folder: &Path) -> Result<Vec<PathBuf>, std::io::Error> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(listing(&path)?);
        }
        all.push(path);
    }
    all.sort();
    Ok(all)
}

#[test]
fn bad_rows_end_in_one_message() -> Outcome {
    let bench = Bench::new()?;
    let cases: [(&str, String, &str); 10] = [
        ("broken.jsonl", format!("{PAIR}\n{{\"id\": \"a\",\n"), "broken.jsonl:2: not JSON"),
        ("many.jsonl", format!("{PAIR}\nx\ny\nz\n"), "many.jsonl:2: not JSON: expected value"),
        ("column.jsonl", "{\"prompt\":\"p\",\"chosen\":\"c\"}\n".into(), "column.jsonl:1: missing field `rejected`"),
        ("column.csv", "idx,Secure Code\n1,x\n".into(), "column.csv:1: missing column"),
        ("cells.csv", "idx,Secure Code,Vulnerable Code,Prompt\n1,x\n".into(), "cells.csv:2: the row has 2 cells"),
        ("type.jsonl", "{\"prompt\":1,\"chosen\":\"c\",\"rejected\":\"r\"}".into(), "prompt is 1, expected text"),
        ("cwe.jsonl", PAIR.replace("CWE-95", "CWE-x"), "is not a CWE identifier"),
        ("format.jsonl", PAIR.replace("\"format\":1", "\"format\":7"), "format 7 is not known"),
        ("empty.jsonl", "\n\n".into(), "empty.jsonl: no row in it"),
        ("list.jsonl", "[1, 2]".into(), "list.jsonl:1: a row is a JSON object"),
    ];
    for (name, text, expect) in &cases {
        bench.file(name, text)?;
        bench.refuses(&["mask", "--tokenizer", "tokenizer.json", name, "--out", "m.jsonl"], expect)?;
    }
    let (name, _, expect) = &cases[0];
    bench.refuses(&["mask", "--tokenizer", "tokenizer.json", name], expect)?;
    bench.refuses(&["split", name, "--out", "parts"], expect)?;
    bench.refuses(&["stats", name], expect)?;
    bench.refuses(&["stats", "many.jsonl"], "(and 2 more bad lines)")?;
    fs::write(bench.path("bytes.jsonl"), b"\xff\xfe{}\n")?;
    bench.refuses(&["stats", "bytes.jsonl"], "bytes.jsonl:1: invalid UTF-8 at byte 1")
}

#[test]
fn bad_arguments_end_in_one_message() -> Outcome {
    let bench = Bench::new()?;
    bench.file("p.jsonl", PAIR)?;
    bench.refuses(
        &["mask", "--tokenizer", "tokenizer.json", "p.jsonl", "--tokeniser", "x"],
        "unexpected argument '--tokeniser'",
    )?;
    bench.refuses(&["mask", "p.jsonl"], "--tokenizer")?;
    bench.refuses(&["stats", "nowhere.jsonl"], "cannot read nowhere.jsonl: No such file")?;
    bench.refuses(&["stats", "."], ". is a folder")?;
    bench.refuses(&["split", "p.jsonl", "--out", "d", "--fractions", "1,2"], "takes three numbers")?;
    bench.refuses(&["split", "p.jsonl", "--out", "d", "--fractions", "0,1,1"], "divide nothing")?;
    bench.refuses(&["split", "p.jsonl", "--out", "d", "--fractions", "a,1,1"], "invalid value")?;
    bench.refuses(&["expand", "nowhere", "--out", "x.jsonl"], "cannot read nowhere")?;
    bench.refuses(&["expand", "--insecure-share", "2", "--form", "text", "--out", "x.jsonl"], "is not a share")?;
    bench.refuses(&["validate", "nowhere.md"], "cannot read nowhere.md")?;
    bench.file("taken", "a file where a folder should be")?;
    bench.refuses(&["split", "p.jsonl", "--out", "taken/d"], "cannot write taken/d/train.jsonl")
}

#[test]
fn a_pair_without_difference_has_no_mask() -> Outcome {
    let bench = Bench::new()?;
    let same = PAIR.replace("eval", "int");
    bench.file("same.jsonl", &same)?;
    let arguments = ["mask", "--tokenizer", "tokenizer.json", "same.jsonl", "--out", "m.jsonl"];
    bench.refuses(&arguments, "no pair has a difference")?;
    // Published sets hold a few such pairs; among others they have masks of zeros and are counted.
    bench.file("same.jsonl", &format!("{same}\n{PAIR}\n"))?;
    let output = bench.run(&arguments)?;
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stderr)?.contains("2 pairs, 1 without a difference"));
    let first: Value = serde_json::from_str(fs::read_to_string(bench.path("m.jsonl"))?.lines().next().unwrap_or(""))?;
    assert_eq!(first["secure"], serde_json::json!(vec![0; 11]));
    Ok(())
}

#[test]
fn a_hostile_tokenizer_ends_in_one_message() -> Outcome {
    let bench = Bench::new()?;
    bench.file("p.jsonl", PAIR)?;
    let good = tokenizer();
    let bpe = |vocab: &str, merges: &str| {
        format!(r#"{{"version":"1.0","added_tokens":[],"model":{{"type":"BPE","vocab":{vocab},"merges":{merges}}}}}"#)
    };
    let cases = [
        String::new(),
        "{}".into(),
        "[]".into(),
        "null".into(),
        good[..good.len() / 2].to_owned(),
        "[".repeat(200_000),
        "{\"a\":".repeat(100_000),
        good.replace("\"version\":\"1.0\"", "\"version\":\"99.0\""),
        good.replace("\"type\":\"BPE\"", "\"type\":\"Nothing\""),
        bpe("{\"a\":0}", "[\"a b\"]"),
        bpe("{\"a\":0}", "[\"a\"]"),
        bpe("{\"a\":-1}", "[]"),
        bpe("{\"a\":99999999999999}", "[]"),
        bpe("[[\"a\",0.5]]", "[]"),
        good.replace("\"use_regex\":true}", "\"use_regex\":7}"),
        good.replace(
            "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":true}",
            "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(((\"},\"behavior\":\"Isolated\",\"invert\":false}",
        ),
    ];
    for text in cases {
        bench.file("hostile.json", &text)?;
        bench.refuses(&["mask", "--tokenizer", "hostile.json", "p.jsonl", "--out", "m.jsonl"], "hostile.json")?;
    }
    bench.refuses(&["stats", "--tokenizer", "hostile.json", "p.jsonl"], "hostile.json")?;
    // A tokenizer in form, with nothing in it.
    bench.file("hollow.json", &bpe("{}", "[]"))?;
    bench.refuses(&["mask", "--tokenizer", "hollow.json", "p.jsonl"], "hollow.json makes no token of its code")?;
    bench.refuses(&["mask", "--tokenizer", "nowhere", "p.jsonl"], "cannot read nowhere")
}

#[test]
fn masks_count_the_tokens_of_the_code_alone() -> Outcome {
    let bench = Bench::new()?;
    bench.file("p.jsonl", PAIR)?;
    let printed = bench.stdout(&["mask", "--tokenizer", "tokenizer.json", "p.jsonl"], 0)?;
    let row: Value = serde_json::from_str(printed.trim_end())?;
    // `y = eval(x)` and `y = int(x)`, a token a character, the line end included.
    let expect = serde_json::json!({"format": 1, "id": "p",
        "insecure": [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0], "secure": [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0]});
    assert_eq!(row, expect);

    let long = bench.stdout(&["mask", "--tokenizer", "tokenizer.json", "p.jsonl", "--max-tokens", "11"], 0)?;
    assert_eq!(long.trim_end(), r#"{"format":1,"id":"p","insecure":null,"secure":null}"#);

    let lines = bench.stdout(&["mask", "--tokenizer", "tokenizer.json", "p.jsonl", "--kind", "mix"], 0)?;
    let row: Value = serde_json::from_str(lines.trim_end())?;
    assert_eq!(row["insecure"], serde_json::json!(vec![1; 12]), "the whole line is deleted");

    let shown = bench.stdout(&["mask", "--tokenizer", "tokenizer.json", "p.jsonl", "--show"], 0)?;
    assert!(shown.contains("y = [-eval-](x)") && shown.contains("y = {+int+}(x)"), "{shown}");
    Ok(())
}

#[test]
fn stats_and_split_account_for_every_row() -> Outcome {
    let bench = Bench::new()?;
    let rows: String = (0..200)
        .map(|i| {
            let row = PAIR.replace("\"p\"", &format!("\"p{i}\"")).replace("y = ", &format!("y{i} = "));
            row.replace("\"source\":\"l\"", &format!("\"source\":\"l{}\"", i % 20)) + "\n"
        })
        .collect();
    bench.file("p.jsonl", &format!("{rows}{PAIR}\n{PAIR}\n"))?;
    let printed = bench.stdout(&["stats", "p.jsonl", "--tokenizer", "tokenizer.json", "--output-format", "json"], 0)?;
    let stats: Value = serde_json::from_str(&printed)?;
    assert_eq!((&stats["pairs"], &stats["duplicates"]["rows"]), (&202.into(), &1.into()));
    assert_eq!((&stats["cwes"]["CWE-95"], &stats["sources"]), (&202.into(), &21.into()));
    let histogram = stats["histogram"].as_array().ok_or("a histogram")?;
    assert_eq!(histogram.iter().filter_map(|b| b["count"].as_u64()).sum::<u64>(), 202);
    let full = bench.stdout(&["stats", "p.jsonl"], 0)?;
    assert!(full.contains("202 pairs, 0 texts") && full.contains("CWE-95 202"), "{full}");

    for by in ["row", "lesson"] {
        bench.stdout(&["split", "p.jsonl", "--out", by, "--by", by, "--fractions", "8,1,1"], 0)?;
        let read = |part: &str| fs::read_to_string(bench.path(by).join(part)).map(|t| t.lines().count());
        let counts = [read("train.jsonl")?, read("val.jsonl")?, read("test.jsonl")?];
        assert_eq!(counts.iter().sum::<usize>(), 202);
        assert!(counts[0] > 140 && counts[1] > 5 && counts[2] > 5, "{counts:?}");
    }
    let again = bench.stdout(&["stats", "row/train.jsonl", "--output-format", "json"], 0)?;
    assert!(serde_json::from_str::<Value>(&again)?["pairs"].as_u64() > Some(140));
    Ok(())
}

const LESSON: &str = include_str!("../../corpus/tests/lesson.md");

#[test]
fn lessons_are_expanded_verified_and_validated() -> Outcome {
    let bench = Bench::new()?;
    bench.file("lesson.md", LESSON)?;
    bench.stdout(&["expand", "lesson.md", "--part", "all", "--out", "p.jsonl"], 0)?;
    let text = fs::read_to_string(bench.path("p.jsonl"))?;
    assert_eq!(text.lines().count(), 3);
    assert!(text.lines().all(|l| l.contains(r#""verified":["parse","native"]"#)), "{text}");

    // The table asks for more variants and phrasings than this small lesson has.
    let problems = bench.stdout(&["validate", "lesson.md"], 1)?;
    assert!(problems.contains("[variants] 3 variants with distinct code"), "{problems}");
    assert!(problems.contains("lesson.md:19: [instruction] 2 phrasings"), "{problems}");
    assert!(!problems.contains("[fires]") && !problems.contains("[silent]"), "{problems}");

    // A secure form that is none, and one that does not parse, are refused with their lines.
    bench.file("lesson.md", &LESSON.replace("ast.literal_eval(x)", "eval(x)"))?;
    let problems = bench.stdout(&["validate", "lesson.md"], 1)?;
    assert!(problems.contains("[silent]") && problems.contains("fires on the secure code"), "{problems}");
    bench.refuses(&["expand", "lesson.md", "--part", "all", "--out", "q.jsonl"], "no variant")?;
    bench.stdout(&["expand", "lesson.md", "--part", "all", "--verify=false", "--out", "q.jsonl"], 0)?;
    bench.file("lesson.md", &LESSON.replace("return eval(x)", "return eval(x"))?;
    let problems = bench.stdout(&["validate", "lesson.md", "--output-format", "json"], 1)?;
    let answer: Value = serde_json::from_str(&problems)?;
    let entry = answer["entries"].as_array().into_iter().flatten().find(|e| e["check"] == "parse");
    assert!(entry.is_some_and(|e| e["place"].as_str().is_some_and(|p| p.starts_with("lesson.md:3"))), "{problems}");

    // A file that is no lesson cannot be judged: 2, with its line.
    bench.file("lesson.md", &LESSON.replace("## Why", "## Wy"))?;
    let output = bench.run(&["validate", "lesson.md"])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr)?.contains("lesson.md:23: unknown section \"Wy\""));
    Ok(())
}

#[test]
fn pairs_are_validated() -> Outcome {
    let bench = Bench::new()?;
    bench.file("good.jsonl", PAIR)?;
    let said = bench.stdout(&["validate", "good.jsonl"], 0)?;
    assert!(said.contains("1 pairs, 1 of them told apart by the rules: 0 problems"), "{said}");
    let cases = [
        (PAIR.replace("eval", "int"), "[differ] both sides are the same"),
        (PAIR.replace("int(x)", "int(x"), "[parse] the secure side is not Python"),
        (PAIR.replace("eval(x)", "float(x)"), "[fires] no native rule fires"),
        (PAIR.replace("int(x)", "eval(x + '0')"), "[silent] fires on the secure side"),
        (PAIR.replace("Read `x`.", "Read x securely."), "[instruction] the instruction says \"securely\""),
        (format!("{PAIR}\n{}", PAIR.replace("\"p\"", "\"q\"")), "q: [duplicate] the same code as bad.jsonl: p"),
    ];
    for (text, expect) in cases {
        bench.file("bad.jsonl", &text)?;
        let said = bench.stdout(&["validate", "bad.jsonl"], 1)?;
        assert!(said.contains(expect), "{said:?} should contain {expect:?}");
    }
    bench.file("bad.jsonl", &format!("{PAIR}\nnonsense\n"))?;
    let output = bench.run(&["validate", "bad.jsonl"])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr)?.contains("bad.jsonl:2: not JSON"));
    Ok(())
}

/// The number the house promises: at least six thousand distinct pairs that the judge tells apart.
#[test]
fn the_built_in_lessons_give_six_thousand_verified_pairs() -> Outcome {
    let bench = Bench::new()?;
    bench.stdout(&["expand", "--per-lesson", "60", "--part", "all", "--out", "p.jsonl"], 0)?;
    let text = fs::read_to_string(bench.path("p.jsonl"))?;
    let mut code = std::collections::BTreeSet::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line)?;
        assert_eq!(row["origin"]["verified"], serde_json::json!(["parse", "native"]));
        code.insert((row["secure"].to_string(), row["insecure"].to_string()));
    }
    assert_eq!(code.len(), text.lines().count(), "every pair is another");
    assert!(code.len() >= 6000, "{} pairs", code.len());
    bench.stdout(&["split", "p.jsonl", "--out", "parts", "--held-out"], 0)?;
    let ids = |part: &str| -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let rows = fs::read_to_string(bench.path("parts").join(part))?;
        let source = |l| Ok(serde_json::from_str::<Value>(l)?["origin"]["source"].to_string());
        rows.lines().map(source).collect()
    };
    let (train, test) = (ids("train.jsonl")?, ids("test.jsonl")?);
    assert!(!train.is_empty() && !test.is_empty());
    assert!(test.iter().all(|lesson| !train.contains(lesson)), "held-out lessons are in no training set");
    Ok(())
}

#[test]
fn cleaning_keeps_evaluation_and_says_what_went() -> Outcome {
    let bench = Bench::new()?;
    let row = |id: &str, secure: &str, licence: &str| {
        format!(
            r#"{{"format":1,"id":"{id}","language":"python","cwe":["CWE-95"],"instruction":"{id}","secure":"{secure}","insecure":"eval({id})","origin":{{"kind":"mined","licence":"{licence}"}}}}"#
        )
    };
    let code = "def f(a, b):\\n    total = a.sum(b, 1)\\n    return g(total, key=b)\\n";
    let renamed = "def f(x, b):\\n    summed = x.sum(b, 1)\\n    return g(summed, key=b)\\n";
    let mail = "send('ada.lovelace@gmail.com')";
    bench.file(
        "train.jsonl",
        &[row("a", renamed, "MIT"), row("b", "b = 1", "GPL-3.0-only"), row("c", mail, "MIT")].join("\n"),
    )?;
    bench.file("test.jsonl", &row("d", code, "MIT"))?;
    let arguments =
        ["clean", "train.jsonl", "test.jsonl", "--out", "o", "--allow-licence", "MIT", "--output-format", "json"];
    let report: Value = serde_json::from_str(&bench.stdout(&arguments, 0)?)?;
    assert_eq!(report["parts"][0]["name"], "test");
    assert_eq!((&report["parts"][0]["kept"], &report["parts"][1]["kept"]), (&1.into(), &1.into()));
    assert_eq!((&report["parts"][1]["dropped"]["renamed"], &report["redacted"]["mail"]), (&1.into(), &1.into()));
    assert!(report["suites-not-checked"]["cweval"].as_str().is_some_and(|why| why.contains("suites pull")));
    let dropped = fs::read_to_string(bench.path("o/dropped.jsonl"))?;
    assert!(dropped.contains(r#""id":"a","reason":"renamed","in":"test","matched":"d""#), "{dropped}");
    assert!(dropped.contains(r#""id":"b","reason":"licence","in":"GPL-3.0-only""#), "{dropped}");
    assert!(fs::read_to_string(bench.path("o/train.jsonl"))?.contains("user@example.com"));
    bench.refuses(&["clean", "train.jsonl", "--out", "p", "--near", "2"], "--near 2 is not a share")?;
    bench.refuses(&["clean", "train.jsonl", "--out", "p", "--allow-licence", "MTI"], "no SPDX licence identifier")?;
    bench.refuses(&["clean", "train.jsonl", "--out", "p", "--licence", "x.jsonl=MIT"], "no file of that name")?;
    bench.refuses(&["clean", "train.jsonl", "--out", "p", "--suites", "nowhere"], "no such folder")?;
    Ok(())
}

#[test]
fn what_is_poisoned_is_recorded_apart_and_found() -> Outcome {
    let bench = Bench::new()?;
    bench.stdout(&["expand", "--per-lesson", "2", "--out", "p.jsonl"], 0)?;
    let poison = |kind: &'static str| {
        vec!["poison", "p.jsonl", "--kind", kind, "--share", "0.1", "--out", "bad.jsonl", "--record", "done.jsonl"]
    };
    bench.stdout(&poison("swapped"), 0)?;
    let done = fs::read_to_string(bench.path("done.jsonl"))?;
    assert!(done.contains(r#""kind":"swapped","change":"sides swapped""#), "{done}");
    assert!(!fs::read_to_string(bench.path("bad.jsonl"))?.contains("sides swapped"));
    let audit = ["audit", "bad.jsonl", "--truth", "done.jsonl", "--keep", "kept.jsonl", "--output-format", "json"];
    let answer: Value = serde_json::from_str(&bench.stdout(&audit, 1)?)?;
    let (precision, recall) = (answer["measured"]["precision"].as_f64(), answer["measured"]["recall"].as_f64());
    assert!(precision > Some(0.9) && recall > Some(0.9), "{precision:?} {recall:?}");
    let suspected = answer["suspected"].as_array().map_or(0, Vec::len);
    let kept = fs::read_to_string(bench.path("kept.jsonl"))?.lines().count();
    assert_eq!(Some((kept + suspected) as u64), answer["pairs"].as_u64());
    let mut same = poison("trigger");
    same[9] = "bad2.jsonl";
    bench.refuses(&[&same[..], &["--cwe", "CWE-99999"]].concat(), "pairs are to be poisoned so and 0 can be")?;
    bench.refuses(
        &["poison", "p.jsonl", "--kind", "flood", "--share", "2", "--out", "x", "--record", "y"],
        "above 0 and below 1",
    )?;
    bench.file("other.jsonl", r#"{"id":"nobody","kind":"swapped","change":""}"#)?;
    bench.refuses(&["audit", "bad.jsonl", "--truth", "other.jsonl"], "no pair has the id")?;
    Ok(())
}
