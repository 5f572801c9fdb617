//! Permissions, temporary files, races and files left open.

use crate::native::{
    engine::Engine,
    names,
    rule::{Call, Check},
};
use memchr::memmem;
use ruff_python_ast::{Expr, Stmt, StmtFunctionDef, StmtIf};
use ruff_text_size::{Ranged, TextRange};

rule!(MODE, "wide-permissions", [732, 276, 277, 279], Medium, High,
    what: "Looks for files and folders that everybody may write, or that everybody may read though they are private.",
    why: "Every user of the machine can change or read them.",
    remedy: "use `0o600` for files and `0o700` for folders",
    [Check::Call(&["chmod", "fchmod", "lchmod", "open", "mkdir", "makedirs", "mkfifo"], mode)]);

rule!(UMASK, "umask-open", [276, 732, 277], Medium, High,
    what: "Looks for a umask that lets everybody write.",
    why: "Every file made afterwards can be changed by every user.",
    remedy: "use `os.umask(0o077)`",
    [Check::Call(&["umask"], umask)]);

rule!(TEMPORARY, "predictable-temporary-name", [377, 367, 379], Medium, High,
    what: "Looks for temporary names that exist before their file does.",
    why: "Somebody else can put a file or a link there first.",
    remedy: "use `tempfile.NamedTemporaryFile` or `tempfile.mkstemp`",
    [Check::Call(&["mktemp", "tempnam", "tmpnam"], mktemp)]);

rule!(FIXED_TEMPORARY, "fixed-temporary-path", [379, 377, 378], Low, Medium,
    what: "Looks for files of a fixed name in a folder that everybody shares.",
    why: "Somebody else can put a file or a link of that name there first, and read or redirect what is written.",
    remedy: "use `tempfile.mkdtemp` or `tempfile.TemporaryDirectory`",
    [Check::Call(&["open", "makedirs", "mkdir", "write_text", "write_bytes", "copy", "move", "rename", "copyfile", "unlink", "remove", "connect"], shared)]);

rule!(CHECK_THEN_USE, "check-then-use", [367, 362, 363], Medium, Medium,
    what: "Looks for files that are tested first and created afterwards.",
    why: "Between the two somebody else can create the file, or a link.",
    remedy: "open with mode `\"x\"`, or do the operation and handle its error",
    [Check::Statement(race)]);

rule!(LEFT_OPEN, "file-left-open", [772, 404, 775], Low, High,
    what: "Looks for files that are opened and never closed.",
    why: "Handles run out, and what was written may stay in the buffer.",
    remedy: "use `with open(..)`",
    [Check::Function(left_open)]);

rule!(SECRET_FILE, "secret-file-mode", [522, 732, 276], Medium, Low,
    what: "Looks for secrets written to files with the usual permissions.",
    why: "The file is readable by every user of the machine.",
    remedy: "create it with `os.open(path, flags, 0o600)`",
    [Check::Call(&["write", "dump", "writelines", "write_text"], secret)]);

fn mode<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let bits = match call.name {
        "chmod" | "fchmod" | "lchmod" => {
            let position =
                usize::from(call.under(&["os."]) || call.receiver.as_ref().is_some_and(|r| r.path() == "os"));
            call.arg(position, "mode")
        }
        "open" if call.is(&["os.open"]) => call.arg(2, "mode"),
        "mkdir" | "makedirs" if call.under(&["os."]) => call.arg(1, "mode"),
        "mkfifo" => call.arg(1, "mode"),
        "mkdir" => call.keyword("mode"),
        _ => None,
    };
    let Some(bits) = bits else { return };
    let number = bits.as_int().or_else(|| bits.expr.and_then(|e| stat_bits(cx.text(e))));
    // A mode given at creation is chosen for this file; one that lets the group write is as wide.
    let wide = if call.name == "open" { 0o022 } else { 0o002 };
    if number.is_some_and(|m| m & wide != 0 && m & 0o1000 == 0) {
        cx.report(&MODE, call.range);
    }
}

/// `stat.S_IRWXU | stat.S_IWOTH`
fn stat_bits(text: &str) -> Option<i64> {
    (text.contains("S_IWOTH") || text.contains("S_IRWXO")).then_some(0o002)
}

fn umask<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if call.under(&["os."]) && call.args.first().and_then(|m| m.as_int()).is_some_and(|m| m & 0o002 == 0) {
        cx.report(&UMASK, call.range);
    }
}

fn mktemp<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if call.is(&["tempfile.mktemp", "os.tempnam", "os.tmpnam"]) || matches!(call.path, "mktemp" | "tempfile.mktemp") {
        cx.report(&TEMPORARY, call.range);
    }
}

fn shared<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let value = match call.name {
        "write_text" | "write_bytes" => call.receiver.as_ref(),
        "open" => {
            let writes = call.arg(1, "mode").and_then(|m| m.as_str()).is_some_and(|m| m.contains(['w', 'a']));
            call.args.first().filter(|_| writes && call.is(&["open", "io.open"]))
        }
        "makedirs" | "mkdir" => call.args.first().filter(|_| call.under(&["os."])),
        _ => None,
    };
    let Some(value) = value else { return };
    let text = value.text();
    let folder = ["/tmp/", "/var/tmp/", "/dev/shm/"].iter().any(|p| text.starts_with(p));
    if folder && !value.built() && !value.dynamic() || folder && value.built() && predictable(text) {
        cx.report(&FIXED_TEMPORARY, call.range);
    }
}

/// Whether the name after the folder begins with constant text that anybody can know.
fn predictable(text: &str) -> bool {
    text.splitn(4, '/').last().is_some_and(|name| !name.starts_with('\0'))
}

fn race<'a>(cx: &mut Engine<'a>, stmt: &'a Stmt) {
    let Stmt::If(s) = stmt else { return };
    let Some((subject, wanted_absent)) = existence(cx, &s.test) else { return };
    let from = s.start();
    let rest = match cx.function() {
        Some(f) => &cx.source[TextRange::new(from, f.def.end())],
        None => &cx.source[usize::from(from)..],
    };
    // Created where it was absent; or removed, renamed and opened where it was present.
    let created = [
        format!("open({subject}, \"w"),
        format!("open({subject}, 'w"),
        format!("os.mkdir({subject}"),
        "os.symlink(".to_owned(),
        "shutil.move(".to_owned(),
        format!("{subject}.write_text("),
        format!("{subject}.write_bytes("),
        format!("{subject}.open(\"w"),
        format!("{subject}.mkdir()"),
        "os.rename(".to_owned(),
    ];
    let removed = [
        format!("os.remove({subject}"),
        format!("os.unlink({subject}"),
        format!("os.chmod({subject}"),
        format!("os.chown({subject}"),
    ];
    let access = cx.text(s.test.as_ref()).contains("os.access(");
    let opened = access && rest.contains(&format!("open({subject}"));
    let found = wanted_absent && created.iter().any(|c| rest.contains(c.as_str()))
        || !wanted_absent && removed.iter().any(|c| rest.contains(c.as_str()))
        || opened;
    if found {
        cx.report(&CHECK_THEN_USE, s.test.range());
    }
}

/// The path whose existence a test asks for, and whether the code goes on when it is absent.
fn existence<'a>(cx: &Engine<'a>, test: &'a Expr) -> Option<(&'a str, bool)> {
    let (negated, inner) = match test {
        Expr::UnaryOp(op) if op.op == ruff_python_ast::UnaryOp::Not => (true, op.operand.as_ref()),
        other => (false, other),
    };
    let Expr::Call(call) = inner else { return None };
    let name = names::last(&call.func);
    if !matches!(name, "exists" | "isfile" | "lexists" | "isdir" | "is_file" | "access" | "is_dir") {
        return None;
    }
    let subject = match call.arguments.args.first() {
        Some(argument) => cx.text(argument),
        None => cx.text(call.func.as_attribute_expr()?.value.as_ref()),
    };
    Some((subject, negated || leaves_when_present(cx, test)))
}

/// `if exists(path): raise`: what follows runs when the path is absent.
fn leaves_when_present<'a>(cx: &Engine<'a>, test: &'a Expr) -> bool {
    let after = &cx.source[usize::from(test.end())..];
    let body = after.trim_start_matches([':', ' ', '\n', '\r', '\t']);
    ["raise", "return", "continue", "sys.exit"].iter().any(|k| body.starts_with(k))
}

fn left_open<'a>(cx: &mut Engine<'a>, def: &'a StmtFunctionDef) {
    let text = cx.text(def);
    if memmem::find(text.as_bytes(), b"open").is_none() {
        return;
    }
    let mut stack: Vec<&'a [Stmt]> = vec![&def.body];
    while let Some(body) = stack.pop() {
        for stmt in body {
            match stmt {
                Stmt::Assign(s) => {
                    let ([Expr::Name(handle)], Expr::Call(call)) = (s.targets.as_slice(), s.value.as_ref()) else {
                        continue;
                    };
                    let name = handle.id.as_str();
                    let opened = cx
                        .peek(&call.func)
                        .path
                        .is_some_and(|p| matches!(p, "open" | "io.open" | "codecs.open" | "gzip.open"));
                    if !opened {
                        continue;
                    }
                    let kept = text.contains(&format!("{name}.close"))
                        || text.contains(&format!("return {name}\n"))
                        || text.trim_end().ends_with(&format!("return {name}"))
                        || text.contains(&format!("with {name}"))
                        || text.contains(&format!("closing({name}"))
                        || text.contains(&format!("yield {name}"))
                        || text.contains(&format!("enter_context({name}"))
                        || text.contains(&format!("= {name}\n"))
                        || text.contains(&format!("={name},"))
                        || text.contains(&format!("={name})"))
                        || text.contains(&format!(".append({name})"));
                    if !kept {
                        cx.report(&LEFT_OPEN, s.range());
                    }
                }
                Stmt::If(StmtIf { body, elif_else_clauses, .. }) => {
                    stack.push(body);
                    stack.extend(elif_else_clauses.iter().map(|c| c.body.as_slice()));
                }
                Stmt::For(s) => stack.push(&s.body),
                Stmt::While(s) => stack.push(&s.body),
                Stmt::Try(s) => stack.push(&s.body),
                Stmt::With(s) => stack.push(&s.body),
                _ => {}
            }
        }
    }
}

fn secret<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let handle = match call.name {
        "dump" => call.args.get(1),
        _ => call.receiver.as_ref(),
    };
    if !handle.is_some_and(|h| h.path().ends_with("open()") && !h.path().contains("os.")) {
        return;
    }
    let Some(content) = call.expr.arguments.args.first() else { return };
    let secret_words = &["secret", "credential", "password", "token", "privatekey", "login", "passwd", "apikey"];
    let named =
        names::mentions(names::last(content), &["secret", "credential", "password", "token", "privatekey", "passwd"])
            && !super::logs::about(names::last(content));
    let function = names::mentions(cx.function_name(), secret_words);
    let value = cx.peek(content);
    let named = named || super::passwords::reads_password(content) && content.is_bin_op_expr();
    if !(named || function) || !value.dynamic() || !value.from(crate::native::value::taint::PARAM) {
        return;
    }
    let text = cx.function_text();
    if !["chmod", "os.open", "umask", "opener=", "encrypt", "Fernet"].iter().any(|s| text.contains(s)) {
        cx.report(&SECRET_FILE, call.range);
    }
}
