//! Foreign names in paths.

use crate::native::{
    engine::Engine,
    names,
    rule::{Call, Check},
    value::{HOLE, Value, clean, taint},
};
use ruff_python_ast::Expr;

rule!(TRAVERSAL, "path-traversal", [22, 23, 36, 73, 99], High, High,
    what: "Looks for files whose path contains a foreign name.",
    why: "`../` or a leading `/` in the name leads out of the folder, to any file the program may touch.",
    remedy: "resolve the path and check that it is inside the folder (`is_relative_to`, `commonpath`), or keep only the base name",
    [Check::Call(SINKS, opened)]);

rule!(UPLOAD, "unrestricted-upload", [434, 22, 73], High, High,
    what: "Looks for uploads saved under the name the client chose.",
    why: "The client picks the folder and the extension, so it can overwrite files or leave a program where one is run.",
    remedy: "use `secure_filename` and accept only listed extensions, or choose the name yourself",
    [Check::Call(&["save", "copyfileobj", "write_bytes"], uploaded), Check::Call(&["open"], upload_opened)]);

rule!(SYMLINK, "follows-symlink", [59, 61], Medium, Low,
    what: "Looks for files of a fixed name written into somebody else's folder.",
    why: "The owner of the folder can put a symbolic link there, and the program writes where it points.",
    remedy: "open with `os.O_NOFOLLOW`, or with `\"x\"` for a new file",
    [Check::Call(&["open"], follows)]);

rule!(DOTFILES, "serves-hidden-files", [552, 538, 548], Medium, Medium,
    what: "Looks for routes that serve any path below a folder.",
    why: "Version control, settings and other hidden files in the folder are served as well.",
    remedy: "refuse paths with a part that begins with a dot, or serve a folder that holds nothing else",
    [Check::Call(&["send_from_directory"], served)]);

const SINKS: &[&str] = &[
    "open",
    "remove",
    "unlink",
    "listdir",
    "scandir",
    "rmdir",
    "rmtree",
    "copy",
    "copyfile",
    "copy2",
    "move",
    "rename",
    "send_file",
    "FileResponse",
    "read_text",
    "write_text",
    "read_bytes",
    "write_bytes",
    "iterdir",
    "glob",
    "makedirs",
    "mkdir",
    "rglob",
    "removedirs",
    "stat",
    "getsize",
    "replace",
    "loadtxt",
    "read_csv",
    "imread",
    "static_file",
    "serve_file",
    "chdir",
    "touch",
    "walk",
];

fn foreign<'a>(cx: &Engine<'a>, value: &Value<'a>) -> bool {
    let chosen = taint::REQUEST | taint::INPUT | taint::ARCHIVE;
    if cx.clean(value) & clean::PATH != 0 {
        return false;
    }
    if value.from(chosen) {
        // In a constant name, a number or a suffix, a dynamic part still reaches every folder; after a constant host it does not.
        return !value.text().contains("://");
    }
    let text = value.text();
    let appended = text.find(HOLE).is_some_and(|h| h > 0 && text[..h].ends_with('/'));
    value.from(taint::PARAM) && (appended && !text.contains("://") || value.from(taint::JOINED) && !own_base(value))
}

/// A base folder that the caller gives together with the name: a utility, whose caller decides about both.
fn own_base(value: &Value<'_>) -> bool {
    value.text().starts_with(HOLE) && value.roots.len() > 1
}

fn opened<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let method = matches!(
        call.name,
        "read_text"
            | "write_text"
            | "read_bytes"
            | "write_bytes"
            | "iterdir"
            | "unlink"
            | "open"
            | "rmdir"
            | "mkdir"
            | "touch"
            | "glob"
            | "rglob"
            | "replace"
            | "rename"
            | "stat"
    );
    let module = call.is(&[
        "open",
        "io.open",
        "codecs.open",
        "os.open",
        "gzip.open",
        "os.remove",
        "os.unlink",
        "os.listdir",
        "os.scandir",
        "os.rmdir",
        "shutil.rmtree",
        "shutil.copy",
        "shutil.copyfile",
        "shutil.copy2",
        "shutil.move",
        "os.rename",
        "os.replace",
        "flask.send_file",
        "os.makedirs",
        "os.mkdir",
        "os.removedirs",
        "os.stat",
        "os.path.getsize",
        "starlette.responses.FileResponse",
        "fastapi.responses.FileResponse",
        "django.http.FileResponse",
        "os.chdir",
        "bottle.static_file",
        "cherrypy.lib.static.serve_file",
        "aiohttp.web.FileResponse",
        "web.FileResponse",
        "aiofiles.open",
        "pandas.read_csv",
        "numpy.loadtxt",
        "cv2.imread",
        "os.walk",
        "tarfile.open",
    ]) || matches!(call.name, "send_file" | "FileResponse");
    let value = if module {
        call.args.first().or_else(|| call.keyword("path")).or_else(|| call.keyword("file"))
    } else if method {
        call.receiver.as_ref().filter(|r| r.path().contains("pathlib.Path") || r.from(taint::JOINED))
    } else {
        None
    };
    let made = matches!(call.name, "makedirs" | "mkdir" | "stat" | "getsize");
    for value in value
        .into_iter()
        .chain(call.args.get(1).filter(|_| module && matches!(call.name, "copy" | "copyfile" | "move" | "rename")))
    {
        if foreign(cx, value) && (!made || value.from(taint::REQUEST)) && !value.path().contains("request.files") {
            cx.report_from(&TRAVERSAL, call.range, Some(value));
            return;
        }
    }
}

/// Whether a value is the name a client gave its upload.
fn client_name<'a>(cx: &Engine<'a>, value: &Value<'a>) -> bool {
    let upload = value.from(taint::REQUEST) || value.from(taint::PARAM);
    upload && cx.clean(value) & (clean::PATH | clean::EXTENSION) == 0 && reads_filename(cx, value)
}

fn reads_filename<'a>(cx: &Engine<'a>, value: &Value<'a>) -> bool {
    value.expr.is_some_and(|e| cx.text(e).contains("filename")) || value.path().ends_with("filename")
}

fn uploaded<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if call.name == "save" {
        let Some(target) = call.args.first() else { return };
        let upload = call.receiver.as_ref().is_some_and(|r| r.from(taint::REQUEST | taint::PARAM));
        let named = client_name(cx, target) || {
            let text = cx.function_text();
            text.contains(".filename") && target.from(taint::REQUEST | taint::PARAM)
        };
        // `secure_filename` settles the folder; the extension stays the client's.
        let extension = cx.clean(target) & clean::EXTENSION != 0 || checks_extension(cx.function_text());
        if upload
            && named
            && !(extension && cx.clean(target) & clean::PATH != 0)
            && target.from(taint::REQUEST | taint::PARAM)
        {
            cx.report_from(&UPLOAD, call.range, Some(target));
        }
    }
}

/// Whether a function looks at the extension of what it saves.
fn checks_extension(text: &str) -> bool {
    ["splitext", ".suffix", "rsplit(", "endswith(", "allowed_file", "ALLOWED", "content_type", "EXTENSIONS"]
        .iter()
        .any(|s| text.contains(s))
}

fn upload_opened<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(target) = call.args.first() else { return };
    let written = call.arg(1, "mode").and_then(|m| m.as_str()).is_some_and(|m| m.contains(['w', 'x']));
    if written
        && client_name(cx, target)
        && cx.text(call.range).contains("filename")
        && !checks_extension(cx.function_text())
        && cx.function_text().contains(".filename")
    {
        cx.report_from(&UPLOAD, call.range, Some(target));
    }
}

fn follows<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(path) = call.args.first() else { return };
    let written = call.arg(1, "mode").and_then(|m| m.as_str()).is_some_and(|m| m.starts_with(['w', 'a']));
    let text = path.text();
    let fixed_name = text.starts_with("\0/") && !text[2..].contains(HOLE) && text.len() > 2;
    // Only folders that belong to people: an output folder of the program's own is the usual case.
    let base = path.roots.iter().next().map_or("", |slot| cx.scopes.text(slot));
    let personal = names::mentions(base, &["home", "user", "homedir", "userdir", "spool", "inbox", "maildir"]);
    if call.path == "open"
        && written
        && fixed_name
        && personal
        && path.from(taint::PARAM)
        && !cx.function_text().contains("islink")
    {
        cx.report_from(&SYMLINK, call.range, Some(path));
    }
}

fn served<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let any_path = cx.function().is_some_and(|f| {
        f.decorators.iter().any(|(_, d)| {
            let Expr::Call(route) = d else { return false };
            route
                .arguments
                .args
                .first()
                .is_some_and(|r| r.as_string_literal_expr().is_some_and(|s| s.value.to_str().contains("<path:")))
        })
    });
    if any_path && call.args.get(1).is_some_and(|n| cx.dirty(n, taint::REQUEST, clean::PATH)) {
        cx.report_from(&DOTFILES, call.range, call.args.get(1));
    }
}
