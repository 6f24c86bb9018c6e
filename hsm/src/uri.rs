//! PKCS#11 URIs (RFC 7512): which token, which key, through which module.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::percent::{decode, is_plain};
use crate::pin_source::PinSource;

/// A key in a token: `pkcs11:token=…;id=…?module-path=…&pin-source=…`.
///
/// Stricter than RFC 7512, so that a name means one key or is refused: every attribute at most once and known, a token
/// named by label or serial (slot numbers change), a key named by id or label, no PIN in the name.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyUri {
    token: Option<String>,
    serial: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
    object: Option<String>,
    id: Option<Vec<u8>>,
    module_path: Option<PathBuf>,
    module_name: Option<String>,
    pin_source: Option<PinSource>,
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
    /// Names something else than a private key.
    #[error("the uri does not name a private key")]
    NotAPrivateKey,
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
        if text.len() > MAX_LEN {
            return Err(InvalidUri::NotPkcs11);
        }
        let rest = text.strip_prefix("pkcs11:").ok_or(InvalidUri::NotPkcs11)?;
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut uri = Self {
            token: None,
            serial: None,
            manufacturer: None,
            model: None,
            object: None,
            id: None,
            module_path: None,
            module_name: None,
            pin_source: None,
        };
        let mut private = false;
        for attribute in path.split(';') {
            uri.path_attribute(attribute, &mut private)?;
        }
        for attribute in query.into_iter().flat_map(|query| query.split('&')) {
            uri.query_attribute(attribute)?;
        }
        if uri.token.is_none() && uri.serial.is_none() {
            return Err(InvalidUri::NoToken);
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(InvalidUri::NoKey);
        }
        Ok(uri)
    }

    fn path_attribute(&mut self, attribute: &str, private: &mut bool) -> Result<(), InvalidUri> {
        let (name, value) = attribute.split_once('=').ok_or(InvalidUri::Malformed)?;
        let value = decode(value, |byte| is_plain(byte, false)).ok_or(InvalidUri::Malformed)?;
        match name {
            "token" => once(&mut self.token, text(value)?),
            "serial" => once(&mut self.serial, text(value)?),
            "manufacturer" => once(&mut self.manufacturer, text(value)?),
            "model" => once(&mut self.model, text(value)?),
            "object" => once(&mut self.object, text(value)?),
            "id" if value.is_empty() => Err(InvalidUri::Malformed),
            "id" => once(&mut self.id, value),
            "type" if value != b"private" => Err(InvalidUri::NotAPrivateKey),
            "type" if *private => Err(InvalidUri::Duplicate),
            "type" => {
                *private = true;
                Ok(())
            }
            _ => Err(InvalidUri::UnknownAttribute),
        }
    }

    fn query_attribute(&mut self, attribute: &str) -> Result<(), InvalidUri> {
        let (name, value) = attribute.split_once('=').ok_or(InvalidUri::Malformed)?;
        if name == "pin-value" {
            return Err(InvalidUri::InlinePin);
        }
        let value = text(decode(value, |byte| is_plain(byte, true)).ok_or(InvalidUri::Malformed)?)?;
        match name {
            "module-path" => once(&mut self.module_path, PathBuf::from(value)),
            "module-name" => once(&mut self.module_name, value),
            "pin-source" => {
                once(&mut self.pin_source, PinSource::parse(&value).ok_or(InvalidUri::PinSource)?)
            }
            _ => Err(InvalidUri::UnknownAttribute),
        }
    }

    /// Label of the token.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Serial number of the token.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    /// Maker of the token.
    #[must_use]
    pub fn manufacturer(&self) -> Option<&str> {
        self.manufacturer.as_deref()
    }

    /// Model of the token.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
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

    /// Library to load.
    #[must_use]
    pub const fn module_path(&self) -> Option<&PathBuf> {
        self.module_path.as_ref()
    }

    /// Name of the library without its folder.
    #[must_use]
    pub fn module_name(&self) -> Option<&str> {
        self.module_name.as_deref()
    }

    /// Where the PIN is read.
    #[must_use]
    pub const fn pin_source(&self) -> Option<&PinSource> {
        self.pin_source.as_ref()
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
            .field("token", &self.token)
            .field("serial", &self.serial)
            .field("object", &self.object)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
