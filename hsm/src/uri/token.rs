//! The name of a token: the part of a URI that says where a key is, and how to get there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::percent::{decode, is_plain};
use super::{InvalidUri, KeyUri, number, once, text};
use crate::login::pin_source::PinSource;

/// A token: `pkcs11:token=…?module-path=…&pin-source=…`, as [`KeyUri`] without a key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TokenUri {
    label: Option<String>,
    serial: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
    module_path: Option<PathBuf>,
    module_name: Option<String>,
    pin_source: Option<PinSource>,
    max_sessions: Option<u32>,
    timeout_ms: Option<u32>,
}

impl TokenUri {
    /// Reads a URI that names a token and no key.
    ///
    /// # Errors
    /// [`InvalidUri`].
    pub fn parse(text: &str) -> Result<Self, InvalidUri> {
        let uri = KeyUri::read(text)?;
        if uri.names_key() {
            return Err(InvalidUri::NotAToken);
        }
        Ok(uri.token_uri().clone())
    }

    pub(super) fn path_attribute(&mut self, name: &str, value: String) -> Result<(), InvalidUri> {
        let place = match name {
            "token" => &mut self.label,
            "serial" => &mut self.serial,
            "manufacturer" => &mut self.manufacturer,
            _ => &mut self.model,
        };
        once(place, value)
    }

    pub(super) fn query_attribute(&mut self, attribute: &str) -> Result<(), InvalidUri> {
        let (name, value) = attribute.split_once('=').ok_or(InvalidUri::Malformed)?;
        if name == "pin-value" {
            return Err(InvalidUri::InlinePin);
        }
        let value = text(decode(value, |byte| is_plain(byte, true)).ok_or(InvalidUri::Malformed)?)?;
        match name {
            // A relative path would be looked up in the folders of the system's loader.
            "module-path" if !value.starts_with('/') => Err(InvalidUri::ModulePath),
            "module-path" => once(&mut self.module_path, PathBuf::from(value)),
            "module-name" => once(&mut self.module_name, value),
            "pin-source" => {
                once(&mut self.pin_source, PinSource::parse(&value).ok_or(InvalidUri::PinSource)?)
            }
            "x-max-sessions" => once(&mut self.max_sessions, number(&value, 1..=1024)?),
            "x-timeout-ms" => once(&mut self.timeout_ms, number(&value, 100..=600_000)?),
            _ => Err(InvalidUri::UnknownAttribute),
        }
    }

    /// Label of the token.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
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

    /// `x-max-sessions`: at most this many sessions work at once.
    #[must_use]
    pub const fn max_sessions(&self) -> Option<u32> {
        self.max_sessions
    }

    /// `x-timeout-ms`: how long one call may take, in milliseconds.
    #[must_use]
    pub const fn timeout_ms(&self) -> Option<u32> {
        self.timeout_ms
    }

    /// The same token through this library, instead of `module-path`.
    #[must_use]
    pub fn with_module_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.module_path = Some(path.into());
        self
    }

    /// The same token with the PIN from this place, instead of `pin-source`.
    #[must_use]
    pub fn with_pin_source(mut self, source: PinSource) -> Self {
        self.pin_source = Some(source);
        self
    }
}

impl FromStr for TokenUri {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Names the token; where the PIN is stays out of logs.
impl fmt::Debug for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenUri")
            .field("label", &self.label)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}
