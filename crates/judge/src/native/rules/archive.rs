//! Archives and compressed data from elsewhere.

use crate::native::{
    engine::Engine,
    rule::{Call, Check},
    value::{clean, taint},
};

rule!(EXTRACT, "archive-extraction", [22, 23, 59], High, High,
    what: "Looks for archives unpacked without looking at their members.",
    why: "A member named `../../etc/cron.d/x`, or a link, is written outside the folder.",
    remedy: "pass `filter=\"data\"`, or check every member's path and kind",
    [Check::Call(&["extractall", "extract", "unpack_archive"], extracted)]);

rule!(BOMB, "decompression-bomb", [409, 400, 770], Medium, Medium,
    what: "Looks for compressed data that is read without a limit.",
    why: "A few kilobytes can unpack to gigabytes and take the machine's memory or disk.",
    remedy: "read at most a fixed number of bytes, and refuse what is larger",
    [Check::Call(&["read", "decompress", "readlines", "load"], inflated)]);

fn extracted<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let path = call.path;
    let tar = path.contains("tarfile.") || path.contains("tar.") || path.contains("TarFile");
    let text = cx.function_text();
    match call.name {
        "extractall" | "extract" if tar => {
            let filtered = call.keyword("filter").is_some_and(|f| f.as_str().is_none_or(|s| s == "data" || s == "tar"));
            let checked = call.keyword("members").is_some()
                || ["is_relative_to", "commonpath", "startswith", "realpath", "isfile()", "isreg()"]
                    .iter()
                    .any(|g| text.contains(g));
            if !filtered && !checked && !call.open_ended() {
                cx.report(&EXTRACT, call.range);
            }
        }
        "unpack_archive" if call.keyword("filter").is_none() => cx.report(&EXTRACT, call.range),
        _ => {}
    }
}

fn inflated<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let path = call.path;
    let compressed = [
        "gzip.open()",
        "gzip.GzipFile()",
        "bz2.open()",
        "lzma.open()",
        "bz2.BZ2File()",
        "lzma.LZMAFile()",
        "zipfile.ZipFile().open()",
    ];
    let whole = match call.name {
        "decompress" => {
            call.is(&["zlib.decompress", "gzip.decompress", "bz2.decompress", "lzma.decompress", "brotli.decompress"])
                || path.contains("decompressobj()") && call.args.len() < 2 && call.keyword("max_length").is_none()
        }
        "read" | "readlines" => {
            let unbounded = call.args.is_empty() || call.args[0].as_int().is_some_and(|n| n < 0);
            let object = call.receiver.as_ref().map_or("", |r| r.path());
            unbounded && compressed.iter().any(|c| object.ends_with(c))
                || call.name == "read" && object.ends_with("zipfile.ZipFile()")
        }
        _ => false,
    };
    let data = call.args.first().or(call.receiver.as_ref());
    let foreign = data.is_none_or(|d| d.dynamic() || d.path().ends_with("()"))
        && !data.is_some_and(|d| cx.clean(d) & clean::LIMIT != 0 && d.from(taint::FOREIGN));
    if !whole || !foreign {
        return;
    }
    let text = cx.function_text();
    let bounded =
        ["file_size", "max_length", "MAX_", "max_size", "unconsumed_tail", "limit"].iter().any(|g| text.contains(g));
    let writes = text.contains("realpath") || text.contains("os.makedirs(");
    if !bounded && !writes {
        cx.report(&BOMB, call.range);
    }
}
