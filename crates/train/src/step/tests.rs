use super::*;
use models::{Compute, DeviceKind, LoraConfig, Model, Precision, PrefixConfig};
use objectives::{SafeCoder, Side, Sven};
use std::path::Path;

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

fn sample(side: Side, ids: &[u32], focus: &[usize]) -> Example {
    let mark = |set: &dyn Fn(usize) -> bool| (0..ids.len()).map(|i| f64::from(u8::from(set(i)))).collect();
    let sequence = Sequence { ids: ids.to_vec(), response: mark(&|i| i > 1), focus: mark(&|i| focus.contains(&i)) };
    Example::Single { id: "a".into(), sequence, side }
}

/// Along its own gradient a loss grows by the gradient's length: checks objective, divergence, head and decoder at once.
fn grows_by_its_gradient(objective: &Objective, model: &Model) -> Outcome {
    let examples = [
        sample(Side::Secure, &[60, 5, 17, 59, 3, 3, 42, 8], &[3, 4]),
        sample(Side::Insecure, &[60, 5, 17, 59, 9, 9, 42], &[4, 5]),
    ];
    let examples: Vec<&Example> = examples.iter().collect();
    let loss = |learn| -> Result<f64> {
        let mut sums = Sums::default();
        part(&model.decoder, objective, &examples, &[0.5, 0.5], &[], learn, &mut sums)?;
        Ok(sums.metrics().loss)
    };
    let learnt = loss(true)?;
    assert!((learnt - loss(false)?).abs() < 1e-6, "a pass that learns sees the same loss");
    let trained: Vec<Tensor> = model.decoder.trainable().into_iter().map(|(_, t)| t).collect();
    let gradients: Vec<Tensor> = trained.iter().map(Tensor::grad).collect();
    let length = gradients.iter().map(|g| g.norm().double_value(&[]).powi(2)).sum::<f64>().sqrt();
    let walk = |step: f64| {
        for (t, g) in trained.iter().zip(&gradients) {
            let _ = t.detach().g_add_(&(g * (step / length)));
        }
    };
    walk(0.002);
    let above = loss(false)?;
    walk(-0.004);
    let slope = (above - loss(false)?) / 0.004;
    walk(0.002);
    assert!((slope - length).abs() < 0.01 * length, "{objective:?}: slope {slope}, gradient {length}");
    Ok(())
}

fn llama() -> models::Result<Model> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/llama");
    Model::load(&folder, Compute::choose(DeviceKind::Cpu, Precision::F32)?)
}

/// Away from where adapters start: there some gradients are zero.
fn stir(model: &Model) {
    models::seed(3);
    for (_, t) in model.decoder.trainable() {
        let _ = t.detach().g_add_(&(t.detach().randn_like() * 0.3));
    }
}

#[test]
fn two_controls_and_what_holds_them_learn_what_they_lose() -> Outcome {
    for objective in [Sven::default(), Sven { kl_weight: 0.0, ..Sven::default() }] {
        let mut model = llama()?;
        model.decoder.attach_new(PrefixConfig { tokens: 3, controls: 2, dropout: 0.0 }, 1)?;
        stir(&model);
        grows_by_its_gradient(&Objective::Sven(objective), &model)?;
    }
    Ok(())
}

#[test]
fn unlikelihood_held_to_the_frozen_model_learns_what_it_loses() -> Outcome {
    for kl_weight in [0.0, 2.0] {
        let mut model = llama()?;
        let targets = vec!["all-linear".into()];
        model.decoder.attach_new(LoraConfig { r: 2, alpha: 4.0, dropout: 0.0, targets, rslora: false }, 1)?;
        stir(&model);
        grows_by_its_gradient(&Objective::SafeCoder(SafeCoder { kl_weight, ..SafeCoder::default() }), &model)?;
    }
    Ok(())
}

/// A fresh low-rank adapter is the frozen model: nothing holds it, whatever the weight.
#[test]
fn what_has_not_moved_is_not_held() -> Outcome {
    let mut model = llama()?;
    let targets = vec!["all-linear".into()];
    model.decoder.attach_new(LoraConfig { r: 2, alpha: 4.0, dropout: 0.0, targets, rslora: false }, 1)?;
    let example = sample(Side::Secure, &[60, 5, 17, 59, 3, 3, 42, 8], &[3, 4]);
    let loss = |kl_weight| -> Result<f64> {
        let mut sums = Sums::default();
        let objective = Objective::SafeCoder(SafeCoder { kl_weight, ..SafeCoder::default() });
        part(&model.decoder, &objective, &[&example], &[1.0], &[], false, &mut sums)?;
        Ok(sums.metrics().loss)
    };
    assert!((loss(100.0)? - loss(0.0)?).abs() < 1e-5);
    stir(&model);
    assert!(loss(100.0)? > loss(0.0)? + 0.1);
    Ok(())
}
