//! Where tensors live and in which precision products run.

use crate::{
    Error, Result,
    kernels::{self, Form},
};
use tch::{Cuda, Device, Kind};

/// What `device.kind` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeviceKind {
    /// CUDA where it is, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The first CUDA device; an error where there is none.
    Cuda,
}

/// What `model.dtype` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// bf16 where the device multiplies it fast, else f32.
    #[default]
    Auto,
    /// Single precision.
    F32,
    /// Matrix products in bf16; norms, residual stream, master weights and losses stay in f32.
    Bf16,
    /// As [`Self::Auto`], with the frozen projections of the blocks in four bits.
    Nf4,
}

/// A device and the kind its matrix products run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compute {
    /// Device of every tensor.
    pub device: Device,
    /// `Float` or `BFloat16`.
    pub kind: Kind,
    /// Whether the blocks' projections are kept in four bits.
    pub nf4: bool,
    /// How products of f32 are made.
    pub products: Products,
}

/// How exact products of f32 are, in the words of PyTorch's `set_float32_matmul_precision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Products {
    /// A value is the sum of two bf16: 16 bits of the significand remain, and the processor's bf16 tiles (AMX) multiply them,
    /// where it has such; else as [`Self::Highest`].
    #[default]
    High,
    /// All 24 bits.
    Highest,
}

impl Compute {
    /// Settles device and precision on this machine.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when CUDA is asked for and cannot be opened.
    pub fn choose(device: DeviceKind, precision: Precision) -> Result<Self> {
        keep_freed_memory();
        let device = match device {
            DeviceKind::Cpu => Device::Cpu,
            DeviceKind::Auto => match open_cuda() {
                Ok(()) => Device::Cuda(0),
                Err(_) => Device::Cpu,
            },
            DeviceKind::Cuda => {
                open_cuda()
                    .map_err(|why| Error::Unavailable(format!("device.kind = \"cuda\" cannot be met: {why}")))?;
                Device::Cuda(0)
            }
        };
        let kind = match precision {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::Auto | Precision::Nf4 if device.is_cuda() || fast_bf16() => Kind::BFloat16,
            Precision::Auto | Precision::Nf4 => Kind::Float,
        };
        Ok(Self { device, kind, nf4: precision == Precision::Nf4, products: Products::default() })
    }

    /// The same with products of another exactness.
    #[must_use]
    pub const fn with(self, products: Products) -> Self {
        Self { products, ..self }
    }

    /// What [`kernels::product`] multiplies.
    pub(crate) fn form(self) -> Form {
        let halves = self.products == Products::High && kernels::matrix_tiles();
        if self.kind == Kind::BFloat16 || halves { Form::Pairs } else { Form::Whole }
    }

    /// Whether [`kernels::product`] makes the products of matrices of this many rows with weights of these sides.
    ///
    /// A product pays for the packing of its weight, which few rows do not bring in again (measured: 128 of 768 x 768 do),
    /// and bf16 is read in pairs. f32 as it is gains enough for smaller sides too; bf16 of smaller sides is no slower, and libtorch
    /// would compile and keep a product for every number of rows.
    pub(crate) fn tiles(self, rows: i64, sides: &[i64]) -> bool {
        let form = self.form();
        let suits = |side: &i64| match form {
            Form::Pairs => *side >= if self.kind == Kind::BFloat16 { 256 } else { 512 } && side % 2 == 0,
            Form::Whole => *side >= 128,
        };
        self.device == Device::Cpu && rows >= 128 && sides.iter().all(suits) && kernels::multiplies(form)
    }

    /// Whether sums over so many rows of a batch are [`kernels::product`]'s too: not of f32 in halves.
    pub(crate) fn turns(self, rows: i64) -> bool {
        match self.form() {
            Form::Pairs => self.kind == Kind::BFloat16 && rows % 2 == 0,
            Form::Whole => true,
        }
    }

    /// Whether a product is compiled for the sides that it has.
    pub(crate) fn compiles(self) -> bool {
        self.device == Device::Cpu && (self.kind == Kind::BFloat16 || kernels::multiplies(self.form()))
    }

    /// The same on the device of this number, where there are several: each process of a machine takes its own.
    #[must_use]
    pub const fn at(self, index: usize) -> Self {
        match self.device {
            Device::Cuda(_) => Self { device: Device::Cuda(index), ..self },
            _ => self,
        }
    }

    /// `f32`, `bf16`, or that with weights in four bits.
    #[must_use]
    pub fn precision_name(self) -> &'static str {
        match (self.kind == Kind::BFloat16, self.nf4) {
            (true, false) => "bf16",
            (false, false) => "f32",
            (true, true) => "bf16, frozen weights in nf4",
            (false, true) => "f32, frozen weights in nf4",
        }
    }
}

/// Whether the processor has matrix or dot-product units for bf16; elsewhere it is slower than f32.
#[must_use]
pub fn fast_bf16() -> bool {
    let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") else { return false };
    let flags = text.lines().find(|l| l.starts_with("flags")).unwrap_or_default();
    flags.split_whitespace().any(|f| f == "amx_bf16" || f == "avx512_bf16")
}

/// Memory of this machine in bytes, where the system tells.
pub(crate) fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// Opens `libtorch_cuda.so` at run time, so that one binary serves machines with and without a GPU.
#[expect(unsafe_code, reason = "dlopen; the argument stands at the call")]
fn open_cuda() -> std::result::Result<(), String> {
    if Cuda::is_available() {
        return Ok(());
    }
    // SAFETY: dlopen runs the library's constructors, which register CUDA with the libtorch already loaded. The name is
    // resolved through our rpath to the same release. The handle is never closed.
    let handle = unsafe { libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if handle.is_null() {
        return Err("libtorch_cuda.so cannot be opened (run `make gpu` to fetch it)".into());
    }
    if Cuda::is_available() { Ok(()) } else { Err("no CUDA device answers".into()) }
}

/// Keeps freed memory instead of giving it back: page faults cost a step 10-15 % (measured). Of large tensors see
/// [`crate::memory`].
#[cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "mallopt; the argument stands at the call"))]
fn keep_freed_memory() {
    crate::memory::install();
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 4 << 20);
    }
}
