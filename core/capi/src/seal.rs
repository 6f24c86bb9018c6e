//! Sealing: one function a suite, so that only the suites that are called are linked.

#[cfg(any(feature = "mac", feature = "sign"))]
use taskseal_core::Sealer;
#[cfg(feature = "hedge")]
use taskseal_core::Secret;
#[cfg(feature = "hedge")]
use taskseal_core::seal::HedgeKey;
use taskseal_core::seal::Mode;
use taskseal_core::{ContentType, Kind};

#[cfg(feature = "sign")]
use crate::callbacks::Failed;
#[cfg(any(feature = "mac", feature = "sign"))]
use crate::callbacks::NoRng;
use crate::callbacks::{Rng, taskseal_rng};
use crate::claims::{invalid_name, taskseal_claims};
use crate::code::{Code, Outcome, of_seal, returned};
#[cfg(feature = "hedge")]
use crate::keys::key_object;
#[cfg(feature = "sign")]
use crate::keys::taskseal_agreement_public_key;
#[cfg(any(feature = "mac", feature = "sign"))]
use crate::keys::taskseal_encryption_key;
#[cfg(feature = "mac")]
use crate::keys::taskseal_mac_key;
use crate::memory::{bytes, many_mut, one, taskseal_text};
#[cfg(feature = "sign")]
use crate::signing::{CallbackSigner, taskseal_signer};

/// Most bytes of a body: 16 MiB.
pub const TASKSEAL_MAX_BODY: usize = 16777216;

/// A task.
pub const TASKSEAL_TASK: u32 = 0;
/// The result of a task.
pub const TASKSEAL_RESULT: u32 = 1;

/// What is to be sealed.
#[repr(C)]
pub struct taskseal_task {
    /// What is said about it.
    pub claims: taskseal_claims,
    /// Media type of the body, for example `application/cbor`.
    pub content_type: taskseal_text,
    /// The body.
    pub body: *const u8,
    /// Bytes of the body.
    pub body_length: usize,
    /// `TASKSEAL_TASK` or `TASKSEAL_RESULT`.
    pub kind: u32,
}

pub(crate) const fn kind(number: u32) -> Outcome<Kind> {
    match number {
        TASKSEAL_TASK => Ok(Kind::Task),
        TASKSEAL_RESULT => Ok(Kind::Result),
        _ => Err(Code::TASKSEAL_INVALID_ARGUMENT),
    }
}

/// Where an envelope goes to.
struct Out {
    start: *mut u8,
    length: usize,
}

/// # Safety
/// The contract of the interface for what `task` and `out` point to.
unsafe fn seal<M: Mode>(
    sealer: taskseal_core::Sealer<M>,
    task: &taskseal_task,
    rng: &mut impl rand_core::TryCryptoRng,
    out: &Out,
) -> Outcome<usize> {
    // SAFETY: handed on to the caller.
    let (claims, text, body) =
        unsafe { (task.claims.to_core()?, task.content_type.to_str()?, bytes(task.body, task.body_length)?) };
    let content_type = ContentType::new(text).map_err(invalid_name)?;
    let mut sealer = sealer.kind(kind(task.kind)?);
    if out.start.is_null() {
        return exact_length(sealer.sealed_len(&claims, content_type, body.len()), body.len());
    }
    // SAFETY: handed on to the caller.
    let buffer = unsafe { many_mut(out.start, out.length)? };
    sealer.seal(&claims, content_type, body, rng, buffer).map(<[u8]>::len).map_err(of_seal)
}

fn exact_length(length: usize, body_length: usize) -> Outcome<usize> {
    if body_length > TASKSEAL_MAX_BODY || length == usize::MAX {
        return Err(Code::TASKSEAL_BODY_TOO_LONG);
    }
    Ok(length)
}

/// Suite M: authenticates by a shared key; the body is readable by all. Returns the length of the envelope in `out`;
/// with `out` NULL, the length it would have.
#[cfg(feature = "mac")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_seal_m(
    task: *const taskseal_task,
    key: *const taskseal_mac_key,
    out: *mut u8,
    out_size: usize,
) -> i32 {
    // SAFETY: the contract of the interface.
    let sealed = unsafe {
        one(task).and_then(|task| {
            let sealer = Sealer::authenticate(one(key)?.key()?);
            seal(sealer, task, &mut NoRng, &Out { start: out, length: out_size })
        })
    };
    returned(sealed)
}

/// Suite E: authenticates and encrypts by a shared key. Returns as `taskseal_seal_m`.
#[cfg(feature = "mac")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_seal_e(
    task: *const taskseal_task,
    key: *const taskseal_encryption_key,
    rng: *const taskseal_rng,
    out: *mut u8,
    out_size: usize,
) -> i32 {
    // SAFETY: the contract of the interface.
    let sealed = unsafe {
        one(task).and_then(|task| {
            let sealer = Sealer::encrypt(one(key)?.key()?);
            seal(sealer, task, &mut Rng::of(one(rng)?)?, &Out { start: out, length: out_size })
        })
    };
    returned(sealed)
}

/// Suite S: signs; the body is readable by all. Returns as `taskseal_seal_m`.
#[cfg(feature = "sign")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_seal_s(
    task: *const taskseal_task,
    signer: *const taskseal_signer,
    out: *mut u8,
    out_size: usize,
) -> i32 {
    // SAFETY: the contract of the interface.
    let sealed = unsafe {
        one(task).and_then(|task| {
            let sealer = Sealer::sign(CallbackSigner::of(one(signer)?)?);
            seal(sealer, task, &mut NoRng, &Out { start: out, length: out_size })
        })
    };
    returned(sealed)
}

/// Suite SE: encrypts by a shared key, then signs. Returns as `taskseal_seal_m`.
#[cfg(feature = "sign")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_seal_se(
    task: *const taskseal_task,
    signer: *const taskseal_signer,
    key: *const taskseal_encryption_key,
    rng: *const taskseal_rng,
    out: *mut u8,
    out_size: usize,
) -> i32 {
    // SAFETY: the contract of the interface.
    let sealed = unsafe {
        one(task).and_then(|task| {
            let sealer = Sealer::sign_encrypt(CallbackSigner::of(one(signer)?)?, one(key)?.key()?);
            seal(sealer, task, &mut Rng::of(one(rng)?)?, &Out { start: out, length: out_size })
        })
    };
    returned(sealed)
}

/// Suite SP: encrypts to the recipient's public key, then signs. Returns as `taskseal_seal_m`.
#[cfg(feature = "sign")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_seal_sp(
    task: *const taskseal_task,
    signer: *const taskseal_signer,
    recipient: *const taskseal_agreement_public_key,
    rng: *const taskseal_rng,
    out: *mut u8,
    out_size: usize,
) -> i32 {
    // SAFETY: the contract of the interface.
    let sealed = unsafe {
        one(task).and_then(|task| {
            let signer = CallbackSigner::of(one(signer)?)?;
            let sealer = Sealer::sign_encrypt_to(signer, one(recipient)?.key()?);
            seal(sealer, task, &mut Rng::of(one(rng)?)?, &Out { start: out, length: out_size })
        })
    };
    returned(sealed)
}
