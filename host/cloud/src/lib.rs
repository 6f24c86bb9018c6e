#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

#[cfg(feature = "aws")]
mod agreement;
#[cfg(feature = "aws")]
mod attempts;
#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "aws")]
mod fault;
#[cfg(feature = "aws")]
mod public_key;
#[cfg(feature = "aws")]
mod signer;
#[cfg(feature = "aws")]
mod timeouts;
#[cfg(feature = "aws")]
mod uri;

use taskseal::keys::KeyStores;

#[cfg(feature = "aws")]
pub use self::timeouts::Timeouts;

/// The schemes of key pairs in key services, with the features of this build.
pub const KEY_SCHEMES: &[&str] = &[
    #[cfg(feature = "aws")]
    "awskms",
];

/// Adds the stores of every provider whose feature is on.
#[must_use]
pub fn register(stores: &KeyStores) -> KeyStores {
    let stores = stores.clone();
    #[cfg(feature = "aws")]
    let stores = stores.with(aws::AwsKms::new());
    stores
}
