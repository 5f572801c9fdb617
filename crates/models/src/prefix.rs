//! Trained keys and values that every token sees before its text: prefix tuning (Li and Liang 2021, arXiv:2101.00190),
//! with a prefix for each of several controls as in SVEN (He and Vechev 2023, section 4.1).
//!
//! A prefix takes rows of its own at the head of its group: what the blocks compute there goes nowhere, and its keys and
//! values are replaced by trained ones after they were turned. So attention, its derivative and the cache of a text that is
//! sampled know nothing of prefixes.
//!
//! On disk a control is a PEFT folder: the first (`secure`) is the adapter's folder itself, which PEFT and every command
//! load like any adapter; another stands in a folder of its name inside.

use crate::{
    Decoder, Error, Group, Packed, Result,
    adapter::{Adapter, json_of},
    config::Positions,
    decoder::Block,
    families::Projection,
    linear::accumulate,
    packing::Placed,
    weights,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor, no_grad};

/// Names of the controls, in the order of their numbers.
pub const CONTROLS: [&str; 2] = ["secure", "insecure"];

/// Name of the only tensor in PEFT's file.
const TENSOR: &str = "prompt_embeddings";

/// Tokens of a prefix at most; published ones have 5 to 12.
const MOST: i64 = 4096;

/// Settings of prefixes.
#[derive(Clone, Debug, PartialEq)]
pub struct PrefixConfig {
    /// Virtual tokens before every text.
    pub tokens: i64,
    /// Prefixes, by the number that [`Group::control`] names: 1, or 2 for SVEN.
    pub controls: usize,
    /// Dropout on the prefix's keys and values, training only.
    pub dropout: f64,
}

impl PrefixConfig {
    fn check(&self, decoder: &Decoder) -> Result<()> {
        let most = MOST.min(decoder.config.max_positions as i64 - 2);
        if !(1..=most).contains(&self.tokens) {
            return Err(Error::Unavailable(format!("a prefix of {} tokens: expected 1 to {most}", self.tokens)));
        }
        if !(1..=CONTROLS.len()).contains(&self.controls) {
            return Err(Error::Unavailable(format!("{} controls: expected 1 or {}", self.controls, CONTROLS.len())));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::Unavailable(format!("prefix dropout {} is not in 0..1", self.dropout)));
        }
        Ok(())
    }
}

/// Rows of packed groups that are kept for prefixes.
#[derive(Debug)]
pub(crate) struct Places {
    /// `[groups * tokens]`.
    rows: Tensor,
    /// Control of each group that has a prefix, `[groups]`.
    controls: Tensor,
}

impl Places {
    /// `None` where no group has a prefix.
    pub(crate) fn of(groups: &[Group], placed: &[Placed], device: Device) -> Option<Self> {
        let before = || groups.iter().zip(placed).filter(|(_, place)| place.prefix > 0);
        let rows: Vec<i64> = before().flat_map(|(_, p)| p.start as i64..(p.start + p.prefix) as i64).collect();
        let controls: Vec<i64> = before().filter_map(|(group, _)| group.control).map(|c| c as i64).collect();
        let [rows, controls] = [rows, controls].map(|v| Tensor::from_slice(&v).to_device(device));
        (rows.numel() > 0).then_some(Self { rows, controls })
    }
}

impl Decoder {
    /// Settings of the prefixes on this model.
    pub(crate) const fn prefix(&self) -> Option<&PrefixConfig> {
        match &self.adapter {
            Some(Adapter::Prefix(prefix)) => Some(prefix),
            _ => None,
        }
    }

    /// Positions that a prefix takes before every text.
    pub(crate) fn prefix_tokens(&self) -> usize {
        self.prefix().map_or(0, |prefix| prefix.tokens as usize)
    }

    /// Rows of the prefix before a group.
    pub(crate) fn prefix_before(&self, group: &Group) -> Result<usize> {
        match (self.prefix(), group.control) {
            (Some(prefix), Some(control)) if control < prefix.controls => Ok(prefix.tokens as usize),
            (Some(prefix), Some(control)) => {
                Err(Error::Unavailable(format!("control {control} of a model with {} prefixes", prefix.controls)))
            }
            _ => Ok(0),
        }
    }

    /// Puts the prefixes into the rows kept for them; returns what dropout multiplied them with,
    /// `[groups, 2, tokens, kv_heads, head_dim]`.
    pub(crate) fn place_prefixes(
        &self,
        packed: &Packed,
        block: &Block,
        [k, v]: [&mut Tensor; 2],
        training: bool,
    ) -> Option<Tensor> {
        let (Some(places), Some(table)) = (&packed.prefixes, &block.prefix) else { return None };
        let mut rows = table.index_select(0, &places.controls);
        let dropout = self.prefix().map_or(0.0, |prefix| prefix.dropout);
        let kept = (training && dropout > 0.0).then(|| rows.ones_like().dropout(dropout, true));
        if let Some(kept) = &kept {
            rows *= kept;
        }
        for (part, t) in [k, v].into_iter().enumerate() {
            let rows = rows.select(1, part as i64).flatten(0, 1).to_kind(t.kind());
            let _ = t.index_copy_(0, &places.rows, &rows);
        }
        kept
    }

    /// Takes the gradient of the prefixes out of that of keys and values, where nothing else stands in their rows.
    pub(crate) fn learn_prefixes(packed: &Packed, block: &Block, [d_k, d_v]: [&mut Tensor; 2], kept: Option<&Tensor>) {
        let (Some(places), Some(table)) = (&packed.prefixes, &block.prefix) else { return };
        let size = table.size();
        let take = |d: &mut Tensor| {
            let rows = d.index_select(0, &places.rows).to_kind(Kind::Float);
            let _ = d.index_fill_(0, &places.rows, 0.0);
            rows.view([-1, size[2], size[3], size[4]])
        };
        let mut d = Tensor::stack(&[take(d_k), take(d_v)], 1);
        if let Some(kept) = kept {
            d *= kept;
        }
        let mut whole = table.zeros_like();
        let _ = whole.index_add_(0, &places.controls, &d);
        accumulate(table, &whole);
    }

    /// Fresh prefixes, zero as SVEN starts them.
    pub(crate) fn attach_prefixes(&mut self, prefix: PrefixConfig) -> Result<()> {
        prefix.check(self)?;
        let c = &self.config;
        let size = [prefix.controls as i64, 2, prefix.tokens, c.kv_heads, c.head_dim];
        let empty = Tensor::zeros(size, (Kind::Float, self.compute.device));
        let tables = self.blocks.iter().map(|_| empty.copy()).collect();
        self.wear_prefixes(prefix, tables);
        Ok(())
    }

    fn wear_prefixes(&mut self, prefix: PrefixConfig, tables: Vec<Tensor>) {
        self.detach();
        for (block, table) in self.blocks.iter_mut().zip(tables) {
            block.prefix = Some(table.set_requires_grad(true));
        }
        self.adapter = Some(Adapter::Prefix(prefix));
    }

    /// Loads the controls of a folder.
    pub(crate) fn attach_prefix_folder(&mut self, folder: &Path, dropout: Option<f64>) -> Result<()> {
        let second = folder.join(CONTROLS[1]);
        let folders = if second.is_dir() { vec![folder.to_owned(), second] } else { vec![folder.to_owned()] };
        let controls = folders.iter().map(|f| self.read_control(f)).collect::<Result<Vec<_>>>()?;
        let tokens = controls[0].size()[2];
        if let Some(other) = controls.iter().position(|c| c.size()[2] != tokens) {
            let why = format!("a prefix of {} tokens beside one of {tokens}", controls[other].size()[2]);
            return Err(Error::malformed(&folders[other], why));
        }
        let prefix = PrefixConfig { tokens, controls: controls.len(), dropout: dropout.unwrap_or(0.0) };
        prefix.check(self)?;
        let table = |layer| {
            let of_layer: Vec<Tensor> = controls.iter().map(|c: &Tensor| c.get(layer)).collect();
            Tensor::stack(&of_layer, 0).to_device(self.compute.device)
        };
        let tables = (0..self.config.layers).map(table).collect();
        self.wear_prefixes(prefix, tables);
        Ok(())
    }

    /// A PEFT folder's keys and values, `[layers, 2, tokens, kv_heads, head_dim]`.
    fn read_control(&self, folder: &Path) -> Result<Tensor> {
        let (file, json) = json_of(folder)?;
        if json["prefix_projection"].as_bool().unwrap_or(false) {
            let why = "prefix_projection = true keeps a network beside the prefix: save the prefix it computes";
            return Err(Error::malformed(&file, why));
        }
        let path = folder.join("adapter_model.safetensors");
        let found = weights::read(&path)?.into_iter().find(|(name, _)| name == TENSOR);
        let Some((_, t)) = found else {
            return Err(Error::MissingTensor { path: path.display().to_string(), name: TENSOR.into() });
        };
        let c = &self.config;
        let width = c.layers * 2 * c.kv_heads * c.head_dim;
        if t.dim() != 2 || t.size()[1] != width {
            let (path, name, found) = (path.display().to_string(), TENSOR.into(), t.size());
            return Err(Error::Shape { path, name, expected: vec![found[0], width], found });
        }
        let t = t.to_kind(Kind::Float).view([-1, c.layers, 2, c.kv_heads, c.head_dim]).permute([1, 2, 0, 3, 4]);
        Ok(self.reordered(&t, false))
    }

    /// Keys' values in the order this program turns them in, or back in the file's.
    fn reordered(&self, t: &Tensor, back: bool) -> Tensor {
        let Some(mut order) = self.key_order() else { return t.contiguous() };
        if back {
            let here = order.clone();
            for (i, there) in here.into_iter().enumerate() {
                order[there as usize] = i as i64;
            }
        }
        let order = Tensor::from_slice(&order).to_device(t.device());
        let keys = t.select(1, 0).index_select(-1, &order);
        Tensor::stack(&[keys, t.select(1, 1)], 1)
    }

    /// Where each value of a head's key stands in transformers' keys, unless in the same place: CodeGen turns neighbours,
    /// which stand here in two halves.
    fn key_order(&self) -> Option<Vec<i64>> {
        let c = &self.config;
        let Positions::Rotary(_) = &c.positions else { return None };
        let fused = c.family().names.projections.iter().any(|(p, _)| *p == Projection::Qkv);
        let (p, first) = if fused { (Projection::Qkv, c.heads * c.head_dim) } else { (Projection::K, 0) };
        let rows = (c.family().layout)(c, p).rows?;
        let head = &rows[first as usize..(first + c.head_dim) as usize];
        let lowest = head.iter().min()?;
        Some(head.iter().map(|row| row - lowest).collect())
    }

    /// Writes every control as a PEFT folder.
    pub(crate) fn save_prefixes(&self, prefix: &PrefixConfig, folder: &Path, base_model: &str) -> Result<()> {
        let c = &self.config;
        let config = json!({
            "peft_type": "PREFIX_TUNING", "task_type": "CAUSAL_LM", "base_model_name_or_path": base_model,
            "num_virtual_tokens": prefix.tokens, "num_layers": c.layers, "num_attention_heads": c.kv_heads,
            "token_dim": c.kv_heads * c.head_dim, "encoder_hidden_size": c.kv_heads * c.head_dim,
            "num_transformer_submodules": 1, "prefix_projection": false, "inference_mode": true,
        });
        for (control, name) in CONTROLS.iter().enumerate().take(prefix.controls) {
            let folder: PathBuf = if control == 0 { folder.to_owned() } else { folder.join(name) };
            let tables = self.blocks.iter().filter_map(|block| block.prefix.as_ref());
            let flat = no_grad(|| {
                let layers: Vec<Tensor> = tables.map(|t| t.get(control as i64).to_device(Device::Cpu)).collect();
                let whole = self.reordered(&Tensor::stack(&layers, 0), true);
                whole.permute([2, 0, 1, 3, 4]).reshape([prefix.tokens, -1])
            });
            weights::write(&folder.join("adapter_model.safetensors"), &[(TENSOR.to_owned(), flat)])?;
            lexicon::atomic::write(&folder.join("adapter_config.json"), format!("{config:#}\n").as_bytes())?;
        }
        Ok(())
    }
}
