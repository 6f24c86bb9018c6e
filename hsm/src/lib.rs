#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod attributes;
mod classify;
mod connection;
mod device;
mod ec_key;
mod ecdh;
mod ecdsa;
mod error;
mod gate;
mod generate;
mod health;
mod located;
mod login;
mod mac;
mod mechanisms;
mod module;
mod percent;
mod pin;
mod pin_source;
mod pool;
mod public_key;
mod recovery;
mod seat;
mod selector;
mod session;
mod settings;
mod shared;
pub mod softhsm;
mod sync;
mod ticket;
mod token;
mod uri;
mod wrapping;

pub use self::ec_key::{EcKey, Usage};
pub use self::error::{Error, Fault, KeyDefect};
pub use self::health::{Event, Health, Histogram, State};
pub use self::mac::MacKey;
pub use self::module::{Module, TokenDescription};
pub use self::pin::{Pin, PinError};
pub use self::pin_source::PinSource;
pub use self::selector::KeySelector;
pub use self::settings::{SelfCheck, Settings};
pub use self::token::{KeyDescription, KeyKind, Token};
pub use self::uri::{InvalidUri, KeyClass, KeyUri, TokenUri};
pub use self::wrapping::{WRAPPED_LEN, WrappingKey};
