use super::*;
use crate::library;
use lexicon::{Cwe, Origin, Pair};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn pair(id: &str, secure: &str, insecure: &str) -> Pair {
    Pair {
        format: FORMAT,
        id: id.into(),
        language: Language::Python,
        cwe: vec![Cwe(89)],
        instruction: format!("Write {id}."),
        reasoning: String::new(),
        secure: secure.into(),
        insecure: insecure.into(),
        origin: Origin::default(),
    }
}

fn part(name: &str, pairs: Vec<Pair>) -> Part {
    Part { name: name.into(), rows: pairs.into_iter().map(Row::Pair).collect() }
}

/// One pair of every lesson: all different, as far as anybody knows.
fn different() -> Result<Vec<Pair>, library::Error> {
    let of = |l: &crate::Lesson| l.choose(1, 0, |_| true).first().and_then(|v| l.pair(v));
    Ok(library::embedded()?.iter().filter_map(of).collect())
}

/// A comment, and a declaration, that any file of the language may have more.
const fn more(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::Python | Language::Ruby => ("# of ours", "logged = 1"),
        Language::C | Language::Cpp => ("// of ours", "int logged = 1;"),
        Language::Go => ("// of ours", "var logged = 1"),
        Language::Java => ("// of ours", "class Logged {}"),
        Language::JavaScript | Language::TypeScript => ("// of ours", "let logged = 1;"),
    }
}

fn changed(pair: &Pair, how: &str) -> Option<Pair> {
    let (comment, declaration) = more(pair.language);
    let each = |code: &str| -> Option<String> {
        Some(match how {
            "layout" => format!("\n{code}\n\n"),
            "comment" => format!("{comment}\n{code}"),
            "renamed" => shape::rename(pair.language, code, |n, _| format!("other{n}"))?,
            "near" => format!("{code}\n\n{declaration}\n"),
            "renamed-near" => {
                let code = shape::rename(pair.language, code, |n, _| format!("name{n}"))?;
                format!("{code}\n{declaration}\n")
            }
            _ => return None,
        })
    };
    let id = format!("{}-{how}", pair.id);
    Some(Pair { id, secure: each(&pair.secure)?, insecure: each(&pair.insecure)?, ..pair.clone() })
}

/// Every kind of repetition planted into a set without any, within it and in a set behind it: how many are found, and how
/// many others go.
#[test]
fn planted_repetitions_are_found_and_others_stay() -> Outcome {
    let originals = different()?;
    let natural = clean(vec![part("train", originals.clone())], &[], &Settings::default()).dropped.len();
    assert!(natural * 50 <= originals.len(), "{natural} of {} lessons are taken for one another", originals.len());
    for (how, floor) in [("layout", 1.0), ("comment", 1.0), ("renamed", 1.0), ("near", 0.92), ("renamed-near", 0.85)] {
        let planted: Vec<Pair> = originals.iter().filter_map(|p| changed(p, how)).collect();
        for across in [false, true] {
            let parts = if across {
                vec![part("test", originals.clone()), part("train", planted.clone())]
            } else {
                vec![part("train", originals.iter().chain(&planted).cloned().collect())]
            };
            let dropped = clean(parts, &[], &Settings::default()).dropped;
            let found = dropped.iter().filter(|d| d.id.ends_with(how)).count();
            let right = dropped.iter().filter(|d| d.id == format!("{}-{how}", d.matched)).count();
            let recall = found as f64 / planted.len() as f64;
            let wrong = dropped.len() - found;
            assert!(recall >= floor, "{how}: {recall}");
            assert!(wrong <= natural, "{how}: {wrong} originals went");
            assert!(right * 100 >= found * 97, "{how}: {right} of {found} name their original");
        }
    }
    Ok(())
}

#[test]
fn one_side_is_enough_across_sets_and_not_within() {
    let secure = "def f(a, b):\n    return run([a, b], check=True, timeout=3)\n";
    let (one, two) =
        ("def f(a, b):\n    return os.system(a + b + 'x' + a)\n", "def f(a):\n    return popen(a, b, 1, 2, 3)\n");
    let (a, b) = (pair("a", secure, one), pair("b", secure, two));
    let within = clean(vec![part("train", vec![a.clone(), b.clone()])], &[], &Settings::default());
    assert!(within.dropped.is_empty(), "{:?}", within.dropped);
    let across = clean(vec![part("test", vec![a]), part("train", vec![b])], &[], &Settings::default());
    assert_eq!((across.dropped[0].reason, across.dropped[0].matched.as_str()), (Reason::Exact, "a"));
    assert_eq!(across.parts[1].rows.len(), 0);
}

#[test]
fn suites_secrets_and_licences() -> Outcome {
    let solution = "def below_zero(operations):\n    balance = 0\n    for op in operations:\n        balance += op\n        \
                    if balance < 0:\n            return True\n    return False\n";
    let instruction =
        "Given a list of deposits and withdrawals, say whether the balance ever falls below zero at any point.";
    let references = [Reference {
        suite: "humaneval".into(),
        task: "HumanEval/3".into(),
        instruction: instruction.into(),
        code: vec![solution.into()],
        ..Reference::default()
    }];
    let other = "def total(items):\n    return sum(item.price for item in items if item.paid)\n";
    let renamed = shape::rename(Language::Python, solution, |n, _| format!("v{n}")).unwrap_or_default();
    let wrapped = format!("import os\n\n{solution}\n\nprint(below_zero([1, 2, -4]))\n");
    let mut asked = pair("asked", other, "x = 1\n");
    asked.instruction = format!("Python. {instruction}");
    let mut gpl = pair("gpl", "a = f(1)\n", "a = f(2)\n");
    gpl.origin.licence = "GPL-3.0-only".into();
    let secret = "API_TOKEN = 'x7Gf2kQ9vTz4LmPw8sRb'\n";
    let rows = vec![
        pair("same", solution, "x = 1\n"),
        pair("runs", "y = 2\n", &wrapped),
        pair("tree", &renamed, "x = 1\n"),
        asked,
        pair("free", other, "z = 3\n"),
        pair("secret", &format!("{secret}a()\n"), &format!("{secret}b()\n")),
    ];
    let mut all = rows.clone();
    all.push(gpl);
    all.iter_mut().take(6).for_each(|p| p.origin.licence = "MIT".into());
    let settings = Settings {
        licences: Some(licence::Allowed::new(&["MIT".into()])?),
        on_secret: OnSecret::Drop,
        ..Settings::default()
    };
    let cleaned = clean(vec![part("train", all)], &references, &settings);
    let said: Vec<_> = cleaned.dropped.iter().map(|d| (d.id.as_str(), d.reason, d.matched.as_str())).collect();
    assert_eq!(
        said,
        [
            ("same", Reason::SuiteSame, "HumanEval/3"),
            ("runs", Reason::SuiteRuns, "HumanEval/3"),
            ("tree", Reason::SuiteTree, "HumanEval/3"),
            ("asked", Reason::SuiteRuns, "HumanEval/3"),
            ("secret", Reason::Secret, ""),
            ("gpl", Reason::Licence, ""),
        ]
    );
    let redacted = clean(vec![part("train", rows)], &[], &Settings::default());
    assert_eq!(redacted.redacted.values().sum::<usize>(), 2);
    let Some(Row::Pair(p)) = redacted.parts[0].rows.iter().find(|r| id(r) == "secret") else {
        return Err("lost".into());
    };
    assert!(p.secure.contains("REDACTED") && p.insecure.contains("REDACTED"));
    Ok(())
}
