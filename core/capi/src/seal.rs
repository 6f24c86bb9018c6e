//! Sealing: one function per suite, so that only the suites that are called are linked.

use rand_core::TryCryptoRng;
use taskseal_core::seal::{HedgeKey, Mode};
use taskseal_core::{Claims, ContentType, Kind, SealError, Sealer, Secret};

use crate::callbacks::{NoRng, Rng, taskseal_rng};
use crate::claims::{invalid_name, taskseal_claims};
use crate::code::{Code, Outcome, of_seal, returned};
use crate::keys::{key_object, taskseal_agreement_public_key, taskseal_encryption_key, taskseal_mac_key};
use crate::memory::{apart, bytes, many_mut, one, one_mut, taskseal_text};
#[cfg(feature = "sign")]
use crate::signing::{CallbackSigner, taskseal_signer};
use crate::stack::with_wiped_stack;

/// Maximum size of a body, in bytes: 16 MiB.
pub const TASKSEAL_MAX_BODY: usize = 16777216;

/// Maximum overhead of an envelope of suite S over its body, in bytes, with any claims.
pub const TASKSEAL_MAX_OVERHEAD_S: usize = 764;
/// Maximum overhead of suite M, in bytes.
pub const TASKSEAL_MAX_OVERHEAD_M: usize = 732;
/// Maximum overhead of suite E, in bytes.
pub const TASKSEAL_MAX_OVERHEAD_E: usize = 783;
/// Maximum overhead of suite SE, in bytes.
pub const TASKSEAL_MAX_OVERHEAD_SE: usize = 874;
/// Maximum overhead of suite SP, in bytes.
pub const TASKSEAL_MAX_OVERHEAD_SP: usize = 945;

/// A task.
pub const TASKSEAL_TASK: u32 = 0;
/// The result of a task.
pub const TASKSEAL_RESULT: u32 = 1;

/// The input of sealing.
#[repr(C)]
pub struct taskseal_task {
    /// Claims about the task.
    pub claims: taskseal_claims,
    /// Media type of the body, for example `application/cbor`.
    pub content_type: taskseal_text,
    /// The body.
    pub body: *const u8,
    /// Size of the body, in bytes.
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

/// The output of an envelope.
struct Out {
    start: *mut u8,
    length: usize,
}

/// # Safety
/// The contract of the interface for `task` and `out`.
unsafe fn seal_by<M: Mode<Error: Into<Code>>>(
    sealer: Sealer<M>,
    task: &taskseal_task,
    out: &Out,
    seal: impl FnOnce(
        &mut Sealer<M>,
        &Claims<'_>,
        ContentType<'_>,
        &[u8],
        &mut [u8],
    ) -> Result<usize, SealError<M::Error>>,
) -> Outcome<usize> {
    // SAFETY: the caller's contract.
    let (claims, text, body) =
        unsafe { (task.claims.to_core()?, task.content_type.to_str()?, bytes(task.body, task.body_length)?) };
    let content_type = ContentType::new(text).map_err(invalid_name)?;
    let mut sealer = sealer.kind(kind(task.kind)?);
    if out.start.is_null() {
        return exact_length(sealer.sealed_len(&claims, content_type, body.len()), body.len());
    }
    apart(out.start, out.length, task.body, task.body_length)?;
    // SAFETY: the caller's contract.
    let buffer = unsafe { many_mut(out.start, out.length)? };
    seal(&mut sealer, &claims, content_type, body, buffer).map_err(of_seal)
}

/// # Safety
/// As [`seal_by`].
unsafe fn seal<M: Mode<Error: Into<Code>>>(
    sealer: Sealer<M>,
    task: &taskseal_task,
    rng: &mut impl TryCryptoRng,
    out: &Out,
) -> Outcome<usize> {
    // SAFETY: the caller's contract.
    unsafe {
        seal_by(sealer, task, out, |sealer, claims, content_type, body, buffer| {
            sealer.seal(claims, content_type, body, rng, buffer).map(<[u8]>::len)
        })
    }
}

/// # Safety
/// As [`seal_by`]; also for `key` and `rng`.
#[cfg(feature = "hedge")]
unsafe fn seal_hedged<M: Mode<Error: Into<Code>>>(
    sealer: Sealer<M>,
    task: &taskseal_task,
    key: *const taskseal_hedge_key,
    rng: *const taskseal_rng,
    out: &Out,
) -> Outcome<usize> {
    // SAFETY: the caller's contract.
    unsafe {
        let key = one(key)?.key()?;
        let rng = rng.as_ref().map(Rng::of).transpose()?;
        seal_by(sealer, task, out, |sealer, claims, content_type, body, buffer| {
            match rng {
                Some(mut rng) => sealer.seal_hedged(claims, content_type, body, key, &mut rng, buffer),
                None => sealer.danger_seal_without_randomness(claims, content_type, body, key, buffer),
            }
            .map(<[u8]>::len)
        })
    }
}

fn exact_length(length: usize, body_length: usize) -> Outcome<usize> {
    if body_length > TASKSEAL_MAX_BODY || length == usize::MAX {
        return Err(Code::TASKSEAL_BODY_TOO_LONG);
    }
    Ok(length)
}

/// Seals with suite M: authenticates with a shared key and does not encrypt. Returns the size of the envelope in `out`,
/// or the required size if `out` is NULL. `out` and the body must not overlap (`TASKSEAL_INVALID_ARGUMENT`).
#[cfg(feature = "mac")]
#[must_use]
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

/// Seals with suite E: authenticates and encrypts with a shared key. Returns the same as `taskseal_seal_m`.
#[cfg(feature = "mac")]
#[must_use]
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

/// Seals with suite S: signs and does not encrypt. Returns the same as `taskseal_seal_m`.
#[cfg(feature = "sign")]
#[must_use]
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

/// Seals with suite SE: encrypts with a shared key, then signs. Returns the same as `taskseal_seal_m`.
#[cfg(feature = "sign")]
#[must_use]
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

/// Seals with suite SP: encrypts to the recipient's public key, then signs. Returns the same as `taskseal_seal_m`.
#[cfg(feature = "sign")]
#[must_use]
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

/// The key of hedged randomness: 32 secret bytes that are unique to the device and used for nothing else.
///
/// Filled in place by its `init` function; must not be copied. A zeroed object holds no key.
#[cfg(feature = "hedge")]
#[repr(C)]
pub struct taskseal_hedge_key {
    /// Private.
    pub(crate) tag: u64,
    /// Private.
    pub(crate) words: [u64; 4],
}

#[cfg(feature = "hedge")]
key_object! { taskseal_hedge_key holds HedgeKey, tagged b"ts.hedg\0" }

/// Initialises a hedge key from 32 bytes.
#[cfg(feature = "hedge")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_hedge_key_init(key: *mut taskseal_hedge_key, bytes: *const u8) -> i32 {
    // SAFETY: the contract of the interface.
    let made = unsafe {
        one_mut(key).and_then(|key| {
            let bytes = one(bytes.cast::<[u8; 32]>())?;
            with_wiped_stack(|| key.hold(HedgeKey::new(Secret::copy_from(bytes))));
            Ok(0)
        })
    };
    returned(made)
}

/// Wipes the key. The object then holds no key.
#[cfg(feature = "hedge")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_hedge_key_wipe(key: *mut taskseal_hedge_key) {
    // SAFETY: the contract of the interface.
    if let Ok(key) = unsafe { one_mut(key) } {
        key.wipe();
    }
}

/// Like `taskseal_seal_e`, with hedged randomness: all random values also depend on the hedge key, the keys, all claims
/// and the body, so that a weak source is sufficient. `rng` may be NULL if there is no source. In this case two tasks
/// must not have the same claims and body, also across restarts.
#[cfg(all(feature = "hedge", feature = "mac"))]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_seal_e_hedged(
    task: *const taskseal_task,
    key: *const taskseal_encryption_key,
    hedge: *const taskseal_hedge_key,
    rng: *const taskseal_rng,
    out: *mut u8,
    out_size: usize,
) -> i32 {
    // SAFETY: the contract of the interface.
    let sealed = unsafe {
        one(task).and_then(|task| {
            let sealer = Sealer::encrypt(one(key)?.key()?);
            seal_hedged(sealer, task, hedge, rng, &Out { start: out, length: out_size })
        })
    };
    returned(sealed)
}

/// Like `taskseal_seal_se`, with hedged randomness as in `taskseal_seal_e_hedged`.
#[cfg(all(feature = "hedge", feature = "sign"))]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_seal_se_hedged(
    task: *const taskseal_task,
    signer: *const taskseal_signer,
    key: *const taskseal_encryption_key,
    hedge: *const taskseal_hedge_key,
    rng: *const taskseal_rng,
    out: *mut u8,
    out_size: usize,
) -> i32 {
    // SAFETY: the contract of the interface.
    let sealed = unsafe {
        one(task).and_then(|task| {
            let sealer = Sealer::sign_encrypt(CallbackSigner::of(one(signer)?)?, one(key)?.key()?);
            seal_hedged(sealer, task, hedge, rng, &Out { start: out, length: out_size })
        })
    };
    returned(sealed)
}

/// Like `taskseal_seal_sp`, with hedged randomness as in `taskseal_seal_e_hedged`.
#[cfg(all(feature = "hedge", feature = "sign"))]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_seal_sp_hedged(
    task: *const taskseal_task,
    signer: *const taskseal_signer,
    recipient: *const taskseal_agreement_public_key,
    hedge: *const taskseal_hedge_key,
    rng: *const taskseal_rng,
    out: *mut u8,
    out_size: usize,
) -> i32 {
    // SAFETY: the contract of the interface.
    let sealed = unsafe {
        one(task).and_then(|task| {
            let signer = CallbackSigner::of(one(signer)?)?;
            let sealer = Sealer::sign_encrypt_to(signer, one(recipient)?.key()?);
            seal_hedged(sealer, task, hedge, rng, &Out { start: out, length: out_size })
        })
    };
    returned(sealed)
}
