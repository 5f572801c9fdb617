//! `rampart data export|card|stats|convert|curate` as they are used, and what the `datasets` library makes of what they write.
#![expect(clippy::disallowed_methods, reason = "these tests start the program that they test, and Python")]

use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn rampart(at: &Path, arguments: &[&str], status: i32) -> Outcome<String> {
    let done = Command::new(env!("CARGO_BIN_EXE_rampart")).current_dir(at).arg("data").args(arguments).output()?;
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(status), "{arguments:?}: {out}{err}");
    Ok(if status == 0 { out.into_owned() } else { err.into_owned() })
}

/// A Python with `datasets`: the one that RAMPART_DATASETS_PYTHON names, else the project's own.
fn python() -> Option<PathBuf> {
    let named = env::var_os("RAMPART_DATASETS_PYTHON").map(PathBuf::from);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    named.into_iter().chain([own]).find(|python| {
        let asked = Command::new(python).args(["-c", "import datasets"]).output();
        asked.is_ok_and(|done| done.status.success())
    })
}

const LANGUAGES: [&str; 3] = ["python", "go", "c"];

/// Rows with empty lists and keys of their own at first, so that no column can be inferred from the beginning.
fn rows(at: &Path, name: &str, from: usize, count: usize) -> Outcome<Vec<Value>> {
    let row = |i: usize| {
        let many = i >= 40;
        let mut origin = serde_json::json!({ "kind": "mined", "source": format!("https://example.com/{}", i % 3) });
        if many {
            origin["variant"] = i.into();
            origin["licence"] = "MIT OR Apache-2.0".into();
            origin["verified"] = serde_json::json!(["parse", "native"]);
            origin["extra"] = serde_json::json!({ format!("key {i}"): "v\u{e9}\u{2028}\n", "path": "a.py" });
        }
        serde_json::json!({
            "format": 1, "id": format!("p{i}"), "language": LANGUAGES[i % 3],
            "cwe": if many { vec!["CWE-95", "CWE-20"] } else { vec![] },
            "instruction": format!("Do {i}."), "reasoning": "", "secure": format!("x = int({i})\n"),
            "insecure": format!("x = eval('{i}') # {}\n", "\u{1f600}".repeat(i % 4)), "origin": origin,
        })
    };
    let all: Vec<Value> = (from..from + count).map(row).collect();
    let text: String = all.iter().map(|r| format!("{r}\n")).collect();
    fs::write(at.join(name), text)?;
    Ok(all)
}

const LOAD: &str = r#"
import json, sys
from datasets import load_dataset
import datasets
datasets.disable_progress_bars()
loaded = load_dataset(sys.argv[1], cache_dir=sys.argv[2])
print(json.dumps({name: list(split) for name, split in loaded.items()}))
"#;

/// The columns as `datasets` gives them: nothing is left out, `extra` is a list.
fn wide(row: &Value) -> Value {
    let o = &row["origin"];
    let or = |value: &Value, other: Value| if value.is_null() { other } else { value.clone() };
    let extra: Vec<Value> = o["extra"]
        .as_object()
        .map(|m| m.iter().map(|(k, v)| serde_json::json!({ "key": k, "value": v })).collect())
        .unwrap_or_default();
    let mut row = row.clone();
    row["origin"] = serde_json::json!({
        "kind": o["kind"], "source": o["source"], "variant": o["variant"], "licence": or(&o["licence"], "".into()),
        "verified": or(&o["verified"], Value::Array(Vec::new())), "extra": extra,
    });
    row
}

#[test]
fn datasets_loads_what_is_exported() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let (train, val) = (rows(at, "train.jsonl", 0, 300)?, rows(at, "val.jsonl", 300, 20)?);
    for format in ["jsonl", "parquet"] {
        let title = "Secure \"code\": a set";
        rampart(at, &["export", "train.jsonl", "val.jsonl", "--out", format, "--format", format, "--title", title], 0)?;
        // Our own commands read it back as it was.
        let data = format!("{format}/data/train.{format}");
        rampart(at, &["convert", &data, "--out", "back.jsonl"], 0)?;
        let back: Vec<Value> =
            fs::read_to_string(at.join("back.jsonl"))?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        assert!(back == train, "{format}");
        let card = fs::read_to_string(at.join(format).join("README.md"))?;
        for expect in [
            "pretty_name: \"Secure \\\"code\\\": a set\"",
            "- split: validation",
            "40 of 320 rows state no licence",
            "lengths.svg",
        ] {
            assert!(card.contains(expect), "{card}");
        }
    }
    // A card that is there is somebody's; so are the files of another export.
    assert!(rampart(at, &["card", "parquet"], 2)?.contains("README.md is there already: --force replaces it"));
    rampart(at, &["card", "parquet", "--force", "--summary", "What it is."], 0)?;
    assert!(fs::read_to_string(at.join("parquet/README.md"))?.contains("\nWhat it is.\n"));
    let other = ["export", "train.jsonl", "--out", "parquet", "--force"];
    assert!(rampart(at, &other, 2)?.contains("of another export"));

    let Some(python) = python() else {
        eprintln!("skipped: no Python with datasets is here (RAMPART_DATASETS_PYTHON names one)");
        return Ok(());
    };
    rampart(at, &["export", "train.jsonl", "--out", "trl", "--format", "parquet", "--columns", "preference"], 0)?;
    let load = |what: &str| -> Outcome<Value> {
        let done = Command::new(&python)
            .current_dir(at)
            .args(["-c", LOAD, what, "cache"])
            .env("HF_HOME", at.join("home"))
            .env("HF_HUB_OFFLINE", "1")
            .output()?;
        assert!(done.status.success(), "{what}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(serde_json::from_slice(&done.stdout)?)
    };
    for format in ["jsonl", "parquet"] {
        // `parquet` alone is the name of a reader of theirs.
        let loaded = load(&format!("./{format}"))?;
        for (split, rows) in [("train", &train), ("validation", &val)] {
            let expect: Vec<Value> = rows.iter().map(wide).collect();
            let found = loaded[split].as_array().ok_or("a split")?;
            assert_eq!(found.len(), expect.len(), "{format}");
            for (found, expect) in found.iter().zip(&expect) {
                assert_eq!(found, expect, "{format}");
            }
        }
    }
    let preference = load("./trl")?;
    let first = &preference["train"][41];
    let told = (&first["prompt"], &first["chosen"], &first["rejected"], &first["cwe"][0]);
    assert_eq!(told, (&train[41]["instruction"], &train[41]["secure"], &train[41]["insecure"], &train[41]["cwe"][0]));
    println!("datasets loaded {} and {} rows, equal in both forms", train.len(), val.len());
    Ok(())
}

#[test]
fn figures_pictures_and_refusals() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    rows(at, "train.jsonl", 0, 100)?;
    let told =
        rampart(at, &["stats", "train.jsonl", "--svg", "l.svg", "--oversample", "30", "--output-format", "json"], 0)?;
    let told: Value = serde_json::from_str(&told)?;
    assert_eq!(told["stats"]["classes"]["go"]["CWE-95"], 20, "{told}");
    assert_eq!(
        (&told["stats"]["licences"]["none"], &told["oversampling"]["after"]),
        (&40.into(), &180.into()),
        "{told}"
    );
    assert!(fs::read_to_string(at.join("l.svg"))?.starts_with("<svg "));
    let full = rampart(at, &["stats", "train.jsonl", "--oversample", "30", "--oversample-by", "cwe"], 0)?;
    assert!(full.contains("100 pairs would become 100: 0 of 2 classes have fewer than 30"), "{full}");

    fs::write(at.join("text.jsonl"), "{\"text\":\"x = 1\"}\n")?;
    fs::write(at.join("broken.parquet"), "PAR1 and no more")?;
    for (arguments, expect) in [
        (&["export", "train.jsonl", "text.jsonl", "--out", "o"][..], "text.jsonl: texts among files of pairs"),
        (&["export", "text.jsonl", "--out", "o", "--columns", "preference"], "is text without two sides"),
        (&["export", "train.jsonl", "train.jsonl", "--out", "o"], "another file is the split train already"),
        (&["export", "broken.parquet", "--out", "o"], "broken.parquet: not Parquet, or broken"),
        (&["card", "absent"], "absent is no folder"),
        (&["card", ".", "--split", "train=../x.jsonl"], "the file lies in the folder"),
        (&["card", ".", "--split", "a-b=train.jsonl"], "letters, digits and _ alone"),
        (&["curate", "train.jsonl", "--out", "c", "--quorum", "9"], "--quorum 9 of"),
        (&["curate", "train.jsonl", "--out", "c", "--analyzer", "nobody"], "unknown analyzer"),
    ] {
        let said = rampart(at, arguments, 2)?;
        assert!(said.contains(expect) && said.lines().count() == 1, "{arguments:?}: {said}");
    }
    assert!(!at.join("o").exists() && !at.join("c").exists(), "nothing is left of what was refused");
    Ok(())
}

#[test]
fn curated_files_are_judged() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let (bad, good) = ("def f(x):\n    return eval(x)\n", "def f(x):\n    return int(x)\n");
    let patterns = [
        serde_json::json!({"type": "vulnerable_pattern", "language": "python", "cwe": "CWE-95", "vulnerable_code": bad,
                           "secure_alternative": good, "explanation": "eval runs what it reads"}),
        serde_json::json!({"type": "cve", "cve_id": "CVE-2020-1", "cwe": "CWE-95", "vulnerable_code": good, "fixed_code": bad}),
        serde_json::json!({"type": "secure_pattern", "cwe": "CWE-95", "code": good}),
        serde_json::json!({"type": "framework_pattern", "framework": "flask", "cwe": "CWE-95", "code": bad}),
    ];
    fs::write(at.join("patterns.jsonl"), patterns.iter().map(|p| format!("{p}\n")).collect::<String>())?;
    let curate = ["curate", "patterns.jsonl", "--out", "c", "--licence", "MIT", "--analyzer", "native,bandit-compat"];
    let told: Value = serde_json::from_str(&rampart(at, &[&curate[..], &["--output-format", "json"]].concat(), 0)?)?;
    assert_eq!((&told["agreed"], &told["review"]), (&2.into(), &2.into()), "{told}");
    let pair: Value = serde_json::from_str(fs::read_to_string(at.join("c/pairs.jsonl"))?.trim())?;
    assert_eq!(pair["origin"]["verified"], serde_json::json!(["parse", "analyzers"]));
    assert_eq!((&pair["origin"]["source"], &pair["origin"]["licence"]), (&"patterns.jsonl".into(), &"MIT".into()));
    let text: Value = serde_json::from_str(fs::read_to_string(at.join("c/texts.jsonl"))?.trim())?;
    assert_eq!((&text["origin"]["kind"], &text["origin"]["licence"]), (&"secure-pattern".into(), &"MIT".into()));
    let review = fs::read_to_string(at.join("c/review.jsonl"))?;
    assert!(
        review.contains("found on the secure side alone") && review.contains("found in what should be secure"),
        "{review}"
    );
    // Nobody has decided yet: nothing is taken, and nothing is lost.
    #[cfg(feature = "web")]
    {
        let told = rampart(at, &["review", "c", "--out", "taken.jsonl", "--output-format", "json"], 0)?;
        let told: Value = serde_json::from_str(&told)?;
        assert_eq!((&told["rows"], &told["open"], &told["taken"]), (&2.into(), &2.into(), &0.into()));
    }
    rampart(at, &["stats", "c/pairs.jsonl", "c/texts.jsonl"], 0)?;
    Ok(())
}
