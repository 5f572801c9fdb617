//! Model folders made to harm: refused at once, by name, without the memory they ask for.

use super::bench::{Bench, Outcome, Run, config_json, letters, tokenizer_json};
use serde_json::{Value, json};
use std::{fs, process::Command};

/// Address space of a child in kilobytes: a good model of this size needs less than half, a hostile header asks for
/// far more.
const ADDRESS_SPACE: usize = 2 << 20;

/// `generate` and `train` both refuse the folder `model`.
fn check(bench: &Bench, expect: &[&str]) -> Outcome {
    let generate = ["generate", "--model", "model", "--prompts", "prompts.jsonl", "--out", "samples.jsonl"];
    bench.refuses_as(confined(bench, &generate), expect)?;
    bench.refuses_as(confined(bench, &["train", "out.toml"]), expect)
}

fn confined(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -v {ADDRESS_SPACE}; exec \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_rampart")]).args(arguments);
    command.current_dir(bench.folder()).env("OMP_NUM_THREADS", "1");
    command
}

/// A safetensors file of a header and so many bytes of data.
fn safetensors(header: &Value, data: usize) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

fn tensor(shape: &[u64], from: u64, to: u64) -> Value {
    json!({"dtype": "F32", "shape": shape, "data_offsets": [from, to]})
}

#[test]
fn hostile_weights_are_refused() -> Outcome {
    let bench = Bench::new()?;
    bench.config(Run::LPO)?;
    let path = bench.path("model/model.safetensors");
    let good = fs::read(&path)?;
    let length = usize::try_from(u64::from_le_bytes(good[..8].try_into()?))?;
    let with_length = |n: u64| [&n.to_le_bytes(), &good[8..]].concat();
    let embedding = "model.embed_tokens.weight";
    let huge = 1u64 << 60;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("shorter than the length", good[..5].to_vec()),
        ("cut in the header", good[..8 + length / 2].to_vec()),
        ("cut in the data", good[..good.len() - 4].to_vec()),
        ("more than the header says", [good.as_slice(), b"more"].concat()),
        ("header of 2^60", with_length(1 << 60)),
        ("header of 2^64 - 1", with_length(u64::MAX)),
        ("header beyond the file", with_length(good.len() as u64)),
        ("header of nothing", with_length(0)),
        ("no JSON", [&8u64.to_le_bytes()[..], b"notjson!"].concat()),
        ("overlapping", safetensors(&json!({"a": tensor(&[2], 0, 8), "b": tensor(&[2], 4, 12)}), 12)),
        ("a hole", safetensors(&json!({"a": tensor(&[1], 0, 4), "b": tensor(&[1], 8, 12)}), 12)),
        ("beyond the data", safetensors(&json!({embedding: tensor(&[128, 32], 0, 16384)}), 64)),
        ("backwards", safetensors(&json!({embedding: tensor(&[1], 8, 4)}), 8)),
        ("shape beyond the data", safetensors(&json!({embedding: tensor(&[1 << 40, 1 << 20], 0, 64)}), 64)),
        ("shape that overflows", safetensors(&json!({embedding: tensor(&[huge, huge], 0, 64)}), 64)),
        ("offsets that overflow", safetensors(&json!({embedding: tensor(&[1], u64::MAX - 3, u64::MAX)}), 4)),
    ];
    for (what, bytes) in cases {
        fs::write(&path, bytes)?;
        check(&bench, &["model/model.safetensors: not a whole safetensors file", "copy or download it again"])
            .map_err(|e| format!("{what}: {e}"))?;
    }
    // Well-formed, and not this model.
    fs::write(&path, safetensors(&json!({embedding: tensor(&[2, 2], 0, 16)}), 16))?;
    check(&bench, &["model: tensor model.embed_tokens.weight has shape [2, 2], expected [128, 32]"])?;
    fs::write(&path, safetensors(&json!({}), 0))?;
    check(&bench, &["model: tensor model.embed_tokens.weight is missing"])?;
    fs::write(&path, safetensors(&json!({embedding: {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}), 4))?;
    check(&bench, &["model/model.safetensors: tensor model.embed_tokens.weight has type I8"])?;
    fs::remove_file(&path)?;
    check(&bench, &["model: no model.safetensors and no index"])?;
    for (index, expect) in [
        (json!({"weight_map": {"a": "../../secret.safetensors"}}), "is not a file of this folder"),
        (json!({"weight_map": {"a": "/etc/passwd"}}), "is not a file of this folder"),
        (json!({"weight_map": {"a": "model-00001-of-00002.safetensors"}}), "cannot read"),
        (json!({"weight_map": {}}), "names no file"),
        (json!({}), "weight_map is missing"),
    ] {
        bench.file("model/model.safetensors.index.json", &index.to_string())?;
        check(&bench, &[expect])?;
    }
    Ok(())
}

#[test]
fn weights_that_are_no_numbers_are_named() -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run::LPO)?;
    let path = bench.path("model/model.safetensors");
    let mut bytes = fs::read(&path)?;
    let from = bytes.len() - 4096;
    bytes[from..].fill(0xff);
    fs::write(&path, bytes)?;
    let output = bench.run(&["train", &config])?;
    let said = super::bench::one_message(&output)?;
    assert!(said.contains("is NaN") || said.contains("not finite"), "{said}");
    let output =
        bench.run(&["generate", "--model", "model", "--prompts", "prompts.jsonl", "--out", "samples.jsonl"])?;
    let said = super::bench::one_message(&output)?;
    assert!(said.contains("NaN") && !bench.path("samples.jsonl").exists(), "{said}");
    Ok(())
}

fn changed(tokenizer: &Value, key: &str, value: Value) -> String {
    let mut tokenizer = tokenizer.clone();
    tokenizer[key] = value;
    tokenizer.to_string()
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(0), |inner, _| json!([inner]))
}

#[test]
fn tokenizers_that_do_not_fit_are_refused() -> Outcome {
    let bench = Bench::new()?;
    bench.config(Run::LPO)?;
    let good = tokenizer_json(&letters());
    let mut more = letters();
    more.extend((0..60).map(|n| format!("extra{n}")));
    let mut beyond = good.clone();
    beyond["added_tokens"][0]["id"] = 4_000_000_000u32.into();
    beyond["model"]["vocab"]["<|endoftext|>"] = 4_000_000_000u32.into();
    let cases = [
        (tokenizer_json(&more).to_string(), "entries and the model only 128: they do not belong together"),
        (beyond.to_string(), "the tokenizer has 4000000001 entries and the model only 128"),
        (good.to_string()[..200].to_owned(), "model/tokenizer.json: not a tokenizer"),
        (String::new(), "model/tokenizer.json: not a tokenizer"),
        ("{}".into(), "model/tokenizer.json: not a tokenizer"),
        (format!("{}\u{fffd}", good), "model/tokenizer.json: not a tokenizer (not JSON"),
        (changed(&good, "decoder", json!({"type": "ByteLevel", "trim_offsets": "x"})), "not a tokenizer ("),
        (
            changed(&good, "normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
            "not a tokenizer (",
        ),
        (changed(&good, "decoder", nested(200)), "not a tokenizer ("),
    ];
    for (text, expect) in cases {
        bench.file("model/tokenizer.json", &text)?;
        check(&bench, &[expect])?;
    }
    fs::remove_file(bench.path("model/tokenizer.json"))?;
    check(&bench, &["cannot read model/tokenizer.json"])
}

#[test]
fn hostile_dimensions_are_refused() -> Outcome {
    let bench = Bench::new()?;
    bench.config(Run::LPO)?;
    let huge = json!(1u64 << 62);
    let cases: Vec<(&str, Value, &str)> = vec![
        ("vocab_size", json!(0), "vocab_size is 0"),
        ("hidden_size", json!(0), "hidden_size is 0"),
        ("num_hidden_layers", json!(0), "num_hidden_layers is 0"),
        ("num_attention_heads", json!(0), "num_attention_heads is 0"),
        ("num_key_value_heads", json!(0), "num_key_value_heads is 0"),
        ("head_dim", json!(0), "head_dim is 0"),
        ("intermediate_size", json!(0), "intermediate_size is 0"),
        ("max_position_embeddings", json!(0), "max_position_embeddings is 0"),
        ("vocab_size", json!(-5), "vocab_size is -5"),
        ("vocab_size", huge.clone(), "vocab_size is 4611686018427387904"),
        ("hidden_size", huge.clone(), "hidden_size is 4611686018427387904"),
        ("num_hidden_layers", huge.clone(), "num_hidden_layers is 4611686018427387904"),
        ("intermediate_size", huge.clone(), "intermediate_size is 4611686018427387904"),
        ("max_position_embeddings", huge.clone(), "max_position_embeddings is 4611686018427387904"),
        ("num_hidden_layers", json!("two"), "num_hidden_layers is missing or not an integer"),
        ("hidden_size", Value::Null, "hidden_size is missing or not an integer"),
        ("head_dim", json!(15), "15 dimensions of 15 would be rotary"),
        ("num_key_value_heads", json!(3), "num_attention_heads 2 is not a multiple of num_key_value_heads 3"),
        ("rope_theta", json!(0.0), "rope_theta holds 0"),
        ("rope_theta", json!(-1.0), "rope_theta holds -1"),
        ("rms_norm_eps", json!(-1.0), "the norms' epsilon is -1"),
        ("rope_parameters", json!({"partial_rotary_factor": 1e300}), "would be rotary"),
        ("hidden_act", json!("relu6"), "hidden_act \"relu6\" is not supported"),
        ("rope_scaling", json!({"rope_type": "linear", "factor": 0.0}), "rope_scaling holds 0"),
        ("architectures", json!(["BertModel"]), "architecture \"BertModel\" is not supported"),
        // Within every limit, and not what the file holds.
        ("vocab_size", json!(4_000_000), "has shape [128, 32], expected [4000000, 32]"),
        ("num_hidden_layers", json!(4096), "tensor model.layers.2."),
    ];
    for (key, value, expect) in cases {
        let mut config = config_json();
        config[key] = value;
        bench.file("model/config.json", &config.to_string())?;
        check(&bench, &[expect]).map_err(|e| format!("{key}: {e}"))?;
    }
    for text in ["", "{", "[]", "null"] {
        bench.file("model/config.json", text)?;
        check(&bench, &["model/config.json: "])?;
    }
    // From scratch no file vouches for the dimensions: 64 TiB are refused before they are asked for.
    let mut config = config_json();
    (config["vocab_size"], config["hidden_size"]) = (json!(4_000_000), json!(1 << 20));
    bench.file("model/config.json", &config.to_string())?;
    bench.refuses_as(
        confined(&bench, &["train", "out.toml", "--set", "model.from-scratch=true"]),
        &["model/config.json: a model of ", "make its dimensions smaller"],
    )
}

#[test]
fn hostile_adapters_are_refused() -> Outcome {
    let bench = Bench::new()?;
    let config = bench.config(Run { steps: 1, ..Run::LPO })?;
    bench.finishes(&["train", &config])?;
    let weights = fs::read(bench.path("out/adapter/adapter_model.safetensors"))?;
    let settings: Value = serde_json::from_slice(&fs::read(bench.path("out/adapter/adapter_config.json"))?)?;
    fs::create_dir(bench.path("hostile"))?;
    let generate = [
        "generate",
        "--model",
        "model",
        "--adapter",
        "hostile",
        "--prompts",
        "prompts.jsonl",
        "--out",
        "samples.jsonl",
    ];
    let changed = |key: &str, value: Value| {
        let mut settings = settings.clone();
        settings[key] = value;
        settings.to_string()
    };
    let cases = [
        (settings.to_string(), &weights[..weights.len() - 1], "hostile/adapter_model.safetensors: not a whole"),
        (changed("r", json!(1u64 << 40)), &weights[..], "adapter rank 1099511627776"),
        (changed("r", json!(8)), &weights[..], "has shape [4, 32], expected [8, 32]"),
        (changed("r", json!(-1)), &weights[..], "adapter rank -1"),
        (changed("target_modules", json!(["q_proj"])), &weights[..], "belongs to no module of this model"),
        (changed("target_modules", json!([])), &weights[..], "targets is empty"),
        (changed("peft_type", json!("IA3")), &weights[..], "peft_type is \"IA3\""),
        ("{".into(), &weights[..], "hostile/adapter_config.json: not JSON"),
    ];
    for (settings, weights, expect) in cases {
        fs::write(bench.path("hostile/adapter_model.safetensors"), weights)?;
        bench.file("hostile/adapter_config.json", &settings)?;
        bench.refuses_as(confined(&bench, &generate), &[expect])?;
        let merge = ["merge", "--model", "model", "--adapter", "hostile", "--out", "merged"];
        bench.refuses_as(confined(&bench, &merge), &[expect])?;
    }
    Ok(())
}

#[test]
fn requests_beyond_the_model_are_refused() -> Outcome {
    let bench = Bench::new()?;
    let ask = ["generate", "--model", "model", "--prompts", "prompts.jsonl", "--out", "samples.jsonl"];
    for (extra, expect) in [
        (&["--temperature", "nan"][..], "temperature NaN"),
        (&["--top-p", "0"][..], "top-p 0"),
        (&["--samples", "0"][..], "samples and max-new-tokens"),
        (&["--stop", ""][..], "a stop string is empty"),
    ] {
        bench.refuses(&[&ask[..], extra].concat(), &[expect])?;
    }
    bench.file("prompts.jsonl", "{\"format\":1,\"id\":\"p\"}\n")?;
    bench.refuses(&ask, &["prompts.jsonl:1: missing field `prompt`"])?;
    bench.file("prompts.jsonl", "")?;
    bench.refuses(&ask, &["prompts.jsonl: no prompt in it"])?;
    let long = json!({"format": 1, "id": "p", "prompt": "x".repeat(600)});
    bench.file("prompts.jsonl", &long.to_string())?;
    bench.refuses(&ask, &["prompt 0 has 600 tokens and the model's context is 512"])
}
