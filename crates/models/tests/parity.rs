//! The decoder against itself, in both precisions: packed equals apart, shared equals whole, saved equals loaded; and what
//! sampling and loading promise. `families.rs` holds it to transformers and PEFT.

use models::{
    Compute, DeviceKind, Generation, Group, LoraConfig, Model, Packed, Precision, SamplingParams, Stored,
    decoder::Pass,
    head::{Head, Labels},
};
use std::path::{Path, PathBuf};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/llama")
}

fn load(precision: Precision) -> models::Result<Model> {
    Model::load(&golden(), Compute::choose(DeviceKind::Cpu, precision)?)
}

fn numbers(json: &serde_json::Value) -> Vec<f64> {
    json.as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect()
}

fn facts() -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    Ok(serde_json::from_slice(&std::fs::read(golden().join("golden.json"))?)?)
}

fn ids(facts: &serde_json::Value) -> Vec<u32> {
    numbers(&facts["ids"]).into_iter().map(|x| x as u32).collect()
}

/// Log-probs of every token of every sequence, in order.
fn log_probs(model: &Model, groups: &[Group], pass: Pass) -> models::Result<Vec<f64>> {
    let packed = Packed::new(groups, &model.decoder)?;
    let mut labels = Labels::default();
    for (group, place) in groups.iter().zip(&packed.groups) {
        for (s, sequence) in group.sequences.iter().enumerate() {
            for (t, &token) in sequence.iter().skip(1).enumerate() {
                labels.rows.push(place.row(s, t) as i64);
                labels.tokens.push(i64::from(token));
            }
        }
    }
    let hidden = model.decoder.forward(&packed, pass);
    Ok(Head::new(&model.decoder).log_probs(&hidden, &labels))
}

fn close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        assert!((a - b).abs() < tolerance, "{i}: {a} and {b}");
    }
}

/// `sum(weights * log p)` sent back through every weight.
fn learn(model: &Model, groups: &[Group], weights: &[f64]) -> models::Result<()> {
    let packed = Packed::new(groups, &model.decoder)?;
    let mut labels = Labels::default();
    for (group, place) in groups.iter().zip(&packed.groups) {
        for (s, sequence) in group.sequences.iter().enumerate() {
            labels.rows.extend((1..sequence.len()).map(|t| place.row(s, t - 1) as i64));
            labels.tokens.extend(sequence[1..].iter().map(|&t| i64::from(t)));
        }
    }
    let tape = model.decoder.record(&packed);
    let gradient = Head::new(&model.decoder).backward(&tape.hidden, &labels, weights, None);
    model.decoder.backward(&packed, tape, gradient);
    Ok(())
}

#[test]
fn gradients_of_a_shared_beginning_equal_those_apart() -> Outcome {
    for precision in [Precision::F32, Precision::Bf16] {
        let gradients = |groups: &[Group]| -> models::Result<Vec<tch::Tensor>> {
            let mut model = load(precision)?;
            model.decoder.train_all();
            let n = groups.iter().flat_map(|g| &g.sequences).map(|s| s.len() - 1).sum();
            learn(&model, groups, &vec![-0.25; n])?;
            Ok(model.decoder.trainable().iter().map(|(_, t)| t.grad()).collect())
        };
        let (a, b, c) = (vec![1, 2, 3, 4, 5, 6], vec![1, 2, 3, 9, 8], vec![7, 7, 1]);
        let shared = gradients(&[Group::new(vec![a.clone(), b.clone()]), Group::new(vec![c.clone()])])?;
        let apart = gradients(&[a, b, c].map(|s| Group::new(vec![s])))?;
        let tolerance = if precision == Precision::F32 { 1e-4 } else { 0.05 };
        for (a, b) in shared.iter().zip(&apart) {
            let (worst, largest) = ((a - b).abs().max().double_value(&[]), b.abs().max().double_value(&[]));
            assert!(worst < tolerance * largest.max(1.0), "{worst} of {largest}");
        }
    }
    Ok(())
}

#[test]
fn packing_and_sharing_change_nothing() -> Outcome {
    for precision in [Precision::F32, Precision::Bf16] {
        let model = load(precision)?;
        let tolerance = if precision == Precision::F32 { 1e-4 } else { 0.15 };
        let (a, b, c) = (vec![1, 2, 3, 4, 5, 6], vec![1, 2, 3, 9, 8], vec![7, 7, 1]);
        let apart: Vec<f64> = [&a, &b, &c]
            .into_iter()
            .map(|s| log_probs(&model, &[Group::new(vec![s.clone()])], Pass::INFERENCE))
            .collect::<Result<Vec<_>, _>>()?
            .concat();
        let groups = [Group::new(vec![a, b]), Group::new(vec![c])];
        let packed = Packed::new(&groups, &model.decoder)?;
        assert_eq!(packed.tokens(), 3 + 3 + 2 + 3, "the pair's beginning stands there once");
        close(&log_probs(&model, &groups, Pass::INFERENCE)?, &apart, tolerance);
    }
    Ok(())
}

#[test]
fn sampling_repeats_and_rows_do_not_depend_on_neighbours() -> Outcome {
    let model = load(Precision::F32)?;
    let params = SamplingParams { samples: 60, max_new_tokens: 12, temperature: 1.0, seed: 3, ..Default::default() };
    let prompts: Vec<String> = ["!\"#", "abab", "$"].iter().map(|s| (*s).to_owned()).collect();
    let all = model.generate(&prompts, &params, &mut |_| ())?;
    assert_eq!(all.len(), 180);
    assert_eq!(all, model.generate(&prompts, &params, &mut |_| ())?);
    let alone = model.generate(&prompts[..1], &params, &mut |_| ())?;
    let of_first: Vec<&Generation> = all.iter().filter(|g| g.prompt == 0).collect();
    assert_eq!(alone.iter().collect::<Vec<_>>(), of_first);
    Ok(())
}

#[test]
fn stop_strings_end_an_answer_and_stay_out_of_it() -> Outcome {
    let model = load(Precision::F32)?;
    let free = SamplingParams { max_new_tokens: 16, ignore_eos: true, ..SamplingParams::default() };
    let prompt = ["ab!".to_owned()];
    let whole = &model.generate(&prompt, &free, &mut |_| ())?[0];
    let stop: String = whole.text.chars().skip(4).take(2).collect();
    let cut = &model.generate(&prompt, &SamplingParams { stop: vec![stop.clone()], ..free }, &mut |_| ())?[0];
    assert_eq!(Some(cut.text.as_str()), whole.text.split(&stop).next());
    assert_eq!(cut.finish, lexicon::FinishReason::Stop);
    Ok(())
}

#[test]
fn what_is_saved_loads_the_same() -> Outcome {
    let (mut model, facts) = (load(Precision::F32)?, facts()?);
    let groups = [Group::new(vec![ids(&facts)])];
    let plain = log_probs(&model, &groups, Pass::INFERENCE)?;
    let folder = tempfile::tempdir()?;
    let lora = LoraConfig { r: 3, alpha: 6.0, dropout: 0.0, targets: vec!["all-linear".into()], rslora: true };
    model.decoder.attach_new(lora, 1)?;
    close(&log_probs(&model, &groups, Pass::INFERENCE)?, &plain, 1e-9);
    model.decoder.attach_folder(&golden().join("adapter"), None)?;
    let adapted = log_probs(&model, &groups, Pass::INFERENCE)?;
    close(&log_probs(&model, &groups, Pass::REFERENCE)?, &plain, 1e-9);
    model.decoder.save_adapter(&folder.path().join("adapter"), "base")?;
    let mut again = load(Precision::F32)?;
    again.decoder.attach_folder(&folder.path().join("adapter"), None)?;
    again.decoder.merge_adapter()?;
    close(&log_probs(&again, &groups, Pass::INFERENCE)?, &adapted, 1e-5);
    again.save(&folder.path().join("merged"), Stored::F32)?;
    let merged = Model::load(&folder.path().join("merged"), again.decoder.compute)?;
    close(&log_probs(&merged, &groups, Pass::INFERENCE)?, &adapted, 1e-5);
    Ok(())
}

#[test]
fn broken_folders_are_refused_with_a_reason() -> Outcome {
    let weights = std::fs::read(golden().join("model.safetensors"))?;
    let config = std::fs::read_to_string(golden().join("config.json"))?;
    let truncated = weights[..weights.len() - 7].to_vec();
    let mut hostile = weights.clone();
    hostile[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("model.safetensors", truncated, "not a whole safetensors file"),
        ("model.safetensors", hostile, "not a whole safetensors file"),
        ("model.safetensors", Vec::new(), "not a whole safetensors file"),
        (
            "config.json",
            config.replace("LlamaForCausalLM", "OddForCausalLM").into(),
            "\"OddForCausalLM\" is not supported",
        ),
        ("config.json", config.replace("\"vocab_size\": 64", "\"vocab_size\": 60").into(), "do not belong together"),
        ("config.json", config.replace("\"hidden_size\": 16", "\"hidden_size\": 32").into(), "has shape"),
        (
            "config.json",
            config.replace("\"num_attention_heads\": 4", "\"num_attention_heads\": 0").into(),
            "num_attention_heads",
        ),
        ("config.json", b"{".to_vec(), "not JSON"),
        ("tokenizer.json", b"{}".to_vec(), "not a tokenizer"),
    ];
    for (file, bytes, expect) in cases {
        let folder = tempfile::tempdir()?;
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            std::fs::copy(golden().join(name), folder.path().join(name))?;
        }
        std::fs::write(folder.path().join(file), bytes)?;
        let compute = Compute::choose(DeviceKind::Cpu, Precision::F32)?;
        let said = Model::load(folder.path(), compute).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains(expect), "{file}: {said:?} should contain {expect:?}");
    }
    Ok(())
}
