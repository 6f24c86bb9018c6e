//! Key objects in the caller's memory, which are initialised once and used for every task.

use taskseal_core::keys::{AgreementPublicKey, EncryptionKey, HmacKey, VerifyingKey};
use taskseal_core::{KeyId, Secret};

use crate::code::{Code, Outcome, returned};
use crate::memory::{one, one_mut};
use crate::stack::with_wiped_stack;

/// Size of an uncompressed P-256 point, `04 || x || y`, in bytes.
pub const TASKSEAL_POINT_LEN: usize = 65;
/// Size of a key or of a private scalar, in bytes.
pub const TASKSEAL_KEY_LEN: usize = 32;
/// Size of a kid, in bytes.
pub const TASKSEAL_KID_LEN: usize = 8;
/// Size of a task id, in bytes.
pub const TASKSEAL_TASK_ID_LEN: usize = 16;
/// Size of a SHA-256 digest, in bytes.
pub const TASKSEAL_DIGEST_LEN: usize = 32;
/// Size of a signature, `r || s`, in bytes.
pub const TASKSEAL_SIGNATURE_LEN: usize = 64;
/// Size of a trace context, in bytes.
pub const TASKSEAL_TRACE_LEN: usize = 25;
/// Size of the identifier of a beacon, in bytes.
pub const TASKSEAL_BEACON_LEN: usize = 8;

/// Major version of the header and the library.
pub const TASKSEAL_VERSION_MAJOR: u32 = 0;
/// Minor version.
pub const TASKSEAL_VERSION_MINOR: u32 = 1;
/// Patch version.
pub const TASKSEAL_VERSION_PATCH: u32 = 0;

const _: () = {
    const fn is(number: u32, text: &str) -> bool {
        matches!(u32::from_str_radix(text, 10), Ok(parsed) if parsed == number)
    }
    assert!(is(TASKSEAL_VERSION_MAJOR, env!("CARGO_PKG_VERSION_MAJOR")));
    assert!(is(TASKSEAL_VERSION_MINOR, env!("CARGO_PKG_VERSION_MINOR")));
    assert!(is(TASKSEAL_VERSION_PATCH, env!("CARGO_PKG_VERSION_PATCH")));
};

/// Implements the access from a C type to the key that it holds.
macro_rules! key_object {
    ($name:ident holds $inner:ty, tagged $tag:literal) => {
        impl $name {
            const TAG: u64 = u64::from_be_bytes(*$tag);
            // The tag and the words.
            const FITS: () = assert!(
                size_of::<$inner>() <= size_of::<Self>() - 8 && align_of::<$inner>() <= align_of::<u64>()
            );

            /// Stores the key in place.
            pub(crate) fn hold(&mut self, key: $inner) {
                let () = Self::FITS;
                // SAFETY: the words are large enough, aligned, and borrowed mutably; their previous content needs no
                // drop.
                unsafe { self.words.as_mut_ptr().cast::<$inner>().write(key) };
                self.tag = Self::TAG;
            }

            pub(crate) fn key(&self) -> Outcome<&$inner> {
                if self.tag != Self::TAG {
                    return Err(Code::TASKSEAL_NO_KEY);
                }
                // SAFETY: only `hold` sets the tag, after it has stored a key.
                Ok(unsafe { &*self.words.as_ptr().cast::<$inner>() })
            }

            pub(crate) fn wipe(&mut self) {
                // The keys own only their bytes, so wiping them replaces their drop.
                zeroize::Zeroize::zeroize(&mut self.tag);
                zeroize::Zeroize::zeroize(&mut self.words);
                taskseal_core::stack::clear_registers();
            }
        }
    };
}

pub(crate) use key_object;

/// An HMAC key of suite M.
///
/// Filled in place by its `init` function; must not be copied. A zeroed object holds no key.
#[repr(C)]
pub struct taskseal_mac_key {
    /// Private.
    pub(crate) tag: u64,
    /// Private.
    pub(crate) words: [u64; 5],
}

key_object! { taskseal_mac_key holds HmacKey, tagged b"ts.hmac\0" }

/// A shared encryption key of suites E and SE.
///
/// Filled in place by its `init` function; must not be copied. A zeroed object holds no key.
#[repr(C)]
pub struct taskseal_encryption_key {
    /// Private.
    pub(crate) tag: u64,
    /// Private.
    pub(crate) words: [u64; 5],
}

key_object! { taskseal_encryption_key holds EncryptionKey, tagged b"ts.aead\0" }

/// A public key that verifies suites S, SE and SP.
///
/// Filled in place by its `init` function; must not be copied. A zeroed object holds no key.
#[repr(C)]
pub struct taskseal_verifying_key {
    /// Private.
    pub(crate) tag: u64,
    /// Private.
    pub(crate) words: [u64; 12],
}

key_object! { taskseal_verifying_key holds VerifyingKey, tagged b"ts.veri\0" }

/// The public key of a recipient in suite SP.
///
/// Filled in place by its `init` function; must not be copied. A zeroed object holds no key.
#[repr(C)]
pub struct taskseal_agreement_public_key {
    /// Private.
    pub(crate) tag: u64,
    /// Private.
    pub(crate) words: [u64; 12],
}

key_object! { taskseal_agreement_public_key holds AgreementPublicKey, tagged b"ts.apub\0" }

/// Initialises an HMAC key from its kid of 8 bytes and 32 random bytes. The kid must not be computed from the key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_mac_key_init(
    key: *mut taskseal_mac_key,
    kid: *const u8,
    bytes: *const u8,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(key).and_then(|key| {
            key.wipe();
            let (kid, bytes) = (one(kid.cast())?, one(bytes.cast::<[u8; 32]>())?);
            with_wiped_stack(|| key.hold(HmacKey::new(KeyId::from_bytes(*kid), Secret::copy_from(bytes))));
            Ok(0)
        })
    };
    returned(made)
}

/// Wipes the key. The object then holds no key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_mac_key_wipe(key: *mut taskseal_mac_key) {
    // SAFETY: the contract of the interface.
    if let Ok(key) = unsafe { one_mut(key) } {
        key.wipe();
    }
}

/// Initialises an encryption key from its kid of 8 bytes and 32 random bytes. The kid must not be computed from the
/// key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_encryption_key_init(
    key: *mut taskseal_encryption_key,
    kid: *const u8,
    bytes: *const u8,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(key).and_then(|key| {
            key.wipe();
            let (kid, bytes) = (one(kid.cast())?, one(bytes.cast::<[u8; 32]>())?);
            with_wiped_stack(|| {
                key.hold(EncryptionKey::new(KeyId::from_bytes(*kid), Secret::copy_from(bytes)));
            });
            Ok(0)
        })
    };
    returned(made)
}

/// Wipes the key. The object then holds no key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_encryption_key_wipe(key: *mut taskseal_encryption_key) {
    // SAFETY: the contract of the interface.
    if let Ok(key) = unsafe { one_mut(key) } {
        key.wipe();
    }
}

/// Initialises a verifying key from a point of `TASKSEAL_POINT_LEN` bytes, which is checked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_verifying_key_init(
    key: *mut taskseal_verifying_key,
    point: *const u8,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(key).and_then(|key| {
            key.wipe();
            let made = VerifyingKey::from_point(one(point.cast())?);
            key.hold(made.map_err(|_| Code::TASKSEAL_INVALID_KEY)?);
            Ok(0)
        })
    };
    returned(made)
}

/// Writes the kid: the first 8 bytes of the key's thumbprint (RFC 9679).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_verifying_key_kid(key: *const taskseal_verifying_key, kid: *mut u8) -> i32 {
    // SAFETY: the contract of the interface.
    let told = unsafe {
        one(key).and_then(taskseal_verifying_key::key).and_then(|key| {
            *one_mut(kid.cast())? = *key.kid().as_bytes();
            Ok(0)
        })
    };
    returned(told)
}

/// Initialises a recipient's public key from a point of `TASKSEAL_POINT_LEN` bytes, which is checked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_agreement_public_key_init(
    key: *mut taskseal_agreement_public_key,
    point: *const u8,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(key).and_then(|key| {
            key.wipe();
            let made = AgreementPublicKey::from_point(one(point.cast())?);
            key.hold(made.map_err(|_| Code::TASKSEAL_INVALID_KEY)?);
            Ok(0)
        })
    };
    returned(made)
}

/// Writes the kid: the first 8 bytes of the key's thumbprint (RFC 9679).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_agreement_public_key_kid(
    key: *const taskseal_agreement_public_key,
    kid: *mut u8,
) -> i32 {
    // SAFETY: the contract of the interface.
    let told = unsafe {
        one(key).and_then(taskseal_agreement_public_key::key).and_then(|key| {
            *one_mut(kid.cast())? = *key.kid().as_bytes();
            Ok(0)
        })
    };
    returned(told)
}
