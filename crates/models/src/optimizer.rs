//! AdamW with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), on f32 masters.
//!
//! Its state may stay in the processor's memory while what trains is on another device: gradients come down, new values go up
//! (ZeRO-Offload, Ren et al. 2021).

use crate::{
    Error, Result,
    kernels::{self, AdamStep},
    linear::accumulate,
    weights,
};
use std::{collections::BTreeMap, path::Path};
use tch::{Device, Kind, Tensor, no_grad};

/// Hyper-parameters that do not change during a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay; spares vectors (norms and biases).
    pub weight_decay: f64,
}

struct Slot {
    name: String,
    parameter: Tensor,
    /// The parameter in the processor's memory, where the state stays there.
    master: Option<Tensor>,
    first: Tensor,
    second: Tensor,
}

impl Slot {
    fn new((name, parameter): (String, Tensor), offload: bool) -> Self {
        let master = offload.then(|| parameter.detach().to_device(Device::Cpu).to_kind(Kind::Float).copy());
        let zeros = || master.as_ref().unwrap_or(&parameter).zeros_like();
        Self { first: zeros(), second: zeros(), name, master, parameter }
    }

    fn step(&mut self, step: AdamStep) {
        let mut grad = self.parameter.grad();
        if !grad.defined() {
            return;
        }
        let (first, second) = (&mut self.first, &mut self.second);
        let Some(master) = &mut self.master else {
            kernels::adam(&mut self.parameter, first, second, &mut grad, step);
            return;
        };
        kernels::adam(master, first, second, &mut grad.to_device(Device::Cpu).to_kind(Kind::Float), step);
        self.parameter.copy_(master);
        let _ = grad.zero_();
    }
}

/// AdamW over named parameters.
pub struct AdamW {
    config: AdamWConfig,
    slots: Vec<Slot>,
    step: i64,
}

impl std::fmt::Debug for AdamW {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdamW").field("config", &self.config).field("step", &self.step).finish_non_exhaustive()
    }
}

impl AdamW {
    /// An optimiser for these parameters, its moments zero; with `offload` its state stays in the processor's memory.
    ///
    /// Gradients are there from here on: one that a first step left among its tensors would stay, and cut up the memory that
    /// every later step takes and frees (a fifth of it, measured).
    #[must_use]
    pub fn new(parameters: Vec<(String, Tensor)>, config: AdamWConfig, offload: bool) -> Self {
        for (_, parameter) in parameters.iter().filter(|(_, t)| !t.grad().defined()) {
            accumulate(parameter, &parameter.zeros_like());
        }
        let slots = no_grad(|| parameters.into_iter().map(|parameter| Slot::new(parameter, offload)).collect());
        Self { config, slots, step: 0 }
    }

    /// Number of trained values.
    #[must_use]
    pub fn values(&self) -> usize {
        self.slots.iter().map(|s| s.parameter.numel()).sum()
    }

    /// Euclidean norm of all gradients together.
    #[must_use]
    pub fn grad_norm(&self) -> f64 {
        let gradients = self.slots.iter().map(|s| s.parameter.grad()).filter(Tensor::defined);
        no_grad(|| gradients.map(|g| kernels::square_sum(&g)).sum::<f64>()).sqrt()
    }

    /// One update with gradients multiplied by `grad_scale` (clipping), then gradients are zeroed.
    pub fn step(&mut self, learning_rate: f64, grad_scale: f64) {
        self.step += 1;
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        no_grad(|| {
            for slot in &mut self.slots {
                let decays = slot.parameter.dim() > 1;
                // As PyTorch: sqrt(v) / sqrt(c2) + eps, step size lr / c1.
                let step = AdamStep {
                    beta: [beta1, beta2],
                    eps,
                    keep: if decays { 1.0 - learning_rate * weight_decay } else { 1.0 },
                    rate: learning_rate / (1.0 - beta1.powi(power)),
                    correct: (1.0 - beta2.powi(power)).sqrt(),
                    scale: grad_scale,
                };
                slot.step(step);
            }
        });
    }

    /// Drops accumulated gradients.
    pub fn zero_grad(&self) {
        for slot in &self.slots {
            let mut grad = slot.parameter.grad();
            if grad.defined() {
                let _ = grad.zero_();
            }
        }
    }

    /// Writes parameters, moments and step count to one safetensors file.
    ///
    /// # Errors
    /// [`Error::Write`]; the file is whole or absent.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors = vec![("step".to_owned(), Tensor::from_slice(&[self.step]))];
        for slot in &self.slots {
            tensors.push((format!("parameter/{}", slot.name), slot.parameter.detach()));
            tensors.push((format!("first/{}", slot.name), slot.first.shallow_clone()));
            tensors.push((format!("second/{}", slot.name), slot.second.shallow_clone()));
        }
        weights::write(path, &tensors)
    }

    /// Takes parameters, moments and step count from a file written by [`Self::save`].
    ///
    /// # Errors
    /// [`Error::MissingTensor`] or [`Error::Shape`] when the file belongs to another run.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let mut tensors: BTreeMap<String, Tensor> = weights::read(path)?.into_iter().collect();
        let mut take = |name: &str, like: &Tensor| -> Result<Tensor> {
            let t = tensors
                .remove(name)
                .ok_or_else(|| Error::MissingTensor { path: path.display().to_string(), name: name.to_owned() })?;
            if t.size() != like.size() {
                return Err(Error::Shape {
                    path: path.display().to_string(),
                    name: name.to_owned(),
                    found: t.size(),
                    expected: like.size(),
                });
            }
            Ok(t)
        };
        let step = take("step", &Tensor::from_slice(&[0i64]))?.int64_value(&[0]);
        // Everything is read and checked before anything changes.
        let mut fresh = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            fresh.push((
                take(&format!("parameter/{}", slot.name), &slot.parameter)?,
                take(&format!("first/{}", slot.name), &slot.first)?,
                take(&format!("second/{}", slot.name), &slot.second)?,
            ));
        }
        no_grad(|| {
            for (slot, (parameter, first, second)) in self.slots.iter_mut().zip(fresh) {
                slot.parameter.copy_(&parameter);
                if let Some(master) = &mut slot.master {
                    master.copy_(&parameter);
                }
                slot.first.copy_(&first);
                slot.second.copy_(&second);
            }
        });
        self.step = step;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained(offload: bool, stop: Option<&Path>) -> Result<Vec<Tensor>> {
        let cpu = (Kind::Float, Device::Cpu);
        let parameters: Vec<(String, Tensor)> = [vec![7, 5], vec![9]]
            .iter()
            .map(|size| (format!("{size:?}"), Tensor::ones(size, cpu).set_requires_grad(true)))
            .collect();
        let mut tensors: Vec<Tensor> = parameters.iter().map(|(_, t)| t.shallow_clone()).collect();
        let config = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };
        let mut optimizer = AdamW::new(parameters, config, offload);
        for step in 0..6 {
            if let Some(path) = stop.filter(|_| step == 3) {
                optimizer.save(path)?;
                no_grad(|| tensors.iter_mut().for_each(|t| drop(t.zero_())));
                optimizer.load(path)?;
            }
            let loss: Tensor = tensors.iter().map(|t| (t * t * f64::from(step + 1)).sum(Kind::Float)).sum();
            loss.backward();
            optimizer.step(0.05, 0.5);
        }
        Ok(tensors)
    }

    /// Where the state stays changes no digit, nor does stopping on the way.
    #[test]
    fn offloaded_state_trains_to_the_same_digits() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let plain = trained(false, None)?;
        assert!(plain.iter().all(|t| t.ne_tensor(&t.ones_like()).all().int64_value(&[]) == 1), "everything moved");
        for other in [trained(true, None)?, trained(true, Some(&folder.path().join("state.safetensors")))?] {
            assert!(plain.iter().zip(&other).all(|(a, b)| a.equal(b)));
        }
        Ok(())
    }
}
