//! Keys in PKCS#11 tokens: `pkcs11:` URIs (RFC 7512).
//!
//! Every token of this process is opened once, logged in once, and shared by all keys in it. A key never leaves its token.

mod environment;
mod hint;
mod metrics;
mod remote;
mod tokens;

use std::path::Path;
use std::sync::Arc;

use taskseal_hsm::{EcKey, Error, KeyClass, KeyKind, KeySelector, KeyUri, MacKey, Usage};

pub use self::environment::{MODULE_VARIABLE, PIN_SOURCE_VARIABLE, with_environment};
pub use self::hint::hint;
pub use self::metrics::metrics;
pub use self::tokens::{close, health, observe, open, set_login_rule};

use self::remote::{Authenticator, Pair};
use super::error::{KeyError, KeyErrorKind};
use super::handle::{KeyHandle, KeyUsage};
use super::reference::{InvalidKeyRef, KeyRef};
use super::store::KeyStore;

/// The store of keys in tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pkcs11Store;

const SCHEME: &str = "pkcs11";

impl KeyStore for Pkcs11Store {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn parse(&self, uri: &str, _: &Path) -> Result<KeyRef, InvalidKeyRef> {
        let parsed = KeyUri::parse(uri).map_err(|error| {
            let hint = "write a URI like `pkcs11:token=…;id=%01%02…?pin-source=file:/…`";
            InvalidKeyRef::new(error.to_string(), hint)
        })?;
        // The name is the URI without its query: without library and PIN source.
        Ok(KeyRef::new(SCHEME, uri, parsed.name().to_string()))
    }

    /// Lists the keys of this usage with the label of the URI, if it names no id: a rotation in the token leaves several.
    fn list(&self, key: &KeyRef, usage: KeyUsage) -> Result<Vec<KeyRef>, KeyError> {
        let uri = parsed(key)?;
        let kind = match usage {
            KeyUsage::Sign => KeyKind::Signing,
            KeyUsage::Decrypt => KeyKind::Agreement,
            KeyUsage::Authenticate => KeyKind::Mac,
            KeyUsage::Encrypt => return Ok(vec![key.clone()]),
        };
        // `open` refuses a URI that names a key of another class.
        let class = if kind == KeyKind::Mac { KeyClass::Secret } else { KeyClass::Private };
        let fits = uri.class().is_none_or(|stated| stated == class);
        let (Some(label), None, true) = (uri.object(), uri.id(), fits) else { return Ok(vec![key.clone()]) };
        let keys = open(uri.token_uri()).and_then(|token| token.keys());
        let keys = keys.map_err(|error| unavailable(key, &error))?.into_iter();
        let named = keys.filter(|found| found.label == label && found.kind == kind && !found.id.is_empty());
        let one = |id| {
            let uri = uri.with_id(id);
            let one = KeyRef::new(SCHEME, uri.to_string(), uri.name().to_string());
            one.with_field(key.field().unwrap_or_default())
        };
        let several: Vec<KeyRef> = named.map(|found| one(found.id)).collect();
        Ok(if several.len() > 1 { several } else { vec![key.clone()] })
    }

    fn open(&self, key: &KeyRef, usage: KeyUsage) -> Result<KeyHandle, KeyError> {
        let uri = parsed(key)?;
        match usage {
            KeyUsage::Sign => Ok(KeyHandle::Signer(Arc::new(pair(key, &uri, Usage::Sign)?))),
            KeyUsage::Decrypt => Ok(KeyHandle::Agreement(Arc::new(pair(key, &uri, Usage::Agree)?))),
            KeyUsage::Authenticate => Ok(KeyHandle::Authenticator(Arc::new(authenticator(key, &uri)?))),
            KeyUsage::Encrypt => Err(KeyError::invalid(key, "a token does not hand out shared keys").hint(
                "keep shared keys in files; `taskseal keygen shared --wrap` creates files that a token wraps",
            )),
        }
    }
}

fn parsed(key: &KeyRef) -> Result<KeyUri, KeyError> {
    let uri = key.address().to_str().and_then(|uri| KeyUri::parse(uri).ok());
    uri.ok_or_else(|| KeyError::invalid(key, "not a pkcs11: URI"))
}

/// Loads a private key.
fn pair(key: &KeyRef, uri: &KeyUri, usage: Usage) -> Result<Pair, KeyError> {
    if uri.class() == Some(KeyClass::Secret) {
        return Err(KeyError::invalid(key, "the URI names a shared key; a private key is needed")
            .hint("a shared key in a token seals with suite M only"));
    }
    let loaded = open(uri.token_uri()).and_then(|token| EcKey::load(&token, &KeySelector::from(uri), usage));
    loaded.map(Pair).map_err(|error| unavailable(key, &error))
}

/// Loads an HMAC key.
fn authenticator(key: &KeyRef, uri: &KeyUri) -> Result<Authenticator, KeyError> {
    if uri.class() == Some(KeyClass::Private) {
        return Err(KeyError::invalid(key, "the URI names a private key; suite M needs a shared key")
            .hint("seal with suite S, SE or SP, or name an HMAC key: `type=secret-key`"));
    }
    let token = open(uri.token_uri()).map_err(|error| unavailable(key, &error))?;
    let loaded = MacKey::load(&token, &KeySelector::from(uri));
    loaded.map(Authenticator).map_err(|error| match error {
        Error::NoSuchKey | Error::WrongKey(_) => {
            KeyError::unavailable(key, error.to_string()).hint(HMAC_HINT)
        }
        _ => unavailable(key, &error),
    })
}

/// Returns the kind of the error of a key in a token, or of one that is wrapped by such a key.
pub(super) const fn kind(error: &Error) -> KeyErrorKind {
    match error {
        Error::LoginOmitted => KeyErrorKind::LoginOmitted,
        error if error.is_locked() => KeyErrorKind::PinRefused,
        _ => KeyErrorKind::Unavailable,
    }
}

fn unavailable(key: &KeyRef, error: &Error) -> KeyError {
    let fault = KeyError::new(key, kind(error), error.to_string());
    match hint(error) {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

const HMAC_HINT: &str = "suite M needs a secret key of 32 bytes that is allowed for HMAC only, with a kid of 8 bytes as its id; \
                         import it with the tools of the token; `taskseal token check URI` lists the keys of a token";
