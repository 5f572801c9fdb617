//! Addresses that somebody else chose, and requests that wait for ever or travel in clear.

use crate::native::{
    calls::is_fetch,
    engine::Engine,
    names,
    rule::{Assign, Call, Check},
    value::{HOLE, Value, clean, taint},
};
use ruff_python_ast::Expr;
use ruff_text_size::Ranged;

rule!(REDIRECT, "open-redirect", [601], Medium, High,
    what: "Looks for redirects to an address from the request.",
    why: "A link to the trusted site leads to the attacker's, which asks for the password again.",
    remedy: "redirect only to paths of the own site: check for a single leading `/`, or use `url_has_allowed_host_and_scheme`",
    [Check::Call(&["redirect", "HttpResponseRedirect", "RedirectResponse", "HTTPFound", "seeother", "HTTPSeeOther"], redirected), Check::Assign(location)]);

rule!(SSRF, "server-side-request-forgery", [918, 441], High, Medium,
    what: "Looks for requests to an address that a user chose.",
    why: "The server can reach what the user cannot: metadata services, databases, other internal hosts.",
    remedy: "accept only listed hosts, or refuse addresses that are not global",
    [Check::Call(FETCHERS, fetched)]);

rule!(ADDRESS, "foreign-address", [918, 441], Medium, Low,
    what: "Looks for functions that connect to whatever address their caller gives.",
    why: "Where the address comes from a user at last, the server reaches what the user cannot.",
    remedy: "accept only listed hosts, or refuse addresses that are not global",
    []);

rule!(TIMEOUT, "request-without-timeout", [400, 770, 772], Low, High,
    what: "Looks for network calls without a timeout.",
    why: "A server that never answers holds the thread for ever; enough of them hold the program.",
    remedy: "pass `timeout=`",
    [Check::Call(FETCHERS, waits), Check::Call(&["create_connection", "HTTPConnection", "HTTPSConnection", "SMTP", "FTP"], connects)]);

rule!(CLEARTEXT, "cleartext-transport", [319, 522, 312, 311, 523], Medium, Medium,
    what: "Looks for protocols and addresses that carry passwords and data unencrypted.",
    why: "Everybody on the way reads the credentials and can change the answer.",
    remedy: "use the TLS form: `https://`, `SMTP_SSL` or `starttls`, `IMAP4_SSL`, `FTP_TLS`, SSH",
    [Check::Call(FETCHERS, plain_url), Check::Call(CLEAR, plain_protocol)]);

rule!(SECRET_IN_URL, "secret-in-url", [598, 200, 532], Medium, High,
    what: "Looks for credentials in the query of an address.",
    why: "Addresses end in logs, histories and `Referer` headers.",
    remedy: "send the credential in the body or in an `Authorization` header",
    [Check::Call(FETCHERS, secret_query)]);

rule!(DOWNLOAD, "unverified-download", [494, 345, 829], High, Low,
    what: "Looks for downloads that are stored or run without comparing a digest.",
    why: "Whoever controls the server or the way to it decides what is installed.",
    remedy: "compare the content's digest with a known one before using it",
    [Check::Call(&["write", "write_bytes", "exec", "run", "check_call", "urlretrieve"], downloaded)]);

const FETCHERS: &[&str] = &[
    "get",
    "post",
    "put",
    "delete",
    "patch",
    "head",
    "options",
    "request",
    "urlopen",
    "urlretrieve",
    "stream",
    "fetch",
    "HTTPSConnection",
    "HTTPConnection",
    "create_connection",
    "Request",
];

const CLEAR: &[&str] = &["login", "FTP", "Telnet", "IMAP4", "POP3", "user", "login_plain", "pass_", "Server"];

fn url_argument<'c, 'a>(call: &'c Call<'a>) -> Option<&'c Value<'a>> {
    let position = usize::from(matches!(call.name, "request" | "stream"));
    call.args.get(position).or_else(|| call.keyword("url"))
}

/// Whether the host part of an address is open to foreign choice.
fn host_open(value: &Value<'_>) -> bool {
    let text = value.piece();
    let host = text.split_once("://").map_or(text, |(_, rest)| rest);
    host.split('/').next().is_some_and(|h| h.contains(HOLE))
}

fn redirected<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(target) = call.args.first().or_else(|| call.keyword("url")).or_else(|| call.keyword("location")) else {
        return;
    };
    let local = target.text.is_some_and(|t| t.starts_with('/') && !t.starts_with("/\0") && t.len() > 1);
    if host_open(target)
        && !local
        && cx.dirty(target, taint::REQUEST | taint::INPUT, clean::URL)
        && !target.path().ends_with("request.path")
    {
        cx.report_from(&REDIRECT, call.range, Some(target));
    }
}

fn location<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    let header = assign.target.is_subscript_expr() && assign.name.eq_ignore_ascii_case("location");
    let attribute = assign.name == "location" && assign.target.is_attribute_expr();
    if (header || attribute) && host_open(&assign.value) && cx.dirty(&assign.value, taint::REQUEST, clean::URL) {
        cx.report_from(&REDIRECT, assign.range, Some(&assign.value));
    }
}

fn fetched<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let connection = call.is(&["http.client.HTTPSConnection", "http.client.HTTPConnection"])
        || matches!(call.path, "HTTPSConnection" | "HTTPConnection");
    let socket = call.is(&["socket.create_connection"]);
    if !connection && !socket && !is_fetch(call.path) {
        return;
    }
    let url =
        if connection || socket { call.args.first().or_else(|| call.keyword("host")) } else { url_argument(call) };
    let Some(url) = url else { return };
    if !host_open(url) {
        return;
    }
    let asked = cx.dirty(url, taint::REQUEST, clean::URL) && !socket;
    // Most clients take an address from their caller. Where it is a bare host, or redirects are refused, a user may be meant.
    let redirects = call.keyword("allow_redirects").is_some_and(|r| r.is_bool(false));
    let pointed = !socket
        && url.text.is_none()
        && url.expr.is_some_and(Expr::is_name_expr)
        && call.keyword("headers").is_none()
        && call.keyword("context").is_none()
        && (connection || redirects)
        && cx.dirty(url, taint::PARAM, clean::URL);
    if asked {
        cx.report_from(&SSRF, call.range, Some(url));
    } else if pointed {
        cx.report_from(&ADDRESS, call.range, Some(url));
    }
}

fn waits<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if call.under(&["httpx.", "aiohttp.", "urllib3."]) || !is_fetch(call.path) || call.open_ended() {
        return;
    }
    let position = if call.name == "urlopen" { 2 } else { usize::MAX };
    let endless = match call.keyword("timeout").or_else(|| call.args.get(position)) {
        None => call.name != "urlretrieve",
        Some(t) => t.literal == crate::native::value::Literal::None && !t.dynamic(),
    };
    if endless {
        cx.report(&TIMEOUT, call.range);
    }
}

fn connects<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let known = call.is(&[
        "socket.create_connection",
        "http.client.HTTPConnection",
        "http.client.HTTPSConnection",
        "smtplib.SMTP",
        "ftplib.FTP",
    ]);
    let positional = if call.name == "create_connection" { call.args.len() > 1 } else { call.args.len() > 3 };
    if known
        && call.keyword("timeout").is_none()
        && !positional
        && !call.open_ended()
        && !cx.source.contains("settimeout")
        && !cx.source.contains("setdefaulttimeout")
    {
        cx.report(&TIMEOUT, call.range);
    }
}

fn plain_url<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if !is_fetch(call.path) {
        return;
    }
    let Some(url) = url_argument(call) else { return };
    let text = url.text();
    let Some(rest) = text.strip_prefix("http://") else { return };
    let local = ["localhost", "127.", "[::1]", "0.0.0.0", "10.", "192.168.", "169.254.", "\0", "testserver"]
        .iter()
        .any(|h| rest.starts_with(h))
        || !rest.split(['/', ':']).next().is_some_and(|h| h.contains('.'));
    if !local {
        cx.report(&CLEARTEXT, call.range);
    }
}

fn plain_protocol<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let path = call.path;
    let telnet = call.is(&["telnetlib.Telnet"]);
    let text = cx.function_text();
    let upgraded =
        text.contains("starttls") || text.contains("stls") || text.contains("prot_p") || text.contains("auth_tls");
    let login = match call.name {
        "login" => ["smtplib.SMTP().", "imaplib.IMAP4().", "ftplib.FTP()."].iter().any(|p| path.starts_with(p)),
        "user" | "pass_" => path.starts_with("poplib.POP3()."),
        "FTP" => call.is(&["ftplib.FTP"]) && call.args.len() > 1,
        _ => false,
    };
    if telnet || login && !upgraded {
        cx.report(&CLEARTEXT, call.range);
    }
}

fn secret_query<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if !is_fetch(call.path) {
        return;
    }
    if let Some(Expr::Dict(dict)) = call.keyword("params").and_then(|p| p.expr) {
        for item in &dict.items {
            let key = item.key.as_ref().map(|k| cx.peek(k)).unwrap_or_default();
            if key.as_str().is_some_and(|k| names::mentions(k, names::SECRET) && !super::logs::about(k)) {
                cx.report(&SECRET_IN_URL, item.value.range());
                return;
            }
        }
    }
    let Some(url) = url_argument(call) else { return };
    let text = url.text().to_ascii_lowercase();
    let Some((_, query)) = text.split_once('?') else { return };
    if query
        .split('&')
        .any(|p| p.split_once('=').is_some_and(|(k, v)| v.contains(HOLE) && names::mentions(k, names::SECRET)))
    {
        cx.report(&SECRET_IN_URL, call.range);
    }
}

fn downloaded<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let content = match call.name {
        "write" | "write_bytes" | "exec" => call.args.first(),
        _ => return,
    };
    let Some(content) = content else { return };
    if !cx.dirty(content, taint::NET, clean::VERIFIED) {
        return;
    }
    let text = cx.function_text();
    if ["sha256", "sha512", "sha384", "hashlib", "compare_digest", "verify(", "signature", "checksum", "digest"]
        .iter()
        .any(|v| text.contains(v))
    {
        return;
    }
    // What is fetched from a constant address over TLS is at least what its owner put there; a given one need not be.
    let program = names::mentions(
        cx.function_name(),
        &[
            "plugin",
            "update",
            "module",
            "release",
            "script",
            "package",
            "install",
            "binary",
            "firmware",
            "installer",
            "upgrade",
            "extension",
            "model",
        ],
    );
    if call.name == "exec" || program && !content.built() {
        cx.report_from(&DOWNLOAD, call.range, Some(content));
    }
}
