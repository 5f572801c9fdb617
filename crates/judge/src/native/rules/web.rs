//! Settings and habits of web applications.

use crate::native::{
    engine::{Engine, Handler},
    names,
    rule::{Assign, Call, Check},
    value::{Literal, Value, clean, taint},
};
use ruff_python_ast::{Expr, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};

rule!(DEBUG, "debug-mode", [489, 94, 215, 11], High, High,
    what: "Looks for applications started in debug mode.",
    why: "The debugger shows source and settings to every visitor, and Werkzeug's runs code for them.",
    remedy: "leave debug off, or take it from a setting that is off in production",
    [Check::Call(&["run", "FastAPI", "Flask", "Starlette"], debug), Check::Assign(debug_setting)]);

rule!(COOKIE, "cookie-flags", [614, 1004, 1275, 311], Medium, Medium,
    what: "Looks for cookies without `Secure`, `HttpOnly` and `SameSite`.",
    why: "Scripts read the cookie, it travels over plain HTTP, or other sites send it along.",
    remedy: "pass `secure=True, httponly=True, samesite=\"Lax\"`",
    [Check::Call(&["set_cookie", "update"], cookie), Check::Assign(cookie_setting)]);

rule!(CORS, "cors-any-origin", [942, 346, 264, 284], Medium, High,
    what: "Looks for cross-origin permissions given to everybody.",
    why: "Every site a user visits may read the answers, with the user's session where credentials are allowed.",
    remedy: "name the origins that may read the answers",
    [Check::Assign(allow_origin), Check::Call(&["CORS", "add_middleware", "CORSMiddleware", "add", "cross_origin", "setdefault"], cors)]);

rule!(CSRF, "csrf-exempt", [352], Medium, High,
    what: "Looks for views and forms without protection against forged requests.",
    why: "Another site can make a logged-in visitor's browser send the request.",
    remedy: "keep the CSRF check on; exempt only what authenticates without cookies",
    [Check::Function(exempt), Check::Assign(csrf_setting), Check::Call(&["csrf_exempt", "exempt", "update"], exempted)]);

rule!(FIXATION, "session-fixation", [384], Medium, Medium,
    what: "Looks for logins that keep the session from before.",
    why: "Who planted the session identifier shares the session after the login.",
    remedy: "clear or renew the session before storing the user in it",
    [Check::Assign(logged_in)]);

rule!(ERROR_SHOWN, "error-details-shown", [209, 497, 200, 215], Low, High,
    what: "Looks for exceptions and stack traces in what a client receives.",
    why: "They name files, queries and versions, which is where an attacker begins.",
    remedy: "log the error and answer with a fixed text",
    [Check::Return(error_returned), Check::Call(&["HttpResponse", "JsonResponse", "JSONResponse", "HTTPException", "jsonify", "make_response", "abort", "write", "Response", "PlainTextResponse", "send_error"], error_sent)]);

rule!(FRAMING, "framing-allowed", [1021], Medium, High,
    what: "Looks for headers that let every site frame the page.",
    why: "A page in an invisible frame gets the visitor's clicks.",
    remedy: "send `X-Frame-Options: DENY` or `frame-ancestors 'none'`",
    [Check::Assign(framed), Check::Function(xframe_exempt)]);

rule!(BODY_SIZE, "body-size-unlimited", [770, 400], Low, Low,
    what: "Looks for Flask applications that read whole bodies without a limit.",
    why: "One large request takes the memory of the process.",
    remedy: "set `MAX_CONTENT_LENGTH`",
    [Check::Call(&["get_data"], body)]);

fn debug<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let on = call.keyword("debug").is_some_and(|d| d.is_bool(true));
    let app = match call.name {
        "run" => {
            call.path.contains("app")
                || call.path.contains("Flask()")
                || call.under(&["bottle.", "socketio", "uvicorn."])
                || call.path.contains("Bottle()")
        }
        _ => call.receiver.is_none() || call.under(&["fastapi.", "starlette."]),
    };
    if on && app {
        cx.report(&DEBUG, call.range);
    }
}

fn debug_setting<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    let config = match assign.target {
        Expr::Subscript(s) => assign.name == "DEBUG" && cx.text(s.value.as_ref()).ends_with("config"),
        Expr::Attribute(a) => assign.name == "debug" && cx.text(a.value.as_ref()).ends_with("app"),
        Expr::Name(_) => {
            assign.name == "DEBUG"
                && cx.function().is_none()
                && (cx.source.contains("INSTALLED_APPS") || cx.source.contains("ALLOWED_HOSTS"))
        }
        _ => false,
    };
    if config && assign.value.is_bool(true) {
        cx.report(&DEBUG, assign.range);
    }
}

const COOKIE_SETTINGS: &[&str] = &[
    "SESSION_COOKIE_SECURE",
    "SESSION_COOKIE_HTTPONLY",
    "CSRF_COOKIE_SECURE",
    "REMEMBER_COOKIE_SECURE",
    "REMEMBER_COOKIE_HTTPONLY",
];

fn off(value: &Value<'_>) -> bool {
    value.is_bool(false) || value.literal == Literal::None && !value.dynamic()
}

fn cookie<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if call.name == "update" {
        let config = call.path.contains("config");
        let weak = call.keywords.iter().any(|(n, v)| {
            n.is_some_and(|n| COOKIE_SETTINGS.contains(&n) && off(v) || n.ends_with("_COOKIE_SAMESITE") && off(v))
        });
        if config && weak {
            cx.report(&COOKIE, call.range);
        }
        return;
    }
    let Some(name) = call.args.first().or_else(|| call.keyword("key")).or_else(|| call.keyword("name")) else { return };
    let value = call.args.get(1).or_else(|| call.keyword("value"));
    if call.open_ended() {
        return;
    }
    let on = |key: &str| call.keyword(key).is_some_and(|v| !off(v));
    let safe_site = call
        .keyword("samesite")
        .is_some_and(|v| !off(v) && !v.as_str().is_some_and(|s| s.eq_ignore_ascii_case("none")));
    // A language or a theme may be read by anybody; only what identifies or decides needs the flags.
    let harmless = name.as_str().is_some_and(|n| {
        names::mentions(n, &["lang", "language", "locale", "theme", "color", "tz", "timezone", "consent", "font"])
    }) || value.is_some_and(|v| !v.dynamic() && v.as_str().is_some_and(|s| s.len() < 6));
    let flagged = on("secure") && on("httponly") && safe_site;
    if !flagged && !harmless {
        cx.report(&COOKIE, call.range);
    }
}

fn cookie_setting<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    let weak = COOKIE_SETTINGS.contains(&assign.name) && off(&assign.value)
        || assign.name.ends_with("_COOKIE_SAMESITE") && off(&assign.value) && !assign.value.dynamic();
    if weak {
        cx.report(&COOKIE, assign.range);
    }
}

fn allow_origin<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    let value = &assign.value;
    if assign.name.eq_ignore_ascii_case("Access-Control-Allow-Origin")
        && (value.as_str() == Some("*") || cx.dirty(value, taint::REQUEST, clean::URL))
        || matches!(assign.name, "CORS_ORIGIN_ALLOW_ALL" | "CORS_ALLOW_ALL_ORIGINS") && value.is_bool(true)
    {
        cx.report(&CORS, assign.range);
    }
}

fn cors<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let any = |cx: &mut Engine<'a>, value: &Value<'a>| {
        let listed = match value.expr {
            Some(Expr::List(list)) => list.elts.iter().any(|e| cx.peek(e).as_str() == Some("*")),
            _ => false,
        };
        value.as_str() == Some("*") || value.as_str() == Some(".*") || listed
    };
    let found = match call.name {
        "CORS" | "cross_origin" => {
            let origins = call.keyword("origins").cloned();
            match origins {
                Some(origins) => any(cx, &origins),
                None => {
                    call.keyword("resources").is_none() && !call.open_ended() && call.under(&["flask_cors", "CORS"])
                }
            }
        }
        "add_middleware" | "CORSMiddleware" => {
            let keys = ["allow_origins", "allow_origin_regex"];
            keys.iter().any(|k| call.keyword(k).cloned().is_some_and(|v| any(cx, &v)))
        }
        "add" | "setdefault" => {
            call.args
                .first()
                .and_then(|n| n.as_str())
                .is_some_and(|n| n.eq_ignore_ascii_case("Access-Control-Allow-Origin"))
                && call.args.get(1).cloned().is_some_and(|v| any(cx, &v) || cx.dirty(&v, taint::REQUEST, clean::URL))
        }
        _ => false,
    };
    if found {
        cx.report(&CORS, call.range);
    }
}

fn exempt<'a>(cx: &mut Engine<'a>, def: &'a StmtFunctionDef) {
    let exempted = cx.function().and_then(|f| {
        f.decorators
            .iter()
            .find(|(p, _)| p.ends_with("csrf_exempt") || p.ends_with("csrf.exempt"))
            .map(|(_, d)| d.range())
    });
    if let Some(range) = exempted {
        // Signed webhooks authenticate each request by themselves.
        let text = cx.text(def);
        if !["signature", "compare_digest", "hmac", "Authorization"].iter().any(|s| text.contains(s)) {
            cx.report(&CSRF, range);
        }
    }
}

fn csrf_setting<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    if matches!(assign.name, "WTF_CSRF_ENABLED" | "WTF_CSRF_CHECK_DEFAULT") && assign.value.is_bool(false)
        || assign.name == "csrf" && assign.value.is_bool(false) && cx.source.contains("FlaskForm")
    {
        cx.report(&CSRF, assign.range);
    }
}

fn exempted<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let wrapped = call.name != "update" && call.path.contains("csrf") && !call.args.is_empty();
    let switched = call.name == "update" && call.keyword("WTF_CSRF_ENABLED").is_some_and(|v| v.is_bool(false));
    if wrapped || switched {
        cx.report(&CSRF, call.range);
    }
}

fn logged_in<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    let Expr::Subscript(target) = assign.target else { return };
    let identity = assign.value.dynamic()
        && names::mentions(
            assign.name,
            &["user", "userid", "username", "account", "uid", "login", "member", "authenticated", "customer", "email"],
        );
    if !identity {
        return;
    }
    let session = cx.peek(&target.value);
    if session.path() != "flask.session" && !session.path().ends_with("request.session") {
        return;
    }
    let text = cx.function_text();
    let renewed = ["session.clear()", "cycle_key", ".flush()", "regenerate", "session.pop(", "rotate", "invalidate()"]
        .iter()
        .any(|s| text.contains(s));
    if !renewed {
        cx.report(&FIXATION, assign.range);
    }
}

/// Whether a value shows an exception or a trace.
fn shows_error(value: &Value<'_>) -> bool {
    value.from(taint::TRACE) || value.from(taint::ERROR)
}

/// Whether a value is the text of an exception or a trace, however it was put together.
fn error_in<'a>(cx: &mut Engine<'a>, expr: &'a Expr) -> bool {
    cx.deeper(|cx| error_inside(cx, expr))
}

fn error_inside<'a>(cx: &mut Engine<'a>, expr: &'a Expr) -> bool {
    match expr {
        Expr::Tuple(t) => t.elts.iter().any(|e| error_in(cx, e)),
        Expr::Dict(d) => d.items.iter().any(|i| error_in(cx, &i.value)),
        Expr::Call(call) => {
            let name = names::last(&call.func);
            if name.starts_with(char::is_uppercase)
                && !matches!(
                    name,
                    "HTTPException"
                        | "JSONResponse"
                        | "HttpResponse"
                        | "JsonResponse"
                        | "Response"
                        | "PlainTextResponse"
                )
            {
                return false;
            }
            let value = cx.peek(expr);
            shows_error(&value)
                || matches!(
                    name,
                    "jsonify"
                        | "make_response"
                        | "JSONResponse"
                        | "JsonResponse"
                        | "HttpResponse"
                        | "Response"
                        | "dict"
                        | "dumps"
                        | "PlainTextResponse"
                ) && (call.arguments.args.iter().any(|a| error_in(cx, a))
                    || call.arguments.keywords.iter().any(|k| error_in(cx, &k.value)))
        }
        Expr::FString(_) | Expr::BinOp(_) | Expr::Name(_) | Expr::Attribute(_) => {
            let value = cx.peek(expr);
            if let Expr::Attribute(a) = expr
                && matches!(
                    a.attr.as_str(),
                    "code" | "status_code" | "status" | "errno" | "returncode" | "name" | "description"
                )
            {
                return false;
            }
            shows_error(&value)
        }
        _ => false,
    }
}

/// Whether a function answers a client: a view, an error handler, or something that builds responses.
fn answers(cx: &Engine<'_>) -> bool {
    let Some(function) = cx.function() else { return false };
    let text = cx.function_text();
    function.handler != Handler::None
        || [
            "jsonify(",
            "HttpResponse(",
            "JsonResponse(",
            "JSONResponse(",
            "make_response(",
            "HTTPException(",
            ", 500",
            ", 400",
        ]
        .iter()
        .any(|s| text.contains(s))
        || names::mentions(function.def.name.as_str(), &["view", "handler", "endpoint"])
}

fn error_returned<'a>(cx: &mut Engine<'a>, value: &Value<'a>, range: TextRange) {
    let Some(expr) = value.expr.filter(|_| cx.errors) else { return };
    if answers(cx) && error_in(cx, expr) {
        cx.findings.retain(|f| !(std::ptr::eq(f.rule, &ERROR_SHOWN) && range.contains_range(f.range)));
        cx.report(&ERROR_SHOWN, range);
    }
}

fn error_sent<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if !cx.errors {
        return;
    }
    let expr = call.expr;
    let shown = expr.arguments.args.iter().any(|a| error_in(cx, a))
        || expr
            .arguments
            .keywords
            .iter()
            .any(|k| k.arg.as_ref().is_none_or(|n| n.as_str() != "exc_info") && error_in(cx, &k.value));
    let sink = match call.name {
        "write" => {
            call.path.starts_with("self.") && cx.function_text().contains("self.set_status")
                || call.path.contains("wfile")
        }
        "abort" => call.under(&["flask."]) || call.receiver.is_none(),
        _ => true,
    };
    if shown && sink {
        cx.report(&ERROR_SHOWN, call.range);
    }
}

fn framed<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    let value = assign.value.as_str().unwrap_or("");
    let header = assign.name.eq_ignore_ascii_case("X-Frame-Options") || assign.name == "X_FRAME_OPTIONS";
    let open = header && !value.is_empty() && !["DENY", "SAMEORIGIN"].iter().any(|v| value.eq_ignore_ascii_case(v));
    let policy = assign.name.eq_ignore_ascii_case("Content-Security-Policy") && value.contains("frame-ancestors *");
    if open || policy {
        cx.report(&FRAMING, assign.range);
    }
}

fn xframe_exempt<'a>(cx: &mut Engine<'a>, _: &'a StmtFunctionDef) {
    let exempt = cx
        .function()
        .and_then(|f| f.decorators.iter().find(|(p, _)| p.ends_with("xframe_options_exempt")).map(|(_, d)| d.range()));
    if let Some(range) = exempt {
        cx.report(&FRAMING, range);
    }
}

fn body<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if call.path.ends_with("request.get_data")
        && call.path.starts_with("flask.")
        && !["MAX_CONTENT_LENGTH", "content_length", "max_content_length"].iter().any(|s| cx.source.contains(s))
        && cx.source.contains("Flask(")
    {
        cx.report(&BODY_SIZE, call.range);
    }
}
