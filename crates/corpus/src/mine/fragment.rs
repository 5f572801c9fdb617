//! What a patch shows of a file, as code that can be parsed: the head of the function around goes before a hunk, lines of context
//! at its ends go, and what is open is closed; the same on both sides, and as little of it as makes both parse.
//!
//! A fragment lacks what lies between its head and its first line. Nobody can tell how much that is, so its pairs say that they
//! are of a fragment.

use super::{patch::Hunk, screen::Changed};
use judge::{languages, languages::Dialect, python};

/// Lines of context that are tried without, at each end: git shows three.
const CONTEXT: usize = 3;
/// Braces that are closed at most.
const OPEN: usize = 8;

/// The parts of a file that can be judged; the file as it is where none can be made.
#[must_use]
pub fn pieces(file: &Changed, hunks: &[Hunk]) -> Vec<Changed> {
    let of = |[before, after]: [String; 2]| Changed { before, after, ..file.clone() };
    let whole = [file.before.clone(), file.after.clone()];
    let sound = parse(file.dialect, &whole);
    if sound && languages::has_function(file.dialect, &file.before) {
        return vec![of(whole)];
    }
    let framed: Vec<[String; 2]> = together(hunks).iter().filter_map(|h| frame(file.dialect, h)).collect();
    let joined = [0, 1].map(|side| framed.iter().map(|f| f[side].as_str()).collect::<String>());
    let has_function = |sides: &[String; 2]| languages::has_function(file.dialect, &sides[0]);
    if framed.len() > 1 && has_function(&joined) && parse(file.dialect, &joined) {
        return vec![of(joined)];
    }
    let apart: Vec<Changed> = framed.into_iter().filter(|f| f[0] != f[1] && has_function(f)).map(of).collect();
    if apart.is_empty() { vec![of(whole)] } else { apart }
}

/// Hunks of one function, by their heading, as one.
fn together(hunks: &[Hunk]) -> Vec<Hunk> {
    let mut out: Vec<Hunk> = Vec::new();
    for hunk in hunks {
        match out.last_mut().filter(|last| !hunk.heading.is_empty() && last.heading == hunk.heading) {
            Some(last) => {
                last.before.push_str(&hunk.before);
                last.after.push_str(&hunk.after);
            }
            None => out.push(hunk.clone()),
        }
    }
    out
}

/// Both sides of a hunk as code that parses, or nothing.
fn frame(dialect: Dialect, hunk: &Hunk) -> Option<[String; 2]> {
    let lines = [&hunk.before, &hunk.after].map(|text| text.split_inclusive('\n').collect::<Vec<_>>());
    let shorter = lines[0].len().min(lines[1].len());
    let lead = (0..shorter).take_while(|&i| lines[0][i] == lines[1][i]).count().min(CONTEXT);
    let from_end = |side: usize, i: usize| lines[side][lines[side].len() - 1 - i];
    let trail = (0..shorter - lead).take_while(|&i| from_end(0, i) == from_end(1, i)).count().min(CONTEXT);
    let mut cuts: Vec<(usize, usize)> = (0..=lead).flat_map(|a| (0..=trail).map(move |b| (a, b))).collect();
    cuts.sort_by_key(|(a, b)| a + b);
    let heads = heads(dialect, &hunk.heading);
    for head in &heads {
        for (first, last) in &cuts {
            let kept = [0, 1].map(|side| lines[side][*first..lines[side].len() - last].concat());
            let kept = if head.is_empty() { level(kept) } else { kept };
            let sides = kept.map(|text| closed(dialect, format!("{head}{text}")));
            if !sides[0].trim().is_empty() && parse(dialect, &sides) {
                return Some(sides);
            }
        }
    }
    None
}

/// What may stand before a hunk, the likeliest first.
fn heads(dialect: Dialect, heading: &str) -> Vec<String> {
    let mut out = Vec::new();
    let braces = !matches!(dialect, Dialect::Python | Dialect::Ruby);
    if !heading.is_empty() {
        let open = braces && heading.ends_with(')');
        let head = format!("{heading}{}\n", if open { " {" } else { "" });
        if dialect == Dialect::Java {
            out.push(format!("class Fragment {{\n{head}"));
        }
        out.push(head);
    }
    out.push(String::new());
    if dialect == Dialect::Java {
        out.push("class Fragment {\n".to_owned());
    }
    out
}

/// Without the blanks that all lines of both sides begin with.
fn level(sides: [String; 2]) -> [String; 2] {
    let lines = || sides.iter().flat_map(|s| s.lines()).filter(|l| !l.trim().is_empty());
    let Some(first) = lines().next() else { return sides };
    let blanks = first.len() - first.trim_start_matches([' ', '\t']).len();
    let common = lines().fold(&first[..blanks], |common, line| {
        let same = common.bytes().zip(line.bytes()).take_while(|(a, b)| a == b).count();
        &common[..same]
    });
    if common.is_empty() {
        return sides;
    }
    let cut = |text: &String| text.split_inclusive('\n').map(|l| l.strip_prefix(common).unwrap_or(l)).collect();
    [cut(&sides[0]), cut(&sides[1])]
}

/// With what was opened and not closed closed at the end.
fn closed(dialect: Dialect, mut text: String) -> String {
    match dialect {
        Dialect::Python => {}
        Dialect::Ruby => {
            // Which words open a block depends on where they stand: the grammar tells.
            let ends = (0..=3).find(|n| languages::check(dialect, &format!("{text}{}", "end\n".repeat(*n))).is_ok());
            text.push_str(&"end\n".repeat(ends.unwrap_or(0)));
        }
        _ => {
            let open = text.matches('{').count().saturating_sub(text.matches('}').count());
            text.push_str(&"}\n".repeat(open.min(OPEN)));
        }
    }
    text
}

fn parse(dialect: Dialect, sides: &[String; 2]) -> bool {
    sides.iter().all(|text| match dialect {
        Dialect::Python => python::parse(text).is_ok(),
        _ => languages::check(dialect, text).is_ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mine::patch;

    /// The sides before of what a file's hunks become.
    fn check(path: &str, hunks: &str, expect: &[&str]) {
        let patched = patch::parse(hunks).expect("a patch").remove(0);
        let dialect = Dialect::of(path).expect("a language");
        let (before, after) = (patched.side(false), patched.side(true));
        let file = Changed { was: path.into(), path: path.into(), before, after, dialect };
        let found: Vec<String> = pieces(&file, &patched.hunks).into_iter().map(|f| f.before).collect();
        assert_eq!(found, expect, "{hunks}");
    }

    #[test]
    fn fragments() {
        // All of a function is shown.
        let hunk = "@@ -1,3 +1,3 @@\n import os\n def f(x):\n-    os.system(x)\n+    run(x)\n";
        check("a.py", hunk, &["import os\ndef f(x):\n    os.system(x)\n"]);
        // Its head is in the heading, and the next function's in the context.
        check(
            "a.py",
            "@@ -9,4 +9,4 @@ def f(x):\n     y = x\n-    os.system(y)\n+    run(y)\n \n def g():\n",
            &["def f(x):\n    y = x\n    os.system(y)\n\n"],
        );
        // Two hunks of a function and one above it.
        check(
            "a.py",
            "@@ -1 +1 @@\n-import os\n+import sub\n@@ -9 +9 @@ def f(x):\n-    a(x)\n+    b(x)\n@@ -29 +29 @@ def f(x):\n-    c(x)\n+    d(x)\n",
            &["import os\ndef f(x):\n    a(x)\n    c(x)\n"],
        );
        check(
            "a.c",
            "@@ -9,2 +9,2 @@ void f(char *a)\n   char b[4];\n-  strcpy(b, a);\n+  strlcpy(b, a, 4);\n",
            &["void f(char *a) {\n  char b[4];\n  strcpy(b, a);\n}\n"],
        );
        check(
            "a.js",
            "@@ -9,2 +9,2 @@ function f(a) {\n   if (a) {\n-    eval(a);\n+    run(a);\n",
            &["function f(a) {\n  if (a) {\n    eval(a);\n}\n}\n"],
        );
        check("a.rb", "@@ -9 +9 @@ def f(a)\n-  eval(a)\n+  run(a)\n", &["def f(a)\n  eval(a)\nend\n"]);
        // What cannot be made to parse stays as it is.
        check("a.py", "@@ -9 +9 @@\n-  )(\n+  ((\n", &["  )(\n"]);
    }
}
