//! The signed keyset, which tells devices and workers over an untrusted transport which keys are valid.
//!
//! An offline root key signs the whole keyset, and verifiers pin the root's public key. As in opening, the steps are
//! types: [`UnverifiedKeyset`], then [`VerifiedKeyset`], then [`CurrentKeys`], which exist only while the keyset is in
//! force. A keyset never contains secrets.
//!
//! ```
//! use taskseal_core::keys::SigningKey;
//! use taskseal_core::keyset::signed::{Entry, EntryKey, KeyState, KeysetDraft, Role, PinnedRoots};
//! use taskseal_core::keyset::signed::{UnverifiedKeyset, VerifiedKeyset};
//! use taskseal_core::name::KeysetName;
//! use taskseal_core::{KeyLookup, NameSet, Secret, TimeWindow};
//!
//! # use core::error::Error;
//! # fn main() -> Result<(), Box<dyn Error>> {
//! # let mut root = SigningKey::from_scalar(&Secret::copy_from(&[1; 32]))?;
//! # let producer = SigningKey::from_scalar(&Secret::copy_from(&[2; 32]))?.verifying_key();
//! # let now = 1_763_751_000;
//! // Where the root key is: the first keyset, in force for 30 days.
//! let mut draft = KeysetDraft::<16>::first(KeysetName::new("plant-a")?, now, now + 30 * 86_400)?;
//! let rights = Role::new().issuers(NameSet::new("sensor-17")).types(NameSet::new("reading:*"));
//! let rights = rights.audiences(NameSet::new("plant-a/*"));
//! draft.insert(Entry::new(EntryKey::Es256(producer), KeyState::Primary).role(rights))?;
//! let mut buffer = [0; 512];
//! let signed = draft.sign(&mut root, &mut buffer)?;
//!
//! // On the worker: one pinned root, no checkpoint yet.
//! let roots = PinnedRoots::new(KeysetName::new("plant-a")?, root.verifying_key());
//! let keyset: VerifiedKeyset<'_, 16> =
//!     UnverifiedKeyset::parse(signed)?.verify(&roots, None, &mut TimeWindow::exact(now))?;
//! let checkpoint = keyset.checkpoint().to_bytes(); // stored durably before a key is used
//! assert!(keyset.at(TimeWindow::exact(now))?.find(producer.kid()).is_some());
//! # assert_eq!(checkpoint.len(), 40);
//! # Ok(())
//! # }
//! ```

mod build;
mod checkpoint;
mod current;
mod entry;
mod format;
mod refusal;
mod role;
mod state;
mod verify;

pub use self::build::{BuildError, KeysetDraft};
pub use self::checkpoint::{Checkpoint, InvalidCheckpoint};
pub use self::current::{CurrentKeys, PermittedKeys, SharedKeys};
pub use self::entry::{Entry, EntryKey, InvalidEntry};
pub use self::refusal::KeysetRefusal;
pub use self::role::Role;
pub use self::state::KeyState;
pub use self::verify::{PinnedRoots, UnverifiedKeyset, VerifiedKeyset};

/// Maximum size of a signed keyset, in bytes: 64 KiB.
pub const MAX_KEYSET: usize = 65_536;
/// Maximum number of entries of a keyset.
pub const MAX_ENTRIES: usize = 256;
/// Upper bound of sequence numbers, exclusive: 2^53, so that they are exact in every language.
pub const MAX_SEQUENCE: u64 = 1 << 53;
/// Tolerated delay of a verifier's clock behind the root's clock, in seconds.
pub const ISSUE_SKEW: u64 = 300;

#[cfg(test)]
mod tests;
