//! The rules are part of the program: a changed one is a changed program.

fn main() {
    println!("cargo::rerun-if-changed=rules");
}
