use super::*;

fn found(name: &str, source: &str, rules: Option<&Rules>) -> Vec<String> {
    scan_file(name, source, rules).findings.into_iter().map(|f| format!("{}:{}", f.start.line, f.rule)).collect()
}

fn user(text: &str) -> Result<Rules, RuleError> {
    Rules::read(&[("team.yml".to_owned(), text.to_owned())])
}

/// What users write has the power of our own: patterns, and what their variables hold.
#[test]
fn rules_of_users_add_to_our_own() -> Result<(), RuleError> {
    let rules = user(
        "id: no-legacy-call\nlanguage: python\nmessage: use modern($X)\nrule: { pattern: legacy($X) }\nmetadata: { cwe: CWE-477 }\n\
         ---\nid: no-foreign-table\nlanguage: javascript\nmessage: m\nseverity: error\nrule: { pattern: table($NAME) }\n\
         metadata: { cwe: ['CWE-89: x'], owner: us, rampart: { flow: { NAME: { is: request } } } }\n",
    )?;
    assert_eq!(rules.len(), 2);
    assert_eq!(found("a.py", "legacy(1)\n", Some(&rules)), ["1:no-legacy-call"]);
    assert_eq!(found("a.py", "legacy(1)\n", None), [""; 0]);
    assert_eq!(found("a.py", "legacy(1)  # rampart: ignore\n", Some(&rules)), [""; 0]);
    let source = "const t = req.query.t;\ntable(t);\ntable(\"users\");\n";
    for name in ["a.js", "a.ts", "a.tsx"] {
        assert_eq!(found(name, source, Some(&rules)), ["2:no-foreign-table"], "{name}");
    }
    let finding = scan_file("a.py", "legacy(1)\n", Some(&rules)).findings.remove(0);
    assert_eq!((finding.message.as_str(), finding.cwe), ("use modern(1)", vec![Cwe(477)]));
    Ok(())
}

/// A rule that is none is refused with its file and what is wrong: left out in silence it would pass code as clean.
#[test]
fn broken_rules_are_refused() {
    let cases = [
        ("id: x\nlanguage: cobol\nrule: { pattern: a }\n", "unknown language"),
        ("id: x\nlanguage: go\nrule: { patern: a }\n", "patern"),
        ("language: go\nrule: { kind: call_expression }\n", "no id"),
        ("id: x\nlanguage: go\nrule: { kind: no_such_kind }\n", "no_such_kind"),
        ("id: x\nlanguage: go\nrule: { pattern: f($A) }\nfiles: ['*.go']\n", "not supported"),
        ("id: x\nlanguage: go\nrule: { pattern: f($A) }\nmetadata: { rampart: { flow: { B: { is: open } } } }\n", "B"),
        ("id: x\nlanguage: go\nrule: { pattern: f($A) }\nmetadata: { rampart: { flows: 1 } }\n", "flows"),
        ("id: x\nlanguage: go\nrule: { pattern: f($A) }\nmetadata: { rampart: { in-file: '(' } }\n", "regex"),
        ("id: [\n", "team.yml"),
    ];
    for (text, expect) in cases {
        let said = user(text).map(|_| String::new()).unwrap_or_else(|e| e.to_string());
        assert!(said.contains(expect) && said.starts_with("team.yml"), "{text}: {said}");
    }
}

#[test]
fn broken_texts_are_said_and_looked_at() {
    let check = |name: &str, source: &str, valid: bool| assert_eq!(check_file(name, source).is_ok(), valid, "{source}");
    check("a.js", "const a = <b>{c}</b>;\n", true);
    check("a.ts", "const a = <string>b;\n", true);
    check("a.tsx", "const a = <string>b;\n", false);
    check("a.js", "function f( {\n", false);
    check("a.go", "package main\nfunc f() {\n", false);
    check("a.java", "class A { int f() { return 1 } }\n", false);
    check("a.rb", "def f\n", false);
    check("a.py", "def f(:\n", false);
    // A macro may stand anywhere: without the preprocessor there is no telling.
    check("a.c", "FOREACH(x, list) { use(x); } END\nint f( {\n", true);
    // A header of C++.
    assert_eq!(scan_file("a.h", "class A { public: virtual ~A(); };\n", None).syntax_error, None);
    let error = check_file("a.js", "let a = 1;\nlet b = ;\n").err();
    assert_eq!(error.map(|e| e.at.line), Some(2));
}

/// Deep nesting neither overflows the stack nor passes as clean.
#[test]
fn deep_nesting_is_said() {
    for (open, close, name) in [("(", ")", "a.js"), ("[", "]", "a.rb"), ("{", "}", "a.c"), ("f(", ")", "a.go")] {
        let source = open.repeat(20_000) + &close.repeat(20_000);
        let scan = scan_file(name, &source, None);
        assert!(scan.syntax_error.is_some(), "{name}");
    }
    // A long sum is deep too, and still a value.
    let sum = "a + ".repeat(1_500);
    assert_eq!(found("a.js", &format!("eval({sum}'1');\n"), None), ["1:code-injection"]);
}
