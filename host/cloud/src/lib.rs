#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

#[cfg(feature = "rest")]
mod access_token;
#[cfg(feature = "aws")]
mod agreement;
#[cfg(any(feature = "aws", feature = "rest"))]
mod attempts;
#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "azure")]
pub mod azure;
#[cfg(any(feature = "aws", feature = "rest"))]
mod fault;
#[cfg(feature = "gcp")]
pub mod gcp;
#[cfg(any(feature = "aws", feature = "rest"))]
#[cfg_attr(
    not(all(feature = "aws", feature = "azure", feature = "gcp")),
    allow(dead_code, reason = "parts are used by some providers only")
)]
mod public_key;
#[cfg(feature = "rest")]
mod rest;
#[cfg(any(feature = "aws", feature = "rest"))]
mod signer;
#[cfg(any(feature = "aws", feature = "rest"))]
mod timeouts;
#[cfg(any(feature = "aws", feature = "rest"))]
#[cfg_attr(
    not(all(feature = "aws", feature = "azure", feature = "gcp")),
    allow(dead_code, reason = "parts are used by some providers only")
)]
mod uri;

use taskseal::keys::KeyStores;

#[cfg(any(feature = "aws", feature = "rest"))]
pub use self::timeouts::Timeouts;

/// The schemes of keys and secrets in cloud services, with the features of this build.
pub const KEY_SCHEMES: &[&str] = &[
    #[cfg(feature = "aws")]
    "awskms",
    #[cfg(feature = "aws")]
    "awssm",
    #[cfg(feature = "azure")]
    "azurekv",
    #[cfg(feature = "gcp")]
    "gcpkms",
    #[cfg(feature = "gcp")]
    "gcpsm",
];

/// Adds the stores of every provider whose feature is on.
#[must_use]
pub fn register(stores: &KeyStores) -> KeyStores {
    let stores = stores.clone();
    #[cfg(feature = "aws")]
    let stores = stores.with(aws::AwsKms::new()).with_source(aws::AwsSecrets::new());
    #[cfg(feature = "azure")]
    let stores = stores.with(azure::AzureKeyVault::new());
    #[cfg(feature = "gcp")]
    let stores = stores.with(gcp::GoogleKms::new()).with_source(gcp::GoogleSecrets::new());
    stores
}
