//! Secret keys in files that are useless without a token: each encrypted with a key of its own, which a key in a PKCS#11
//! token wraps (AES key wrap, RFC 3394).
//!
//! The armour has the label `TASKSEAL WRAPPED KEY`. In it stands, in the notation of RFC 5234:
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
//! The name says which key of which token, never through which library or where the PIN is: those come from the
//! environment of the process. A file that somebody else wrote must not make a process load a library.

use std::path::Path;

use getrandom::SysRng;
use getrandom::rand_core::TryRng;
use taskseal_core::Secret;
use taskseal_core::keys::CoseKey;
use taskseal_core::provider::{Provider, Software};
use taskseal_hsm::{Error, KeySelector, KeyUri, WRAPPED_LEN, WrappingKey};
use zeroize::Zeroizing;

use crate::file_error::FileError;
use crate::tokens;

#[cfg(test)]
mod tests;

/// The label of the armour.
pub(super) const LABEL: &str = "TASKSEAL WRAPPED KEY";

/// Bytes of the longest content.
pub(super) const MAX_LEN: usize = 1 + 2 + MAX_KEK + WRAPPED_LEN + IV_LEN + CoseKey::MAX_LEN + TAG_LEN;

const VERSION: u8 = 1;
const MAX_KEK: usize = 512;
const IV_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// What a new file has in it, and the name of the key that wrapped it.
pub(super) struct Wrapped {
    pub(super) content: Vec<u8>,
    pub(super) kek: String,
}

/// Wraps a key for the new file at `path`.
pub(super) fn wrap(path: &Path, kek: &KeyUri, cose_key: &[u8]) -> Result<Wrapped, FileError> {
    let unusable = |error: &Error| {
        let fault = out_of_reach(path, kek, error);
        match error {
            Error::NoSuchKey | Error::WrongKey(_) => {
                fault.hint("`taskseal token wrapping-key URI` makes one")
            }
            error => hinted(fault, error),
        }
    };
    let random = |bytes: &mut [u8]| {
        SysRng
            .try_fill_bytes(bytes)
            .map_err(|error| FileError::new(path, format!("no randomness from the system: {error}")))
    };
    let mut file_key = Secret::zeroed();
    random(file_key.as_mut_bytes())?;
    let mut iv = [0; IV_LEN];
    random(&mut iv)?;
    let key = load(kek).map_err(|error| unusable(&error))?;
    let wrapped = key.wrap(&file_key).map_err(|error| unusable(&error))?;
    // By its id: a label may be given to another key later.
    let kek = KeyUri::new(kek.token_uri().clone(), key.kid()).name().to_string();
    let header = Header { kek: &kek, wrapped: &wrapped, iv: &iv };
    let content = encrypt(&header, &file_key, cose_key)
        .ok_or_else(|| FileError::new(path, format!("the name of the wrapping key is too long: {kek}")))?;
    Ok(Wrapped { content, kek })
}

/// Has the token unwrap the content of the file at `path`, and decrypts the key in it.
pub(super) fn unwrap(path: &Path, content: &[u8]) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let parsed = Parsed::parse(content)
        .ok_or_else(|| FileError::new(path, "the wrapped key in it is damaged").hint(REMAKE))?;
    let kek = &parsed.kek;
    let file_key = load(kek).and_then(|key| key.unwrap(parsed.wrapped)).map_err(|error| match error {
        Error::NotWrapped => FileError::new(path, format!("{error} than {}", kek.name())).hint(REMAKE),
        Error::Config(_) | Error::Module(_) | Error::Pin(_) => {
            out_of_reach(path, kek, &error).hint(ENVIRONMENT)
        }
        Error::NoSuchKey | Error::WrongKey(_) => out_of_reach(path, kek, &error).hint(
            "`taskseal token check URI` shows the keys of a token: the file needs the key that wrapped it",
        ),
        error => hinted(out_of_reach(path, kek, &error), &error),
    })?;
    parsed.decrypt(&file_key).ok_or_else(|| {
        FileError::new(path, "the wrapped key in it was changed since it was made").hint(REMAKE)
    })
}

fn load(kek: &KeyUri) -> Result<WrappingKey, Error> {
    let token = tokens::open(kek.token_uri())?;
    WrappingKey::load(&token, &KeySelector::from(kek))
}

fn out_of_reach(path: &Path, kek: &KeyUri, error: &Error) -> FileError {
    FileError::new(path, format!("wrapped by {}: {error}", kek.name())).out_of_reach()
}

fn hinted(fault: FileError, error: &Error) -> FileError {
    match tokens::hint(error) {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

const REMAKE: &str = "take it from a backup, or make another with `taskseal keygen --wrap`";

const ENVIRONMENT: &str = "a wrapped key file names no library and no pin: set TASKSEAL_PKCS11_MODULE and TASKSEAL_PKCS11_PIN_SOURCE";

/// What stands before the ciphertext.
struct Header<'h> {
    kek: &'h str,
    wrapped: &'h [u8; WRAPPED_LEN],
    iv: &'h [u8; IV_LEN],
}

/// The content of a file; nothing if a part is longer than it may be.
fn encrypt(header: &Header<'_>, file_key: &Secret<32>, cose_key: &[u8]) -> Option<Vec<u8>> {
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

/// A content whose form is right; nothing in it is authentic before [`decrypt`](Self::decrypt).
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

/// The URI, if it is a name and nothing else, in its one spelling: no library, no place of a PIN.
fn name(text: &[u8]) -> Option<KeyUri> {
    let text = str::from_utf8(text).ok()?;
    let uri = KeyUri::parse(text).ok()?;
    let name = uri.name().to_string();
    (name == text).then_some(uri)
}
