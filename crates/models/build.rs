//! Writes where libtorch is into this package's tests and programs, so that they run with no environment
//! variable. Every package that links libtorch into a test or program names this file as its build script: cargo hands
//! link arguments to the package itself only.

use std::path::PathBuf;

#[expect(clippy::disallowed_methods, reason = "Cargo talks to build scripts through the environment")]
pub(crate) fn main() {
    // Set by .cargo/config.toml to the folder that `make setup` fills.
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let Some(libtorch) = std::env::var_os("LIBTORCH").map(PathBuf::from) else { return };
    // Rewritten whenever `make setup` finds libtorch elsewhere, so that what we print stays true.
    println!("cargo::rerun-if-changed={}", libtorch.join("build-version").display());
    // Without libtorch there is nothing to write, and what needs it has already failed to build.
    let Ok(lib) = libtorch.join("lib").canonicalize() else { return };
    let lib = lib.display().to_string();
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    // Where `make gpu` puts, now or later, the libtorch_cuda.so that is opened by name at run time.
    if let Some(base) = lib.strip_suffix("-cpu/lib") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{base}-cuda/lib");
    }
}
