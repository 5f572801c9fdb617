//! Every family against transformers and PEFT: goldens and the script that made them stand in `tests/golden`.

use models::{
    Compute, DeviceKind, Group, LoraConfig, Model, Packed, Precision, PrefixConfig, SamplingParams, Stored,
    decoder::Pass,
    families::{self, Family},
    head::{Head, Labels},
    weights,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use tch::Tensor;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// One family's golden folder.
struct Golden {
    folder: PathBuf,
    facts: serde_json::Value,
}

impl Golden {
    fn load(&self) -> models::Result<Model> {
        Model::load(&self.folder, Compute::choose(DeviceKind::Cpu, Precision::F32)?)
    }

    fn adapter(&self) -> PathBuf {
        self.folder.join("adapter")
    }

    fn numbers(&self, key: &str) -> Vec<f64> {
        numbers(&self.facts[key])
    }

    fn ids(&self) -> Vec<u32> {
        self.numbers("ids").into_iter().map(|x| x as u32).collect()
    }
}

fn numbers(json: &serde_json::Value) -> Vec<f64> {
    json.as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect()
}

/// Runs a check on every family, and names those it fails on.
fn each(check: fn(&Golden) -> Outcome) -> Outcome {
    let wrong: Vec<String> = families::ALL
        .iter()
        .filter_map(|Family { name, .. }| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
            let run = || {
                let facts = serde_json::from_slice(&std::fs::read(folder.join("golden.json"))?)?;
                check(&Golden { folder, facts })
            };
            run().err().map(|e| format!("{name}: {e}"))
        })
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Greatest distance between two lists, or why they cannot be compared.
fn close(got: &[f64], want: &[f64], tolerance: f64) -> Outcome {
    if got.len() != want.len() || want.is_empty() {
        return Err(format!("{} values, expected {}", got.len(), want.len()).into());
    }
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    if worst < tolerance { Ok(()) } else { Err(format!("{worst} apart").into()) }
}

fn labels(groups: &[Group], packed: &Packed) -> Labels {
    let mut labels = Labels::default();
    for (group, place) in groups.iter().zip(&packed.groups) {
        for (s, sequence) in group.sequences.iter().enumerate() {
            labels.rows.extend((1..sequence.len()).map(|t| place.row(s, t - 1) as i64));
            labels.tokens.extend(sequence[1..].iter().map(|&t| i64::from(t)));
        }
    }
    labels
}

fn log_probs(model: &Model, groups: &[Group], pass: Pass) -> models::Result<Vec<f64>> {
    let packed = Packed::new(groups, &model.decoder)?;
    let hidden = model.decoder.forward(&packed, pass);
    Ok(Head::new(&model.decoder).log_probs(&hidden, &labels(groups, &packed)))
}

/// `sum(weights * log p)` sent back through whatever trains.
fn learn(model: &Model, groups: &[Group], weights: &[f64]) -> models::Result<()> {
    let packed = Packed::new(groups, &model.decoder)?;
    let tape = model.decoder.record(&packed);
    let (head, labels) = (Head::new(&model.decoder), labels(groups, &packed));
    let kept = head.log_probs_keeping(&tape.hidden, &labels).1;
    let gradient = head.backward(&tape.hidden, &labels, weights, kept);
    model.decoder.backward(&packed, tape, gradient);
    Ok(())
}

fn whole(golden: &Golden) -> Vec<Group> {
    vec![Group::new(vec![golden.ids()])]
}

/// The tensors of a folder's file by name.
fn file(path: &Path) -> models::Result<BTreeMap<String, Tensor>> {
    Ok(weights::read(path)?.into_iter().collect())
}

/// Puts gradients in the place of weights: written as those are, rows of fused projections stand in the file's order.
fn gradients_for_weights(model: &Model) {
    tch::no_grad(|| {
        for (_, mut t) in model.decoder.trainable() {
            let grad = t.grad();
            t.copy_(&grad);
        }
    });
}

/// The tensors of an adapter as it is written.
fn saved_adapter(model: &Model) -> Result<BTreeMap<String, Tensor>, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    model.decoder.save_adapter(folder.path(), "base")?;
    Ok(file(&folder.path().join("adapter_model.safetensors"))?)
}

/// The same names, shapes and, within the tolerance, values.
fn same(got: &BTreeMap<String, Tensor>, want: &BTreeMap<String, Tensor>, tolerance: f64) -> Outcome {
    if !got.keys().eq(want.keys()) {
        return Err(format!("{:?} instead of {:?}", got.keys(), want.keys()).into());
    }
    for ((name, a), b) in got.iter().zip(want.values()) {
        if a.size() != b.size() {
            return Err(format!("{name} has shape {:?} instead of {:?}", a.size(), b.size()).into());
        }
        let worst = (a - b).abs().max().double_value(&[]);
        if worst > tolerance {
            return Err(format!("{name} is {worst} off").into());
        }
    }
    Ok(())
}

#[test]
fn logits_equal_transformers() -> Outcome {
    each(|golden| {
        let logits = golden.load()?.decoder.logits(&golden.ids())?;
        let rows = golden.facts["logits"].as_array().ok_or("no logits")?;
        let want: Vec<f64> = rows.iter().flat_map(numbers).collect();
        let got: Vec<f64> = Vec::<f32>::try_from(logits.flatten(0, 1))?.into_iter().map(f64::from).collect();
        close(&got, &want, 1e-4)
    })
}

#[test]
fn adapters_and_their_gradients_equal_pefts() -> Outcome {
    each(|golden| {
        let mut model = golden.load()?;
        model.decoder.attach_folder(&golden.adapter(), None)?;
        close(&log_probs(&model, &whole(golden), Pass::INFERENCE)?, &golden.numbers("adapted-logp"), 1e-4)?;
        learn(&model, &whole(golden), &golden.numbers("weights"))?;
        gradients_for_weights(&model);
        same(&saved_adapter(&model)?, &file(&golden.folder.join("gradients.safetensors"))?, 1e-3)
    })
}

/// Adapters of the embedding and the head beside one of a projection, where the head is the model's own.
#[test]
fn adapters_of_tables_equal_pefts() -> Outcome {
    each(|golden| {
        let tables = golden.folder.join("tables");
        let mut model = golden.load()?;
        if !tables.exists() {
            // GPT-NeoX's head has two names, one in memory and one on disk.
            let expected = model.decoder.config.tied || golden.folder.ends_with("gpt_neox");
            return if expected { Ok(()) } else { Err("no golden".into()) };
        }
        let plain = log_probs(&model, &whole(golden), Pass::INFERENCE)?;
        model.decoder.attach_folder(&tables, None)?;
        let want = golden.numbers("tables-logp");
        close(&log_probs(&model, &whole(golden), Pass::INFERENCE)?, &want, 1e-4)?;
        follows_its_own_logits(&model)?;
        same(&saved_adapter(&model)?, &file(&tables.join("adapter_model.safetensors"))?, 0.0)?;
        let mut merged = golden.load()?;
        merged.decoder.wear(&tables)?;
        close(&log_probs(&merged, &whole(golden), Pass::INFERENCE)?, &want, 1e-4)?;
        if close(&plain, &want, 1e-2).is_ok() {
            return Err("the adapter changes nothing".into());
        }

        learn(&model, &whole(golden), &golden.numbers("weights"))?;
        gradients_for_weights(&model);
        same(&saved_adapter(&model)?, &file(&golden.folder.join("tables-gradients.safetensors"))?, 1e-3)
    })
}

/// A prefix as PEFT computes it, its gradient, what is written of it, and what the cache makes of it.
#[test]
fn prefixes_equal_pefts() -> Outcome {
    each(|golden| {
        let prefix = golden.folder.join("prefix");
        let mut model = golden.load()?;
        model.decoder.attach_folder(&prefix, None)?;
        close(&log_probs(&model, &whole(golden), Pass::INFERENCE)?, &golden.numbers("prefix-logp"), 1e-4)?;
        same(&saved_adapter(&model)?, &file(&prefix.join("adapter_model.safetensors"))?, 0.0)?;
        follows_its_own_logits(&model)?;

        learn(&model, &whole(golden), &golden.numbers("weights"))?;
        gradients_for_weights(&model);
        same(&saved_adapter(&model)?, &file(&golden.folder.join("prefix-gradients.safetensors"))?, 1e-3)
    })
}

/// A sequence behind each of two prefixes and behind none, packed together and apart; what one control learns, the other
/// does not feel.
#[test]
fn controls_stand_apart() -> Outcome {
    each(|golden| {
        let mut model = golden.load()?;
        let plain = log_probs(&model, &whole(golden), Pass::INFERENCE)?;
        model.decoder.attach_new(PrefixConfig { tokens: 3, controls: 2, dropout: 0.0 }, 1)?;
        models::seed(4);
        tch::no_grad(|| {
            for (_, mut t) in model.decoder.trainable() {
                let _ = t.g_add_(&(t.randn_like() * 0.5));
            }
        });
        let pair = vec![golden.ids(), golden.ids()[..7].to_vec()];
        let behind = |control| Group { sequences: pair.clone(), control };
        let apart = [Some(0), Some(1), None].map(|control| log_probs(&model, &[behind(control)], Pass::INFERENCE));
        let [first, second, none] = apart;
        let (first, second, none) = (first?, second?, none?);
        let together = log_probs(&model, &[behind(Some(1)), behind(None), behind(Some(0))], Pass::INFERENCE)?;
        close(&together, &[second.clone(), none.clone(), first.clone()].concat(), 1e-5)?;
        close(&none[..plain.len()], &plain, 1e-5)?;
        if close(&first, &second, 1e-2).is_ok() || close(&first, &none, 1e-2).is_ok() {
            return Err("a control changes nothing".into());
        }
        learn(&model, &[behind(Some(1))], &vec![1.0; second.len()])?;
        let moves = |control| {
            let moved = |(_, t): (_, Tensor)| t.grad().get(control).abs().max().double_value(&[]) > 0.0;
            model.decoder.trainable().into_iter().all(moved)
        };
        if moves(0) || !moves(1) {
            return Err("the control that was used learns, and no other".into());
        }
        let folder = tempfile::tempdir()?;
        model.decoder.save_adapter(folder.path(), "base")?;
        for (path, want) in [(folder.path().to_owned(), first), (folder.path().join("insecure"), second)] {
            let mut again = golden.load()?;
            again.decoder.wear(&path)?;
            close(&log_probs(&again, &[Group::new(pair.clone())], Pass::INFERENCE)?, &want, 1e-5)?;
        }
        Ok(())
    })
}

#[test]
fn gradients_of_every_weight_equal_transformers() -> Outcome {
    each(|golden| {
        let mut model = golden.load()?;
        model.decoder.train_all();
        learn(&model, &whole(golden), &golden.numbers("weights"))?;
        gradients_for_weights(&model);
        let folder = tempfile::tempdir()?;
        model.save(folder.path(), Stored::F32)?;
        let got = file(&folder.path().join("model.safetensors"))?;
        same(&got, &file(&golden.folder.join("full-gradients.safetensors"))?, 1e-3)
    })
}

/// What transformers and PEFT read is what they wrote themselves.
#[test]
fn what_is_written_is_what_was_read() -> Outcome {
    each(|golden| {
        let mut model = golden.load()?;
        let folder = tempfile::tempdir()?;
        model.save(folder.path(), Stored::F32)?;
        let weights = |folder: &Path| file(&folder.join("model.safetensors"));
        same(&weights(folder.path())?, &weights(&golden.folder)?, 0.0)?;
        model.decoder.attach_folder(&golden.adapter(), None)?;
        model.decoder.save_adapter(folder.path(), "base")?;
        let adapter = |folder: &Path| file(&folder.join("adapter_model.safetensors"));
        same(&adapter(folder.path())?, &adapter(&golden.adapter())?, 0.0)?;
        let config = |folder: &Path| -> Result<serde_json::Value, Box<dyn std::error::Error>> {
            Ok(serde_json::from_slice(&std::fs::read(folder.join("adapter_config.json"))?)?)
        };
        let (own, theirs) = (config(folder.path())?, config(&golden.adapter())?);
        for key in ["r", "fan_in_fan_out", "bias", "peft_type"] {
            if own[key] != theirs[key] {
                return Err(format!("{key} is {} instead of {}", own[key], theirs[key]).into());
            }
        }
        Ok(())
    })
}

#[test]
fn merged_equals_adapted() -> Outcome {
    each(|golden| {
        let mut model = golden.load()?;
        model.decoder.attach_folder(&golden.adapter(), None)?;
        model.decoder.merge_adapter()?;
        let folder = tempfile::tempdir()?;
        model.save(folder.path(), Stored::F32)?;
        let merged = Model::load(folder.path(), model.decoder.compute)?;
        close(&log_probs(&merged, &whole(golden), Pass::INFERENCE)?, &golden.numbers("adapted-logp"), 1e-4)
    })
}

#[test]
fn cached_decoding_equals_full() -> Outcome {
    each(|golden| follows_its_own_logits(&golden.load()?))
}

/// What is sampled greedily, batched and from the cache, is the likeliest token of a pass over the whole text.
fn follows_its_own_logits(model: &Model) -> Outcome {
    let params = SamplingParams { max_new_tokens: 20, ignore_eos: true, ..SamplingParams::default() };
    let prompts: Vec<String> = ["!\"#$%&'(", "abab", "$"].iter().map(|s| (*s).to_owned()).collect();
    for generation in model.generate(&prompts, &params, &mut |_| ())? {
        let mut tokens: Vec<u32> = model.tokenizer.bos.into_iter().collect();
        tokens.extend(model.tokenizer.encode(&prompts[generation.prompt])?);
        for &next in &generation.tokens {
            let logits = model.decoder.logits(&tokens)?;
            let last = logits.get(tokens.len() as i64 - 1).narrow(0, 0, model.tokenizer.len() as i64);
            let want = last.argmax(0, false).int64_value(&[]);
            if want != i64::from(next) {
                return Err(format!("{next} instead of {want} after {tokens:?}").into());
            }
            tokens.push(next);
        }
    }
    Ok(())
}

/// A table of positions ends, and so do the factors of a stretched rotation; angles alone go on.
#[test]
fn sequences_beyond_the_positions_are_refused() -> Outcome {
    each(|golden| {
        let model = golden.load()?;
        let beyond = |tokens: usize| Packed::new(&[Group::new(vec![vec![5; tokens]])], &model.decoder);
        let last = match golden.folder.file_name().and_then(std::ffi::OsStr::to_str) {
            Some("gpt2" | "gpt_bigcode") => Some(64),
            Some("phi3") => Some(32),
            _ => None,
        };
        beyond(last.unwrap_or(100))?;
        match (last, last.map(|n| beyond(n + 1))) {
            (Some(last), Some(Err(why))) if why.to_string().contains(&format!("end at {last}")) => Ok(()),
            (None, None) => Ok(()),
            (_, other) => Err(format!("{other:?}").into()),
        }
    })
}

#[test]
fn packing_and_sharing_change_nothing() -> Outcome {
    each(|golden| {
        let (a, b, c) = (vec![1, 2, 3, 4, 5, 6, 7, 8], vec![1, 2, 3, 4, 5, 9, 8], vec![7, 7, 1]);
        let together = [Group::new(vec![a.clone(), b.clone()]), Group::new(vec![c.clone()])];
        let apart = [a, b, c].map(|s| Group::new(vec![s]));
        let passed = |groups: &[Group]| -> models::Result<(Vec<f64>, Vec<f64>)> {
            let mut model = golden.load()?;
            model.decoder.train_all();
            let logps = log_probs(&model, groups, Pass::INFERENCE)?;
            learn(&model, groups, &vec![-0.25; logps.len()])?;
            let gradients = model.decoder.trainable().into_iter().map(|(_, t)| t.grad().norm().double_value(&[]));
            Ok((logps, gradients.collect()))
        };
        let (one, other) = (passed(&together)?, passed(&apart)?);
        close(&one.0, &other.0, 1e-4)?;
        close(&one.1, &other.1, 1e-3)
    })
}

/// A fresh adapter on every linear module changes nothing until it learns, and every part of it learns.
#[test]
fn a_fresh_adapter_is_the_identity_and_learns_everywhere() -> Outcome {
    each(|golden| {
        let mut model = golden.load()?;
        let plain = log_probs(&model, &whole(golden), Pass::INFERENCE)?;
        let lora = LoraConfig { r: 3, alpha: 6.0, dropout: 0.0, targets: vec!["all-linear".into()], rslora: true };
        model.decoder.attach_new(lora, 1)?;
        close(&log_probs(&model, &whole(golden), Pass::INFERENCE)?, &plain, 1e-9)?;
        learn(&model, &whole(golden), &golden.numbers("weights"))?;
        let dead = |(name, t): (String, Tensor)| {
            let moves = t.grad().abs().max().double_value(&[]) > 0.0;
            (moves != name.contains("lora_B")).then_some(name)
        };
        match model.decoder.trainable().into_iter().find_map(dead) {
            Some(name) => Err(format!("{name}: A learns once B is not zero, and B at once").into()),
            None => Ok(()),
        }
    })
}

fn recomputing(golden: &Golden, dropout: f64) -> models::Result<Model> {
    let mut model = golden.load()?;
    model.decoder.attach_folder(&golden.adapter(), Some(dropout))?;
    model.decoder.recompute = true;
    Ok(model)
}

#[test]
fn blocks_that_run_again_give_the_same_gradients() -> Outcome {
    each(|golden| {
        let gradients = |model: &Model| -> models::Result<Vec<Tensor>> {
            learn(model, &whole(golden), &golden.numbers("weights"))?;
            Ok(model.decoder.trainable().iter().map(|(_, t)| t.grad()).collect())
        };
        let again = recomputing(golden, 0.0)?;
        let mut kept = recomputing(golden, 0.0)?;
        kept.decoder.recompute = false;
        let same = gradients(&again)?.iter().zip(&gradients(&kept)?).all(|(a, b)| a.equal(b));
        if same { Ok(()) } else { Err("gradients differ".into()) }
    })
}

/// A block that runs again drops what it dropped before: otherwise its gradient would not be that of its loss.
#[test]
fn blocks_that_run_again_drop_the_same() -> Outcome {
    each(|golden| {
        let model = recomputing(golden, 0.3)?;
        let (groups, weights) = (whole(golden), golden.numbers("weights"));
        let loss = || -> models::Result<f64> {
            let packed = Packed::new(&groups, &model.decoder)?;
            models::seed(5);
            let tape = model.decoder.record(&packed);
            let logps = Head::new(&model.decoder).log_probs(&tape.hidden, &labels(&groups, &packed));
            Ok(logps.iter().zip(&weights).map(|(l, w)| l * w).sum())
        };
        models::seed(5);
        learn(&model, &groups, &weights)?;
        let trained: Vec<Tensor> = model.decoder.trainable().into_iter().map(|(_, t)| t).collect();
        let gradients: Vec<Tensor> = trained.iter().map(Tensor::grad).collect();
        let length = gradients.iter().map(|g| g.norm().double_value(&[]).powi(2)).sum::<f64>().sqrt();
        let walk = |step: f64| {
            tch::no_grad(|| {
                for (t, g) in trained.iter().zip(&gradients) {
                    let _ = t.shallow_clone().g_add_(&(g * (step / length)));
                }
            });
        };
        // Along the gradient the loss grows by its length.
        walk(0.005);
        let above = loss()?;
        walk(-0.01);
        let slope = (above - loss()?) / 0.01;
        if (slope - length).abs() < 0.02 * length { Ok(()) } else { Err(format!("{slope} instead of {length}").into()) }
    })
}

/// One BOS where the family's tokenizer puts one, none where it does not: what transformers makes of the same text.
#[test]
fn texts_become_the_ids_of_transformers() -> Outcome {
    each(|golden| {
        let tokenizer = golden.load()?.tokenizer;
        let text = golden.facts["text"].as_str().ok_or("no text")?;
        let mut ids: Vec<f64> = tokenizer.bos.into_iter().map(f64::from).collect();
        ids.extend(tokenizer.encode(text)?.into_iter().map(f64::from));
        close(&ids, &golden.numbers("text-ids"), 0.5)?;
        if tokenizer.eos == Some(61) { Ok(()) } else { Err(format!("EOS is {:?}", tokenizer.eos).into()) }
    })
}
