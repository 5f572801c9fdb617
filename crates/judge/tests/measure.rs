//! Detection and false alarms on published pairs and on code without weaknesses, where that data is present.
//!
//! The data is not ours to ship: it lies beside the repository, in `../shared`, or the tests say that they skip.

use judge::native::scan;
use serde_json::Value;
use std::{collections::BTreeSet, error::Error, fs, path::PathBuf};

fn shared(path: &str) -> Option<String> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    let text = fs::read_to_string(&file).ok();
    if text.is_none() {
        eprintln!("skipped: {path} is not here");
    }
    text
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

/// A function cut out of a class keeps its indentation; the first line's is taken from all.
fn flush_left(code: &str) -> String {
    let margin = code.len() - code.trim_start_matches([' ', '\t']).len();
    let cut =
        |line: &str| line.get(..margin).filter(|m| m.trim().is_empty()).map_or(line, |_| &line[margin..]).to_owned();
    code.lines().map(cut).collect::<Vec<_>>().join("\n") + "\n"
}

/// Whether a finding's CWE means the label: equal, or of one family; 74 and 20 are too broad to match through one.
fn same_weakness(families: &[BTreeSet<u64>], label: u64, found: u64) -> bool {
    let broad = |n: u64| n == 74 || n == 20;
    label == found
        || !broad(label) && !broad(found) && families.iter().any(|f| f.contains(&label) && f.contains(&found))
}

/// Shares, in percent, of vulnerable functions found and of fixed ones flagged under the label.
fn rates(data: &[Value], families: &[BTreeSet<u64>]) -> (f64, f64, usize) {
    let (mut found, mut false_alarms, mut total) = (0usize, 0usize, 0usize);
    for row in data {
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
        if !text("file_name").ends_with(".py") {
            continue;
        }
        total += 1;
        let label = text("vul_type").trim_start_matches("cwe-").parse().unwrap_or(0);
        let flagged = |key: &str| {
            let scan = scan("f.py", &flush_left(text(key)));
            scan.findings.iter().flat_map(|f| &f.cwe).any(|c| same_weakness(families, label, u64::from(c.0)))
        };
        found += usize::from(flagged("func_src_before"));
        false_alarms += usize::from(flagged("func_src_after"));
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of a few hundred")]
    let share = |n: usize| 100.0 * n as f64 / total.max(1) as f64;
    (share(found), share(false_alarms), total)
}

fn families() -> Option<Vec<BTreeSet<u64>>> {
    let json: Value = serde_json::from_str(&shared("reference/cwe-families.json")?).ok()?;
    let sets = json.get("families")?.as_array()?.iter();
    Some(sets.filter_map(|f| Some(f.as_array()?.iter().filter_map(Value::as_u64).collect())).collect())
}

#[test]
fn published_pairs() {
    let Some(families) = families() else { return };
    let sven: String = ["022", "078", "079", "089"]
        .iter()
        .filter_map(|n| shared(&format!("data/sven/train/cwe-{n}.jsonl")))
        .collect::<Vec<_>>()
        .join("\n");
    let safecoder = shared("data/safecoder/sec-new-desc.train.jsonl").unwrap_or_default();
    for (name, text, least, most) in [("SVEN", sven, 60.0, 4.0), ("SafeCoder", safecoder, 62.0, 13.0)] {
        let (found, false_alarms, total) = rates(&rows(&text), &families);
        if total == 0 {
            continue;
        }
        eprintln!("{name}: {found:.1} % found, {false_alarms:.1} % false alarms, {total} pairs");
        assert!(found >= least && false_alarms <= most, "{name}: {found:.1} % found, {false_alarms:.1} % false alarms");
    }
}

/// Puzzles have no weaknesses worth a word: at most one in a hundred may be flagged.
#[test]
fn puzzles_stay_silent() -> Result<(), Box<dyn Error>> {
    let Some(text) = shared("data/mbpp/mbpp_release_v1.jsonl") else { return Ok(()) };
    let (mut flagged, mut total) = (Vec::new(), 0usize);
    for row in rows(&text) {
        let (Some(prompt), Some(solution)) = (row["prompt"].as_str(), row["canonical_solution"].as_str()) else {
            continue;
        };
        total += 1;
        let scan = scan("f.py", &format!("{prompt}{solution}"));
        if !scan.findings.is_empty() {
            flagged.push(format!("{} {:?}", row["task_id"], scan.findings[0].rule));
        }
    }
    eprintln!("MBPP: {} of {total} flagged", flagged.len());
    assert!(total > 0 && flagged.len() * 100 <= total, "{flagged:?}");
    Ok(())
}
