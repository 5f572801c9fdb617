//! Formats that run code while they are read.

use crate::native::{
    engine::Engine,
    rule::{Call, Check},
};

rule!(OBJECTS, "unsafe-deserialization", [502, 20], Critical, High,
    what: "Looks for data read with pickle, marshal, shelve, full YAML loaders and what builds on them.",
    why: "These formats can name any function to call, so whoever wrote the data runs code.",
    remedy: "use JSON, `yaml.safe_load`, `weights_only=True` or `allow_pickle=False`",
    [Check::Call(READERS, read)]);

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
        "shelve" => matches!(call.name, "open" | "Shelf" | "DbfilenameShelf"),
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
