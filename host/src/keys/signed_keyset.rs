//! The signed keyset of a host: read from untrusted places, verified with the pinned roots, and recorded before it is used.
//!
//! The order is that of `core/docs/keyset.md`, section 5: verify, store the checkpoint durably, and only then use a key.

use std::collections::BTreeMap;
use std::path::PathBuf;

use taskseal_core::keys::VerifyingKey;
use taskseal_core::keyset::signed::{Checkpoint, EntryKey, KeysetRefusal, MAX_KEYSET, PinnedRoots};
use taskseal_core::name::{InvalidName, KeysetName};
use taskseal_core::{InvalidKey, KeyId};

use self::checkpoint::Recorder;
use self::newest::{Candidate, Source, Verified};
use super::error::KeyringError;
use super::record::Record;
use super::reference::KeyRef;
use super::registry::KeyStores;
use crate::file_error::FileError;
use crate::file_security;

pub use self::checkpoint::Recording;
pub use self::error::{KeysetError, KeysetErrorKind, KeysetFault};
pub use self::head::KeysetHead;
pub(crate) use self::shared::SharedKeys;

mod checkpoint;
mod error;
mod head;
mod newest;
mod shared;
#[cfg(test)]
mod tests;

/// Where a signed keyset comes from, and what this host trusts it by.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedKeyset {
    /// The file. It need not be trusted.
    pub file: PathBuf,
    /// Name of the keyset, 1 to 64 characters.
    name: String,
    /// One or two roots.
    roots: Vec<VerifyingKey>,
    /// Keys whose secrets this host has, and folders of such keys.
    pub shared: Vec<KeyRef>,
    /// Folder of the checkpoint.
    pub state_dir: PathBuf,
}

/// How a keyset is loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadMode {
    recording: Recording,
    shared: SharedKeys,
    /// The newest keyset that this process has used: the folder of state can be lost while it runs.
    floor: Option<Checkpoint>,
}

impl LoadMode {
    /// Creates the mode of a process that starts.
    pub(crate) const fn new(recording: Recording, shared: SharedKeys) -> Self {
        Self { recording, shared, floor: None }
    }

    /// Returns what happens if a shared key cannot be read.
    pub(crate) const fn shared(&self) -> SharedKeys {
        self.shared
    }

    /// Returns the mode of a process that has used the keyset with this head.
    pub(crate) fn after(mut self, head: Option<&KeysetHead>) -> Self {
        self.floor = head.and_then(KeysetHead::checkpoint);
        self
    }
}

/// What a second carrier returned, which need not be trusted either.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The carrier, for messages.
    pub(crate) origin: String,
    /// The keyset, or why there is none.
    pub(crate) content: Result<Vec<u8>, String>,
}

/// A keyset that may be used: its checkpoint is stored.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) records: BTreeMap<KeyId, Record>,
    pub(super) head: KeysetHead,
}

/// Why names and roots cannot be pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRoots {
    /// The name is not one.
    #[error("not the name of a keyset")]
    Name,
    /// There is no root, the same root twice, or a third one.
    #[error("expected one root, or two that differ")]
    Roots,
}

impl From<InvalidName> for InvalidRoots {
    fn from(_: InvalidName) -> Self {
        Self::Name
    }
}

impl From<InvalidKey> for InvalidRoots {
    fn from(_: InvalidKey) -> Self {
        Self::Roots
    }
}

impl SignedKeyset {
    /// Creates the settings of a keyset called `name` in `file` that one of `roots` signs. Its checkpoint is in `state_dir`.
    ///
    /// # Errors
    /// [`InvalidRoots`].
    pub fn new(
        file: PathBuf,
        name: &str,
        roots: Vec<VerifyingKey>,
        state_dir: PathBuf,
    ) -> Result<Self, InvalidRoots> {
        let settings = Self { file, name: name.to_owned(), roots, shared: Vec::new(), state_dir };
        settings.try_pinned()?;
        Ok(settings)
    }

    /// Returns the name of the keyset.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the kids of the roots.
    pub fn roots(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.roots.iter().map(VerifyingKey::kid)
    }

    fn try_pinned(&self) -> Result<PinnedRoots<'_>, InvalidRoots> {
        let (first, others) = self.roots.split_first().ok_or(InvalidRoots::Roots)?;
        let pinned = PinnedRoots::new(KeysetName::new(&self.name)?, *first);
        Ok(others.iter().try_fold(pinned, |pinned, other| pinned.or(*other))?)
    }

    /// Returns the pinned roots with the name.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the settings were checked when they were made")]
    pub fn pinned(&self) -> PinnedRoots<'_> {
        self.try_pinned().expect("the settings were checked when they were made")
    }

    /// Returns the newest keyset that verifies at the Unix time `now`, in seconds, after its checkpoint was stored.
    ///
    /// With a second carrier, the copy of the last keyset is one more source, so that a host can start while the carrier is
    /// unavailable.
    pub(super) fn load(
        &self,
        stores: &KeyStores,
        fetched: Option<Fetched>,
        mode: LoadMode,
        now: u64,
    ) -> Result<Loaded, KeyringError> {
        let required = mode.shared;
        let mut secrets = shared::open(&self.shared, stores, required)?;
        // What the file contains is compared with a checkpoint that no other process changes meanwhile.
        let recorder = Recorder::open(&self.state_dir, &self.name, mode.recording, mode.floor)?;
        let mut candidates = vec![self.in_file(fetched.is_some())];
        if let Some(Fetched { origin, content }) = fetched {
            let (copy, name) = (recorder.copy().transpose(), recorder.copy_name());
            candidates.push(Candidate { origin: name, content: copy, source: Source::Copy });
            let content = content.map_err(|message| KeysetError::unavailable(&origin, &message).into());
            candidates.push(Candidate { origin, content: Some(content), source: Source::Carrier });
        }
        let pinned = self.pinned();
        let verified = newest::find(&candidates, &pinned, recorder.last(), now)?;
        let Verified { keyset, bytes, refused, source_fault } = verified;
        let mut records = BTreeMap::new();
        for entry in keyset.entries() {
            let secret = match entry.key {
                EntryKey::Hmac256(_) | EntryKey::A256Gcm(_) => {
                    required.or_none(shared::take(&mut secrets, &entry.key))?
                }
                _ => None,
            };
            records.insert(entry.kid(), Record::from_entry(entry, secret));
        }
        recorder.store(&keyset.checkpoint(), bytes)?;
        Ok(Loaded { records, head: KeysetHead::new(&keyset, recorder.last(), (refused, source_fault)) })
    }

    /// Reads the file. It may be missing if there is another carrier.
    fn in_file(&self, is_optional: bool) -> Candidate {
        let origin = self.file.display().to_string();
        let content = match file_security::read_unguarded(&self.file, MAX_KEYSET as u64) {
            Ok(content) => Some(Ok(content)),
            Err(error) if error.io == Some(std::io::ErrorKind::NotFound) && is_optional => None,
            Err(error) if error.io == Some(std::io::ErrorKind::NotFound) => {
                let hint =
                    "copy the signed keyset of the deployment there, or name it with `keyset` of [keys]";
                Some(Err(error.hint(hint).into()))
            }
            Err(error) if error.io.is_none() => {
                Some(Err(KeysetError::refused(&origin, KeysetRefusal::TooLarge, &error.message).into()))
            }
            Err(error) => Some(Err(error.into())),
        };
        let content = content.map(|content| content.and_then(|bytes| self.not_text(bytes)));
        Candidate { origin, content, source: Source::File }
    }

    /// Reports a keyset file that is not signed as such.
    fn not_text(&self, bytes: Vec<u8>) -> Result<Vec<u8>, KeyringError> {
        let is_text = std::str::from_utf8(&bytes).is_ok_and(|text| text.contains("[[key]]"));
        if !is_text {
            return Ok(bytes);
        }
        let message = "is not signed, and `roots` of [keys] requires a signed keyset";
        Err(FileError::new(&self.file, message)
            .hint("name the signed keyset, such as keyset.cose, with `keyset` of [keys], or remove `roots`")
            .into())
    }
}
