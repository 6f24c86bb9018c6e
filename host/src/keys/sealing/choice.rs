//! The key that seals, of several to which a reference leads: the keyset chooses it.

use taskseal_core::{KeyId, Kind};

use crate::keys::error::KeyError;
use crate::keys::handle::{KeyHandle, KeyUsage};
use crate::keys::keyring::Keyring;
use crate::keys::reference::KeyRef;
use crate::time::unix_seconds;

/// A key that may be used now.
struct Candidate {
    place: KeyRef,
    handle: KeyHandle,
    use_from: u64,
}

impl Keyring {
    /// Opens the key to which `place` leads. Of several, it is the one for which `allows` returns the latest time; the error of
    /// `allows` completes a sentence that starts with the key. One key is opened whatever the keyset allows. `hint` says what to do if
    /// it allows none.
    pub(super) fn choose(
        &self,
        place: &KeyRef,
        usage: KeyUsage,
        allows: impl Fn(&KeyHandle) -> Result<u64, String>,
        hint: &str,
    ) -> Result<(KeyRef, KeyHandle), KeyError> {
        let places = self.stores().list(place, usage)?;
        if places.as_slice() == std::slice::from_ref(place) {
            return Ok((place.clone(), self.stores().open(place, usage)?));
        }
        let (mut candidates, mut others) = (Vec::new(), Vec::new());
        for place in places {
            let handle = self.stores().open(&place, usage)?;
            match allows(&handle) {
                Ok(use_from) => candidates.push(Candidate { place, handle, use_from }),
                Err(reason) => others.push(format!("key {} {reason}", handle.kid())),
            }
        }
        let latest = candidates.iter().map(|candidate| candidate.use_from).max();
        let mut newest = candidates.into_iter().filter(|candidate| Some(candidate.use_from) == latest);
        match (newest.next(), newest.next()) {
            (None, _) => {
                let message = format!("the keyset allows none of these keys: {}", others.join(", "));
                Err(KeyError::not_allowed(place, message).hint(hint))
            }
            (Some(Candidate { place, handle, .. }), None) => Ok((place, handle)),
            (Some(one), Some(other)) => {
                let (one, other) = (one.handle.kid(), other.handle.kid());
                let message = format!("the keyset allows key {one} and key {other} alike");
                Err(KeyError::invalid(place, message)
                    .hint("retire one of the two, or give the newer one a later `use_from`"))
            }
        }
    }

    /// Returns the time from which a key may seal `kind`, or why it may not now.
    pub(super) fn use_from(&self, kid: KeyId, kind: Kind) -> Result<u64, String> {
        let record = self.record(kid).ok_or_else(|| "is not in the keyset".to_owned())?;
        record.may_seal(kind, unix_seconds())?;
        Ok(record.use_from().unwrap_or(0))
    }
}
