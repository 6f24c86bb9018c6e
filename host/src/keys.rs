//! Keys of a host: the keyset, which lists keys and their rights, and the secret keys of this host.
//!
//! The keyset ([`Keyring`]) is a file, `keyset.toml`. For every key it contains the public key or the name of the shared
//! key's file, what the key may sign for, and its status.
//!
//! A secret key is named by a [`KeyRef`] and opened by the [`KeyStore`] of its URI scheme:
//!
//! * `file:`, or a path alone: one key in PEM armour, readable by its owner only, in plain or wrapped by a key in a token;
//! * `cred:NAME`: the same in a systemd credential;
//! * `env:NAME`: the same in an environment variable;
//! * `exec:NAME`: the same from a program that the configuration names;
//! * `pkcs11:` (feature `pkcs11`): a key that never leaves its token.
//! * `vault:` (feature `vault`): the same in a secret of Vault, or a key that never leaves its Transit engine.
//!
//! Other places implement [`SecretSource`] if they hand out secrets as bytes, and are registered with
//! [`KeyStores::with_source`]. Key services implement [`KeyStore`] and are registered with [`KeyStores::with`]. The service
//! keeps its keys; they are used through [`RemoteSigner`], [`RemoteAgreement`] and [`RemoteAuthenticator`].

mod agreement;
mod algorithm;
mod armoured_key;
mod authenticator;
mod command;
mod credential;
mod environment;
mod error;
mod file;
mod fingerprint;
mod folder;
mod handle;
mod keyring;
mod keyset_file;
mod live;
mod opening;
#[doc(hidden)]
pub mod pem;
#[cfg(feature = "pkcs11")]
#[doc(hidden)]
pub mod pkcs11;
mod recipients;
mod record;
mod reference;
mod registry;
mod sealing;
mod secret_json;
mod secret_key;
mod secret_source;
mod signed_keyset;
mod signer;
mod store;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(feature = "vault")]
mod vault;
#[cfg(feature = "pkcs11")]
mod wrapped_file;

pub use self::agreement::RemoteAgreement;
#[doc(hidden)]
pub use self::algorithm::Algorithm;
pub use self::authenticator::RemoteAuthenticator;
pub(crate) use self::command::{CommandSource, KeyCommand};
pub(crate) use self::environment::ENVIRONMENT;
pub use self::error::KeyError;
#[doc(hidden)]
pub use self::error::{KeyErrorKind, KeyFault, KeyringError};
pub use self::handle::{KeyHandle, KeyUsage};
#[doc(hidden)]
pub use self::keyring::Keyring;
#[doc(hidden)]
pub use self::keyset_file::{
    DraftFile, KeysetSettings, StateChange, append_entry, check_appendable, default_distribution,
    default_longest_task, is_pattern,
};
pub(crate) use self::keyset_file::{Kid, Patterns, Point};
pub(crate) use self::live::{KeyGeneration, Live, Loaded, POLL, Reloader, Trigger, reload_keyring};
#[doc(hidden)]
pub use self::opening::{OpeningAgreement, OpeningKeys};
#[doc(hidden)]
pub use self::recipients::NamedRecipient;
pub use self::recipients::NoRecipient;
#[doc(hidden)]
pub use self::record::{KeysetKey, Record};
pub(crate) use self::reference::relative_to;
pub use self::reference::{InvalidKeyRef, KeyRef};
pub use self::registry::KeyStores;
#[doc(hidden)]
pub use self::sealing::{Draft, NotSealed, SealFault, SealingKey, SealingSource};
#[doc(hidden)]
pub use self::secret_key::{SecretKey, public_text};
pub use self::secret_source::{FetchedSecret, SecretSource};
pub(crate) use self::signed_keyset::{Fetched, LoadMode, SharedKeys};
#[doc(hidden)]
pub use self::signed_keyset::{
    InvalidRoots, KeysetError, KeysetErrorKind, KeysetFault, KeysetHead, Recording, SignedKeyset,
};
pub use self::signer::{RemoteSigner, SignerFault};
pub use self::store::KeyStore;
#[cfg(feature = "vault")]
pub(crate) use self::vault::{VaultAuth, VaultSettings, VaultStore};
