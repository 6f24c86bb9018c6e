//! PKCS#11 URIs (RFC 7512): which token, which key, through which module.

mod display;
mod percent;
mod token;

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

pub use self::token::TokenUri;

use self::percent::{decode, is_plain};
use crate::login::pin_source::PinSource;

/// A key in a token: `pkcs11:token=…;id=…?module-path=…&pin-source=…`.
///
/// Stricter than RFC 7512, so that a name means one key or is refused: every attribute at most once and known, a token
/// named by label or serial (slot numbers change), a key named by id or label, no PIN in the name.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyUri {
    token: TokenUri,
    object: Option<String>,
    id: Option<Vec<u8>>,
    class: Option<KeyClass>,
}

/// The `type` of a URI: what kind of key it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyClass {
    /// `private`: the private half of a pair.
    Private,
    /// `secret-key`: a symmetric key.
    Secret,
}

/// Why a text is no [`KeyUri`]. Shows no part of the text: a PIN may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUri {
    /// It does not start with `pkcs11:`, or is longer than 4,096 characters.
    #[error("not a pkcs11: uri")]
    NotPkcs11,
    /// An attribute is not `name=value`, or has a character that must be percent-encoded.
    #[error("an attribute of the uri is malformed")]
    Malformed,
    /// An attribute that is not known here.
    #[error("the uri has an unknown attribute")]
    UnknownAttribute,
    /// An attribute stands there twice.
    #[error("the uri has an attribute twice")]
    Duplicate,
    /// Names neither a token label nor a serial number.
    #[error("the uri names no token by `token` or `serial`")]
    NoToken,
    /// Names neither a key id nor a key label.
    #[error("the uri names no key by `id` or `object`")]
    NoKey,
    /// Names something else than a private or secret key.
    #[error("the uri does not name a private or secret key")]
    NotAPrivateKey,
    /// Names a key where a token is to be named.
    #[error("the uri names a key, not a token")]
    NotAToken,
    /// The path of the module is not absolute.
    #[error("the module-path is not absolute")]
    ModulePath,
    /// A number is malformed or out of range.
    #[error("a number in the uri is malformed or out of range")]
    Number,
    /// Has a PIN in it.
    #[error("the uri has a pin in it: use pin-source")]
    InlinePin,
    /// The PIN source is none of `file:`, `env:`, `fd:` and `cred:`.
    #[error("the pin-source is none of file:, env:, fd:, cred:")]
    PinSource,
}

impl KeyUri {
    /// Reads a URI.
    ///
    /// # Errors
    /// [`InvalidUri`].
    pub fn parse(text: &str) -> Result<Self, InvalidUri> {
        let uri = Self::read(text)?;
        if uri.object.is_none() && uri.id.is_none() {
            return Err(InvalidUri::NoKey);
        }
        Ok(uri)
    }

    fn read(text: &str) -> Result<Self, InvalidUri> {
        if text.len() > MAX_LEN {
            return Err(InvalidUri::NotPkcs11);
        }
        let rest = text.strip_prefix("pkcs11:").ok_or(InvalidUri::NotPkcs11)?;
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut uri = Self { token: TokenUri::default(), object: None, id: None, class: None };
        for attribute in path.split(';') {
            uri.path_attribute(attribute)?;
        }
        for attribute in query.into_iter().flat_map(|query| query.split('&')) {
            uri.token.query_attribute(attribute)?;
        }
        if uri.token.label().is_none() && uri.token.serial().is_none() {
            return Err(InvalidUri::NoToken);
        }
        Ok(uri)
    }

    fn path_attribute(&mut self, attribute: &str) -> Result<(), InvalidUri> {
        let (name, value) = attribute.split_once('=').ok_or(InvalidUri::Malformed)?;
        let value = decode(value, |byte| is_plain(byte, false)).ok_or(InvalidUri::Malformed)?;
        match name {
            "token" | "serial" | "manufacturer" | "model" => self.token.path_attribute(name, text(value)?),
            "object" => once(&mut self.object, text(value)?),
            "id" if value.is_empty() => Err(InvalidUri::Malformed),
            "id" => once(&mut self.id, value),
            "type" => match value.as_slice() {
                b"private" => once(&mut self.class, KeyClass::Private),
                b"secret-key" => once(&mut self.class, KeyClass::Secret),
                _ => Err(InvalidUri::NotAPrivateKey),
            },
            _ => Err(InvalidUri::UnknownAttribute),
        }
    }

    const fn names_key(&self) -> bool {
        self.object.is_some() || self.id.is_some() || self.class.is_some()
    }

    /// The token the key is in.
    #[must_use]
    pub const fn token_uri(&self) -> &TokenUri {
        &self.token
    }

    /// Label of the token.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.label()
    }

    /// Serial number of the token.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.token.serial()
    }

    /// Maker of the token.
    #[must_use]
    pub fn manufacturer(&self) -> Option<&str> {
        self.token.manufacturer()
    }

    /// Model of the token.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.token.model()
    }

    /// Label of the key (`CKA_LABEL`).
    #[must_use]
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// Id of the key (`CKA_ID`), which is its kid.
    #[must_use]
    pub fn id(&self) -> Option<&[u8]> {
        self.id.as_deref()
    }

    /// What kind of key the name says it is.
    #[must_use]
    pub const fn class(&self) -> Option<KeyClass> {
        self.class
    }

    /// Library to load.
    #[must_use]
    pub const fn module_path(&self) -> Option<&PathBuf> {
        self.token.module_path()
    }

    /// Name of the library without its folder.
    #[must_use]
    pub fn module_name(&self) -> Option<&str> {
        self.token.module_name()
    }

    /// Where the PIN is read.
    #[must_use]
    pub const fn pin_source(&self) -> Option<&PinSource> {
        self.token.pin_source()
    }
}

/// Longest URI, characters.
const MAX_LEN: usize = 4096;

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), InvalidUri> {
    if place.replace(value).is_some() { Err(InvalidUri::Duplicate) } else { Ok(()) }
}

/// Text attributes are UTF-8, not empty and without control characters.
fn text(value: Vec<u8>) -> Result<String, InvalidUri> {
    let text = String::from_utf8(value).map_err(|_| InvalidUri::Malformed)?;
    if text.is_empty() || text.chars().any(char::is_control) { Err(InvalidUri::Malformed) } else { Ok(text) }
}

/// One spelling a number, within bounds.
fn number(value: &str, range: RangeInclusive<u32>) -> Result<u32, InvalidUri> {
    let number = value.parse().map_err(|_| InvalidUri::Number)?;
    if u32::to_string(&number) == value && range.contains(&number) {
        Ok(number)
    } else {
        Err(InvalidUri::Number)
    }
}

impl FromStr for KeyUri {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Names token and key; where the PIN is stays out of logs.
impl fmt::Debug for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyUri")
            .field("token", &self.token.label())
            .field("serial", &self.token.serial())
            .field("object", &self.object)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
