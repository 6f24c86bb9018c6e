//! Passes the memory map to the linker.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("memory.x"), out.join("memory.x"))?;
    println!("cargo:rerun-if-changed=memory.x");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-search={}", out.display());
        println!("cargo:rustc-link-arg-bins=-Tlink.x");
        // Sections need no page alignment.
        println!("cargo:rustc-link-arg-bins=--nmagic");
    }
    Ok(())
}
