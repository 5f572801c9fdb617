use super::*;
use std::collections::BTreeSet;

/// Scans code whose lines say what is found there: `# error: rule, rule`. Nothing else may be found.
#[track_caller]
fn check(source: &str) {
    let scan = scan("test.py", source);
    assert!(scan.syntax_error.is_none(), "{:?}\n{source}", scan.syntax_error);
    let found: BTreeSet<(usize, String)> = scan.findings.iter().map(|f| (f.start.line, f.rule.clone())).collect();
    let mut expected = BTreeSet::new();
    for (i, line) in source.lines().enumerate() {
        if let Some((_, rules)) = line.split_once("# error: ") {
            expected.extend(rules.split(", ").map(|r| (i + 1, r.trim().to_owned())));
        }
    }
    assert_eq!(found, expected, "\n{source}");
}

#[test]
fn names_are_resolved_through_imports_and_without_them() {
    for source in [
        "import os\nos.system('ls ' + input())  # error: command-injection, unchecked-return-code",
        "os.system('ls ' + input())  # error: command-injection, unchecked-return-code",
        "import os as o\no.popen('ls ' + input())  # error: command-injection",
        "from os import popen\npopen('ls ' + input())  # error: command-injection",
        "from os import popen as p\np('ls ' + input())  # error: command-injection",
        "import subprocess as sp\nsp.check_output('ls ' + input(), shell=True)  # error: command-injection",
        "run = __import__('os').popen",
        "from subprocess import check_output\ngo = check_output\ngo('ls ' + input(), shell=True)  # error: command-injection",
        "from .os import popen\npopen('ls ' + input())",
        "import pickle\ndef f(data):\n    return pickle.loads(data)  # error: unsafe-deserialization",
        "def f(data):\n    return pickle.loads(data)  # error: unsafe-deserialization",
        "import yaml\nyaml.load(open('x'))  # error: unsafe-deserialization",
        "import yaml\nyaml.load(open('x'), Loader=yaml.SafeLoader)\nyaml.load(open('x'), yaml.CSafeLoader)",
    ] {
        check(source);
    }
}

#[test]
fn strings_are_followed_through_assignments() {
    for source in [
        // However the text is put together.
        "def f(c, x):\n    c.execute('SELECT * FROM t WHERE a = ' + x)  # error: sql-injection",
        "def f(c, x):\n    c.execute('SELECT * FROM t WHERE a = %s' % x)  # error: sql-injection",
        "def f(c, x):\n    c.execute('SELECT * FROM t WHERE a = {}'.format(x))  # error: sql-injection",
        "def f(c, x):\n    c.execute(f'SELECT * FROM t WHERE a = {x}')  # error: sql-injection",
        "def f(c, x):\n    c.execute(' '.join(['SELECT * FROM t WHERE a =', x]))  # error: sql-injection",
        "def f(c, x):\n    q = 'SELECT * FROM t WHERE a = '\n    q += x\n    c.execute(q)  # error: sql-injection",
        "def f(c, x):\n    q = 'SELECT * FROM t'\n    if x:\n        q = q + ' WHERE a = ' + x\n    c.execute(q)  # error: sql-injection",
        "class A:\n    Q = 'SELECT * FROM t WHERE a = %s'\n    def f(self, c, x):\n        c.execute(self.Q % x)  # error: sql-injection",
        "def f(x):\n    return db.run(f\"SELECT a FROM t WHERE b = '{x}'\")  # error: sql-string-building",
        // Parameters, constants, placeholders, numbers.
        "def f(c, x):\n    c.execute('SELECT * FROM t WHERE a = ?', (x,))",
        "T = 'users'\ndef f(c, x):\n    c.execute(f'SELECT * FROM {T} WHERE a = ?', (x,))",
        "def f(c, xs):\n    marks = ', '.join('?' * len(xs))\n    c.execute(f'SELECT * FROM t WHERE a IN ({marks})', xs)",
        "def f(c, xs):\n    marks = ','.join(['%s'] * len(xs))\n    c.execute('SELECT * FROM t WHERE a IN (%s)' % marks, xs)",
        "def f(c, xs):\n    marks = ','.join('?' for _ in xs)\n    c.execute('SELECT * FROM t WHERE a IN (' + marks + ')', xs)",
        "def f(c, x):\n    c.execute('SELECT * FROM t LIMIT %d' % x)",
        "def f(c, x):\n    c.execute(f'SELECT * FROM t LIMIT {int(x)}')",
        "def f(c, x: int):\n    c.execute(f'SELECT * FROM t WHERE id = {x}')  # error: sql-number-building",
        "Q = {'a': 'SELECT 1', 'b': 'SELECT 2'}\ndef f(c, x):\n    c.execute(Q[x])",
        "def f(x):\n    return f'Please select {x} from the list'",
    ] {
        check(source);
    }
}

#[test]
fn guards_and_sanitizers_count() {
    let route = "from flask import request, redirect, abort\nimport os, re, html, shlex, subprocess\n";
    for body in [
        "def f(x):\n    subprocess.run('ls ' + shlex.quote(x), shell=True, check=True)",
        "def f():\n    x = request.args['x']\n    if x not in ('a', 'b'):\n        abort(400)\n    return open('d/' + x).read()",
        "def f():\n    x = os.path.basename(request.args['x'])\n    return open('d/' + x).read()",
        "def f():\n    x = request.args['x']\n    return open('d/' + x).read()  # error: path-traversal",
        "def f():\n    x = request.args['x']\n    if not re.fullmatch('[a-z]+', x):\n        abort(400)\n    return open('d/' + x).read()",
        "def f():\n    x = request.args['x']\n    if '..' in x or x.startswith('/'):\n        abort(400)\n    return open('d/' + x).read()",
        "def f():\n    p = os.path.realpath(os.path.join('d', request.args['x']))\n    if not p.startswith('/srv/d/'):\n        abort(400)\n    return open(p).read()",
        "def f():\n    x = request.args['x']\n    return '<b>' + html.escape(x) + '</b>'",
        "def f():\n    x = request.args['x']\n    return '<b>' + x + '</b>'  # error: cross-site-scripting",
        "def f(names):\n    return '<ul>' + ''.join(f'<li>{html.escape(n)}</li>' for n in names) + '</ul>'",
        "def f():\n    return redirect(request.args['u'])  # error: open-redirect",
        "def f():\n    u = request.args['u']\n    return redirect(u if u in ALLOWED else '/')",
        "def f():\n    u = request.args['u']\n    if not is_safe_url(u):\n        u = '/'\n    return redirect(u)",
        "def f():\n    return redirect('/user/' + request.args['u'])",
        "def f(n):\n    validate(n)\n    return open('d/' + n).read()",
        "def f(n):\n    return eval(n)  # error: code-injection",
        "def f(n):\n    return eval('1 + 1')",
    ] {
        check(&format!("{route}{body}"));
    }
}

#[test]
fn branches_loops_and_scopes() {
    for source in [
        // A branch that leaves takes its assignments along.
        "def f(x):\n    if x:\n        q = 'ls ' + x\n        return q\n    q = 'ls'\n    os.popen(q)",
        "def f(c, x):\n    if x:\n        q = 'SELECT 1'\n    else:\n        q = 'SELECT * FROM t WHERE a = ' + x\n    c.execute(q)  # error: sql-injection",
        "def f(c, xs):\n    for x in xs:\n        c.execute('DELETE FROM t WHERE a = ' + x)  # error: sql-injection",
        // Constants below the function are constants all the same.
        "def f(c):\n    c.execute('SELECT * FROM ' + table)\ntable = 'x'",
        "class A:\n    def run(self, c):\n        c.execute('SELECT * FROM ' + self.t)\n    def __init__(self):\n        self.t = 'x'",
        "def outer(c):\n    def inner(x):\n        c.execute('SELECT * FROM t WHERE a = ' + x)  # error: sql-injection\n    return inner",
        "f = lambda x: eval(x)  # error: code-injection",
        "import subprocess\ndef f(host):\n    subprocess.run(['ping', host], check=True)  # error: argument-injection",
        "import subprocess\ndef f(host):\n    subprocess.run(['ping', '--', host], check=True)",
        "import subprocess\ndef f(x):\n    subprocess.run(['sh', '-c', 'ls ' + x], check=True)  # error: command-injection",
    ] {
        check(source);
    }
}

#[test]
fn comments_silence() {
    for source in [
        "eval(input())  # nosec",
        "eval(input())  # nosec B307",
        "eval(input())  # noqa  # nosec: B307",
        "eval(input())  # rampart: ignore",
        "eval(input())  # rampart: ignore[code-injection]",
        "eval(input())  # rampart: ignore[sql-injection, CWE-95]",
        "x = '''\n# nosec\n'''\ny = 1",
    ] {
        check(source);
    }
    for (source, count) in [
        ("eval(input())  # rampart: ignore[sql-injection]", 1),
        ("eval(input())  # nosecurity", 1),
        ("# nosec\neval(input())", 1),
        ("eval(input() + '# nosec')", 1),
    ] {
        assert_eq!(scan("x.py", source).findings.len(), count, "{source}");
    }
}

#[test]
fn findings_name_place_source_and_weakness() {
    let found = scan("a/b.py", "def f(c, né):\n    c.execute('SELECT a FROM t WHERE b = ' + né)\n").findings;
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (finding.analyzer.as_str(), finding.rule.as_str(), finding.path.as_str()),
        ("native", "sql-injection", "a/b.py")
    );
    assert_eq!(finding.cwe.first(), Some(&Cwe(89)));
    assert_eq!((finding.start.line, finding.start.column, finding.end.column), (2, 5, 49));
    assert_eq!((finding.trace[0].at.line, finding.trace[0].at.column), (1, 10));
}

/// Depth, breadth and repetition that an attacker would choose: the pass ends, soon and without a crash.
#[test]
fn hostile_input_is_survived() {
    let sources = [
        format!("x = {}'a'{}", "(".repeat(190), ")".repeat(190)),
        format!("x = {}1", "-".repeat(2_900)),
        format!("x = {}a", "not ".repeat(2_900)),
        format!("if {}a: pass", "not ".repeat(2_900)),
        format!("x = {}", vec!["'a'"; 2_900].join(" + ")),
        format!("x = a{}", ".b".repeat(2_900)),
        format!("x = a{}", "()".repeat(2_900)),
        format!("x = {}'%s' % a{}", "('%s' % ".repeat(150), ")".repeat(150)),
        format!("x = {}a{}", "('%s' % (".repeat(95), ",))".repeat(95)),
        format!("x = {}a{}", "f(g=".repeat(190), ")".repeat(190)),
        format!("{}pass", (0..99).map(|i| " ".repeat(i) + "if a:\n").collect::<String>() + &" ".repeat(99)),
        (0..99).map(|i| format!("{}def f{i}(x):\n", " ".repeat(i))).collect::<String>() + &" ".repeat(99) + "eval(x)",
        "secret = secret + secret\nprint(secret)\n".repeat(300),
        "x = 'a' + x + x\nlog.info(x)\n".repeat(300),
        "a = f'{a}{a}'\n".repeat(300) + "print(a)",
        "def f(p):\n".to_owned() + &"    p = '<b>' + p + p + '</b>'\n".repeat(40) + "    return p",
        format!("re.compile('{}')", "(".repeat(500)),
        format!("re.compile('{}')", "(a+".repeat(300) + &")+".repeat(300)),
    ];
    for source in sources {
        // A worker's stack is smaller than the main thread's.
        let outcome = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            let _ = scan("x.py", &source);
        });
        let head = "a hostile text ends the scan";
        outcome.expect("thread").join().expect(head);
    }
}

#[test]
fn rules_are_documented_and_unique() {
    let mut seen = BTreeSet::new();
    for rule in rules::ALL {
        assert!(seen.insert(rule.id), "{} twice", rule.id);
        assert!(!rule.cwe.is_empty(), "{}", rule.id);
        assert!(rule.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{}", rule.id);
        for text in [rule.what, rule.why] {
            assert!(text.ends_with('.') && text.len() > 20, "{}: {text}", rule.id);
        }
        assert!(rule.remedy.starts_with(char::is_lowercase) && !rule.remedy.ends_with('.'), "{}", rule.id);
    }
}

/// A file that somebody is typing in: every beginning of every specification, and each with a line or a bracket taken out.
#[test]
fn broken_text_is_survived() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("specs");
    let (mut scanned, mut found) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("specs").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a specification");
        for block in text.split("```python\n").skip(1) {
            let code = block.split("\n```").next().unwrap_or_default();
            let beginnings = code.char_indices().step_by(3).map(|(at, _)| code[..at].to_owned());
            let lines = (0..code.lines().count()).map(|skip| {
                code.lines().enumerate().filter(|(i, _)| *i != skip).map(|(_, l)| l).collect::<Vec<_>>().join("\n")
            });
            let marks = code
                .match_indices(['(', ')', '[', '"', '\'', ':', '{', '}', ','])
                .map(|(at, mark)| format!("{}{}", &code[..at], &code[at + mark.len()..]));
            for broken in beginnings.chain(lines).chain(marks) {
                let scan = scan("x.py", &broken);
                scanned += 1;
                found += usize::from(scan.syntax_error.is_some() && !scan.findings.is_empty());
                for finding in &scan.findings {
                    assert!(
                        finding.start <= finding.end && finding.end.line <= broken.lines().count().max(1) + 1,
                        "{broken}"
                    );
                }
            }
        }
    }
    assert!(scanned > 1_000 && found > 100, "{scanned} texts, findings in {found} that do not parse");
}
