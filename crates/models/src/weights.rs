//! safetensors in and out: one file, or a sharded folder with its index.

use crate::{Error, Result};
use safetensors::{Dtype, SafeTensors};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor};

/// Largest file that is written; more tensors go into further shards with an index, as transformers does.
const SHARD_BYTES: usize = 5 << 30;

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}

fn name_of(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Float => "F32",
        Kind::Double => "F64",
        Kind::Half => "F16",
        Kind::BFloat16 => "BF16",
        Kind::Int64 => "I64",
        Kind::Int => "I32",
        Kind::Uint8 => "U8",
        Kind::Bool => "BOOL",
        _ => return None,
    })
}

/// A safetensors file whose tensors are read as they are asked for.
#[derive(Debug)]
pub(crate) struct Mapped {
    path: PathBuf,
    map: memmap2::Mmap,
}

impl Mapped {
    /// Opens a file; nothing of it is read yet.
    ///
    /// # Errors
    /// [`Error::Read`].
    #[expect(unsafe_code, reason = "memory map; the argument stands at the call")]
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::read(path))?;
        // SAFETY: the map is read-only and private to this value; a file that another process truncates meanwhile ends
        // this process with SIGBUS, as it does for every program that maps checkpoints.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::read(path))?;
        Ok(Self { path: path.to_owned(), map })
    }

    /// What its header says.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a truncated file and a header whose offsets overlap, leave the file or do not fit the shapes.
    pub(crate) fn tensors(&self) -> Result<Tensors<'_>> {
        let views = SafeTensors::deserialize(&self.map).map_err(|e| {
            Error::malformed(&self.path, format!("not a whole safetensors file ({e}): copy or download it again"))
        })?;
        Ok(Tensors { path: &self.path, views })
    }
}

/// The tensors of a [`Mapped`] file.
#[derive(Debug)]
pub(crate) struct Tensors<'a> {
    path: &'a Path,
    views: SafeTensors<'a>,
}

impl Tensors<'_> {
    /// A tensor, on the processor, in the kind it is stored in; `None` where the file has none of this name.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a kind the decoder cannot use.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Tensor>> {
        let Ok(view) = self.views.tensor(name) else { return Ok(None) };
        let kind = kind_of(view.dtype()).ok_or_else(|| {
            let why = format!("tensor {name} has type {:?}, which cannot be used here", view.dtype());
            Error::malformed(self.path, why)
        })?;
        let shape: Vec<i64> = view.shape().iter().map(|&d| d as i64).collect();
        Tensor::f_from_data_size(view.data(), &shape, kind)
            .map(Some)
            .map_err(|e| Error::malformed(self.path, format!("tensor {name}: {e}")))
    }
}

/// All tensors of a safetensors file by name, on the processor, in the kind they are stored in.
///
/// # Errors
/// [`Error::Read`], or [`Error::Malformed`] for a truncated file, a header whose offsets overlap, leave the file or do
/// not fit the shapes, and for kinds the decoder cannot use.
pub fn read(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let mapped = Mapped::open(path)?;
    let tensors = mapped.tensors()?;
    let mut names: Vec<&str> = tensors.views.names().into_iter().collect();
    names.sort_unstable();
    names.into_iter().filter_map(|name| Some(tensors.get(name).transpose()?.map(|t| (name.to_owned(), t)))).collect()
}

/// The safetensors files of a model folder: the single one, or those its index names.
///
/// # Errors
/// [`Error::Malformed`] when there are none, or the index names a file outside the folder.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let index = folder.join("model.safetensors.index.json");
    if index.exists() {
        let text = std::fs::read_to_string(&index).map_err(Error::read(&index))?;
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| Error::malformed(&index, format!("not JSON: {e}")))?;
        let map = json["weight_map"].as_object().ok_or_else(|| Error::malformed(&index, "weight_map is missing"))?;
        let names: BTreeSet<&str> = map.values().filter_map(|v| v.as_str()).collect();
        if names.is_empty() {
            return Err(Error::malformed(&index, "weight_map names no file: copy or download the folder again"));
        }
        return names
            .into_iter()
            .map(|name| {
                if Path::new(name).components().count() != 1 || name == ".." {
                    return Err(Error::malformed(&index, format!("{name:?} is not a file of this folder")));
                }
                Ok(folder.join(name))
            })
            .collect();
    }
    let single = folder.join("model.safetensors");
    if single.exists() {
        return Ok(vec![single]);
    }
    Err(Error::malformed(
        folder,
        "no model.safetensors and no index: convert .bin checkpoints with transformers' save_pretrained first",
    ))
}

/// Writes tensors into one safetensors file, atomically, without a second copy in memory.
///
/// # Errors
/// [`Error::Write`]; [`Error::Malformed`] for a kind that the format does not know.
pub fn write(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!({"format": "pt"}));
    let mut at = 0usize;
    for (name, t) in tensors {
        let dtype = name_of(t.kind())
            .ok_or_else(|| Error::malformed(path, format!("tensor {name} has kind {:?}", t.kind())))?;
        let bytes = t.numel() * t.kind().elt_size_in_bytes();
        header.insert(
            name.clone(),
            serde_json::json!({"dtype": dtype, "shape": t.size(), "data_offsets": [at, at + bytes]}),
        );
        at += bytes;
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    // The data starts aligned to 8 bytes; the format pads its header with spaces.
    header.resize(header.len().next_multiple_of(8), b' ');
    lexicon::atomic::write_with(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        tensors.iter().try_for_each(|(_, t)| write_data(out, t))
    })?;
    Ok(())
}

#[expect(unsafe_code, reason = "bytes of a tensor; the argument stands at the call")]
fn write_data(out: &mut dyn Write, t: &Tensor) -> io::Result<()> {
    let t = t.detach().to_device(Device::Cpu).contiguous();
    let bytes = t.numel() * t.kind().elt_size_in_bytes();
    if bytes == 0 {
        return Ok(());
    }
    // SAFETY: the tensor is contiguous on the processor and lives until the end of this function; `bytes` is its size.
    out.write_all(unsafe { std::slice::from_raw_parts(t.data_ptr().cast::<u8>(), bytes) })
}

/// Writes the weights of a model folder, in shards with an index where they are large.
///
/// # Errors
/// See [`write`].
pub fn write_model(folder: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let bytes = |t: &Tensor| t.numel() * t.kind().elt_size_in_bytes();
    let mut shards: Vec<Vec<(String, Tensor)>> = vec![Vec::new()];
    let (mut size, mut total) = (0, 0);
    for (name, t) in tensors {
        if size + bytes(t) > SHARD_BYTES && size > 0 {
            shards.push(Vec::new());
            size = 0;
        }
        size += bytes(t);
        total += bytes(t);
        if let Some(last) = shards.last_mut() {
            last.push((name.clone(), t.shallow_clone()));
        }
    }
    if let [only] = shards.as_slice() {
        return write(&folder.join("model.safetensors"), only);
    }
    let mut map = BTreeMap::new();
    let n = shards.len();
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{n:05}.safetensors", i + 1);
        write(&folder.join(&name), shard)?;
        map.extend(shard.iter().map(|(tensor, _)| (tensor.clone(), name.clone())));
    }
    let index = serde_json::json!({"metadata": {"total_size": total}, "weight_map": map});
    lexicon::atomic::write(&folder.join("model.safetensors.index.json"), format!("{index:#}").as_bytes())?;
    Ok(())
}
