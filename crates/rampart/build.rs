//! Gives this package's programs (tests, benches, binaries) an rpath to libtorch: they run with no environment variable.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(root) = env::var_os("LIBTORCH") else { return };
    let lib = Path::new(&root).join("lib");
    let lib = lib.canonicalize().unwrap_or(lib);
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
