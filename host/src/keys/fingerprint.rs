//! The fingerprint of a keyset: equal on hosts that accept the same keys, however their files are written.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::keyring::Keyring;
use super::record::{Record, kind_word};

impl Keyring {
    /// Returns the fingerprint of the keyset, 16 hex digits: the first 8 bytes of the SHA-256 digest of what its entries say, without
    /// labels and secrets. Decryption keys are not part of it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        self.records().for_each(|record| line(record, &mut text));
        let digest = Sha256::digest(text.as_bytes());
        digest.iter().take(8).fold(String::new(), |mut digits, byte| {
            // Writing to a string cannot fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        })
    }
}

/// Writes what an entry says in one line. Patterns have no line break.
fn line(record: &Record, text: &mut String) {
    let algorithm = record.key().algorithm().map_or("", super::Algorithm::name);
    let times = [record.use_from(), record.sign_until(), record.accept_until()];
    let _ =
        write!(text, "{} {algorithm} {} {}", record.kid(), kind_word(record.kind()), record.state().name());
    for time in times {
        match time {
            Some(seconds) => drop(write!(text, " {seconds}")),
            None => text.push_str(" -"),
        }
    }
    for patterns in [record.issuers(), record.types(), record.audiences()] {
        let _ = write!(text, "\t{}", patterns.as_str());
    }
    text.push('\n');
}
