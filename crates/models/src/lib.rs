//! Weights in; log-probs, gradients and text out. The only crate that knows libtorch.
//!
//! 1. [`config`], [`families`]: how a Hugging Face folder's `config.json` and tensor names map onto one decoder.
//! 2. [`tokenizer`]: text to ids and back.
//! 3. `weights`, `adapter`, `prefix`, `folder`: safetensors and PEFT folders in and out.
//! 4. `packing`, `decoder`, `head`: packed sequences through the decoder; log-probs of labels without stored logits;
//!    `divergence`: how far whole distributions moved from a reference's.
//! 5. `ranks`: gradients added over processes.
//! 6. `generate`: batched sampling with a cache of keys and values; `live`: the same for requests that come and go.
//! 7. [`chat`]: conversations as the model's own template writes them.
//!
//! Invariants: no objective is known here (log-probs go out, their derivatives come in); no padding is ever computed;
//! what sequences of a group share is computed once; a logit matrix never outlives its chunk. Without the `torch`
//! feature only stages 1, 2 and 7 exist, and nothing links libtorch.

pub mod chat;
pub mod config;
pub mod families;
pub mod tokenizer;

#[cfg(feature = "torch")]
pub mod adapter;
#[cfg(feature = "torch")]
mod attention;
#[cfg(feature = "torch")]
pub mod decoder;
#[cfg(feature = "torch")]
pub mod device;
#[cfg(feature = "torch")]
pub mod divergence;
#[cfg(feature = "torch")]
pub mod folder;
#[cfg(feature = "torch")]
pub mod generate;
#[cfg(feature = "torch")]
pub mod head;
#[cfg(feature = "torch")]
mod kernels;
#[cfg(feature = "torch")]
mod linear;
#[cfg(feature = "torch")]
pub mod live;
#[cfg(feature = "torch")]
mod memory;
#[cfg(feature = "torch")]
mod nf4;
#[cfg(feature = "torch")]
pub mod optimizer;
#[cfg(feature = "torch")]
pub mod packing;
#[cfg(feature = "torch")]
mod phrases;
#[cfg(feature = "torch")]
mod prefix;
#[cfg(feature = "torch")]
pub mod ranks;
#[cfg(feature = "torch")]
mod sampling;
#[cfg(feature = "torch")]
pub mod tape;
#[cfg(feature = "torch")]
pub mod weights;

mod error;
mod rotary;

pub use chat::Chat;
pub use config::DecoderConfig;
pub use error::Error;
pub use rotary::{RopeScaling, Rotary};
pub use tokenizer::Tokenizer;

#[cfg(feature = "torch")]
pub use {
    adapter::{Adapter, LoraConfig},
    decoder::Decoder,
    device::{Compute, DeviceKind, Precision, Products},
    folder::{Model, Stored},
    generate::{Generation, SamplingParams},
    live::Live,
    packing::{Group, Packed},
    prefix::{CONTROLS, PrefixConfig},
    ranks::{Meeting, Ranks},
    tape::Tape,
};

/// libtorch's tensor, for those who only pass it on.
#[cfg(feature = "torch")]
pub use tch::Tensor;

/// Result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Seeds dropout and initialisation of everything that follows.
#[cfg(feature = "torch")]
pub fn seed(seed: u64) {
    tch::manual_seed(i64::from_ne_bytes(seed.to_ne_bytes()));
}
