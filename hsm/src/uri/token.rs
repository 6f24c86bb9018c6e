//! URIs of tokens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::attribute::{malformed, number, set_once, text};
use super::percent::{decode, is_plain};
use super::{InvalidUri, KeyUri};
use crate::login::pin_source::PinSource;

/// A token: `pkcs11:token=…?module-path=…&pin-source=…`. Follows the rules of [`KeyUri`].
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
    /// Parses a URI that names a token and no key.
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
        let attribute = match name {
            "token" => &mut self.label,
            "serial" => &mut self.serial,
            "manufacturer" => &mut self.manufacturer,
            _ => &mut self.model,
        };
        set_once(attribute, value)
    }

    pub(super) fn query_attribute(&mut self, attribute: &str) -> Result<(), InvalidUri> {
        let (name, value) = attribute.split_once('=').ok_or_else(malformed)?;
        if name == "pin-value" {
            return Err(InvalidUri::InlinePin);
        }
        self.query_value(name, value).map_err(|error| error.of_attribute(name))
    }

    fn query_value(&mut self, name: &str, value: &str) -> Result<(), InvalidUri> {
        let value = text(decode(value, |byte| is_plain(byte, true)).ok_or_else(malformed)?)?;
        match name {
            // The system loader would search a relative path in its own folders.
            "module-path" if !value.starts_with('/') => Err(InvalidUri::ModulePath),
            "module-path" => set_once(&mut self.module_path, PathBuf::from(value)),
            "module-name" => set_once(&mut self.module_name, value),
            "pin-source" => set_once(&mut self.pin_source, value.parse().map_err(|_| InvalidUri::PinSource)?),
            "x-max-sessions" => set_once(&mut self.max_sessions, number(&value, 1..=1024)?),
            "x-timeout-ms" => set_once(&mut self.timeout_ms, number(&value, 100..=600_000)?),
            // RFC 7512 section 2.4: attributes of other vendors.
            _ if name.starts_with("x-") => Ok(()),
            _ => Err(InvalidUri::UnknownAttribute(String::new())),
        }
    }

    /// Returns the label of the token (`token`).
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Returns the serial number of the token (`serial`).
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    /// Returns the manufacturer of the token (`manufacturer`).
    #[must_use]
    pub fn manufacturer(&self) -> Option<&str> {
        self.manufacturer.as_deref()
    }

    /// Returns the model of the token (`model`).
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Returns the path of the library (`module-path`).
    #[must_use]
    pub const fn module_path(&self) -> Option<&PathBuf> {
        self.module_path.as_ref()
    }

    /// Returns the name of the library (`module-name`).
    #[must_use]
    pub fn module_name(&self) -> Option<&str> {
        self.module_name.as_deref()
    }

    /// Returns where the PIN is read (`pin-source`).
    #[must_use]
    pub const fn pin_source(&self) -> Option<&PinSource> {
        self.pin_source.as_ref()
    }

    /// Returns the maximum number of sessions that execute calls at the same time (`x-max-sessions`).
    #[must_use]
    pub const fn max_sessions(&self) -> Option<u32> {
        self.max_sessions
    }

    /// Returns the maximum duration of a call, in milliseconds (`x-timeout-ms`).
    #[must_use]
    pub const fn timeout_ms(&self) -> Option<u32> {
        self.timeout_ms
    }

    /// Replaces `module-path`.
    #[must_use]
    pub fn with_module_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.module_path = Some(path.into());
        self
    }

    /// Replaces `pin-source`.
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

/// Omits the source of the PIN, which must not appear in logs.
impl fmt::Debug for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenUri")
            .field("label", &self.label)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}
