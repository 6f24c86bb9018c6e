//! Wrapped key files: encrypted secret keys that cannot be read without a token.
//!
//! Each file is encrypted under a file key, which a key in a PKCS#11 token wraps (AES key wrap, RFC 3394). The PEM label is
//! `TASKSEAL WRAPPED KEY`, and the content is, in the notation of RFC 5234:
//!
//! ```abnf
//! content    = header ciphertext tag
//! header     = version kek-len kek wrapped iv  ; the associated data of ciphertext and tag
//! version    = %x01
//! kek-len    = 2OCTET       ; length of kek, big-endian, 1 to 512
//! kek        = 1*512VCHAR   ; name of the wrapping key: a pkcs11: URI (RFC 7512) without a query, canonical
//! wrapped    = 40OCTET      ; the file key, 32 random bytes, wrapped
//! iv         = 12OCTET      ; random
//! ciphertext = 1*126OCTET   ; the COSE_Key (AES-256-GCM under the file key)
//! tag        = 16OCTET
//! ```
//!
//! The name tells the wrapping key and its token, but neither the library nor the source of the PIN: those come from the
//! environment of the process. A file from an untrusted source must not make a process load a library.

use getrandom::SysRng;
use getrandom::rand_core::TryRng;
use taskseal_core::Secret;
use taskseal_core::keys::CoseKey;
use taskseal_core::provider::{Provider, Software};
use taskseal_hsm::{Error, KeySelector, KeyUri, WRAPPED_LEN, WrappingKey};
use zeroize::Zeroizing;

use super::error::KeyError;
use super::pkcs11;
use super::reference::KeyRef;

#[cfg(test)]
mod tests;

/// Maximum length of the content, in bytes.
pub(super) const MAX_LEN: usize = 1 + 2 + MAX_KEK + WRAPPED_LEN + IV_LEN + CoseKey::MAX_LEN + TAG_LEN;

const VERSION: u8 = 1;
const MAX_KEK: usize = 512;
const IV_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// The content of a new file, and the name of the key that wrapped it.
pub(super) struct Wrapped {
    pub(super) content: Vec<u8>,
    pub(super) kek: String,
}

/// Encrypts a COSE_Key for the new file at `place`; `kek` wraps the file key.
pub(super) fn wrap(place: &KeyRef, kek: &KeyUri, cose_key: &[u8]) -> Result<Wrapped, KeyError> {
    let (file_key, iv) = random(place)?;
    let (key, wrapped) = load(kek)
        .and_then(|key| key.wrap(&file_key).map(|wrapped| (key, wrapped)))
        .map_err(|error| cannot_wrap(place, kek, &error))?;
    // By its id: the label may be given to another key later.
    let kek = KeyUri::new(kek.token_uri().clone(), key.kid()).name().to_string();
    let header = WrappedHeader { kek: &kek, wrapped: &wrapped, iv: &iv };
    let content = encrypt(&header, &file_key, cose_key).ok_or_else(|| {
        KeyError::invalid(
            place,
            format!("the name of the wrapping key is longer than {MAX_KEK} bytes: {kek}"),
        )
    })?;
    Ok(Wrapped { content, kek })
}

/// Unwraps the file key in the token and decrypts the COSE_Key in the content of the file at `place`.
pub(super) fn unwrap(place: &KeyRef, content: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let parsed = Parsed::parse(content)
        .ok_or_else(|| KeyError::invalid(place, "the wrapped key in the file is damaged").hint(REPLACE))?;
    let file_key = load(&parsed.kek)
        .and_then(|key| key.unwrap(parsed.wrapped))
        .map_err(|error| cannot_unwrap(place, &parsed.kek, &error))?;
    parsed.decrypt(&file_key).ok_or_else(|| {
        KeyError::invalid(place, "the wrapped key in the file was changed since it was made").hint(REPLACE)
    })
}

/// Returns a fresh file key and initialization vector.
fn random(place: &KeyRef) -> Result<(Secret<32>, [u8; IV_LEN]), KeyError> {
    let mut file_key = Secret::zeroed();
    let mut iv = [0; IV_LEN];
    SysRng
        .try_fill_bytes(file_key.as_mut_bytes())
        .and_then(|()| SysRng.try_fill_bytes(&mut iv))
        .map_err(|error| KeyError::no_randomness(place, error))?;
    Ok((file_key, iv))
}

fn load(kek: &KeyUri) -> Result<WrappingKey, Error> {
    let token = pkcs11::open(kek.token_uri())?;
    WrappingKey::load(&token, &KeySelector::from(kek))
}

fn cannot_wrap(place: &KeyRef, kek: &KeyUri, error: &Error) -> KeyError {
    let fault = unavailable(place, kek, error);
    match error {
        Error::NoSuchKey | Error::WrongKey(_) => {
            fault.hint("create one with `taskseal token wrapping-key URI`")
        }
        error => with_hint(fault, error),
    }
}

fn cannot_unwrap(place: &KeyRef, kek: &KeyUri, error: &Error) -> KeyError {
    match error {
        Error::NotWrapped => KeyError::invalid(place, format!("{error} than {}", kek.name())).hint(REPLACE),
        Error::Config(_) | Error::Module(_) | Error::Pin(_) => {
            unavailable(place, kek, error).hint(ENVIRONMENT)
        }
        Error::NoSuchKey | Error::WrongKey(_) => unavailable(place, kek, error).hint(
            "the file needs the key that wrapped it; `taskseal token check URI` lists the keys of a token",
        ),
        error => with_hint(unavailable(place, kek, error), error),
    }
}

fn unavailable(place: &KeyRef, kek: &KeyUri, error: &Error) -> KeyError {
    KeyError::new(place, pkcs11::kind(error), format!("wrapped by {}: {error}", kek.name()))
}

fn with_hint(fault: KeyError, error: &Error) -> KeyError {
    match pkcs11::hint(error) {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

const REPLACE: &str =
    "restore the file from a backup, or create another key with `taskseal keygen` and `--wrap`";

const ENVIRONMENT: &str = "a wrapped key file names neither library nor PIN source: set TASKSEAL_PKCS11_MODULE and TASKSEAL_PKCS11_PIN_SOURCE";

/// The part before the ciphertext.
struct WrappedHeader<'h> {
    kek: &'h str,
    wrapped: &'h [u8; WRAPPED_LEN],
    iv: &'h [u8; IV_LEN],
}

/// Returns the content of a file; `None` if a part is longer than its maximum.
fn encrypt(header: &WrappedHeader<'_>, file_key: &Secret<32>, cose_key: &[u8]) -> Option<Vec<u8>> {
    let kek = header.kek.as_bytes();
    let kek_len = u16::try_from(kek.len()).ok().filter(|len| usize::from(*len) <= MAX_KEK)?;
    let mut ciphertext = Zeroizing::new(cose_key.to_vec());
    let mut content = Vec::with_capacity(MAX_LEN);
    content.push(VERSION);
    content.extend_from_slice(&kek_len.to_be_bytes());
    content.extend_from_slice(kek);
    content.extend_from_slice(header.wrapped);
    content.extend_from_slice(header.iv);
    let tag = Software.encrypt_a256gcm(file_key, header.iv, &[&content], &mut ciphertext).ok()?;
    content.extend_from_slice(&ciphertext);
    content.extend_from_slice(&tag);
    Some(content)
}

/// Content of the right form. It is not authentic before [`decrypt`](Self::decrypt).
struct Parsed<'c> {
    header: &'c [u8],
    kek: KeyUri,
    wrapped: &'c [u8; WRAPPED_LEN],
    iv: &'c [u8; IV_LEN],
    ciphertext: &'c [u8],
    tag: &'c [u8; TAG_LEN],
}

impl<'c> Parsed<'c> {
    fn parse(content: &'c [u8]) -> Option<Self> {
        let rest = content.strip_prefix(&[VERSION])?;
        let (len, rest) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (kek, rest) = rest.split_at_checked(len).filter(|_| len <= MAX_KEK)?;
        let (wrapped, rest) = rest.split_first_chunk()?;
        let (iv, rest) = rest.split_first_chunk()?;
        let header = content.get(..content.len() - rest.len())?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        if ciphertext.is_empty() || ciphertext.len() > CoseKey::MAX_LEN {
            return None;
        }
        Some(Self { header, kek: name(kek)?, wrapped, iv, ciphertext, tag })
    }

    fn decrypt(&self, file_key: &Secret<32>) -> Option<Zeroizing<Vec<u8>>> {
        let mut buffer = Zeroizing::new(self.ciphertext.to_vec());
        Software.decrypt_a256gcm(file_key, self.iv, &[self.header], &mut buffer, self.tag).ok()?;
        Some(buffer)
    }
}

/// Returns the URI if it is a name in canonical form, without library and PIN source.
fn name(text: &[u8]) -> Option<KeyUri> {
    let text = str::from_utf8(text).ok()?;
    let uri = KeyUri::parse(text).ok()?;
    let name = uri.name().to_string();
    (name == text).then_some(uri)
}
