//! The specifications in `specs/`: marked lines have the findings they name, all other lines have none.

use judge::{
    languages::{self, Dialect, check_file, scan_file},
    native::{rules, scan},
};
use lexicon::Language;
use std::{
    collections::BTreeSet,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

type Marks = BTreeSet<(usize, String)>;

/// A fenced block: where it begins, the name it is scanned under, whether it must parse, and its text.
struct Block {
    line: usize,
    name: &'static str,
    valid: bool,
    code: String,
}

/// What a fence says, and a name for such a file.
const FENCES: &[(&str, &str)] = &[
    ("python", "spec.py"),
    ("javascript", "spec.jsx"),
    ("typescript", "spec.ts"),
    ("tsx", "spec.tsx"),
    ("go", "spec.go"),
    ("java", "spec.java"),
    ("ruby", "spec.rb"),
    ("c", "spec.c"),
    ("cpp", "spec.cpp"),
];

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
            (None, fence) if fence.starts_with("```") => {
                let (language, valid) = match fence[3..].split_once(' ') {
                    Some((language, "invalid")) => (language, false),
                    _ => (&fence[3..], true),
                };
                let name = FENCES.iter().find(|(fence, _)| *fence == language).map_or("", |(_, name)| name);
                open = Some(Block { line: number + 1, name, valid, code: String::new() });
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
        if let Some((_, rules)) = line.split_once("# error: ").or_else(|| line.split_once("// error: ")) {
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
            if block.name.is_empty() {
                writeln!(wrong, "{path}:{}: a block in no language", block.line)?;
                continue;
            }
            let scan = scan_file(block.name, &block.code, None);
            let found: Marks = scan.findings.iter().map(|f| (f.start.line, f.rule.clone())).collect();
            let expected = marks(&block.code);
            if check_file(block.name, &block.code).is_ok() != block.valid {
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
        let blocks = blocks(&text).into_iter().filter(|b| b.name == "spec.py");
        spoken.extend(blocks.flat_map(|b| marks(&b.code)).map(|(_, rule)| rule));
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

/// The same in the other languages; C++ has C's rules and TypeScript JavaScript's, so theirs are specified there.
#[test]
fn every_rule_of_the_other_languages_is_specified() -> Result<(), Box<dyn Error>> {
    let mut spoken: BTreeSet<(Language, String)> = BTreeSet::new();
    for (_, text) in documents(&folder("specs"))? {
        for block in blocks(&text) {
            let Some(language) = Dialect::of(block.name).map(Dialect::language) else { continue };
            spoken.extend(marks(&block.code).into_iter().map(|(_, rule)| (language, rule)));
        }
    }
    let inherited = [Language::Cpp, Language::TypeScript];
    let mut silent = Vec::new();
    for described in languages::described() {
        for (language, _) in described.languages.iter().filter(|(l, _)| !inherited.contains(l)) {
            if !spoken.contains(&(*language, described.rule.id.to_owned())) {
                silent.push(format!("{language} {}", described.rule.id));
            }
        }
    }
    assert!(silent.is_empty(), "no specification makes these rules speak: {silent:?}");
    Ok(())
}
