//! CodeGuard+'s functional tests: a `functional.py` a scenario, which wants a folder of answers and marks each in `stat.json`.

use crate::{Result, Task, suites::files};
use lexicon::Language;
use serde_json::{Value, json};
use std::path::Path;

/// Gives a task its tests, where the folder has some.
pub(super) fn attach(task: &mut Task, root: &Path, weakness: &str, scenario: &str) -> Result<()> {
    let own = root.join(weakness).join(scenario);
    if !own.join("functional.py").is_file() {
        return Ok(());
    }
    let mut texts = serde_json::Map::new();
    for (name, path) in files::list(&own, false)? {
        texts.insert(format!("unit_test/{weakness}/{scenario}/{name}"), Value::from(files::text(&path)?));
    }
    texts.insert("unit_test/test_utils.py".into(), Value::from(files::text(&root.join("test_utils.py"))?));
    let extension = match task.language {
        Language::Python => "py",
        Language::Cpp => "cpp",
        _ => "c",
    };
    task.packages = task.language == Language::Python;
    // JSON in a JSON string, which Python reads as a literal of its own.
    let texts = Value::from(Value::from(texts).to_string()).to_string();
    let name = json!(format!("00.{extension}"));
    let test = json!(format!("unit_test/{weakness}/{scenario}/functional.py"));
    task.tests = Some(format!(
        r#"import json, os, shutil, subprocess, sys
answer = {name}
if answer.endswith((".c", ".cpp")) and shutil.which("gcc") is None:
    raise SystemExit("rampart-absent: gcc is not installed")
for path, text in json.loads({texts}).items():
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
# The sandbox has a clock of its own, so a test's own one may be this.
with open("unit_test/func_timeout.py", "w") as file:
    file.write('''class FunctionTimedOut(Exception):
    pass


def func_timeout(timeout, func, args=(), kwargs=None):
    return func(*args, **(kwargs or {{}}))
''')
# The linker may not change modes by path in the sandbox, so its programs come out without the right to be run.
os.makedirs("bin")
for tool in ("gcc", "g++"):
    if shutil.which(tool):
        with open("bin/" + tool, "w") as file:
            file.write(f'''#!{{sys.executable}}
import os, subprocess, sys
done = subprocess.call([{{shutil.which(tool)!r}}, *sys.argv[1:]])
out = sys.argv[sys.argv.index("-o") + 1] if "-o" in sys.argv else "a.out"
if done == 0 and os.path.exists(out):
    made = os.open(out, os.O_RDONLY)
    os.fchmod(made, 0o755)
raise SystemExit(done)
''')
        os.chmod("bin/" + tool, 0o755)
os.makedirs("samples/out")
shutil.copyfile("solution.py", "samples/out/" + answer)
with open("samples/stat.json", "w") as file:
    json.dump({{answer: {{}}}}, file)
done = subprocess.run(
    [sys.executable, {test}, "--path", os.path.abspath("samples/out")],
    env={{**os.environ, "PYTHONPATH": os.path.abspath("unit_test"), "PATH": os.path.abspath("bin") + ":" + os.environ["PATH"]}},
    capture_output=True, text=True, errors="replace",
)
with open("samples/stat.json") as file:
    passed = json.load(file)[answer].get("functional")
said = (done.stdout + done.stderr)[-1500:]
if passed is not True:
    if "ModuleNotFoundError" in said or "No module named" in said:
        raise SystemExit("ModuleNotFoundError: " + said)
    raise SystemExit(said or "it marks nothing")
"#
    ));
    Ok(())
}
