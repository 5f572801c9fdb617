//! Element-wise work of a pass, fused: each kernel reads and writes its tensors once, where libtorch's own operations
//! need a pass and a buffer for every product, sum and change of kind.
//!
//! On the processor they run over the tensors' memory with the widest vectors there are; elsewhere the same formulae are
//! libtorch operations, and tests hold the two together. Sums over rows are taken in fixed chunks and added in order, so
//! that a result does not depend on the number of threads.

mod attention;
mod decode;
mod gate;
mod nf4;
mod norm;
mod panels;
mod rotary;
mod softmax;
mod stored;
mod threads;
mod tile_attention;
mod tile_blocks;
mod tiles;
mod update;

pub(crate) use {
    attention::{SHORT, attention, attention_backward},
    decode::{KEY_BLOCK, attend_next},
    gate::{gated, gated_backward},
    nf4::{from_nf4, nearest_of_nf4},
    norm::{Norm, NormGradient, NormWeights, norm, norm_backward},
    panels::{Form, Panels},
    rotary::rotate,
    softmax::fused as label_log_probs,
    threads::each_mut,
    tiles::{Factor, Onto, Term, matrix_tiles, multiplies, product},
    update::{AdamStep, adam, square_sum},
};

/// Values a thread takes at a time: small enough to stay in its cache, large enough to be worth the hand-over.
const GRAIN: usize = 32 << 10;

/// Rows of a chunk of about [`GRAIN`] values. It depends on the width alone, so that chunked sums repeat.
const fn rows_a_chunk(width: usize) -> usize {
    let rows = GRAIN / if width == 0 { 1 } else { width };
    if rows == 0 { 1 } else { rows }
}

/// Calls a generic function with the type that a tensor stores.
macro_rules! by_kind {
    ($kind:expr, $name:ident => $body:expr) => {
        match $kind {
            tch::Kind::BFloat16 => {
                type $name = crate::kernels::stored::Bf16;
                $body
            }
            _ => {
                type $name = f32;
                $body
            }
        }
    };
}
use by_kind;
