//! Signers: a structure with a callback, and the software key that fills it.

use core::ffi::c_void;

use taskseal_core::keys::SigningKey;
use taskseal_core::{KeyId, Secret, Signer};

use crate::callbacks::SignerFailed;
use crate::code::{Code, Outcome, returned};
use crate::keys::key_object;
use crate::memory::{one, one_mut};
use crate::stack::with_wiped_stack;

/// A signer for suites S, SE and SP: a key in memory (`taskseal_software_signer`), a secure element or a token.
#[repr(C)]
pub struct taskseal_signer {
    /// Signs a SHA-256 digest of 32 bytes with ES256, writes `r || s` (64 bytes, big-endian) and returns 0.
    /// `TASKSEAL_NO_KEY` means that there is no key; any other value is `TASKSEAL_SIGNER_FAILED`. In both cases nothing
    /// is sealed. A high `s` is normalised. The key must not sign anything else.
    pub sign_digest:
        Option<unsafe extern "C" fn(context: *mut c_void, digest: *const u8, signature: *mut u8) -> i32>,
    /// Passed to `sign_digest`.
    pub context: *mut c_void,
    /// The kid of the key; `taskseal_verifying_key_kid` computes it from the public point.
    pub kid: [u8; 8],
}

pub(crate) struct CallbackSigner {
    sign_digest: unsafe extern "C" fn(*mut c_void, *const u8, *mut u8) -> i32,
    context: *mut c_void,
    kid: KeyId,
}

impl CallbackSigner {
    pub(crate) fn of(signer: &taskseal_signer) -> Outcome<Self> {
        let sign_digest = signer.sign_digest.ok_or(Code::TASKSEAL_NULL_POINTER)?;
        Ok(Self { sign_digest, context: signer.context, kid: KeyId::from_bytes(signer.kid) })
    }
}

impl Signer for CallbackSigner {
    type Error = SignerFailed;

    fn kid(&self) -> KeyId {
        self.kid
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFailed> {
        let mut signature = [0; 64];
        // SAFETY: the application's function, called according to its declaration.
        let outcome = unsafe { (self.sign_digest)(self.context, digest.as_ptr(), signature.as_mut_ptr()) };
        match outcome {
            0 => Ok(signature),
            code => Err(SignerFailed { has_no_key: code == Code::TASKSEAL_NO_KEY as i32 }),
        }
    }
}

/// A signing key in memory. Initialisation costs as much as a signature, so do it once.
///
/// Filled in place by its `init` function; must not be copied. A zeroed object holds no key.
#[repr(C)]
pub struct taskseal_signing_key {
    /// Private.
    pub(crate) tag: u64,
    /// Private.
    pub(crate) words: [u64; 16],
}

key_object! { taskseal_signing_key holds SigningKey, tagged b"ts.sign\0" }

/// Initialises a signing key from a private scalar, 32 bytes big-endian. To create a new key, generate 32 bytes from a
/// cryptographically secure source and store them secretly. If they are out of range, with probability 2^-32, the
/// function returns `TASKSEAL_INVALID_KEY`: generate other bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_signing_key_init(key: *mut taskseal_signing_key, scalar: *const u8) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(key).and_then(|key| {
            key.wipe();
            let scalar = one(scalar.cast::<[u8; 32]>())?;
            with_wiped_stack(|| {
                let made = SigningKey::from_scalar(&Secret::copy_from(scalar));
                key.hold(made.map_err(|_| Code::TASKSEAL_INVALID_KEY)?);
                Ok(0)
            })
        })
    };
    returned(made)
}

/// Wipes the key. The object then holds no key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_signing_key_wipe(key: *mut taskseal_signing_key) {
    // SAFETY: the contract of the interface.
    if let Ok(key) = unsafe { one_mut(key) } {
        key.wipe();
    }
}

/// Writes the public point, `TASKSEAL_POINT_LEN` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_signing_key_point(key: *const taskseal_signing_key, point: *mut u8) -> i32 {
    // SAFETY: the contract of the interface.
    let told = unsafe {
        one(key).and_then(taskseal_signing_key::key).and_then(|key| {
            *one_mut(point.cast())? = key.verifying_key().to_point();
            Ok(0)
        })
    };
    returned(told)
}

/// Writes the kid: the first 8 bytes of the public key's thumbprint (RFC 9679).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_signing_key_kid(key: *const taskseal_signing_key, kid: *mut u8) -> i32 {
    // SAFETY: the contract of the interface.
    let told = unsafe {
        one(key).and_then(taskseal_signing_key::key).and_then(|key| {
            *one_mut(kid.cast())? = *Signer::kid(&key).as_bytes();
            Ok(0)
        })
    };
    returned(told)
}

/// Fills `signer` with a key in memory. The key must not move while the signer is in use. Signatures are deterministic
/// (RFC 6979) and need no randomness.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_software_signer(
    signer: *mut taskseal_signer,
    key: *const taskseal_signing_key,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(signer).and_then(|signer| {
            let kid = Signer::kid(&one(key)?.key()?);
            signer.sign_digest = Some(sign_digest);
            signer.context = key.cast_mut().cast();
            signer.kid = *kid.as_bytes();
            Ok(0)
        })
    };
    returned(made)
}

unsafe extern "C" fn sign_digest(context: *mut c_void, digest: *const u8, signature: *mut u8) -> i32 {
    // SAFETY: `taskseal_software_signer` has stored a key there, and the caller is `CallbackSigner` or keeps the
    // contract of the declaration.
    let signed = unsafe {
        one(context.cast::<taskseal_signing_key>()).and_then(taskseal_signing_key::key).and_then(|mut key| {
            let Ok(signed) = Signer::sign_digest(&mut key, one(digest.cast())?);
            *one_mut(signature.cast())? = signed;
            Ok(0)
        })
    };
    returned(signed)
}
