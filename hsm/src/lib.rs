#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod percent;
mod pin_source;
mod uri;

pub use self::pin_source::PinSource;
pub use self::uri::{InvalidUri, KeyUri};
