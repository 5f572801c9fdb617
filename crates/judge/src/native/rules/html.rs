//! Foreign text in pages and templates.

use crate::native::{
    engine::{Engine, Handler},
    names,
    rule::{Call, Check},
    value::{HOLE, Value, clean, taint},
};
use ruff_python_ast::Expr;
use ruff_text_size::TextRange;

rule!(HTML, "cross-site-scripting", [79, 80, 116], High, High,
    what: "Looks for HTML with foreign text pasted in unescaped.",
    why: "A `<script>` in the value runs in the browser of whoever sees the page, with their session.",
    remedy: "escape the value (`markupsafe.escape`, `html.escape`) or render a template that escapes by itself",
    [Check::Return(returned), Check::Call(RESPONSES, responded), Check::Built(built), Check::Call(&["write"], fragment)]);

rule!(MARKDOWN, "markdown-unsanitized", [79, 80, 116], Medium, Medium,
    what: "Looks for Markdown of others turned into HTML without cleaning.",
    why: "Markdown lets raw HTML and `javascript:` links through, and the result is shown as markup.",
    remedy: "clean the result with `nh3.clean`, or escape the text first",
    [Check::Call(&["markdown", "markdown2", "render_markdown", "convert"], markdown)]);

rule!(MARKED_SAFE, "marked-safe", [79, 80, 116], High, High,
    what: "Looks for foreign text that is declared to be safe markup.",
    why: "The template engine leaves it as it is, so markup in the value becomes part of the page.",
    remedy: "use `format_html` or `Markup(\"..\").format(value)`, which escape what they insert",
    [Check::Call(&["mark_safe", "Markup", "SafeString", "SafeText", "HTML", "literal"], marked)]);

rule!(AUTOESCAPE, "autoescape-off", [79, 116, 80], High, High,
    what: "Looks for template engines that do not escape.",
    why: "Every value that a template shows becomes markup.",
    remedy: "pass `autoescape=True` or `select_autoescape()`",
    [Check::Call(&["Environment", "SandboxedEnvironment", "Template", "TemplateLookup", "overlay", "Loader"], engine)]);

rule!(TEMPLATE, "template-injection", [1336, 94, 79, 74], Critical, High,
    what: "Looks for templates whose source contains foreign text.",
    why: "The engine executes expressions in the text; from there an attacker reaches Python itself.",
    remedy: "keep the template constant and pass the value as a variable",
    [Check::Call(&["render_template_string", "from_string", "Template", "JinjaTemplate"], template)]);

rule!(SAFE_FILTER, "safe-filter", [79, 80, 116], High, Medium,
    what: "Looks for templates that switch escaping off for a variable.",
    why: "The value goes into the page as it came.",
    remedy: "drop `| safe` and `{% autoescape false %}`",
    [Check::Call(&["render_template_string", "from_string", "Template"], safe_filter)]);

rule!(SCRIPT, "json-in-script", [116, 79], High, Medium,
    what: "Looks for JSON pasted into a script element.",
    why: "JSON does not escape `</script>`, so a value can end the element and begin its own.",
    remedy: "replace `<` by `\\u003c` in the JSON, or use the `tojson` filter",
    [Check::Built(script)]);

const RESPONSES: &[&str] = &[
    "HttpResponse",
    "HTMLResponse",
    "make_response",
    "Response",
    "write",
    "HttpResponseBadRequest",
    "HttpResponseNotFound",
    "HttpResponseForbidden",
    "HttpResponseServerError",
    "send",
];

/// The text of an exception quotes what caused it.
const SOURCES: u32 = taint::PARAM | taint::REQUEST | taint::INPUT | taint::NET | taint::ERROR | taint::TRACE;

/// An opening or closing tag.
pub(super) fn is_html(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.contains('>')
        && bytes.windows(2).any(|w| w[0] == b'<' && (w[1].is_ascii_alphabetic() || w[1] == b'/' || w[1] == b'!'))
        && !text.starts_with("<?xml")
}

fn page<'a>(cx: &Engine<'a>, value: &Value<'a>) -> bool {
    is_html(value.text()) && cx.dirty(value, SOURCES, clean::HTML) && !scripted(value)
}

fn returned<'a>(cx: &mut Engine<'a>, value: &Value<'a>, range: TextRange) {
    let handler = cx.function().map_or(Handler::None, |f| f.handler);
    // What a Flask view returns is a page, whether or not it looks like one.
    let tuple = value.expr.and_then(|e| e.as_tuple_expr());
    let first = match tuple.and_then(|t| t.elts.first()) {
        Some(first) => cx.peek(first),
        None => value.clone(),
    };
    let view = handler == Handler::Flask
        && first.from(taint::REQUEST)
        && (first.built() || first.text.is_none() && first.path().starts_with("flask.request."))
        && cx.dirty(&first, taint::REQUEST, clean::HTML)
        && !first.path().contains("get_data")
        && !first.path().contains("json");
    let plain =
        || tuple.is_some() && cx.text(range).contains("text/plain") || cx.function_text().contains("text/plain");
    if page(cx, &first) || view && !plain() {
        report(cx, range, &first);
    }
}

fn responded<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(body) = call.args.first().or_else(|| call.keyword("content")).or_else(|| call.keyword("response")) else {
        return;
    };
    let kind = call.keyword("content_type").or_else(|| call.keyword("mimetype")).or_else(|| call.keyword("media_type"));
    if kind.is_some_and(|k| !k.text().contains("html")) {
        return;
    }
    // `make_response((text, 400))`
    let inner = body.expr.and_then(|e| e.as_tuple_expr()).and_then(|t| t.elts.first()).map(|e| cx.peek(e));
    let body = inner.as_ref().unwrap_or(body);
    let response = call.name.starts_with("Http")
        || matches!(call.name, "HTMLResponse" | "make_response")
        || call.name == "Response" && call.under(&["flask.", "werkzeug.", "webob."]);
    let direct = response
        && cx.dirty(body, taint::REQUEST, clean::HTML)
        && !body.path().contains("json")
        && !cx.function_text().contains("text/plain");
    // JSON is a page where nothing says that it is not one.
    let dumped = call.name == "Response"
        && kind.is_none()
        && call.keyword("headers").is_none()
        && !call.open_ended()
        && call.args.len() < 3
        && call.under(&["flask.", "werkzeug.", "Response"])
        && body.expr.and_then(|e| e.as_call_expr()).is_some_and(|c| names::last(&c.func) == "dumps")
        && cx.dirty(body, taint::REQUEST, clean::HTML);
    // Django's form errors quote the input; as JSON only on request escaped.
    let errors = response
        && call.expr.arguments.args.first().and_then(|e| e.as_call_expr()).is_some_and(|c| {
            names::last(&c.func) == "as_json" && c.arguments.is_empty() && cx.text(c.func.as_ref()).contains(".errors")
        });
    if dumped || errors {
        report(cx, call.range, body);
        return;
    }
    let written = call.name == "write" && call.path.starts_with("self.") && cx.dirty(body, taint::REQUEST, clean::HTML);
    if page(cx, body) && (response || call.name == "write") || direct || written {
        report(cx, call.range, body);
    }
}

/// `self.write(text)` between `self.write("<pre>")` and `self.write("</pre>")`.
fn fragment<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(value) = call.args.first() else { return };
    if call.path != "self.write" {
        return;
    }
    let text = cx.function_text();
    let pages = text.contains("self.write('<") || text.contains("self.write(\"<");
    let converted = match call.expr.arguments.args.first() {
        Some(Expr::Call(c)) => matches!(names::last(&c.func), "str" | "unicode" | "join" | "format"),
        Some(Expr::Name(_)) => value.from(SOURCES),
        _ => false,
    };
    if pages && converted && value.dynamic() && cx.open(value, clean::HTML) {
        report(cx, call.range, value);
    }
}

fn markdown<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let known = call.is(&["markdown.markdown", "markdown2.markdown", "mistune.markdown", "markdown"])
        || call.path.starts_with("markdown.Markdown()");
    let Some(text) = call.args.first().or_else(|| call.keyword("text")) else { return };
    let safe = call.keyword("safe_mode").is_some_and(|s| !s.is_bool(false))
        || call.keyword("escape").is_some_and(|e| e.is_bool(true));
    let around = cx.function_text();
    let cleaned = ["bleach", "nh3", "sanitize", "clean(", "escape("].iter().any(|c| around.contains(c));
    // What the program read from its own files is its own.
    if known && !safe && !cleaned && text.dynamic() && !text.from(taint::FILE) && cx.open(text, clean::HTML) {
        cx.report_from(&MARKDOWN, call.range, Some(text));
    }
}

fn built<'a>(cx: &mut Engine<'a>, value: &Value<'a>, range: TextRange) {
    // Markup around foreign text is a page wherever it goes, if it is more than an angle bracket.
    if !cx.dirty(value, SOURCES, clean::HTML) {
        return;
    }
    let text = value.text();
    let markup = text.contains("</") || text.contains("/>") || text.contains("=\"\0") || text.contains("='\0");
    if markup && page(cx, value) {
        report(cx, range, value);
    }
}

/// One finding per page: the inner strings of a bigger one were reported before it.
fn report<'a>(cx: &mut Engine<'a>, range: TextRange, value: &Value<'a>) {
    cx.findings.retain(|f| !(std::ptr::eq(f.rule, &HTML) && range.contains_range(f.range)));
    if !cx.findings.iter().any(|f| std::ptr::eq(f.rule, &MARKED_SAFE) && f.range.contains_range(range)) {
        cx.report_from(&HTML, range, Some(value));
    }
}

fn marked<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let known = call.is(&[
        "markupsafe.Markup",
        "django.utils.safestring.mark_safe",
        "django.utils.safestring.SafeString",
        "django.utils.safestring.SafeText",
        "webhelpers.html.literal",
    ]) || call.name == "mark_safe";
    let Some(value) = call.args.first() else { return };
    if known && (cx.dirty(value, SOURCES | taint::FILE, clean::HTML) || value.built() && cx.open(value, clean::HTML)) {
        cx.findings.retain(|f| !(std::ptr::eq(f.rule, &HTML) && call.range.contains_range(f.range)));
        cx.report_from(&MARKED_SAFE, call.range, Some(value));
    }
}

fn engine<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let jinja = call.under(&["jinja2."]) || call.name == "Environment" && call.receiver.is_none();
    let autoescape = call.keyword("autoescape");
    let off = autoescape.is_some_and(|a| a.is_bool(false) || a.literal == crate::native::value::Literal::None);
    // `**options` may switch it on: they do where they are written out so.
    let opened = call.expr.arguments.keywords.iter().filter(|k| k.arg.is_none()).any(|k| {
        cx.resolve(&k.value).as_dict_expr().is_some_and(|d| cx.text(d).contains("autoescape"))
            || call.keyword("loader").is_none()
    });
    let missing = jinja && call.name.ends_with("Environment") && autoescape.is_none() && !opened;
    if off && (jinja || call.under(&["tornado."]) || call.name == "overlay") || missing {
        cx.report(&AUTOESCAPE, call.range);
    }
    // A bare `Template` does not escape either; what it is used for shows in the markup.
    if call.is(&["jinja2.Template"])
        && autoescape.is_none()
        && call.args.first().is_some_and(|t| is_html(t.text()) && !t.dynamic() && t.text().contains("{{"))
    {
        cx.report(&AUTOESCAPE, call.range);
    }
    if call.under(&["mako."]) && call.keyword("default_filters").is_none() {
        cx.report(&AUTOESCAPE, call.range);
    }
}

fn template<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(source) = call.args.first().or_else(|| call.keyword("source")) else { return };
    let engine = match call.name {
        "Template" => {
            call.under(&["jinja2.", "mako.", "django.template", "tornado.template"])
                || call.path == "Template" && !cx.imports.binds("Template")
        }
        _ => true,
    };
    if engine && cx.dirty(source, taint::PARAM | taint::OUTSIDE, clean::NOTHING | clean::CODE) {
        let whole_parameter = source.text.is_none() && !source.from(taint::OUTSIDE);
        // A function that renders whatever template its caller gives is a renderer, not a weakness.
        if !whole_parameter {
            cx.findings.retain(|f| !(std::ptr::eq(f.rule, &HTML) && call.range.contains_range(f.range)));
            cx.report_from(&TEMPLATE, call.range, Some(source));
        }
    }
}

fn safe_filter<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(source) = call.args.first() else { return };
    let text = source.text();
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let filtered = compact.contains("|safe}}")
        || compact.contains("|safe|")
        || compact.contains("{%autoescapefalse")
        || compact.contains("{%autoescapeoff");
    let passed =
        call.keywords.iter().any(|(_, v)| v.dynamic()) || call.name != "render_template_string" || call.args.len() > 1;
    if filtered && passed {
        cx.report(&SAFE_FILTER, call.range);
    }
}

/// Whether the only dynamic part stands inside a script element.
fn scripted(value: &Value<'_>) -> bool {
    let text = value.text();
    let Some(open) = text.find("<script") else { return false };
    text.find(HOLE).is_some_and(|h| h > open)
        && text[..text.find(HOLE).unwrap_or(0)].rfind("</script").is_none_or(|c| c < open)
}

fn script<'a>(cx: &mut Engine<'a>, value: &Value<'a>, range: TextRange) {
    if scripted(value) && cx.dirty(value, SOURCES, clean::HTML) {
        cx.findings.retain(|f| !(std::ptr::eq(f.rule, &SCRIPT) && range.contains_range(f.range)));
        cx.report_from(&SCRIPT, range, Some(value));
    }
}
