//! Key agreement for opening suite SP: a structure with a callback, and the software key that fills it.

#[cfg(feature = "verify")]
use core::cell::Cell;
use core::ffi::c_void;

#[cfg(feature = "verify")]
use taskseal_core::keys::{AgreementKey, AgreementPublicKey};
#[cfg(feature = "verify")]
use taskseal_core::{Agree, KeyId, Secret};

#[cfg(feature = "verify")]
use crate::callbacks::Failed;
#[cfg(feature = "verify")]
use crate::code::{Code, Outcome, returned};
#[cfg(feature = "verify")]
use crate::keys::key_object;
#[cfg(feature = "verify")]
use crate::memory::{one, one_mut};
#[cfg(feature = "verify")]
use crate::stack::with_wiped_stack;

/// ECDH on P-256 for suite SP, by a key in memory (`taskseal_software_agreement`) or a secure element.
#[repr(C)]
pub struct taskseal_agreement {
    /// Writes the x-coordinate of the point shared with `point` (32 bytes, big-endian) and returns 0. `TASKSEAL_NO_KEY`
    /// means that there is no key, and `taskseal_open` returns it; any other value is `TASKSEAL_KEY_UNAVAILABLE`. The
    /// point was checked to be on the curve.
    pub agree: Option<unsafe extern "C" fn(context: *mut c_void, point: *const u8, shared: *mut u8) -> i32>,
    /// Passed to `agree`.
    pub context: *mut c_void,
    /// The kid of the key.
    pub kid: [u8; 8],
}

#[cfg(feature = "verify")]
pub(crate) struct CallbackAgreement {
    agree: unsafe extern "C" fn(*mut c_void, *const u8, *mut u8) -> i32,
    context: *mut c_void,
    kid: KeyId,
    has_no_key: Cell<bool>,
}

#[cfg(feature = "verify")]
impl CallbackAgreement {
    pub(crate) fn of(agreement: &taskseal_agreement) -> Outcome<Self> {
        let agree = agreement.agree.ok_or(Code::TASKSEAL_NULL_POINTER)?;
        Ok(Self {
            agree,
            context: agreement.context,
            kid: KeyId::from_bytes(agreement.kid),
            has_no_key: Cell::new(false),
        })
    }

    pub(crate) const fn has_no_key(&self) -> bool {
        self.has_no_key.get()
    }
}

#[cfg(feature = "verify")]
impl Agree for &CallbackAgreement {
    type Error = Failed;

    fn kid(&self) -> KeyId {
        self.kid
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, Failed> {
        let point = peer.to_point();
        let mut shared = Secret::zeroed();
        let to = shared.as_mut_bytes().as_mut_ptr();
        // SAFETY: the application's function, called according to its declaration.
        let outcome = unsafe { (self.agree)(self.context, point.as_ptr(), to) };
        self.has_no_key.set(outcome == Code::TASKSEAL_NO_KEY as i32);
        if outcome == 0 { Ok(shared) } else { Err(Failed) }
    }
}

#[cfg(feature = "verify")]
/// A key agreement key in memory. Initialisation costs as much as a signature, so do it once.
///
/// Filled in place by its `init` function; must not be copied. A zeroed object holds no key.
#[repr(C)]
pub struct taskseal_agreement_key {
    /// Private.
    pub(crate) tag: u64,
    /// Private.
    pub(crate) words: [u64; 16],
}

#[cfg(feature = "verify")]
key_object! { taskseal_agreement_key holds AgreementKey, tagged b"ts.agre\0" }

#[cfg(feature = "verify")]
/// Initialises a key agreement key from a private scalar, 32 bytes big-endian, which must not be that of a signing key.
/// Generate a new scalar as for `taskseal_signing_key_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_agreement_key_init(
    key: *mut taskseal_agreement_key,
    scalar: *const u8,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(key).and_then(|key| {
            key.wipe();
            let scalar = one(scalar.cast::<[u8; 32]>())?;
            with_wiped_stack(|| {
                let made = AgreementKey::from_scalar(&Secret::copy_from(scalar));
                key.hold(made.map_err(|_| Code::TASKSEAL_INVALID_KEY)?);
                Ok(0)
            })
        })
    };
    returned(made)
}

#[cfg(feature = "verify")]
/// Wipes the key. The object then holds no key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_agreement_key_wipe(key: *mut taskseal_agreement_key) {
    // SAFETY: the contract of the interface.
    if let Ok(key) = unsafe { one_mut(key) } {
        key.wipe();
    }
}

#[cfg(feature = "verify")]
/// Writes the public point, `TASKSEAL_POINT_LEN` bytes, which producers encrypt to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_agreement_key_point(
    key: *const taskseal_agreement_key,
    point: *mut u8,
) -> i32 {
    // SAFETY: the contract of the interface.
    let told = unsafe {
        one(key).and_then(taskseal_agreement_key::key).and_then(|key| {
            *one_mut(point.cast())? = key.public_key().to_point();
            Ok(0)
        })
    };
    returned(told)
}

#[cfg(feature = "verify")]
/// Writes the kid: the first 8 bytes of the public key's thumbprint (RFC 9679).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_agreement_key_kid(key: *const taskseal_agreement_key, kid: *mut u8) -> i32 {
    // SAFETY: the contract of the interface.
    let told = unsafe {
        one(key).and_then(taskseal_agreement_key::key).and_then(|key| {
            *one_mut(kid.cast())? = *key.public_key().kid().as_bytes();
            Ok(0)
        })
    };
    returned(told)
}

#[cfg(feature = "verify")]
/// Fills `agreement` with a key in memory. The key must not move while the agreement is in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_software_agreement(
    agreement: *mut taskseal_agreement,
    key: *const taskseal_agreement_key,
) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(agreement).and_then(|agreement| {
            let kid = one(key)?.key()?.public_key().kid();
            agreement.agree = Some(agree);
            agreement.context = key.cast_mut().cast();
            agreement.kid = *kid.as_bytes();
            Ok(0)
        })
    };
    returned(made)
}

#[cfg(feature = "verify")]
unsafe extern "C" fn agree(context: *mut c_void, point: *const u8, shared: *mut u8) -> i32 {
    // SAFETY: `taskseal_software_agreement` has stored a key there, and the caller is `CallbackAgreement` or keeps the
    // contract of the declaration.
    let agreed = unsafe {
        one(context.cast::<taskseal_agreement_key>()).and_then(taskseal_agreement_key::key).and_then(
            |mut key| {
                let peer = AgreementPublicKey::from_point(one(point.cast())?)
                    .map_err(|_| Code::TASKSEAL_INVALID_KEY)?;
                let Ok(z) = Agree::agree(&mut key, &peer);
                *one_mut(shared.cast())? = *z.as_bytes();
                Ok(0)
            },
        )
    };
    returned(agreed)
}
