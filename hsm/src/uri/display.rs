//! URIs as text: whole, for a configuration, or only the name in them, for a log.

use std::fmt::{self, Display, Formatter};
use std::os::unix::ffi::OsStrExt;

use taskseal_core::KeyId;

use super::percent::is_plain;
use super::{KeyClass, KeyUri, TokenUri};
use crate::login::pin_source::PinSource;

impl KeyUri {
    /// The key of a token that has this kid (`CKA_ID`).
    #[must_use]
    pub fn new(token: TokenUri, kid: KeyId) -> Self {
        Self { token, object: None, id: Some(kid.as_bytes().to_vec()), class: None }
    }

    /// What it names, without where the library and the PIN are.
    #[must_use]
    pub fn name(&self) -> impl Display + '_ {
        Name { token: &self.token, key: Some(self) }
    }
}

impl TokenUri {
    /// What it names, without where the library and the PIN are.
    #[must_use]
    pub fn name(&self) -> impl Display + '_ {
        Name { token: self, key: None }
    }

    fn path(&self, parts: &mut Parts<'_, '_>) -> fmt::Result {
        parts.part("token", self.label().map(str::as_bytes))?;
        parts.part("serial", self.serial().map(str::as_bytes))?;
        parts.part("manufacturer", self.manufacturer().map(str::as_bytes))?;
        parts.part("model", self.model().map(str::as_bytes))
    }

    fn query(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut parts = Parts::new(f, "?", '&', true);
        parts.part("module-path", self.module_path().map(|path| path.as_os_str().as_bytes()))?;
        parts.part("module-name", self.module_name().map(str::as_bytes))?;
        let source = self.pin_source().map(pin_source);
        parts.part("pin-source", source.as_deref())?;
        let number = |number: u32| number.to_string().into_bytes();
        parts.part("x-max-sessions", self.max_sessions().map(number).as_deref())?;
        parts.part("x-timeout-ms", self.timeout_ms().map(number).as_deref())
    }
}

/// The path of a URI.
struct Name<'u> {
    token: &'u TokenUri,
    key: Option<&'u KeyUri>,
}

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut parts = Parts::new(f, "pkcs11:", ';', false);
        self.token.path(&mut parts)?;
        let Some(key) = self.key else { return Ok(()) };
        parts.part("id", key.id.as_deref())?;
        parts.part("object", key.object.as_deref().map(str::as_bytes))?;
        let class = key.class.map(|class| match class {
            KeyClass::Private => "private",
            KeyClass::Secret => "secret-key",
        });
        parts.part("type", class.map(str::as_bytes))
    }
}

/// The whole URI, which reads back as the same. A PIN is never part of one, but where it is kept.
impl Display for KeyUri {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        self.token.query(f)
    }
}

/// As [`KeyUri`]'s.
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

/// `name=value` after `name=value`.
struct Parts<'p, 'f> {
    f: &'p mut Formatter<'f>,
    before: &'static str,
    between: char,
    in_query: bool,
    some: bool,
}

impl<'p, 'f> Parts<'p, 'f> {
    fn new(f: &'p mut Formatter<'f>, before: &'static str, between: char, in_query: bool) -> Self {
        Self { f, before, between, in_query, some: false }
    }

    fn part(&mut self, name: &str, value: Option<&[u8]>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        if self.some { write!(self.f, "{}", self.between) } else { self.f.write_str(self.before) }?;
        self.some = true;
        write!(self.f, "{name}=")?;
        // A kid is no text.
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
