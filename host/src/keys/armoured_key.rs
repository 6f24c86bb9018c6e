//! Secret keys in PEM armour (RFC 7468) around a COSE_Key, in plain or wrapped by a token: the one parser of what files and
//! secret sources contain.

use std::fmt;

use base64ct::{Base64, Encoding};
use taskseal_core::keys::CoseKey;
use zeroize::Zeroizing;

use self::armour::Armour;
use super::error::KeyError;
use super::reference::KeyRef;
use super::secret_key::SecretKey;
#[cfg(feature = "pkcs11")]
use super::wrapped_file;
use crate::stack::with_wiped_stack;

pub(super) mod armour;
#[cfg(test)]
mod tests;

/// Label of the armour around a COSE_Key.
pub(super) const LABEL: &str = "TASKSEAL SECRET KEY";

/// Label of the armour around a wrapped key.
pub(super) const WRAPPED_LABEL: &str = "TASKSEAL WRAPPED KEY";

/// Maximum length of what the armour contains, in bytes.
pub(super) const MAX_CONTENT: usize = 768;

/// Returns the key in the content of a key file.
pub(super) fn parse(place: &KeyRef, content: &[u8]) -> Result<SecretKey, KeyError> {
    with_wiped_stack(|| of_cose_key(place, &cose_key(place, content)?))
}

/// Returns the key in a secret of a source: the content of a key file, or base64 of it, because some secrets have no line breaks.
pub(super) fn parse_secret(place: &KeyRef, secret: &[u8]) -> Result<SecretKey, KeyError> {
    let decoded = decode_base64(secret);
    parse(place, decoded.as_ref().map_or(secret, |decoded| decoded.as_slice()))
}

/// Returns the COSE_Key in the content of a key file.
pub(super) fn cose_key(place: &KeyRef, content: &[u8]) -> Result<CoseKey, KeyError> {
    with_wiped_stack(|| {
        let fault = |message: &str| KeyError::invalid(place, message).hint(CREATED_BY);
        let armour = Armour::find(content).map_err(|message| fault(&message))?;
        let mut buffer = Zeroizing::new([0; MAX_CONTENT]);
        let (label, bytes) = armour.decode(buffer.as_mut_slice()).map_err(|message| fault(&message))?;
        let decoded = match label {
            LABEL => CoseKey::decode(bytes),
            WRAPPED_LABEL => CoseKey::decode(&unwrap(place, bytes)?),
            other => {
                let message =
                    format!("expected `{LABEL}` in the PEM armour, found `{}`", other.escape_default());
                return Err(KeyError::invalid(place, message).hint(hint_of_label(other)));
            }
        };
        decoded.map_err(|error| damaged(place, &error))
    })
}

/// Returns the key in a COSE_Key.
pub(super) fn of_cose_key(place: &KeyRef, cose_key: &CoseKey) -> Result<SecretKey, KeyError> {
    SecretKey::from_cose_key(cose_key).map_err(|error| damaged(place, &error))
}

fn damaged(place: &KeyRef, reason: &dyn fmt::Display) -> KeyError {
    KeyError::invalid(place, format!("the secret key is damaged: {reason}")).hint(CREATED_BY)
}

/// Decodes base64 (RFC 4648), which may be split into lines. Returns `None` for another text.
fn decode_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut joined = Zeroizing::new(Vec::with_capacity(text.len()));
    joined.extend(text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()));
    let mut decoded = Zeroizing::new(vec![0; joined.len()]);
    let length = Base64::decode(&*joined, &mut decoded).ok()?.len();
    decoded.truncate(length);
    (length > 0).then_some(decoded)
}

#[cfg(feature = "pkcs11")]
fn unwrap(place: &KeyRef, content: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    const { assert!(wrapped_file::MAX_LEN <= MAX_CONTENT) }
    wrapped_file::unwrap(place, content)
}

#[cfg(not(feature = "pkcs11"))]
fn unwrap(place: &KeyRef, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    Err(KeyError::invalid(place, "a token wraps this key, and this program has no support for tokens")
        .hint("use a program built with the feature `pkcs11`"))
}

/// Returns what to do with a file of another format.
fn hint_of_label(label: &str) -> &'static str {
    if label.ends_with("PRIVATE KEY") {
        "`taskseal key import` reads private keys of other programs"
    } else {
        CREATED_BY
    }
}

const CREATED_BY: &str = "`taskseal keygen` creates secret key files";
