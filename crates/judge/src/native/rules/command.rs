//! Commands given to a shell, and arguments given to programs.

use crate::native::{
    engine::Engine,
    names,
    rule::{Call, Check},
    value::{HOLE, Value, clean, taint},
};
use ruff_python_ast::Expr;
use ruff_text_size::Ranged;

rule!(SHELL, "command-injection", [78, 77, 88, 74], Critical, High,
    what: "Looks for command lines with foreign parts that a shell will read.",
    why: "A shell takes `;`, `|`, `$()` and quotes in the value for syntax, so whoever chose it runs commands.",
    remedy: "pass a list of arguments to subprocess without `shell=True`, with `--` before foreign values",
    [Check::Call(STARTERS, started)]);

rule!(WRAPPER, "command-string-building", [78, 77, 88, 74], High, Medium,
    what: "Looks for command lines put together from strings and handed to a function that runs commands.",
    why: "Whatever runs the text at last, a shell or a remote one, takes spaces and metacharacters in a value for syntax.",
    remedy: "pass the command as a list of arguments, or quote each value with `shlex.quote`",
    [Check::AnyCall(wrapped), Check::Call(RUNNERS, split_up)]);

rule!(OPTION, "argument-injection", [88, 77], Medium, Low,
    what: "Looks for foreign values that a program may take for options.",
    why: "A value that begins with `-` is an option to most programs, and some options write files or run commands.",
    remedy: "put `--` before foreign arguments, or refuse those that begin with `-`",
    [Check::Call(RUNNERS, options)]);

rule!(SEARCH_PATH, "command-by-search-path", [426, 427], Low, Low,
    what: "Looks for administrative programs started by bare name with a search path that the code extends.",
    why: "Whoever can write to an earlier folder of the search path decides which program runs.",
    remedy: "name the program by its absolute path",
    [Check::Call(RUNNERS, bare_name)]);

rule!(UNCHECKED, "unchecked-return-code", [252, 754, 253], Low, Medium,
    what: "Looks for programs whose exit status nobody reads.",
    why: "The program may have failed, and the code goes on as if its work were done.",
    remedy: "pass `check=True`, or look at the return code",
    [Check::Call(&["run", "call", "system"], unchecked)]);

const RUNNERS: &[&str] = &["run", "call", "check_call", "check_output", "Popen"];
const STARTERS: &[&str] = &[
    "run",
    "call",
    "check_call",
    "check_output",
    "Popen",
    "system",
    "popen",
    "popen2",
    "popen3",
    "popen4",
    "getoutput",
    "getstatusoutput",
    "create_subprocess_shell",
    "exec_command",
    "spawn",
    "execl",
    "execlp",
    "spawnl",
    "spawnlp",
    "sh",
];

fn is_subprocess(call: &Call<'_>) -> bool {
    call.path.starts_with("subprocess.") || (call.path == call.name && call.name != "run" && call.name != "call")
}

fn harmful<'a>(cx: &Engine<'a>, command: &Value<'a>) -> bool {
    let foreign = taint::FOREIGN | taint::RANDOM;
    if command.built() {
        cx.open(command, clean::SHELL)
    } else {
        command.dynamic() && cx.dirty(command, foreign & !taint::FILE & !taint::ENV, clean::SHELL)
    }
}

/// `run("tool {}".format(x))` and `run(command.split())`: without a shell a value with spaces still becomes several arguments.
fn split_up<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if !is_subprocess(call) || !RUNNERS.contains(&call.name) {
        return;
    }
    let Some(command) = call.arg(0, "args") else { return };
    let text = command.text();
    let shell = call.keyword("shell").is_some_and(|s| s.is_bool(true));
    let whole = command.built() && text.trim_matches(HOLE).contains(' ') && !shell && command.expr.is_some_and(string);
    let parts = match command.expr {
        Some(Expr::Call(split)) if names::last(&split.func) == "split" && split.arguments.is_empty() => {
            let line = split.func.as_attribute_expr().map(|a| cx.peek(&a.value)).unwrap_or_default();
            let chosen = taint::PARAM | taint::OUTSIDE;
            (line.built() && cx.open(&line, clean::SHELL)
                || line.text.is_none() && cx.dirty(&line, chosen, clean::SHELL))
                && !line.from(taint::ENV | taint::FILE)
        }
        _ => false,
    };
    if parts || whole && cx.open(command, clean::SHELL) {
        cx.report_from(&WRAPPER, call.range, Some(command));
    }
}

/// Whether an expression is a string, and not a list that holds one.
fn string(expr: &Expr) -> bool {
    matches!(expr, Expr::FString(_) | Expr::BinOp(_) | Expr::StringLiteral(_))
        || expr.as_call_expr().is_some_and(|c| names::last(&c.func) == "format")
}

fn started<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(command) = call.arg(0, "args").or_else(|| call.keyword("cmd")).or_else(|| call.keyword("command")) else {
        return;
    };
    let shell = match call.name {
        "run" | "call" | "check_call" | "check_output" | "Popen" if is_subprocess(call) => {
            call.keyword("shell").is_some_and(|s| s.is_bool(true) || s.as_int().is_some_and(|i| i != 0))
                || via_shell(cx, command)
        }
        "system" => call.is(&["os.system", "system"]),
        "popen" | "popen2" | "popen3" | "popen4" => call.under(&["os.", "popen2."]) || call.path == "popen",
        "getoutput" | "getstatusoutput" => call.under(&["subprocess.", "commands."]) || call.receiver.is_none(),
        "create_subprocess_shell" => true,
        "exec_command" => command.built(),
        "execl" | "execlp" | "spawnl" | "spawnlp" => call.under(&["os."]),
        "spawn" => call.is(&["pexpect.spawn", "pty.spawn"]),
        _ => false,
    };
    if !shell {
        return;
    }
    let command = match command.expr {
        Some(Expr::List(list)) if via_shell(cx, command) => {
            list.elts.get(2).map(|script| cx.peek(script)).unwrap_or_default()
        }
        _ => command.clone(),
    };
    if harmful(cx, &command) {
        cx.report_from(&SHELL, call.range, Some(&command));
    }
}

/// `["sh", "-c", script]`
fn via_shell<'a>(cx: &mut Engine<'a>, command: &Value<'a>) -> bool {
    let Some(Expr::List(list)) = command.expr else { return false };
    let [shell, flag, ..] = list.elts.as_slice() else { return false };
    let (shell, flag) = (cx.peek(shell), cx.peek(flag));
    matches!(flag.as_str(), Some("-c" | "/c" | "-lc"))
        && shell.as_str().is_some_and(|s| matches!(s.rsplit('/').next(), Some("sh" | "bash" | "zsh" | "cmd" | "dash")))
}

const RUNS: &names::Words =
    &names::Words::of(&["cli", "ssh", "shell", "cmd", "command", "exec", "execute", "rcmd", "commands", "getoutput"]);

fn wrapped<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if !call.args.iter().any(Value::built) {
        return;
    }
    let known = call.under(&["subprocess.", "os."]) || call.receiver.is_none();
    let runner = RUNNERS.contains(&call.name) && !known || call.name == "sudo";
    if !runner && (!names::has_word(call.name, RUNS) || STARTERS.contains(&call.name)) {
        return;
    }
    let certain = names::has_word(call.name, const { &names::Words::of(&["ssh", "cli", "shell", "cmd", "command"]) });
    for (argument, expr) in call.args.iter().zip(&call.expr.arguments.args) {
        let called_so = certain || names::mentions(names::last(expr), &["cmd", "command"]);
        let text = argument.text();
        if runner && !called_so {
            continue;
        }
        let spaced = called_so && text.trim_matches(HOLE).contains(' ') && !super::sql::starts_as_sql(text);
        if argument.built() && (looks_like_command(text) || spaced) && cx.open(argument, clean::SHELL) {
            cx.report_from(&WRAPPER, call.range, Some(argument));
            return;
        }
    }
}

/// A program's name, a space, and something dynamic later on.
fn looks_like_command(text: &str) -> bool {
    let head = text.trim_start().split([' ', HOLE]).next().unwrap_or("");
    let program =
        !head.is_empty() && head.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_./".contains(&b));
    let first_hole = text.find(HOLE).unwrap_or(0);
    program && text[..first_hole].contains(' ') && !super::sql::starts_as_sql(text) && !text.contains("://")
}

fn options<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if !is_subprocess(call) {
        return;
    }
    let Some(Expr::List(list)) = call.arg(0, "args").and_then(|c| c.expr) else { return };
    // Only where the foreign value stands alone and last: between other arguments an option finds no room.
    let dynamic = list.elts.iter().filter(|e| !matches!(e, Expr::StringLiteral(_) | Expr::NumberLiteral(_))).count();
    if dynamic != 1 || list.elts.last().is_some_and(|e| e.is_string_literal_expr()) {
        return;
    }
    let mut previous = String::new();
    for (i, element) in list.elts.iter().enumerate() {
        let value = cx.peek(element);
        let text = value.as_str().unwrap_or("").to_owned();
        let program = i == 0
            && matches!(
                text.rsplit('/').next(),
                Some("sh" | "bash" | "zsh" | "dash" | "echo" | "printf" | "python" | "python3")
            );
        if i == 0 && value.dynamic() || program || matches!(text.as_str(), "--" | "--end-of-options") {
            return;
        }
        let option_value =
            matches!(previous.as_str(), "-e" | "-o" | "-C" | "-f" | "-czf" | "-cf" | "-i" | "-in" | "-out" | "-p");
        let bare = value.text.is_none_or(|t| t.starts_with(HOLE));
        if i > 0
            && value.dynamic()
            && bare
            && !option_value
            && !element.is_starred_expr()
            && cx.dirty(&value, taint::PARAM | taint::REQUEST | taint::INPUT, clean::ARG)
            && cx.clean(&value) & clean::SHELL == 0
        {
            cx.report_from(&OPTION, element.range(), Some(&value));
            return;
        }
        previous = text;
    }
}

fn bare_name<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    // A bare name alone is what every program does; with a search path of the code's own making it is a weakness.
    if !is_subprocess(call) || !cx.function_text().contains("PATH") {
        return;
    }
    let Some(Expr::List(list)) = call.arg(0, "args").and_then(|c| c.expr) else { return };
    let Some(first) = list.elts.first() else { return };
    let first = cx.peek(first);
    if first.as_str().is_some_and(|s| !s.contains('/') && !s.is_empty()) {
        cx.report(&SEARCH_PATH, call.range);
    }
}

fn unchecked<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if call.discarded
        && call.is(&["subprocess.run", "subprocess.call", "os.system"])
        && !call.open_ended()
        && call.keyword("check").is_none()
    {
        cx.report(&UNCHECKED, call.range);
    }
}
