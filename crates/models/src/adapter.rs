//! PEFT adapter folders in and out: what is written here loads in PEFT and vLLM, and the other way round.

use crate::{
    Decoder, Error, PrefixConfig, Result,
    decoder::Target,
    families::{Layout, Projection, Slot},
    folder::{moved, restored},
    linear::LowRank,
    weights,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor, no_grad};

/// What PEFT puts before a module's path.
pub(crate) const PREFIX: &str = "base_model.model.";

/// What trains beside a frozen model.
#[derive(Clone, Debug, PartialEq)]
pub enum Adapter {
    /// Low-rank updates of projections.
    Lora(LoraConfig),
    /// Keys and values before every text.
    Prefix(PrefixConfig),
}

impl From<LoraConfig> for Adapter {
    fn from(lora: LoraConfig) -> Self {
        Self::Lora(lora)
    }
}

impl From<PrefixConfig> for Adapter {
    fn from(prefix: PrefixConfig) -> Self {
        Self::Prefix(prefix)
    }
}

/// A low-rank adapter's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank.
    pub r: i64,
    /// Numerator of the scale.
    pub alpha: f64,
    /// Dropout on the adapter's input.
    pub dropout: f64,
    /// Last components of module names (`q_proj`), or `all-linear`.
    pub targets: Vec<String>,
    /// Scale by `alpha / sqrt(r)` (Kalajdzievski 2023) instead of `alpha / r`.
    pub rslora: bool,
}

impl LoraConfig {
    /// Factor of the update.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.alpha / if self.rslora { (self.r as f64).sqrt() } else { self.r as f64 }
    }

    /// Whether a projection (full path) gets an adapter.
    #[must_use]
    pub fn targets_module(&self, module: &str) -> bool {
        self.targets.iter().any(|t| t == "all-linear") || self.names(module)
    }

    /// Whether a module is named: the embedding and the head are no part of `all-linear`.
    pub(crate) fn names(&self, module: &str) -> bool {
        let last = |t: &str| module.strip_suffix(t).is_some_and(|head| head.ends_with('.'));
        self.targets.iter().any(|t| module == t || last(t))
    }

    /// Refuses settings that make no adapter on this model.
    ///
    /// # Errors
    /// [`Error::Unavailable`] naming the setting and what the model has.
    pub fn check(&self, decoder: &Decoder) -> Result<()> {
        let family = decoder.config.family();
        let mut names: Vec<String> = family.projections(0).map(|(_, name)| name).collect();
        let tables = [family.slot(Slot::Embedding), family.slot(Slot::Head)];
        let named: Vec<&String> = tables.iter().filter(|name| self.names(name)).collect();
        if decoder.config.tied && !named.is_empty() {
            return Err(Error::Unavailable(format!(
                "adapter target {}: this model's head is its embedding, and an adapter on one would not be on the other",
                named[0]
            )));
        }
        if self.names(&tables[1]) && self.dropout > 0.0 {
            return Err(Error::Unavailable(format!(
                "adapter target {} and dropout {}: the head's adapter has no dropout, set it to 0",
                tables[1], self.dropout
            )));
        }
        if !decoder.config.tied {
            names.extend(tables);
        }
        if !(1..=1 << 16).contains(&self.r) {
            return Err(Error::Unavailable(format!("adapter rank {} is not in 1..={}", self.r, 1 << 16)));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::Unavailable(format!("adapter dropout {} is not in 0..1", self.dropout)));
        }
        for target in &self.targets {
            let one = Self { targets: vec![target.clone()], ..self.clone() };
            if !names.iter().any(|n| one.targets_module(n)) {
                let short: Vec<_> = names.iter().filter_map(|n| n.rsplit('.').next()).collect();
                return Err(Error::Unavailable(format!(
                    "adapter target {target:?} matches no module: expected \"all-linear\" or some of {}",
                    short.join(", ")
                )));
            }
        }
        if self.targets.is_empty() {
            return Err(Error::Unavailable("adapter.targets is empty".into()));
        }
        Ok(())
    }
}

impl Decoder {
    /// Merges the adapter into the weights.
    ///
    /// # Errors
    /// [`Error::Unavailable`] for a prefix, which no weight holds.
    pub fn merge_adapter(&mut self) -> Result<()> {
        if self.prefix().is_some() {
            return Err(Error::Unavailable(
                "a prefix cannot be merged into weights: give its folder as --adapter".into(),
            ));
        }
        no_grad(|| {
            self.blocks.iter_mut().flat_map(|b| &mut b.projections).for_each(|(_, p)| p.merge());
            let onto = |t: &Tensor, update: Tensor| (t.to_kind(Kind::Float) + update).to_kind(t.kind()).detach();
            if let Some(low) = self.embedding_adapter.take() {
                self.embedding = onto(&self.embedding, low.update().tr());
            }
            if let (Some(low), Some(head)) = (self.head_adapter.take(), &mut self.head) {
                *head = onto(head, low.update());
            }
        });
        self.adapter = None;
        Ok(())
    }

    /// Takes an adapter off: what another one left behind would not be in the file that is saved.
    pub(crate) fn detach(&mut self) {
        for block in &mut self.blocks {
            block.prefix = None;
            block.projections.iter_mut().for_each(|(_, linear)| linear.adapter = None);
        }
        (self.embedding_adapter, self.head_adapter) = (None, None);
        self.adapter = None;
    }

    /// Puts a low-rank adapter on the targets; `init` gives `(A, B)` of a module by its path, role and shape `[out, in]`.
    pub(crate) fn attach(
        &mut self,
        lora: LoraConfig,
        mut init: impl FnMut(&str, Target, [i64; 2]) -> Result<(Tensor, Tensor)>,
    ) -> Result<()> {
        let family = self.config.family();
        self.detach();
        let (compute, scale) = (self.compute, lora.scale());
        let train = |t: Tensor| t.to_device(compute.device).to_kind(Kind::Float).detach().set_requires_grad(true);
        let mut low = |name: &str, target: Target, shape: [i64; 2]| -> Result<Option<LowRank>> {
            let wanted = match target {
                Target::Projection(_) => lora.targets_module(name),
                Target::Embedding | Target::Head => lora.names(name),
            };
            if !wanted {
                return Ok(None);
            }
            let (a, b) = init(name, target, shape)?;
            Ok(Some(LowRank { a: train(a), b: train(b), scale, dropout: lora.dropout }))
        };
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            for ((p, linear), (_, name)) in block.projections.iter_mut().zip(family.projections(layer as i64)) {
                linear.adapter = low(&name, Target::Projection(*p), p.shape(&self.config))?;
            }
        }
        let (vocab, hidden) = (self.config.vocab, self.config.hidden);
        self.embedding_adapter = low(&family.slot(Slot::Embedding), Target::Embedding, [hidden, vocab])?;
        self.head_adapter = low(&family.slot(Slot::Head), Target::Head, [vocab, hidden])?;
        self.adapter = Some(Adapter::Lora(lora));
        Ok(())
    }

    /// The adapter on this model.
    #[must_use]
    pub const fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// Puts a fresh adapter on the model. Low-rank: `A` Kaiming-uniform with `a = sqrt(5)`, `B` zero, as PEFT does.
    /// Prefixes: zero.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the settings do not fit the model.
    pub fn attach_new(&mut self, adapter: impl Into<Adapter>, seed: u64) -> Result<()> {
        let lora = match adapter.into() {
            Adapter::Lora(lora) => lora,
            Adapter::Prefix(prefix) => return self.attach_prefixes(prefix),
        };
        lora.check(self)?;
        tch::manual_seed(i64::from_ne_bytes(seed.to_ne_bytes()));
        let r = lora.r;
        self.attach(lora, |_, target, [out, input]| {
            let cpu = (Kind::Float, Device::Cpu);
            if target == Target::Embedding {
                // Here it is A that is zero.
                return Ok((Tensor::zeros([r, input], cpu), Tensor::randn([out, r], cpu)));
            }
            // kaiming_uniform with a = sqrt(5) is uniform in +-1/sqrt(fan_in).
            let bound = 1.0 / (input as f64).sqrt();
            let a = Tensor::empty([r, input], cpu).uniform_(-bound, bound);
            Ok((a, Tensor::zeros([out, r], cpu)))
        })
    }

    /// Loads a PEFT folder onto the model for use: what can be merged into the weights is, so that it costs nothing; a
    /// prefix stays before every text.
    ///
    /// # Errors
    /// See [`Self::attach_folder`].
    pub fn wear(&mut self, folder: &Path) -> Result<()> {
        if self.prefix().is_some() {
            let why = format!("{}: a prefix stands before the model already: give its folder last", folder.display());
            return Err(Error::Unavailable(why));
        }
        self.attach_folder(folder, Some(0.0))?;
        if self.prefix().is_some() { Ok(()) } else { self.merge_adapter() }
    }

    /// Loads a PEFT folder and merges it into the weights.
    ///
    /// # Errors
    /// See [`Self::attach_folder`]; [`Error::Unavailable`] for a prefix, which no weight holds.
    pub fn merge_folder(&mut self, folder: &Path) -> Result<()> {
        self.attach_folder(folder, Some(0.0))?;
        self.merge_adapter()
    }

    /// Loads a PEFT folder onto the model, low-rank or prefixes. `dropout` replaces the stored one where given.
    ///
    /// # Errors
    /// [`Error::Malformed`] for another adapter type, [`Error::MissingTensor`] and [`Error::Shape`] where it does not fit.
    pub fn attach_folder(&mut self, folder: &Path, dropout: Option<f64>) -> Result<()> {
        if json_of(folder)?.1["peft_type"] == "PREFIX_TUNING" {
            return self.attach_prefix_folder(folder, dropout);
        }
        let mut lora = read_config(folder)?;
        if let Some(dropout) = dropout {
            lora.dropout = dropout;
        }
        lora.check(self)?;
        let path = folder.join("adapter_model.safetensors");
        let mut tensors: BTreeMap<String, Tensor> = weights::read(&path)?.into_iter().collect();
        let (config, layout) = (self.config.clone(), self.config.family().layout);
        let r = lora.r;
        // PEFT puts whole frozen tables beside adapters of tables.
        tensors.retain(|name, _| !name.ends_with(".base_layer.weight"));
        self.attach(lora, |module, target, [out, input]| {
            let mut take = |which: &str, expected: [i64; 2]| {
                let name = match target {
                    Target::Embedding => format!("{PREFIX}{module}.lora_embedding_{which}"),
                    Target::Projection(_) | Target::Head => format!("{PREFIX}{module}.lora_{which}.weight"),
                };
                let t = tensors
                    .remove(&name)
                    .ok_or_else(|| Error::MissingTensor { path: path.display().to_string(), name: name.clone() })?;
                if t.size() != expected {
                    return Err(Error::Shape {
                        path: path.display().to_string(),
                        name,
                        found: t.size(),
                        expected: expected.to_vec(),
                    });
                }
                Ok(t)
            };
            // PEFT keeps both sides of a transposed weight as they are; rows of B stand as the weight's do.
            let rows = match target {
                Target::Projection(p) => Layout { transposed: false, ..layout(&config, p) },
                Target::Embedding | Target::Head => Layout::default(),
            };
            Ok((take("A", [r, input])?, moved(&take("B", [out, r])?, &rows)))
        })?;
        match tensors.keys().next() {
            Some(name) => Err(Error::malformed(&path, format!("tensor {name} belongs to no module of this model"))),
            None => Ok(()),
        }
    }

    /// Writes the adapter as a PEFT folder.
    ///
    /// # Errors
    /// [`Error::Write`]; [`Error::Unavailable`] when the model has no adapter.
    pub fn save_adapter(&self, folder: &Path, base_model: &str) -> Result<()> {
        let lora = match self.adapter() {
            Some(Adapter::Lora(lora)) => lora,
            Some(Adapter::Prefix(prefix)) => return self.save_prefixes(prefix, folder, base_model),
            None => return Err(Error::Unavailable("the model has no adapter to save".into())),
        };
        let targets: Vec<String> = if lora.targets.iter().any(|t| t == "all-linear") {
            // PEFT expands "all-linear" when it creates an adapter; a saved one names its modules.
            let family = self.config.family();
            let last = |name: String| name.rsplit('.').next().map(str::to_owned);
            let mut names: Vec<String> = family.projections(0).filter_map(|(_, name)| last(name)).collect();
            names.extend(lora.targets.iter().filter(|t| *t != "all-linear").cloned());
            names.sort();
            names.dedup();
            names
        } else {
            lora.targets.clone()
        };
        let layout = |p| (self.config.family().layout)(&self.config, p);
        let transposed = layout(Projection::O).transposed;
        let config = json!({
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base_model,
            "r": lora.r, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout, "target_modules": targets,
            "use_rslora": lora.rslora, "bias": "none", "fan_in_fan_out": transposed, "inference_mode": true,
            "init_lora_weights": true, "modules_to_save": null,
        });
        let on_disk = |(name, t, p): (String, Tensor, Option<Projection>)| {
            let rows = p.filter(|_| name.contains(".lora_B.")).map(layout).unwrap_or_default();
            (name, restored(&t, &Layout { transposed: false, ..rows }))
        };
        let tensors: Vec<_> =
            no_grad(|| self.named().into_iter().filter(|(name, ..)| name.starts_with(PREFIX)).map(on_disk).collect());
        // Weights first: a folder with a configuration is a whole adapter.
        weights::write(&folder.join("adapter_model.safetensors"), &tensors)?;
        lexicon::atomic::write(&folder.join("adapter_config.json"), format!("{config:#}\n").as_bytes())?;
        Ok(())
    }
}

/// `adapter_config.json` of a folder, and its path.
pub(crate) fn json_of(folder: &Path) -> Result<(PathBuf, Value)> {
    let path = folder.join("adapter_config.json");
    let text = fs::read_to_string(&path).map_err(Error::read(&path))?;
    let json = serde_json::from_str(&text).map_err(|e| Error::malformed(&path, format!("not JSON: {e}")))?;
    Ok((path, json))
}

/// Reads the `adapter_config.json` of a low-rank adapter.
///
/// # Errors
/// [`Error::Read`] or [`Error::Malformed`].
pub fn read_config(folder: &Path) -> Result<LoraConfig> {
    let (path, json) = json_of(folder)?;
    if json["peft_type"] != "LORA" {
        let why = format!("peft_type is {}, expected \"LORA\" or \"PREFIX_TUNING\"", json["peft_type"]);
        return Err(Error::malformed(&path, why));
    }
    for (key, plain) in [("use_dora", json!(false)), ("bias", json!("none"))] {
        if !json[key].is_null() && json[key] != plain {
            return Err(Error::malformed(&path, format!("{key} = {} is not supported, only {plain}", json[key])));
        }
    }
    for key in ["rank_pattern", "alpha_pattern"] {
        if json[key].as_object().is_some_and(|o| !o.is_empty()) {
            return Err(Error::malformed(&path, format!("{key} is not supported: one rank for all modules")));
        }
    }
    let targets = match &json["target_modules"] {
        Value::String(s) => vec![s.clone()],
        Value::Array(list) => list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => return Err(Error::malformed(&path, "target_modules is missing")),
    };
    let r = json["r"].as_i64().ok_or_else(|| Error::malformed(&path, "r is missing"))?;
    Ok(LoraConfig {
        r,
        alpha: json["lora_alpha"].as_f64().unwrap_or(r as f64),
        dropout: json["lora_dropout"].as_f64().unwrap_or(0.0),
        targets,
        rslora: json["use_rslora"].as_bool().unwrap_or(false),
    })
}
