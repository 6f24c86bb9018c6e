//! PKCS#11 URIs (RFC 7512), which name a token, a key, and the library to load.

mod attribute;
mod display;
mod error;
mod percent;
mod token;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

pub use self::error::InvalidUri;
pub use self::token::TokenUri;

use self::attribute::{malformed, set_once, text};
use self::percent::{decode, is_plain};
use crate::login::pin_source::PinSource;

/// A key in a token: `pkcs11:token=…;id=…?module-path=…&pin-source=…`.
///
/// Stricter than RFC 7512, so that a URI names one key or is refused: attributes of the path must be known and occur once, a
/// token must be named by label or serial number, a key by id or label, and a PIN is not allowed. The attributes `library-*`
/// and `slot-*` of other tools are accepted and not compared; attributes of the query that begin with `x-` and are not known
/// are ignored.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyUri {
    token: TokenUri,
    object: Option<String>,
    id: Option<Vec<u8>>,
    class: Option<KeyClass>,
}

/// The class of a key (`type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyClass {
    /// `private`: the private half of a key pair.
    Private,
    /// `public`: the public half. It names the key pair.
    Public,
    /// `secret-key`: a symmetric key.
    Secret,
}

impl KeyUri {
    /// Parses a URI.
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
        let (name, value) = attribute.split_once('=').ok_or_else(malformed)?;
        self.path_value(name, value).map_err(|error| error.of_attribute(name))
    }

    fn path_value(&mut self, name: &str, value: &str) -> Result<(), InvalidUri> {
        let value = decode(value, |byte| is_plain(byte, false)).ok_or_else(malformed)?;
        match name {
            "token" | "serial" | "manufacturer" | "model" => self.token.path_attribute(name, text(value)?),
            "object" => set_once(&mut self.object, text(value)?),
            "id" if value.is_empty() => Err(InvalidUri::Malformed(String::new())),
            "id" => set_once(&mut self.id, value),
            "type" => match value.as_slice() {
                b"private" => set_once(&mut self.class, KeyClass::Private),
                b"public" => set_once(&mut self.class, KeyClass::Public),
                b"secret-key" => set_once(&mut self.class, KeyClass::Secret),
                _ => Err(InvalidUri::NotAPrivateKey),
            },
            // They describe where a token is, which may change. The token is named by its label or serial number.
            "library-manufacturer"
            | "library-description"
            | "library-version"
            | "slot-manufacturer"
            | "slot-description"
            | "slot-id" => text(value).map(|_| ()),
            _ => Err(InvalidUri::UnknownAttribute(String::new())),
        }
    }

    const fn names_key(&self) -> bool {
        self.object.is_some() || self.id.is_some() || self.class.is_some()
    }

    /// Returns the URI of the token.
    #[must_use]
    pub const fn token_uri(&self) -> &TokenUri {
        &self.token
    }

    /// Returns the label of the token (`token`).
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.label()
    }

    /// Returns the serial number of the token (`serial`).
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.token.serial()
    }

    /// Returns the manufacturer of the token (`manufacturer`).
    #[must_use]
    pub fn manufacturer(&self) -> Option<&str> {
        self.token.manufacturer()
    }

    /// Returns the model of the token (`model`).
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.token.model()
    }

    /// Returns the label of the key (`object`, `CKA_LABEL`).
    #[must_use]
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// Returns the id of the key (`id`, `CKA_ID`), which is its kid if this crate generated the key.
    #[must_use]
    pub fn id(&self) -> Option<&[u8]> {
        self.id.as_deref()
    }

    /// Returns the class of the key (`type`).
    #[must_use]
    pub const fn class(&self) -> Option<KeyClass> {
        self.class
    }

    /// Returns the path of the library (`module-path`).
    #[must_use]
    pub const fn module_path(&self) -> Option<&PathBuf> {
        self.token.module_path()
    }

    /// Returns the name of the library (`module-name`).
    #[must_use]
    pub fn module_name(&self) -> Option<&str> {
        self.token.module_name()
    }

    /// Returns where the PIN is read (`pin-source`).
    #[must_use]
    pub const fn pin_source(&self) -> Option<&PinSource> {
        self.token.pin_source()
    }
}

/// Maximum length of a URI, in bytes.
const MAX_LEN: usize = 4096;

impl FromStr for KeyUri {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Omits the source of the PIN, which must not appear in logs.
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
