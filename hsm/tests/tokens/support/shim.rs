//! The PKCS#11 library in front of a token that causes faults, see `shim/shim.c`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the path of the shim, which is compiled once per process.
pub(super) fn library() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.c", std::process::id()));
        fs::write(&source, include_str!("../../shim/shim.c")).unwrap();
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(&source)
            .args(["-ldl", "-lpthread"]);
        assert!(compiler.status().expect("install a C compiler").success(), "the shim does not compile");
        fs::remove_file(source).unwrap();
        // Renamed, because several runs may write it at the same time; their results are identical.
        let shared = library.with_file_name("shim.so");
        fs::rename(&library, &shared).unwrap();
        shared
    })
}
