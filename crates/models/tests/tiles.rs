//! A model wide enough for the processor's bf16 tiles: what they compute is what exact products compute.
#![cfg(feature = "torch")]
#![expect(clippy::unwrap_used, reason = "tests")]

use models::{Compute, DeviceKind, Group, LoraConfig, Model, Packed, Precision, Products, head::Head, head::Labels};
use std::{fs, path::Path};
use tch::Tensor;

/// Log-probs and gradients of a random model of this family, with random adapters on every projection or all weights.
fn run(family: &str, precision: Precision, products: Products, whole: bool) -> (Vec<f64>, Vec<(String, Tensor)>) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(family);
    let folder = tempfile::tempdir().unwrap();
    fs::copy(golden.join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let mut config: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(golden.join("config.json")).unwrap()).unwrap();
    for (key, value) in [
        ("hidden_size", 512),
        ("intermediate_size", 640),
        ("head_dim", 128),
        ("vocab_size", 514),
        ("max_position_embeddings", 256),
    ] {
        config[key] = value.into();
    }
    // Factors of single pairs are for the golden's own heads.
    config["rope_parameters"] = serde_json::json!({"rope_type": "default", "rope_theta": 10_000.0});
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let compute = Compute::choose(DeviceKind::Cpu, precision).unwrap().with(products);
    let mut model = Model::random(folder.path(), compute, 1).unwrap();
    if whole {
        model.decoder.train_all();
    } else {
        let targets = vec!["all-linear".into()];
        model.decoder.attach_new(LoraConfig { r: 8, alpha: 24.0, dropout: 0.0, targets, rslora: false }, 1).unwrap();
        models::seed(7);
        tch::no_grad(|| {
            for (_, mut t) in model.decoder.trainable() {
                let random = Tensor::randn_like(&t) * 0.05;
                t.copy_(&random);
            }
        });
    }
    // Two sides that share their beginning, and a sequence of its own: more than 128 rows.
    let ids = |from: u32, n: u32| (0..n).map(move |i| (from + i * 37) % 500);
    let pair = [3, 11].map(|from| ids(5, 40).chain(ids(from, 45)).collect::<Vec<u32>>());
    let groups = [Group::new(pair.to_vec()), Group::new(vec![ids(200, 90).collect()])];
    let packed = Packed::new(&groups, &model.decoder).unwrap();
    let rows: Vec<i64> = (0..packed.tokens() as i64).collect();
    let tokens = rows.iter().map(|r| (r * 13) % 514).collect();
    let labels = Labels { rows, tokens };
    let weights: Vec<f64> = (0..labels.len()).map(|i| (i as f64 * 0.7).sin() / 100.0).collect();
    let head = Head::new(&model.decoder);
    let tape = model.decoder.record(&packed);
    let (logps, kept) = head.log_probs_keeping(&tape.hidden, &labels);
    assert!(kept.is_some(), "a few hundred labels");
    let gradient = head.backward(&tape.hidden, &labels, &weights, kept);
    model.decoder.backward(&packed, tape, gradient);
    (logps, model.decoder.trainable().into_iter().map(|(name, t)| (name, t.grad())).collect())
}

fn check(family: &str, whole: bool) {
    let (exact, want) = run(family, Precision::F32, Products::Highest, whole);
    // bf16 itself is what is lost in the second case: its bound is that of libtorch's own bf16.
    for (precision, logp, gradient) in [(Precision::F32, 1e-4, 5e-4), (Precision::Bf16, 3e-2, 4e-2)] {
        let (logps, got) = run(family, precision, Products::High, whole);
        let worst = logps.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < logp, "{family}: a log-prob differs by {worst}");
        for ((name, got), (_, want)) in got.iter().zip(&want) {
            let apart = (got - want).norm().double_value(&[]) / want.norm().double_value(&[]).max(1e-12);
            assert!(apart < gradient, "{family}: the gradient of {name} is {apart} of its length away");
        }
    }
}

/// Plain blocks; biases and halves beside each other; one product for queries, keys and values.
#[test]
fn tiles_learn_what_exact_products_learn() {
    for family in ["llama", "phi", "phi3"] {
        check(family, false);
    }
    check("llama", true);
}
