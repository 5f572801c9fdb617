//! Formats that run code while they are read.

use crate::native::{
    engine::Engine,
    rule::{Call, Check},
};
use ruff_python_ast::Stmt;
use ruff_text_size::Ranged;

rule!(OBJECTS, "unsafe-deserialization", [502, 20], Critical, High,
    what: "Looks for data read with pickle, marshal, shelve, full YAML loaders and what builds on them.",
    why: "These formats can name any function to call, so whoever wrote the data runs code.",
    remedy: "use JSON, `yaml.safe_load`, `weights_only=True` or `allow_pickle=False`",
    [Check::Call(READERS, read), Check::Call(&["__init__"], full_loader), Check::Statement(loader_class)]);

rule!(WRITTEN, "pickle-written", [502], Low, Low,
    what: "Looks for files and messages written with pickle or marshal.",
    why: "Whoever reads them runs what they say, and a file can be changed between writing and reading.",
    remedy: "write JSON, or sign what is written and check the signature before reading",
    [Check::Call(&["dump", "Pickler"], written)]);

const READERS: &[&str] = &[
    "load",
    "loads",
    "load_all",
    "unsafe_load",
    "unsafe_load_all",
    "full_load",
    "full_load_all",
    "Unpickler",
    "open",
    "read_pickle",
    "decode",
    "Shelf",
    "DbfilenameShelf",
    "load_pickle",
    "from_pickle",
    "load_module",
];

fn read<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let module = call.path.rsplit_once('.').map_or("", |(m, _)| m);
    let found = match module {
        "pickle" | "cPickle" | "_pickle" | "dill" | "cloudpickle" | "marshal" | "pickle5" | "six.moves.cPickle" => {
            matches!(call.name, "load" | "loads" | "Unpickler") && call.args.first().is_none_or(|a| a.dynamic())
        }
        "jsonpickle" => matches!(call.name, "decode" | "loads"),
        "joblib" | "sklearn.externals.joblib" => call.name == "load",
        "pandas" => call.name == "read_pickle",
        // A new shelf holds nothing that somebody else wrote.
        "shelve" => {
            matches!(call.name, "open" | "Shelf" | "DbfilenameShelf")
                && call.arg(1, "flag").and_then(|f| f.as_str()) != Some("n")
        }
        "numpy" => call.name == "load" && call.keyword("allow_pickle").is_some_and(|a| a.is_bool(true)),
        "torch" => {
            call.name == "load" && call.keyword("weights_only").is_none_or(|w| w.is_bool(false)) && !call.open_ended()
        }
        "yaml" | "ruamel.yaml" => yaml(call),
        _ => false,
    };
    if found {
        cx.report(&OBJECTS, call.range);
    }
}

fn yaml(call: &Call<'_>) -> bool {
    match call.name {
        "load" | "load_all" => match call.arg(1, "Loader") {
            Some(loader) => !loader.path().contains("Safe") && !loader.path().contains("BaseLoader"),
            None => !call.open_ended(),
        },
        "unsafe_load" | "unsafe_load_all" | "full_load" | "full_load_all" => true,
        _ => false,
    }
}

/// Loaders that build any object.
const FULL: &[&str] = &["yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.CLoader", "yaml.loader.Loader"];

/// `yaml.Loader.__init__(self, ..)`: a loader made on a full one.
fn full_loader<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if call.receiver.as_ref().is_some_and(|r| FULL.contains(&r.path())) {
        cx.report(&OBJECTS, call.range);
    }
}

fn loader_class<'a>(cx: &mut Engine<'a>, stmt: &'a Stmt) {
    let Stmt::ClassDef(class) = stmt else { return };
    for base in class.arguments.iter().flat_map(|a| &a.args) {
        if FULL.contains(&cx.peek(base).path()) {
            cx.report(&OBJECTS, base.range());
        }
    }
}

fn written<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let module = call.path.rsplit_once('.').map_or("", |(m, _)| m);
    let signed = ["hmac", "sign", "compare_digest", "Fernet"].iter().any(|s| cx.function_text().contains(s));
    if matches!(module, "pickle" | "cPickle" | "_pickle" | "dill" | "cloudpickle" | "marshal") && !signed {
        cx.report(&WRITTEN, call.range);
    }
}
