//! Area `batch`: form B of suites S, SE and SP, and every violation in a receipt.

mod policy;
mod proof;
mod receipt;
mod sealed;
mod valid;

use taskseal_core::Suite;

use super::file::{By, File, hex_of};

/// Every file of the area.
pub(super) fn files() -> Vec<File> {
    [valid::files(), receipt::files(), proof::files(), policy::files()].concat()
}

/// The worked example: suite S, the fourth of five.
pub(super) fn example_b() -> Vec<u8> {
    sealed::Batch::new(Suite::S, 5).envelope(3)
}

/// A refused vector under a policy that accepts batches.
fn refused(name: &'static str, by: By, expect: &'static str, note: &'static str, bytes: &[u8]) -> File {
    File::refused(name, by, expect, note, bytes).policy("batches", "yes")
}

/// An accepted vector under a policy that accepts batches.
fn accepted(name: &'static str, note: &'static str, bytes: &[u8]) -> File {
    File::accepted(name, note, bytes).policy("batches", "yes")
}
