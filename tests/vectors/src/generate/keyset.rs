//! Area `keyset`: signed keysets, and all that may be wrong with them.

mod history;
mod sealed;
mod structure;
mod valid;

use self::sealed::{Keyset, NAME, NOW, root};
use super::file::{By, File, hex_of};

/// Every file of the area.
pub(super) fn files() -> Vec<File> {
    [valid::files(), structure::files(), history::files()].concat()
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

/// A keyset that is accepted, and what is made of it: kids in ascending order.
fn accepted(name: &'static str, note: &'static str, keyset: &Keyset) -> File {
    pinned(File::accepted(name, note, &keyset.signed()))
}

impl File {
    /// What a verifier remembers afterwards, and which keys seal, decrypt and are found as records.
    fn comes_to(self, keyset: &Keyset, seals: &str, decrypts: &str, records: &str) -> Self {
        self.line("stored", hex_of(&keyset.checkpoint()))
            .line("seals", seals)
            .line("decrypts", decrypts)
            .line("records", records)
    }
}
