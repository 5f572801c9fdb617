//! The specifications in `specs/`: marked lines have the findings they name, all other lines have none.

use judge::native::{rules, scan};
use std::{
    collections::BTreeSet,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

type Marks = BTreeSet<(usize, String)>;

/// A fenced block: where it begins, whether it must parse, and its text.
struct Block {
    line: usize,
    valid: bool,
    code: String,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn documents(folder: &Path) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|e| e.path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "md"));
    paths.sort();
    paths.into_iter().map(|p| Ok((p.display().to_string(), fs::read_to_string(&p)?))).collect()
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line) {
            (None, "```python" | "```python invalid") => {
                open = Some(Block { line: number + 1, valid: line == "```python", code: String::new() });
            }
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), _) => {
                block.code.push_str(line);
                block.code.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

/// Lines and rules that a block's comments name.
fn marks(code: &str) -> Marks {
    let mut marks = BTreeSet::new();
    for (i, line) in code.lines().enumerate() {
        if let Some((_, rules)) = line.split_once("# error: ") {
            marks.extend(rules.split(", ").map(|rule| (i + 1, rule.trim().to_owned())));
        }
    }
    marks
}

#[test]
fn marked_lines_are_found_and_no_others() -> Result<(), Box<dyn Error>> {
    let (mut wrong, mut count) = (String::new(), 0);
    for (path, text) in documents(&folder("specs"))? {
        for block in blocks(&text) {
            count += 1;
            let scan = scan("spec.py", &block.code);
            let found: Marks = scan.findings.iter().map(|f| (f.start.line, f.rule.clone())).collect();
            let expected = marks(&block.code);
            if scan.syntax_error.is_none() != block.valid {
                writeln!(wrong, "{path}:{}: {:?}", block.line, scan.syntax_error)?;
            }
            for (line, rule) in expected.difference(&found) {
                writeln!(wrong, "{path}:{}: {rule} is missing", block.line + line)?;
            }
            for (line, rule) in found.difference(&expected) {
                writeln!(wrong, "{path}:{}: {rule} is unexpected", block.line + line)?;
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(count > 0, "no blocks");
    Ok(())
}

/// A rule that no lesson and no block makes speak could say anything.
#[test]
fn every_rule_is_specified() -> Result<(), Box<dyn Error>> {
    let mut spoken: BTreeSet<String> = BTreeSet::new();
    for (_, text) in documents(&folder("specs"))? {
        spoken.extend(blocks(&text).iter().flat_map(|b| marks(&b.code)).map(|(_, rule)| rule));
    }
    for (_, text) in documents(&folder("../../content/lessons/python"))? {
        let Some((_, rest)) = text.split_once("\n## Insecure\n```python\n") else { continue };
        let (front, _) = text.split_once("\n+++\n").ok_or("front matter does not end")?;
        let front: toml::Table = front.trim_start_matches("+++\n").parse()?;
        let mut code = rest.split_once("\n```").ok_or("a block does not end")?.0.to_owned() + "\n";
        // The first value of every slot.
        for (name, values) in front.get("slots").and_then(|s| s.as_table()).into_iter().flatten() {
            match values.get(0) {
                Some(toml::Value::Table(fields)) => {
                    for (field, value) in fields {
                        code = code.replace(&format!("<<{name}.{field}>>"), value.as_str().unwrap_or_default());
                    }
                }
                Some(value) => code = code.replace(&format!("<<{name}>>"), value.as_str().unwrap_or_default()),
                None => {}
            }
        }
        spoken.extend(scan("lesson.py", &code).findings.into_iter().map(|f| f.rule));
    }
    let silent: Vec<&str> = rules::ALL.iter().map(|r| r.id).filter(|id| !spoken.contains(*id)).collect();
    assert!(silent.is_empty(), "no lesson and no specification makes these rules speak: {silent:?}");
    Ok(())
}
