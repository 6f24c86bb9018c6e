//! Area `keyset`: signed keysets, and every violation in them.

mod history;
mod recipients;
mod sealed;
mod structure;
mod valid;

use self::sealed::{Keyset, NAME, NOW, root};
use super::file::{By, File, hex_of};

/// Every file of the area.
pub(super) fn files() -> Vec<File> {
    [valid::files(), recipients::files(), structure::files(), history::files()].concat()
}

/// A vector of a verifier that has pinned the root of the examples.
fn pinned(file: File) -> File {
    unpinned(file).line("root", hex_of(&root().verifying_key().to_point()))
}

/// A vector of a verifier that has pinned a name only.
fn unpinned(file: File) -> File {
    file.without_audience().now(NOW.to_string()).policy("name", NAME)
}

fn refused(name: &'static str, by: By, expect: &'static str, note: &'static str, bytes: &[u8]) -> File {
    pinned(File::refused(name, by, expect, note, bytes))
}

/// An accepted keyset and its outcome: kids in ascending order.
fn accepted(name: &'static str, note: &'static str, keyset: &Keyset) -> File {
    pinned(File::accepted(name, note, &keyset.signed()))
}

impl File {
    /// Adds the checkpoint to store, and the keys that seal, decrypt and have a record.
    fn yields(self, keyset: &Keyset, seals: &str, decrypts: &str, records: &str) -> Self {
        self.line("stored", hex_of(&keyset.checkpoint()))
            .line("seals", seals)
            .line("decrypts", decrypts)
            .line("records", records)
    }
}
