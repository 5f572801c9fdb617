//! Hugging Face model folders in and out.

use crate::{
    Compute, Decoder, DecoderConfig, Error, Result, Tokenizer,
    decoder::{Block, inverse_frequencies},
    families::{Projection, Slot},
    linear::Linear,
    weights,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor, no_grad};

/// Files beside the weights that make a folder usable elsewhere.
const COMPANIONS: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
];

/// Kind of weights on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Single precision.
    F32,
    /// Half the size; what inference in bf16 reads anyway.
    Bf16,
}

/// A decoder with its tokenizer and the folder it came from.
#[derive(Debug)]
pub struct Model {
    /// The network.
    pub decoder: Decoder,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// `config.json` as it was read.
    pub json: Value,
    folder: PathBuf,
}

impl Model {
    /// Loads a folder: configuration, tokenizer and weights, all checked against each other before use.
    ///
    /// # Errors
    /// Any [`Error`], with its file.
    pub fn load(folder: &Path, compute: Compute) -> Result<Self> {
        let (config, json) = DecoderConfig::read(folder)?;
        let tokenizer = Tokenizer::load(folder)?;
        tokenizer.fits(config.vocab)?;
        let mut tensors = BTreeMap::new();
        for file in weights::files(folder)? {
            tensors.extend(weights::read(&file)?);
        }
        let decoder = assemble(config, compute, &folder.display().to_string(), &mut |name, shape| {
            let Some(t) = tensors.remove(name) else {
                return Err(Error::MissingTensor { path: folder.display().to_string(), name: name.to_owned() });
            };
            if t.size() != shape {
                return Err(Error::Shape {
                    path: folder.display().to_string(),
                    name: name.to_owned(),
                    found: t.size(),
                    expected: shape.to_vec(),
                });
            }
            Ok(t)
        })?;
        Ok(Self { decoder, tokenizer, json, folder: folder.to_owned() })
    }

    /// A model with random weights from a folder that holds `config.json` and a tokenizer and no weights: training from
    /// scratch. Normal with deviation 0.02, projections into the residual stream divided by `sqrt(2 layers)` (GPT-2).
    ///
    /// # Errors
    /// Any [`Error`], with its file.
    pub fn random(folder: &Path, compute: Compute, seed: u64) -> Result<Self> {
        let (config, json) = DecoderConfig::read(folder)?;
        let tokenizer = Tokenizer::load(folder)?;
        tokenizer.fits(config.vocab)?;
        // No file vouches for these dimensions: libtorch would take all memory before it fails.
        let bytes = 4 * config.values();
        if let Some(memory) = crate::device::memory().filter(|&memory| bytes > i128::from(memory)) {
            return Err(Error::malformed(
                &folder.join("config.json"),
                format!(
                    "a model of {} values takes {} GiB and this machine has {}: make its dimensions smaller",
                    config.values(),
                    bytes >> 30,
                    memory >> 30
                ),
            ));
        }
        tch::manual_seed(i64::from_ne_bytes(seed.to_ne_bytes()));
        let residual = 0.02 / (2.0 * config.layers as f64).sqrt();
        let decoder = assemble(config, compute, &folder.display().to_string(), &mut |name, shape| {
            let cpu = (Kind::Float, Device::Cpu);
            Ok(match shape {
                [_] if name.ends_with("bias") => Tensor::zeros(shape, cpu),
                [_] => Tensor::ones(shape, cpu),
                _ => {
                    let into_residual = name.contains("o_proj") || name.contains("down_proj");
                    Tensor::randn(shape, cpu) * if into_residual { residual } else { 0.02 }
                }
            })
        })?;
        Ok(Self { decoder, tokenizer, json, folder: folder.to_owned() })
    }

    /// Folder it came from.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the model as a Hugging Face folder, without any adapter.
    ///
    /// # Errors
    /// [`Error::Write`]; each file is whole or absent, `config.json` comes last.
    pub fn save(&self, folder: &Path, stored: Stored) -> Result<()> {
        let kind = match stored {
            Stored::F32 => Kind::Float,
            Stored::Bf16 => Kind::BFloat16,
        };
        let tensors: Vec<_> = no_grad(|| {
            self.decoder
                .named()
                .into_iter()
                .filter(|(name, _)| !name.starts_with("base_model."))
                .map(|(name, t)| (name, t.detach().to_kind(kind).to_device(Device::Cpu)))
                .collect()
        });
        weights::write_model(folder, &tensors)?;
        for name in COMPANIONS {
            let from = self.folder.join(name);
            if from.exists() && self.folder != folder {
                let bytes = fs::read(&from).map_err(Error::read(&from))?;
                lexicon::atomic::write(&folder.join(name), &bytes)?;
            }
        }
        let mut json = self.json.clone();
        let name = if kind == Kind::BFloat16 { "bfloat16" } else { "float32" };
        json["torch_dtype"] = name.into();
        lexicon::atomic::write(&folder.join("config.json"), format!("{json:#}\n").as_bytes())?;
        Ok(())
    }
}

/// Builds a decoder from a source of named tensors; frozen weights are kept in the compute kind, norms in f32.
fn assemble(
    config: DecoderConfig,
    compute: Compute,
    path: &str,
    take: &mut dyn FnMut(&str, &[i64]) -> Result<Tensor>,
) -> Result<Decoder> {
    let family = config.family();
    let place = |t: Tensor, kind: Kind| no_grad(|| t.to_device(compute.device).to_kind(kind));
    let h = config.hidden;
    let embedding = place(take(&(family.slot)(Slot::Embedding), &[config.vocab, h])?, Kind::Float);
    let tied_head = (config.tied && compute.kind != Kind::Float).then(|| no_grad(|| embedding.to_kind(compute.kind)));
    let mut blocks = Vec::new();
    for layer in 0..config.layers {
        let mut projections = Vec::with_capacity(7);
        for p in Projection::ALL {
            let name = (family.projection)(layer, p);
            let shape = p.shape(&config);
            let attention = matches!(p, Projection::Q | Projection::K | Projection::V | Projection::O);
            let biased = if attention { config.attention_bias } else { config.mlp_bias };
            projections.push(Linear {
                weight: place(take(&format!("{name}.weight"), &shape)?, compute.kind),
                bias: biased
                    .then(|| take(&format!("{name}.bias"), &shape[..1]).map(|t| place(t, compute.kind)))
                    .transpose()?,
                adapter: None,
            });
        }
        let count = projections.len();
        blocks.push(Block {
            input_norm: place(take(&(family.slot)(Slot::InputNorm(layer)), &[h])?, Kind::Float),
            post_norm: place(take(&(family.slot)(Slot::PostNorm(layer)), &[h])?, Kind::Float),
            projections: projections.try_into().map_err(|_| Error::Malformed {
                path: path.to_owned(),
                message: format!("a block has {count} projections, expected 7"),
            })?,
        });
    }
    let final_norm = place(take(&(family.slot)(Slot::FinalNorm), &[h])?, Kind::Float);
    let head = match config.tied {
        true => None,
        false => Some(place(take(&(family.slot)(Slot::Head), &[config.vocab, h])?, compute.kind)),
    };
    let inverse_frequencies = inverse_frequencies(&config, compute);
    Ok(Decoder { config, compute, embedding, tied_head, head, blocks, final_norm, inverse_frequencies, lora: None })
}
