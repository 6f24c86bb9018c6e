//! Joins all vectors into one text, for machines without files.
//!
//! Each file is copied unchanged below a line `=area/name`, so that the runner reads the original format.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let vectors = folder.join("../vectors");
    let mut archive = String::new();
    for area in ["batch", "detached", "envelope", "keyset"] {
        let area_folder = vectors.join(area);
        println!("cargo:rerun-if-changed={}", area_folder.display());
        let mut paths = Vec::new();
        for entry in fs::read_dir(&area_folder)? {
            paths.push(entry?.path());
        }
        paths.sort();
        for path in paths {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            archive += &format!("={area}/{name}\n{}", fs::read_to_string(&path)?);
        }
    }
    fs::write(out.join("vectors.txt"), archive)?;
    // The linker script of cortex-m-rt includes it.
    fs::copy(folder.join("memory.x"), out.join("memory.x"))?;
    println!("cargo:rerun-if-changed=memory.x");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-search={}", out.display());
        println!("cargo:rustc-link-arg-bins=-Tlink.x");
        // This target has no pages, so sections need no page alignment.
        println!("cargo:rustc-link-arg-bins=--nmagic");
    }
    Ok(())
}
