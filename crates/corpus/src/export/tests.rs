use super::*;
use crate::rows;
use lexicon::{Cwe, Language};
use std::collections::BTreeMap;

fn pair(i: usize) -> Pair {
    let extra: BTreeMap<String, String> =
        (0..i % 3).map(|k| (format!("key-{k}"), format!("{i} \u{e9}\n\"{k}\""))).collect();
    Pair {
        format: lexicon::FORMAT,
        id: format!("p-{i}"),
        language: Language::ALL[i % Language::ALL.len()],
        cwe: (0..i % 3).map(|k| Cwe(k as u32 + 20)).collect(),
        instruction: format!("Do {i}, \u{2028} \t {}", "x".repeat(i % 50)),
        reasoning: if i.is_multiple_of(2) { String::new() } else { "r".into() },
        secure: format!("x = {i}\r\n"),
        insecure: format!("y = {i}\n\0"),
        origin: Origin {
            kind: "mined".into(),
            source: String::new(),
            variant: i.is_multiple_of(4).then_some(i as u64),
            licence: if i.is_multiple_of(5) { String::new() } else { "MIT".into() },
            verified: (0..i % 3).map(|k| format!("by {k}")).collect(),
            extra,
        },
    }
}

fn read_back(name: &str, bytes: &[u8]) -> Result<Vec<Row>, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(name);
    std::fs::write(&path, bytes)?;
    let read = rows::read(&path)?;
    assert!(read.bad.is_empty(), "{:?}", read.bad);
    Ok(read.rows)
}

#[test]
fn rows_are_read_back_as_they_were() -> Result<(), Box<dyn std::error::Error>> {
    // More rows than a group has.
    let pairs: Vec<Row> = (0..10_050).map(|i| Row::Pair(pair(i))).collect();
    let text =
        |i: usize| Row::Text { id: format!("t-{i}"), text: format!("x = {i}\n"), origin: Box::new(pair(i).origin) };
    let texts: Vec<Row> = (0..50).map(text).collect();
    for rows in [&pairs[..], &texts, &pairs[..1]] {
        let form = form_of(rows)?;
        let mut lines = Vec::new();
        jsonl(rows, form, &mut lines)?;
        assert!(read_back("a.jsonl", &lines)? == rows);
        let table = parquet(rows, form)?;
        assert!(read_back("a.parquet", &table)? == rows);
        // Cut anywhere, it is told and nothing of it is taken.
        for cut in [0, 3, table.len() / 2, table.len() - 9, table.len() - 1] {
            let said = read_back("a.parquet", &table[..cut]).expect_err("half a table").to_string();
            assert!(said.contains("a.parquet: not Parquet, or broken"), "{said}");
        }
    }
    // A byte changed in a table's middle is told or read, never a panic.
    let table = parquet(&pairs[..20], Form::Pairs)?;
    for at in (4..table.len()).step_by(97) {
        let mut spoilt = table.clone();
        spoilt[at] ^= 0x55;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("a.parquet"), &spoilt)?;
        drop(rows::read(&folder.path().join("a.parquet")));
    }
    Ok(())
}

#[test]
fn preference_rows_are_what_trainers_take() -> Result<(), Box<dyn std::error::Error>> {
    let rows: Vec<Row> = (0..9).map(|i| Row::Pair(pair(i))).collect();
    let mut lines = Vec::new();
    jsonl(&rows, Form::Preference, &mut lines)?;
    let table = parquet(&rows, Form::Preference)?;
    let read = read_back("a.jsonl", &lines)?;
    assert!(read == read_back("a.parquet", &table)?);
    let sides = |rows: &[Row]| -> Vec<String> {
        rows.iter()
            .map(|r| match r {
                Row::Pair(p) => format!("{} {:?} {} {} {}", p.id, p.cwe, p.instruction, p.secure, p.insecure),
                Row::Text { .. } => String::new(),
            })
            .collect()
    };
    assert_eq!(sides(&read), sides(&rows));
    Ok(())
}

#[test]
fn what_has_no_table_is_refused() {
    let text = Row::Text { id: "t".into(), text: "x".into(), origin: Box::default() };
    let said = |e: Result<Form, Error>| e.err().map(|e| e.to_string()).unwrap_or_default();
    assert_eq!(said(form_of(&[])), "no row to export");
    assert!(said(form_of(&[Row::Pair(pair(1)), text.clone()])).contains("row \"t\" is a text among pairs"));
    assert!(parquet(&[text], Form::Preference).is_err_and(|e| e.to_string().contains("without two sides")));
    let mut large = pair(1);
    large.origin.variant = Some(u64::MAX);
    assert!(parquet(&[Row::Pair(large)], Form::Pairs).is_err_and(|e| e.to_string().contains("is above")));
}
