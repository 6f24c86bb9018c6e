//! Keys in a token: what they are, how they are found and checked, and what they do.

pub(crate) mod attributes;
pub(crate) mod ec;
pub(crate) mod ecdh;
pub(crate) mod ecdsa;
pub(crate) mod generate;
pub(crate) mod handle;
pub(crate) mod mac;
pub(crate) mod public_key;
pub(crate) mod secret;
pub(crate) mod selector;
pub(crate) mod wrapping;
