//! Keys in a token: how they are generated, found, checked and used.

mod attributes;
pub(crate) mod description;
mod destroy;
pub(crate) mod ec;
mod ecdh;
mod ecdsa;
mod generate;
pub(crate) mod handle;
mod load;
pub(crate) mod mac;
mod public_key;
mod secret;
pub(crate) mod selector;
pub(crate) mod usage;
pub(crate) mod wrapping;
