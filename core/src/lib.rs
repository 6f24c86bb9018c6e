#![doc = include_str!("../README.md")]
#![no_std]
// Lifted in `stack::registers` only: no safe operation clears a register.
#![deny(unsafe_code)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![warn(clippy::std_instead_of_core, clippy::alloc_instead_of_core)]

#[cfg(test)]
extern crate std;

pub mod acceleration;
pub mod batch;
pub mod beacon;
mod cbor;
pub mod claims;
mod commit;
mod constant_time;
mod envelope;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod inner;
pub mod keys;
pub mod keyset;
mod kid;
mod label;
pub mod name;
pub mod open;
mod policy;
pub mod provider;
mod refusal;
pub mod replay;
pub mod seal;
mod secret;
#[doc(hidden)]
pub mod stack;
mod statement;
mod structure;
mod suite;
mod task_id;
#[cfg(test)]
mod testing;
mod time;
// Too slow under Miri, which checks memory accesses; these tests check values.
#[cfg(test)]
#[cfg(not(miri))]
mod wycheproof;

pub use self::acceleration::Acceleration;
pub use self::batch::{BatchRootCache, RootCache};
pub use self::claims::Claims;
pub use self::constant_time::tags_match;
pub use self::envelope::{MAX_BODY, MAX_HEADER};
pub use self::error::{InvalidKey, OpenError, SealError};
pub use self::keyset::signed::{Checkpoint, KeysetRefusal, PinnedRoots, UnverifiedKeyset, VerifiedKeyset};
pub use self::keyset::{KeyLookup, Keyset};
pub use self::kid::KeyId;
pub use self::name::{Audience, ContentType, Issuer, NameSet, TaskType};
pub use self::open::{Opened, Unverified, Verified};
pub use self::policy::Policy;
pub use self::provider::{Agree, Authenticator, Provider, Signer, Software};
pub use self::refusal::Refusal;
pub use self::replay::{ReplayGuard, ReplayWindow};
pub use self::seal::Sealer;
pub use self::secret::Secret;
pub use self::statement::{MAX_STATEMENT, StatementType, UnverifiedStatement, sign_statement};
pub use self::suite::{Kind, Suite, SuiteSet};
pub use self::task_id::TaskId;
pub use self::time::{Clock, TimeWindow};

/// The specification of the envelope.
#[doc = include_str!("../docs/envelope.md")]
pub mod spec {}

/// The specification of the signed keyset.
#[doc = include_str!("../docs/keyset.md")]
pub mod keyset_spec {}
