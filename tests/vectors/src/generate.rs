//! The generator: creates the files of each area.

mod batch;
mod detached;
mod envelope;
pub mod file;
mod keyset;

use self::file::File;

/// Every area and its files.
#[must_use]
pub fn areas() -> Vec<(&'static str, Vec<File>)> {
    vec![
        ("envelope", envelope::files()),
        ("batch", batch::files()),
        ("detached", detached::files()),
        ("keyset", keyset::files()),
    ]
}
