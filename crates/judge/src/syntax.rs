//! Whether code of any language parses: Python in process, others by their own compiler in the sandbox.
//!
//! A compiler reads hostile text and follows its `#include`s, so it is confined like a program; it does not run the code.

use crate::{
    parallel, python,
    sandbox::{self, Program, Sandbox},
};
use lexicon::{Language, TestOutcome};
use std::{collections::HashMap, time::Duration};

/// Time for one file. `javac` starts slowly.
const WALL: Duration = Duration::from_secs(20);

/// How a driver says that its compiler is not here, or a header or package of the code is not.
const ABSENT: &str = "rampart-absent: ";

/// What is known of a piece of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// It parses.
    Good,
    /// It does not, for this reason.
    Bad(String),
    /// Nothing here can tell.
    Unknown(String),
}

/// One answer a piece of code, in order.
pub(crate) fn check(codes: &[(Language, &str)], sandbox: Option<&Sandbox>) -> Result<Vec<Syntax>, sandbox::Error> {
    let mut distinct: Vec<(Language, &str)> = Vec::new();
    let mut place: HashMap<(Language, &str), usize> = HashMap::new();
    for &code in codes {
        place.entry(code).or_insert_with(|| {
            distinct.push(code);
            distinct.len() - 1
        });
    }
    let known: Result<Vec<Syntax>, _> =
        parallel::map(&distinct, |&(language, source)| one(language, source, sandbox), || ()).into_iter().collect();
    let known = known?;
    Ok(codes.iter().map(|code| known[place[code]].clone()).collect())
}

fn one(language: Language, source: &str, sandbox: Option<&Sandbox>) -> Result<Syntax, sandbox::Error> {
    let Some(compiler) = compiler(language) else {
        return Ok(python::parse(source).err().map_or(Syntax::Good, |e| Syntax::Bad(e.to_string())));
    };
    let Some(sandbox) = sandbox else {
        return Ok(Syntax::Unknown(format!(
            "{language} is parsed by {} in the sandbox, and nothing is run",
            compiler.program
        )));
    };
    let script = driver(&compiler);
    let outcome = sandbox.run(&Program { solution: source, script: &script, packages: false, wall: WALL })?;
    Ok(match outcome {
        TestOutcome::Passed => Syntax::Good,
        TestOutcome::Failed(text) => match text.lines().last().and_then(|l| l.trim().strip_prefix(ABSENT)) {
            Some(what) => Syntax::Unknown(what.to_owned()),
            None => Syntax::Bad(text.lines().take(4).collect::<Vec<_>>().join("\n")),
        },
        TestOutcome::TimedOut => Syntax::Bad(format!("{} did not end within {} s", compiler.program, WALL.as_secs())),
        TestOutcome::Killed(signal) => Syntax::Bad(format!("{} was ended by {signal}", compiler.program)),
    })
}

struct Compiler {
    program: &'static str,
    /// File that it reads.
    file: &'static str,
    arguments: &'static [&'static str],
    /// Complaints that are about this machine, not about the code.
    missing: &'static [&'static str],
}

/// None for Python, which needs no program.
fn compiler(language: Language) -> Option<Compiler> {
    Some(match language {
        Language::Python => return None,
        Language::C => Compiler {
            program: "gcc",
            file: "main.c",
            arguments: &["-fsyntax-only", "-w"],
            missing: &["No such file or directory"],
        },
        Language::Cpp => Compiler {
            program: "g++",
            file: "main.cpp",
            arguments: &["-fsyntax-only", "-w"],
            missing: &["No such file or directory"],
        },
        Language::Go => Compiler { program: "gofmt", file: "main.go", arguments: &["-e", "-l"], missing: &[] },
        Language::Java => Compiler {
            program: "javac",
            file: "Main.java",
            arguments: &[
                "-J-Xmx128m",
                "-J-XX:+UseSerialGC",
                "-J-XX:ActiveProcessorCount=1",
                "-J-XX:CompressedClassSpaceSize=64m",
                "-J-XX:ReservedCodeCacheSize=64m",
                "-proc:none",
                "-nowarn",
                "-d",
                ".",
            ],
            missing: &["does not exist", "cannot find symbol", "should be declared in a file named"],
        },
        Language::JavaScript => Compiler { program: "node", file: "main.js", arguments: &["--check"], missing: &[] },
        Language::Ruby => Compiler { program: "ruby", file: "main.rb", arguments: &["-c"], missing: &[] },
    })
}

/// A Python script that lets the compiler look at `solution.py`, which holds the code.
fn driver(c: &Compiler) -> String {
    let Compiler { program, file, arguments, missing } = c;
    format!(
        r#"import os, shutil, subprocess, sys
# Each arena of the C library reserves address space, which is limited.
os.environ["MALLOC_ARENA_MAX"] = "1"
program = shutil.which({program:?})
if program is None:
    raise SystemExit("{ABSENT}{program} is not installed")
shutil.copyfile("solution.py", {file:?})
done = subprocess.run([program, *{arguments:?}, {file:?}], capture_output=True, text=True, errors="replace")
if done.returncode:
    said = done.stdout + done.stderr
    if "initialization of VM" in said or "java.lang.InternalError" in said or "insufficient memory for the Java" in said:
        raise SystemExit("{ABSENT}{program} does not start in the sandbox")
    errors = [line for line in said.splitlines() if "error:" in line]
    if errors and all(any(word in line for word in {missing:?}) for line in errors):
        raise SystemExit("{ABSENT}" + errors[0])
    raise SystemExit(said[:1500] or "{program} refuses it")
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_language_has_good_and_bad() -> Result<(), sandbox::Error> {
        let sandbox = match Sandbox::detect(Path::new("python3")) {
            Ok(sandbox) => sandbox,
            Err(why) => {
                eprintln!("skipped: {why}");
                return Ok(());
            }
        };
        let cases: &[(Language, &str, &str)] = &[
            (Language::Python, "x = 1\n", "x = (\n"),
            (Language::C, "int main(void) { return 0; }\n", "int main(void) { return 0\n"),
            (Language::Cpp, "#include <vector>\nint f() { return 0; }\n", "int f() { return\n"),
            (Language::Go, "package main\nfunc f() {}\n", "package main\nfunc f( {\n"),
            (Language::Java, "class A { int f() { return 1; } }\n", "class A { int f() { return 1 } }\n"),
            (Language::JavaScript, "const f = () => 1;\n", "const f = () => {;\n"),
            (Language::Ruby, "def f\nend\n", "def f(\n"),
        ];
        for &(language, good, bad) in cases {
            let known = check(&[(language, good), (language, bad), (language, good)], Some(&sandbox))?;
            if let Syntax::Unknown(why) = &known[0] {
                eprintln!("skipped: {language}: {why}");
                continue;
            }
            assert_eq!((&known[0], &known[2]), (&Syntax::Good, &Syntax::Good), "{language}");
            assert!(matches!(known[1], Syntax::Bad(_)), "{language}: {:?}", known[1]);
        }
        let header = check(&[(Language::C, "#include <no/such.h>\nint f(void) { return 0; }\n")], Some(&sandbox))?;
        assert!(matches!(header[0], Syntax::Unknown(_)), "{header:?}");
        assert!(matches!(check(&[(Language::C, "int")], None)?[0], Syntax::Unknown(_)));
        Ok(())
    }
}
