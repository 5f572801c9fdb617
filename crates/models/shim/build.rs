//! Compiles the shim against libtorch's headers, and links as every package here does.

#[path = "../build.rs"]
mod link;

use std::path::PathBuf;

#[expect(clippy::disallowed_methods, reason = "Cargo talks to build scripts through the environment")]
fn main() {
    link::main();
    println!("cargo::rerun-if-changed=shim");
    let libtorch = std::env::var_os("LIBTORCH").map(PathBuf::from);
    // Without libtorch what needs it has already failed to build.
    let (Some(libtorch), Some(_)) = (libtorch, std::env::var_os("CARGO_FEATURE_TORCH")) else { return };
    let include = libtorch.join("include");
    if !include.exists() {
        return;
    }
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include("shim")
        .include(include.join("torch/csrc/api/include"))
        .include(include)
        .warnings(false)
        .files(["shim/memory.cpp", "shim/ranks.cpp", "shim/tiles.cpp"])
        .compile("rampart_shim");
}
