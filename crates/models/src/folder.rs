//! Hugging Face model folders in and out.

use crate::{
    Compute, Decoder, DecoderConfig, Error, Result, Tokenizer,
    config::{Arrangement, NormKind, Positions},
    decoder::{Block, NormTensors},
    device,
    families::{Layout, Slot},
    linear::{Linear, Weight},
    nf4::Nf4,
    weights::{self, Mapped},
};
use serde_json::Value;
use std::{
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
        let files = weights::files(folder)?.iter().map(|file| Mapped::open(file)).collect::<Result<Vec<_>>>()?;
        let files = files.iter().map(Mapped::tensors).collect::<Result<Vec<_>>>()?;
        let find = |name: &str| files.iter().find_map(|file| file.get(name).transpose()).transpose();
        let decoder = assemble(config, compute, &mut |Wanted { name, shape, .. }| {
            // A checkpoint of the bare decoder lacks the first part of every name.
            let bare = name.split_once('.').map_or(name, |(_, rest)| rest);
            let Some(t) = find(name)?.map_or_else(|| find(bare), |t| Ok(Some(t)))? else {
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
        if let Some(memory) = device::memory().filter(|&memory| bytes > i128::from(memory)) {
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
        let from_zero = config.norm == NormKind::RmsFromZero;
        let decoder = assemble(config, compute, &mut |wanted| {
            let cpu = (Kind::Float, Device::Cpu);
            Ok(match wanted.shape {
                [_] if from_zero || wanted.name.ends_with(".bias") => Tensor::zeros(wanted.shape, cpu),
                [_] => Tensor::ones(wanted.shape, cpu),
                shape => Tensor::randn(shape, cpu) * if wanted.into_residual { residual } else { 0.02 },
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
        if self.decoder.compute.nf4 {
            let why =
                "a model in four bits is not written: merge its adapter into the weights it came from (rampart merge)";
            return Err(Error::Unavailable(why.into()));
        }
        let kind = match stored {
            Stored::F32 => Kind::Float,
            Stored::Bf16 => Kind::BFloat16,
        };
        let family = self.decoder.config.family();
        let tensors: Vec<_> = no_grad(|| {
            self.decoder
                .named()
                .into_iter()
                .filter(|(name, ..)| !name.starts_with(crate::adapter::PREFIX))
                .map(|(name, t, p)| {
                    let layout = p.map(|p| (family.layout)(&self.decoder.config, p)).unwrap_or_default();
                    (name, restored(&t.detach().to_kind(kind).to_device(Device::Cpu), &layout))
                })
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

/// A weight as it stands on disk, brought to where its rows and sides stand here.
pub(crate) fn moved(t: &Tensor, layout: &Layout) -> Tensor {
    let t = if layout.transposed && t.dim() == 2 { t.tr().contiguous() } else { t.shallow_clone() };
    match &layout.rows {
        None => t,
        Some(rows) => t.index_select(0, &Tensor::from_slice(rows)),
    }
}

/// The other way round.
pub(crate) fn restored(t: &Tensor, layout: &Layout) -> Tensor {
    let t = match &layout.rows {
        None => t.shallow_clone(),
        Some(rows) => {
            let mut back = vec![0i64; rows.len()];
            for (here, &there) in rows.iter().enumerate() {
                back[there as usize] = here as i64;
            }
            t.index_select(0, &Tensor::from_slice(&back).to_device(t.device()))
        }
    };
    if layout.transposed && t.dim() == 2 { t.tr().contiguous() } else { t }
}

/// A tensor that a decoder needs.
struct Wanted<'a> {
    name: &'a str,
    /// As it stands on disk.
    shape: &'a [i64],
    /// Whether what it computes is added to the residual stream.
    into_residual: bool,
}

/// Builds a decoder from a source of named tensors; frozen weights are kept in the compute kind, norms in f32.
fn assemble(
    config: DecoderConfig,
    compute: Compute,
    source: &mut dyn FnMut(Wanted<'_>) -> Result<Tensor>,
) -> Result<Decoder> {
    let family = config.family();
    let place = |t: Tensor, kind: Kind| no_grad(|| t.to_device(compute.device).to_kind(kind));
    let mut take = |name: &str, shape: &[i64]| source(Wanted { name, shape, into_residual: false });
    let (h, vocab) = (config.hidden, config.vocab);
    let weight = |slot: Slot| format!("{}.weight", family.slot(slot));
    let embedding = place(take(&weight(Slot::Embedding), &[vocab, h])?, Kind::Float);
    let positions = match &config.positions {
        Positions::Rotary(_) => None,
        Positions::Learned => {
            Some(place(take(&weight(Slot::Positions), &[config.max_positions as i64, h])?, Kind::Float))
        }
    };
    let tied_head = (config.tied && compute.kind != Kind::Float).then(|| no_grad(|| embedding.to_kind(compute.kind)));
    let norm = |slot: Slot, width: i64, take: &mut dyn FnMut(&str, &[i64]) -> Result<Tensor>| -> Result<NormTensors> {
        let weight = place(take(&weight(slot), &[width])?, Kind::Float);
        // A head's norms are RMS norms in every family that has them.
        let centred = config.norm == NormKind::Layer;
        let bias = centred.then(|| take(&format!("{}.bias", family.slot(slot)), &[width])).transpose()?;
        Ok(NormTensors { weight, bias: bias.map(|b| place(b, Kind::Float)) })
    };
    let mut blocks = Vec::new();
    for layer in 0..config.layers {
        let mut projections = Vec::with_capacity(7);
        for (p, name) in family.projections(layer) {
            let shape = p.shape(&config);
            let layout = (family.layout)(&config, p);
            let on_disk = if layout.transposed { [shape[1], shape[0]] } else { shape };
            let wanted = Wanted { name: &format!("{name}.weight"), shape: &on_disk, into_residual: p.into_residual() };
            let weight = moved(&source(wanted)?, &layout);
            let weight = match compute.nf4 && Nf4::fits(shape) {
                true => Weight::Nf4(Nf4::of(&weight, compute.device)),
                false => Weight::Dense(place(weight, compute.kind)),
            };
            let bias = p.biased(&config).then(|| {
                let wanted = Wanted { name: &format!("{name}.bias"), shape: &shape[..1], into_residual: false };
                source(wanted).map(|t| place(moved(&t, &layout), compute.kind))
            });
            projections.push((p, Linear::new(weight, bias.transpose()?)));
        }
        let mut take = |name: &str, shape: &[i64]| source(Wanted { name, shape, into_residual: false });
        let input_norm = norm(Slot::InputNorm(layer), h, &mut take)?;
        let post_norm = match config.arrangement {
            Arrangement::Parallel => None,
            Arrangement::Sequential | Arrangement::ParallelTwoNorms => Some(norm(Slot::PostNorm(layer), h, &mut take)?),
        };
        let head_norms = match config.qk_norm {
            false => None,
            true => Some([
                norm(Slot::QueryNorm(layer), config.head_dim, &mut take)?,
                norm(Slot::KeyNorm(layer), config.head_dim, &mut take)?,
            ]),
        };
        blocks.push(Block { input_norm, post_norm, head_norms, projections, prefix: None });
    }
    let mut take = |name: &str, shape: &[i64]| source(Wanted { name, shape, into_residual: false });
    let final_norm = norm(Slot::FinalNorm, h, &mut take)?;
    let head = match config.tied {
        true => None,
        false => Some(place(take(&weight(Slot::Head), &[vocab, h])?, compute.kind)),
    };
    let head_bias = config.biases.head.then(|| take(&format!("{}.bias", family.slot(Slot::Head)), &[vocab]));
    let head_bias = head_bias.transpose()?.map(|b| place(b, Kind::Float));
    // transformers computes frequencies in f32; f64 rounded once is within one unit of it.
    let turns = match &config.positions {
        Positions::Learned => None,
        Positions::Rotary(rotary) => {
            let frequencies: Vec<f32> = rotary.frequencies().into_iter().map(|f| f as f32).collect();
            Some((Tensor::from_slice(&frequencies).to_device(compute.device), rotary.length()))
        }
    };
    Ok(Decoder {
        config,
        compute,
        embedding,
        positions,
        tied_head,
        head,
        head_bias,
        blocks,
        final_norm,
        turns,
        recompute: false,
        adapter: None,
        embedding_adapter: None,
        head_adapter: None,
    })
}
