//! XML parsers that fetch and expand what a document tells them to.

use crate::native::{
    engine::Engine,
    rule::{Call, Check},
};

rule!(EXTERNAL, "xml-entities", [611, 776, 827, 409, 20], High, High,
    what: "Looks for XML parsers that resolve entities.",
    why: "A document can include local files and internal addresses, or expand a few lines to gigabytes.",
    remedy: "use `defusedxml`, or an lxml parser with `resolve_entities=False`",
    [Check::Call(PARSERS, parsed)]);

const PARSERS: &[&str] = &[
    "parse",
    "fromstring",
    "parseString",
    "iterparse",
    "XML",
    "XMLParser",
    "XMLID",
    "setFeature",
    "XMLPullParser",
    "make_parser",
    "HTMLParser",
    "fromstringlist",
    "ETCompatXMLParser",
    "ParserCreate",
    "XMLReader",
];

fn parsed<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let path = call.path;
    let function = call.name;
    let found = if path.starts_with("lxml.") {
        match function {
            "XMLParser" | "ETCompatXMLParser" => {
                // Entities are resolved by default (internal ones only since lxml 5).
                call.keyword("resolve_entities").is_none_or(|r| r.is_bool(true)) && !call.open_ended()
            }
            "parse" | "fromstring" | "XML" | "XMLID" | "iterparse" if !path.starts_with("lxml.html") => {
                // A parser that was made here is judged where it was made.
                call.arg(1, "parser").is_none() && call.keyword("resolve_entities").is_none_or(|r| r.is_bool(true))
            }
            _ => false,
        }
    } else if path.starts_with("xml.etree.") || path.starts_with("xml.dom.") {
        matches!(
            function,
            "parse" | "fromstring" | "parseString" | "iterparse" | "XML" | "fromstringlist" | "XMLPullParser"
        ) && call.args.first().is_none_or(|a| a.dynamic())
    } else if function == "ParserCreate" {
        // Without a handler that refuses declarations, expat expands what a document declares.
        path.contains("expat") && !cx.source.contains("EntityDecl")
    } else if path.starts_with("xml.sax.") {
        match function {
            "setFeature" => {
                call.args.first().is_some_and(|f| {
                    f.path().contains("external_ges")
                        || f.path().contains("external_pes")
                        || f.text().contains("external")
                }) && call.args.get(1).is_some_and(|v| v.is_bool(true) || v.as_int() == Some(1))
            }
            "parse" | "parseString" => call.receiver.as_ref().is_some_and(|r| r.path() == "xml.sax"),
            _ => false,
        }
    } else {
        function == "setFeature"
            && call.args.first().is_some_and(|f| f.path().contains("feature_external"))
            && call.args.get(1).is_some_and(|v| v.is_bool(true))
    };
    if found && !guarded(cx) {
        cx.report(&EXTERNAL, call.range);
    }
}

/// Whether the parser named in the call was configured, or the text refused where it declares entities.
fn guarded(cx: &Engine<'_>) -> bool {
    let text = cx.function_text();
    ["<!ENTITY", "<!DOCTYPE", "defuse_stdlib", "EntityDeclHandler"].iter().any(|g| text.contains(g))
}
