#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod error;
mod health;
mod keys;
mod login;
mod module;
mod pool;
mod recovery;
mod settings;
pub mod softhsm;
mod sync;
mod token;
mod uri;

pub use self::error::{Error, Fault, KeyDefect, WrongUses};
pub use self::health::{Health, Histogram, TokenEvent, TokenState};
pub use self::keys::description::{KeyDescription, KeyKind};
pub use self::keys::ec::EcKey;
pub use self::keys::mac::MacKey;
pub use self::keys::selector::KeySelector;
pub use self::keys::usage::Usage;
pub use self::keys::wrapping::{WRAPPED_LEN, WrappingKey};
pub use self::login::pin::{Pin, PinError};
pub use self::login::pin_source::{InvalidPinSource, PinSource};
pub use self::module::{Module, TokenDescription};
pub use self::settings::{LoginRule, SelfCheck, Settings};
pub use self::token::Token;
pub use self::uri::{InvalidUri, KeyClass, KeyUri, TokenUri};
