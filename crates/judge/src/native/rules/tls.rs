//! Connections whose other end is not who it says, and servers that listen to everybody.

use crate::native::{
    engine::Engine,
    rule::{Assign, Call, Check},
    value::Value,
};
use ruff_python_ast::Expr;

rule!(CERTIFICATE, "certificate-unchecked", [295, 297, 599, 296], High, High,
    what: "Looks for TLS connections that accept any certificate or any name.",
    why: "Whoever sits in between presents a certificate of their own and reads everything.",
    remedy: "leave verification on; for a private authority pass its certificate",
    [Check::AnyCall(unverified), Check::Assign(switched_off)]);

rule!(VERSION, "old-tls", [326, 757, 327, 295], High, High,
    what: "Looks for SSL 2 and 3, TLS 1.0 and 1.1.",
    why: "These versions have known breaks, and allowing them lets an attacker choose them.",
    remedy: "use `ssl.create_default_context()`, or `minimum_version = ssl.TLSVersion.TLSv1_2`",
    [Check::Call(&["SSLContext", "wrap_socket", "Context", "set_ciphers", "create_urllib3_context"], version), Check::Assign(minimum)]);

rule!(STARTTLS, "starttls-without-context", [297, 295, 319], Medium, High,
    what: "Looks for STARTTLS without a context.",
    why: "Without one the library checks neither certificate nor name.",
    remedy: "pass `context=ssl.create_default_context()`",
    [Check::Call(&["starttls", "SMTP_SSL", "IMAP4_SSL", "POP3_SSL", "FTP_TLS"], starttls)]);

rule!(HOST_KEY, "host-key-unchecked", [295, 322, 300], High, High,
    what: "Looks for SSH clients that accept any host key.",
    why: "Whoever answers first is trusted with the commands and passwords.",
    remedy: "load the known hosts and use `RejectPolicy`",
    [Check::Call(&["set_missing_host_key_policy", "connect"], host_key)]);

rule!(BIND_ALL, "binds-all-interfaces", [1327, 605, 668, 200], Medium, Medium,
    what: "Looks for servers that listen on every interface.",
    why: "The service is reachable from networks it was not meant for.",
    remedy: "bind to `127.0.0.1` or to the one address that is needed",
    [Check::Call(&["bind", "run", "HTTPServer", "TCPServer", "ThreadingHTTPServer", "create_server", "start_server", "run_simple", "serve", "runserver", "make_server", "run_app"], bind)]);

fn unverified<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let path = call.path;
    if call.keywords.is_empty() && !path.starts_with("ssl.") {
        return;
    }
    let verify = call.keyword("verify").is_some_and(|v| v.is_bool(false))
        && (call.under(&["requests.", "httpx.", "session", "self.session", "client"])
            || matches!(
                call.name,
                "get" | "post" | "put" | "patch" | "delete" | "head" | "request" | "Session" | "Client"
            ))
        && !path.starts_with("jwt.");
    let reqs =
        call.keyword("cert_reqs").is_some_and(|c| c.path().ends_with("CERT_NONE") || c.as_str() == Some("CERT_NONE"));
    let context = matches!(path, "ssl._create_unverified_context" | "ssl._create_stdlib_context");
    let aiohttp = path.starts_with("aiohttp.")
        && (call.keyword("ssl").is_some_and(|s| s.is_bool(false))
            || call.keyword("verify_ssl").is_some_and(|s| s.is_bool(false)));
    let flag =
        ["verify_ssl", "ssl_verify", "validate_certs", "tlsAllowInvalidCertificates", "verify_certs"].iter().any(|k| {
            call.keyword(k)
                .is_some_and(|v| if *k == "tlsAllowInvalidCertificates" { v.is_bool(true) } else { v.is_bool(false) })
        });
    let bare = path == "ssl.wrap_socket" && call.keyword("cert_reqs").is_none();
    if verify || reqs || context || aiohttp || flag || bare {
        cx.report(&CERTIFICATE, call.range);
    }
}

fn switched_off<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    let value = &assign.value;
    let found = match assign.name {
        "check_hostname" => value.is_bool(false) && assign.target.is_attribute_expr(),
        "verify_mode" => value.path().ends_with("CERT_NONE"),
        "_create_default_https_context" => value.path().ends_with("_create_unverified_context"),
        "verify" => assign.target.is_attribute_expr() && value.is_bool(false),
        _ => false,
    };
    if found {
        cx.report(&CERTIFICATE, assign.range);
    }
}

fn old(value: &Value<'_>) -> bool {
    let name = value.path().rsplit('.').next().unwrap_or("");
    matches!(
        name,
        "PROTOCOL_SSLv2"
            | "PROTOCOL_SSLv3"
            | "PROTOCOL_TLSv1"
            | "PROTOCOL_TLSv1_1"
            | "PROTOCOL_SSLv23"
            | "SSLv2_METHOD"
            | "SSLv3_METHOD"
            | "SSLv23_METHOD"
            | "TLSv1_METHOD"
            | "TLSv1_1_METHOD"
    )
}

fn version<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let method = call.args.first().or_else(|| call.keyword("protocol")).or_else(|| call.keyword("ssl_version"));
    let by_argument = method.is_some_and(old) || call.keyword("ssl_version").is_some_and(old);
    let context = call.is(&["ssl.SSLContext"]) && call.args.is_empty() && call.keywords.is_empty();
    // The function is deprecated because it takes whatever version both sides still speak.
    let unversioned = call.path == "ssl.wrap_socket"
        && call.keyword("ssl_version").is_none()
        && call.args.len() < 6
        && !call.open_ended();
    let negotiated = method.or_else(|| call.keyword("ssl_version")).is_some_and(|m| m.path().contains("SSLv23"))
        && cx.function_text().contains("OP_NO_SSLv2")
        && cx.function_text().contains("OP_NO_SSLv3");
    let ciphers = call.name == "set_ciphers"
        && call.args.first().and_then(|c| c.as_str()).is_some_and(|c| {
            c.split([':', ',', ' ']).any(|p| {
                !p.starts_with(['!', '-'])
                    && ["NULL", "RC4", "DES", "3DES", "EXPORT", "ADH", "MD5", "LOW", "eNULL", "aNULL", "@SECLEVEL=0"]
                        .iter()
                        .any(|w| p.contains(w))
            })
        });
    if by_argument
        && !negotiated
        && (call.path.contains("ssl") || call.path.contains("SSL") || call.name == "SSLContext")
        || context
        || unversioned
        || ciphers
    {
        cx.report(&VERSION, call.range);
    }
}

fn minimum<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    if !matches!(assign.name, "minimum_version" | "maximum_version" | "ssl_version") {
        return;
    }
    let name = assign.value.path().rsplit('.').next().unwrap_or("");
    let old_version = matches!(name, "TLSv1" | "TLSv1_1" | "SSLv3" | "MINIMUM_SUPPORTED");
    let weak = matches!(assign.name, "minimum_version" | "maximum_version") && old_version
        || assign.name == "ssl_version" && old(&assign.value);
    if weak {
        cx.report(&VERSION, assign.range);
    }
}

fn starttls<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let bare = match call.name {
        "starttls" => {
            call.keyword("context").is_none() && call.keyword("ssl_context").is_none() && call.args.is_empty()
        }
        "SMTP_SSL" => call.is(&["smtplib.SMTP_SSL"]) && call.keyword("context").is_none(),
        "IMAP4_SSL" => call.is(&["imaplib.IMAP4_SSL"]) && call.keyword("ssl_context").is_none(),
        "POP3_SSL" => call.is(&["poplib.POP3_SSL"]) && call.keyword("context").is_none(),
        "FTP_TLS" => call.is(&["ftplib.FTP_TLS"]) && call.keyword("context").is_none(),
        _ => false,
    };
    if bare && !call.open_ended() {
        cx.report(&STARTTLS, call.range);
    }
}

fn host_key<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let policy = call.name == "set_missing_host_key_policy"
        && call.args.first().is_some_and(|p| p.path().contains("AutoAddPolicy") || p.path().contains("WarningPolicy"));
    let none = call.name == "connect"
        && call.under(&["asyncssh."])
        && call
            .keyword("known_hosts")
            .is_some_and(|k| k.literal == crate::native::value::Literal::None && !k.dynamic());
    if policy || none {
        cx.report(&HOST_KEY, call.range);
    }
}

fn bind<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let everywhere = |cx: &mut Engine<'a>, v: &Value<'a>| -> bool {
        if matches!(v.as_str(), Some("0.0.0.0" | "::")) {
            return true;
        }
        match v.expr {
            Some(Expr::Tuple(t)) => t.elts.first().is_some_and(|h| {
                let host = cx.peek(h);
                !host.dynamic() && matches!(host.as_str(), Some("0.0.0.0" | "::" | "")) && host.text.is_some()
            }),
            _ => false,
        }
    };
    let candidates: Vec<Value<'a>> = match call.name {
        "bind" | "HTTPServer" | "TCPServer" | "ThreadingHTTPServer" | "create_server" => {
            call.args.first().cloned().into_iter().collect()
        }
        "start_server" => call.args.get(1).or_else(|| call.keyword("host")).cloned().into_iter().collect(),
        _ => call.keyword("host").or_else(|| call.args.first()).cloned().into_iter().collect(),
    };
    if candidates.iter().any(|v| everywhere(cx, v)) {
        cx.report(&BIND_ALL, call.range);
    }
}
