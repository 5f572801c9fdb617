use super::*;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

#[track_caller]
fn check(source: &str, valid: bool) {
    let parsed = parse(source);
    assert_eq!(parsed.is_ok(), valid, "{:?}: {:?}", source.chars().take(60).collect::<String>(), parsed.err());
}

/// What `ast.parse` of CPython 3.12 and 3.13 says, by hand.
const TRICKY: &[(&str, bool)] = &[
    ("", true),
    ("\u{feff}x = 1\n", true),
    ("x = 1\r\ny = 2\rz = 3\n", true),
    ("\x0cx = 1\n", true),
    ("return 1", true),
    ("break", true),
    ("continue", true),
    ("def f(a, a): pass", true),
    ("f(a=1, a=2)", true),
    ("nonlocal x", true),
    ("def f():\n global x\n x = 1\n nonlocal x", true),
    ("from __future__ import braces", true),
    ("*a = 1", true),
    ("yield 1", true),
    ("await x", true),
    ("await await x", false),
    ("[x async for x in y]", true),
    ("def f(): from a import *", true),
    ("class A: return 1", true),
    ("x: int = yield", true),
    ("lambda: (yield)", true),
    ("__debug__ = 1", true),
    ("del __debug__", true),
    ("match a:\n case x: pass\n case y: pass", true),
    ("match a:\n case {'a': 1, 'a': 2}: pass", true),
    ("match a:\n case (x, x): pass", true),
    ("match a:\n case A(x=1, x=2): pass", true),
    ("match a:\n case x | 1: pass", true),
    ("match a:\n case -a: pass", false),
    ("match = 1; case = 2; type = 3", true),
    ("try: pass\nexcept: pass\nexcept A: pass", true),
    ("try: pass\nexcept* A: return", true),
    ("try: pass\nexcept *A: pass\nexcept B: pass", false),
    ("try: pass\nexcept A, b: pass", false),
    ("try: pass\nexcept A, b as c: pass", false),
    ("print 'x'", false),
    ("exec 'x'", false),
    ("x = `1`", false),
    ("a <> b", false),
    ("0777", false),
    ("00", true),
    ("0xg", false),
    ("1__0", false),
    ("1_", false),
    ("1if 2else 3", true),
    ("0x1for x in y", true),
    ("5j.real", true),
    ("1.real", false),
    ("x = 1L", false),
    ("u'' ur''", false),
    ("b'é'", false),
    ("b'a' 'b'", false),
    ("'\\N{no such name}'", false),
    ("'\\N{BULLET}'", true),
    ("'\\xz'", false),
    ("'\\u12'", false),
    ("'\\U00110000'", false),
    ("'\\d'", true),
    ("b'\\x1'", false),
    ("f'{a!r:>{w}}'", true),
    ("f'{}'", false),
    ("f'{a!x}'", false),
    ("f'{a b}'", false),
    ("f'{a:{b:{c}}}'", true),
    ("f'{{}}'", true),
    ("f'}'", false),
    ("f'{a'", false),
    ("f'{lambda x: 1}'", false),
    ("f'{(lambda x: 1)}'", true),
    ("f'{a[\"b\"]}'", true),
    ("f'{a['b']}'", true),
    ("f'{*a}'", true),
    ("f'{yield}'", true),
    ("f'{a=}'", true),
    ("f'{a!r=}'", false),
    ("f'{a\n}'", true),
    ("f'''{\na\n}'''", true),
    ("t'{a}'", false),
    ("type X[T = int] = list[T]", true),
    ("def f[T: int, *A, **P](x: T): pass", true),
    ("class A[T](B): pass", true),
    ("x = *a", true),
    ("x = *a,", true),
    ("f(**a, *b)", false),
    ("f(a=1, 2)", false),
    ("f(a for a in b, c)", false),
    ("f(a for a in b)", true),
    ("f(a, b for b in c)", false),
    ("f(1=2)", false),
    ("f(a.b=2)", false),
    ("f(True=2)", false),
    ("f((a)=2)", false),
    ("f(a:=1)", true),
    ("f(a=(b:=1))", true),
    ("a := 1", false),
    ("(a := 1)", true),
    ("(a.b := 1)", false),
    ("[a := 1, 2]", true),
    ("x[a:=1]", true),
    ("x[a:=1:2]", false),
    ("{a := 1}", true),
    ("{**a for a in b}", false),
    ("{*a for a in b}", false),
    ("(*a)", false),
    ("(*a,)", true),
    ("del f()", false),
    ("del (a, [b])", true),
    ("del *a, b", false),
    ("f() = 1", false),
    ("f() += 1", false),
    ("a, b += 1", false),
    ("(a, b): int", false),
    ("(a): int = 1", true),
    ("a.b: int", true),
    ("f(): int", false),
    ("None = 1", false),
    ("a = None = 1", false),
    ("def f(None): pass", false),
    ("import a.b as c.d", false),
    ("from . import (a)", true),
    ("from . import (a,)", true),
    ("from . import a,", false),
    ("from . import ()", false),
    ("from .... a import b", true),
    ("import a as None", false),
    ("with (a as b, c as d,): pass", true),
    ("with (a, b): pass", true),
    ("with a as f(): pass", false),
    ("with (yield): pass", true),
    ("for x in *a, b: pass", true),
    ("for f() in x: pass", false),
    ("for x, in y: pass", true),
    ("def f(a=1, b): pass", false),
    ("def f(*): pass", false),
    ("def f(*, **k): pass", false),
    ("def f(/, a): pass", false),
    ("def f(a, /, b, /): pass", false),
    ("def f(a, *, b, /): pass", false),
    ("def f(*a, *b): pass", false),
    ("def f(**k, a): pass", false),
    ("def f(*a=1): pass", false),
    ("def f(*a: *b): pass", true),
    ("lambda *: 1", false),
    ("@a[1]().b\ndef f(): pass", true),
    ("@(yield)\ndef f(): pass", true),
    ("async with a: pass", true),
    ("async x = 1", false),
    ("if 1:\npass", false),
    ("if 1:\n  a\n b", false),
    ("if 1:\n\ta\n        b", false),
    ("if 1:\n    a\n\tb", false),
    ("  x", false),
    ("\\\n x = 1", false),
    ("x = 1 \\", false),
    ("x = \\\n1", true),
    ("x = 1 \\ \n", false),
    ("'abc", false),
    ("'''abc", false),
    ("(1, 2", false),
    ("(1, 2]", false),
    ("1)", false),
    ("x = $", false),
    ("x = ?", false),
    ("!ls", false),
    ("%timeit x", false),
    ("x = \u{a0}1", false),
    ("é = 1", true),
    ("x² = 1", false),
    ("€ = 1", false),
    ("x\0", false),
    ("# \0", false),
    ("else: pass", false),
    ("try: pass", false),
    ("try: pass\nelse: pass\nfinally: pass", false),
    ("class A(): x", true),
    ("class A(x for x in y): pass", false),
    ("a if b", false),
    ("a if b else c if d else e", true),
    ("not not a", true),
    ("a not b", false),
    ("a is not not b", false),
    ("-not a", false),
    ("a = b = yield", true),
    ("assert (a, b)", true),
    ("assert a, b, c", false),
    ("raise a from b", true),
    ("raise a, b", false),
    ("global a, b", true),
    ("global a.b", false),
    ("x = {1: 2, **a, 3: 4}", true),
    ("x = {1: 2, 3}", false),
    ("x = {1:}", false),
    ("a[*b]", true),
    ("a[1:2, *b]", true),
    ("a[]", false),
    ("a[b=1]", false),
    ("...", true),
    ("x = .1e5_0", true),
    ("1e", false),
    ("pass;", true),
    (";", false),
    ("a; if b: c", false),
    ("if a: b; c", true),
    ("if a: if b: c", false),
    ("def f() -> *a: pass", false),
    ("x = lambda: yield", false),
    ("with open(x) as f, open(y) as g:\n    pass", true),
];

#[test]
fn tricky_cases() {
    for &(source, valid) in TRICKY {
        check(source, valid);
    }
}

#[test]
fn cpython_limits() {
    let nested = |n: usize| format!("{}{}", "(".repeat(n), ")".repeat(n));
    check(&nested(200), true);
    check(&nested(201), false);
    let indented =
        |n: usize| (0..n).map(|i| format!("{}if 1:\n", " ".repeat(i))).collect::<String>() + &" ".repeat(n) + "pass";
    check(&indented(99), true);
    check(&indented(100), false);
    check(&"1".repeat(4_300), true);
    check(&"1".repeat(4_301), false);
    check(&format!("0x{}", "1".repeat(9_000)), true);
    check(&(["1"; 2_900].join("+")), true);
    check(&(vec!["1"; 400_000].join("+")), false);
    check(&(vec!["-1"; 20_000].join(",")), true);
    check(&(vec!["a and b"; 20_000].join(" or ")), true);
}

#[test]
fn hostile_input_ends_in_an_error() {
    let deep = |unit: &str, n: usize| unit.repeat(n);
    for source in [
        deep("(", 1_000_000),
        deep("[{", 500_000),
        deep("-", 1_000_000),
        deep("not ", 300_000) + "a",
        deep("lambda a, b: ", 100_000) + "a",
        deep("1 if 1 else ", 100_000) + "1",
        "a".to_owned() + &deep(".b", 300_000),
        "a".to_owned() + &deep("()", 300_000),
        "a".to_owned() + &deep("[0]", 300_000),
        deep("f'{", 100_000),
        deep("1**", 300_000) + "1",
        deep("await ", 300_000) + "a",
        deep("a:", 300_000),
        deep("'", 100_001),
        "\u{feff}".repeat(9),
        deep("\\\n", 100_000),
        deep("@", 100_000),
        deep("match a:\n case [", 3_000),
        deep("if 1:\n ", 3_000),
    ] {
        let error = parse(&source).expect_err("hostile");
        assert!(error.span.end <= source.len() && error.at.line >= 1, "{error}");
    }
}

#[test]
fn errors_name_their_place() {
    let error = parse("x = 1\ny = = 2\n").expect_err("invalid");
    assert_eq!((error.at.line, error.at.column), (2, 5));
    assert!(error.message.starts_with(char::is_lowercase), "{error}");
    let deep = format!("ok = 1\nx = {}", "(".repeat(300));
    assert_eq!(parse(&deep).expect_err("deep").at, lexicon::Position { line: 2, column: 205 });
}

/// `python3` as a judge: a program that reads texts, each after its length, and prints 1 or 0 for each.
const REFEREE: &str = "
import ast, sys, warnings
warnings.simplefilter('ignore')
data, at = sys.stdin.buffer.read(), 0
print(sys.version_info[0], sys.version_info[1])
while at < len(data):
    size = int.from_bytes(data[at:at + 8], 'little')
    text = data[at + 8:at + 8 + size].decode().removeprefix('\\ufeff')
    at += 8 + size
    try:
        ast.parse(text)
        print(1)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        print(0)
";

/// The referee is a program; nothing of the code under test runs in it.
#[expect(clippy::disallowed_methods, reason = "the referee is the machine's own python3")]
fn python3() -> Command {
    Command::new("python3")
}

/// Version and answers of the machine's own Python, or nothing where there is none.
fn referee(texts: &[String]) -> Option<(Version, Vec<bool>)> {
    let mut child = python3()
        .args(["-S", "-c", REFEREE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take()?;
    for text in texts {
        input.write_all(&u64::try_from(text.len()).ok()?.to_le_bytes()).ok()?;
        input.write_all(text.as_bytes()).ok()?;
    }
    drop(input);
    let output = String::from_utf8(child.wait_with_output().ok()?.stdout).ok()?;
    let mut lines = output.lines();
    let (major, minor) = lines.next()?.split_once(' ')?;
    let version = Version { major: major.parse().ok()?, minor: minor.parse().ok()? };
    Some((version, lines.map(|l| l == "1").collect()))
}

fn standard_library() -> Option<PathBuf> {
    let script = "import sysconfig; print(sysconfig.get_path('stdlib'))";
    let output = python3().args(["-c", script]).output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

fn python_files(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|e| e.path()) {
        if path.is_dir() {
            if !path.ends_with("site-packages") {
                python_files(&path, into);
            }
        } else if path.extension().is_some_and(|e| e == "py") {
            into.push(path);
        }
    }
}

/// Real files, cut at every seventh of their length and damaged in one place, plus the hand list.
#[test]
fn agrees_with_the_machine_s_python() {
    let Some(folder) = standard_library() else {
        eprintln!("skipped: no python3 here to compare with");
        return;
    };
    let mut files = Vec::new();
    python_files(&folder, &mut files);
    files.sort();
    let step = (files.len() / 300).max(1);
    // Before 3.12 f-strings were read by other code, whose own limits on format specifications ruff does not model.
    let mut texts: Vec<String> = TRICKY.iter().map(|(s, _)| (*s).to_owned()).filter(|s| !s.starts_with("f'")).collect();
    for path in files.iter().step_by(step) {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        if text.len() > 60_000 {
            continue;
        }
        for seventh in [2, 5] {
            texts.push(text[..text.floor_char_boundary(text.len() * seventh / 7)].to_owned());
        }
        let at = text.floor_char_boundary(text.len() / 2);
        let lines: Vec<&str> = text[..at].lines().collect();
        texts.push(lines.join("\n"));
        texts.push(format!("{})\n{}", &text[..at], &text[at..]));
        texts.push(text);
    }
    let Some((version, answers)) = referee(&texts) else {
        eprintln!("skipped: python3 does not run");
        return;
    };
    assert_eq!(answers.len(), texts.len());
    let mut differ = Vec::new();
    for (text, &valid) in texts.iter().zip(&answers) {
        let ours = parse_as(text, version);
        if ours.is_ok() != valid {
            differ.push(format!(
                "python {valid}, we {:?}: {:?}",
                ours.err(),
                text.chars().take(80).collect::<String>()
            ));
        }
    }
    eprintln!("{} of {} texts agree with {version:?}", texts.len() - differ.len(), texts.len());
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}
