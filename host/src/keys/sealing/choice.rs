//! The key of a folder that seals: the keyset chooses it.

use taskseal_core::{KeyId, Kind};

use super::{SealingKey, SealingSource};
use crate::keys::error::{KeyError, KeyringError};
use crate::keys::folder::expand_some;
use crate::keys::handle::{KeyHandle, KeyUsage};
use crate::keys::keyring::Keyring;
use crate::keys::record::kind_word;
use crate::keys::reference::KeyRef;
use crate::time::unix_seconds;

/// A key of a folder that may seal now.
struct Candidate {
    place: KeyRef,
    handle: KeyHandle,
    use_from: u64,
}

impl Keyring {
    /// Opens the key of the folder `source.key` that may seal `kind` now; of several, the one with the latest `use_from`.
    pub(super) fn sealing_key_of_folder(
        &self,
        source: &SealingSource,
        usage: KeyUsage,
        kind: Kind,
    ) -> Result<SealingKey, KeyringError> {
        let (mut candidates, mut others) = (Vec::new(), Vec::new());
        for place in expand_some(&source.key)? {
            let handle = self.stores().open(&place, usage)?;
            match self.use_from(handle.kid(), kind) {
                Ok(use_from) => candidates.push(Candidate { place, handle, use_from }),
                Err(reason) => others.push(format!("key {} {reason}", handle.kid())),
            }
        }
        let latest = candidates.iter().map(|candidate| candidate.use_from).max();
        let mut newest = candidates.into_iter().filter(|candidate| Some(candidate.use_from) == latest);
        match (newest.next(), newest.next()) {
            (None, _) => {
                let message = format!("the keyset allows no key of the folder: {}", others.join(", "));
                let hint =
                    format!("make one of them primary in the keyset, with `use = \"{}\"`", kind_word(kind));
                Err(KeyError::not_allowed(&source.key, message).hint(hint).into())
            }
            (Some(Candidate { place, handle, .. }), None) => {
                let source = SealingSource { key: place, ..source.clone() };
                self.sealing_key_from(handle, &source, kind)
            }
            (Some(one), Some(other)) => {
                let (one, other) = (one.handle.kid(), other.handle.kid());
                let message = format!("the keyset allows key {one} and key {other} of the folder alike");
                Err(KeyError::invalid(&source.key, message)
                    .hint("retire one of the two, or give the newer one a later `use_from`")
                    .into())
            }
        }
    }

    /// Returns the time from which a key may seal `kind`, or why it may not now.
    fn use_from(&self, kid: KeyId, kind: Kind) -> Result<u64, String> {
        let record = self.record(kid).ok_or_else(|| "is not in the keyset".to_owned())?;
        record.may_seal(kind, unix_seconds())?;
        Ok(record.use_from().unwrap_or(0))
    }
}
