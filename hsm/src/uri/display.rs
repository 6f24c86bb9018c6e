//! URIs as text: complete for configuration files, or only their path for logs.

use std::fmt::{self, Display, Formatter};
use std::os::unix::ffi::OsStrExt;

use taskseal_core::KeyId;

use super::percent::is_plain;
use super::{KeyClass, KeyUri, TokenUri};
use crate::login::pin_source::PinSource;

impl KeyUri {
    /// Creates the URI of the key with this kid (`CKA_ID`).
    #[must_use]
    pub fn new(token: TokenUri, kid: KeyId) -> Self {
        Self { token, object: None, id: Some(kid.as_bytes().to_vec()), class: None }
    }

    /// Returns the URI of a key with the same label and this id (`CKA_ID`).
    #[must_use]
    pub fn with_id(&self, id: Vec<u8>) -> Self {
        Self { id: Some(id), ..self.clone() }
    }

    /// Returns the path of the URI, without the library and the source of the PIN.
    #[must_use]
    pub fn name(&self) -> impl Display + '_ {
        UriPath { token: &self.token, key: Some(self) }
    }
}

impl TokenUri {
    /// Returns the path of the URI, without the library and the source of the PIN.
    #[must_use]
    pub fn name(&self) -> impl Display + '_ {
        UriPath { token: self, key: None }
    }

    fn path(&self, pairs: &mut Pairs<'_, '_>) -> fmt::Result {
        pairs.write("token", self.label().map(str::as_bytes))?;
        pairs.write("serial", self.serial().map(str::as_bytes))?;
        pairs.write("manufacturer", self.manufacturer().map(str::as_bytes))?;
        pairs.write("model", self.model().map(str::as_bytes))
    }

    fn query(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut pairs = Pairs::new(f, "?", '&', true);
        pairs.write("module-path", self.module_path().map(|path| path.as_os_str().as_bytes()))?;
        pairs.write("module-name", self.module_name().map(str::as_bytes))?;
        let source = self.pin_source().map(pin_source);
        pairs.write("pin-source", source.as_deref())?;
        let number = |number: u32| number.to_string().into_bytes();
        pairs.write("x-max-sessions", self.max_sessions().map(number).as_deref())?;
        pairs.write("x-timeout-ms", self.timeout_ms().map(number).as_deref())
    }
}

/// The path of a URI.
struct UriPath<'u> {
    token: &'u TokenUri,
    key: Option<&'u KeyUri>,
}

impl Display for UriPath<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut pairs = Pairs::new(f, "pkcs11:", ';', false);
        self.token.path(&mut pairs)?;
        let Some(key) = self.key else { return Ok(()) };
        pairs.write("id", key.id.as_deref())?;
        pairs.write("object", key.object.as_deref().map(str::as_bytes))?;
        let class = key.class.map(|class| match class {
            KeyClass::Private => "private",
            KeyClass::Public => "public",
            KeyClass::Secret => "secret-key",
        });
        pairs.write("type", class.map(str::as_bytes))
    }
}

/// Writes the complete URI, which parses to the same value. It contains the source of the PIN, never the PIN.
impl Display for KeyUri {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        self.token.query(f)
    }
}

/// Writes the complete URI, as for [`KeyUri`].
impl Display for TokenUri {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        self.query(f)
    }
}

fn pin_source(source: &PinSource) -> Vec<u8> {
    match source {
        PinSource::File(path) => [b"file:", path.as_os_str().as_bytes()].concat(),
        PinSource::Environment(name) => format!("env:{name}").into_bytes(),
        PinSource::Descriptor(number) => format!("fd:{number}").into_bytes(),
        PinSource::Credential(name) => format!("cred:{name}").into_bytes(),
    }
}

/// Writes `name=value` pairs with separators.
struct Pairs<'p, 'f> {
    f: &'p mut Formatter<'f>,
    prefix: &'static str,
    separator: char,
    in_query: bool,
    started: bool,
}

impl<'p, 'f> Pairs<'p, 'f> {
    fn new(f: &'p mut Formatter<'f>, prefix: &'static str, separator: char, in_query: bool) -> Self {
        Self { f, prefix, separator, in_query, started: false }
    }

    fn write(&mut self, name: &str, value: Option<&[u8]>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        if self.started { write!(self.f, "{}", self.separator) } else { self.f.write_str(self.prefix) }?;
        self.started = true;
        write!(self.f, "{name}=")?;
        // An id is not text, so every byte is encoded.
        let binary = name == "id";
        value.iter().try_for_each(|byte| {
            if !binary && is_plain(*byte, self.in_query) {
                write!(self.f, "{}", char::from(*byte))
            } else {
                write!(self.f, "%{byte:02X}")
            }
        })
    }
}
