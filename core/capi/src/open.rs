//! Verification and opening.

use taskseal_core::keys::{AgreementPublicKey, EncryptionKey, VerifyingKey};
use taskseal_core::keyset::DecryptionKeys;
use taskseal_core::open::{BodyLocation, InPlace};
use taskseal_core::provider::Rejected;
use taskseal_core::replay::Admission;
use taskseal_core::{Agree, KeyId, Kind, OpenError, Provider, Secret, Software};

#[cfg(feature = "verify")]
use crate::agreement::CallbackAgreement;
use crate::agreement::taskseal_agreement;
#[cfg(not(feature = "verify"))]
use crate::callbacks::Failed;
use crate::callbacks::{MaybeClock, taskseal_clock};
use crate::claims::taskseal_claims;
use crate::code::{Code, Outcome, of_open, returned};
use crate::keys::taskseal_encryption_key;
use crate::memory::{apart, bytes, many_mut, one, one_mut, taskseal_text};
use crate::policy::{suite_bit, taskseal_policy};
use crate::records::{Records, taskseal_record};
use crate::replay::{CallbackGuard, TASKSEAL_FIRST_RUN, TASKSEAL_REDELIVERY, taskseal_guard};
use crate::seal::{TASKSEAL_RESULT, TASKSEAL_TASK};

/// The configuration of verification.
#[repr(C)]
pub struct taskseal_verifier {
    /// Records of the keys that may seal. Check them once with `taskseal_records_check`.
    pub records: *const taskseal_record,
    /// Number of records.
    pub record_count: usize,
    /// Rules of acceptance.
    pub policy: *const taskseal_policy,
    /// Clock; NULL for a worker without a clock, for which every task with times is `TASKSEAL_TIME_UNKNOWN`.
    pub clock: *const taskseal_clock,
}

/// The keys that decrypt bodies; NULL for each missing key.
#[repr(C)]
pub struct taskseal_decryption {
    /// Key of suites E and SE.
    pub encryption_key: *const taskseal_encryption_key,
    /// Key of suite SP.
    pub agreement: *const taskseal_agreement,
}

/// The verified content. Texts and an unencrypted body point into the envelope.
#[repr(C)]
pub struct taskseal_verified {
    /// Claims of the issuer.
    pub claims: taskseal_claims,
    /// Media type of the body.
    pub content_type: taskseal_text,
    /// The body, if it is not encrypted or was decrypted; otherwise NULL.
    pub body: *const u8,
    /// Size of the body, in bytes, also if `body` is NULL.
    pub body_length: usize,
    /// The suite: one of `TASKSEAL_SUITE_...`.
    pub suite: u32,
    /// `TASKSEAL_TASK` or `TASKSEAL_RESULT`.
    pub kind: u32,
    /// Whether the envelope is part of a batch: 0 or 1.
    pub is_batched: u32,
    /// Decision of the guard: `TASKSEAL_FIRST_RUN` or `TASKSEAL_REDELIVERY`.
    pub admission: i32,
    /// SHA-256 of the whole envelope, which is the `request` of its result.
    pub digest: [u8; 32],
    /// The kid of the key that sealed it.
    pub kid: [u8; 8],
}

impl taskseal_verified {
    fn set(&mut self, verified: &InPlace<'_>) {
        self.claims.set(verified.claims());
        self.content_type = taskseal_text::of(verified.content_type().as_str());
        self.body = core::ptr::null();
        self.body_length = verified.body_len();
        self.suite = suite_bit(verified.suite());
        self.kind = if verified.kind() == Kind::Result { TASKSEAL_RESULT } else { TASKSEAL_TASK };
        self.is_batched = u32::from(verified.is_batched());
        self.admission = TASKSEAL_FIRST_RUN;
        self.digest = *verified.digest();
        self.kid = *verified.kid().as_bytes();
    }
}

/// The software provider. Builds without signatures leave them out, so that no curve is linked.
struct Built;

impl Provider for Built {
    fn verify_es256(
        &self,
        key: &VerifyingKey,
        digest: &[u8; 32],
        signature: &[u8; 64],
    ) -> Result<(), Rejected> {
        if cfg!(feature = "verify") { Software.verify_es256(key, digest, signature) } else { Err(Rejected) }
    }

    fn encrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
    ) -> Result<[u8; 16], Rejected> {
        Software.encrypt_a256gcm(key, iv, aad, buffer)
    }

    fn decrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        Software.decrypt_a256gcm(key, iv, aad, buffer, tag)
    }

    fn check_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        ciphertext: &[u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        Software.check_a256gcm(key, iv, aad, ciphertext, tag)
    }

    fn agree_ephemeral(
        &self,
        _: &Secret<32>,
        _: &AgreementPublicKey,
    ) -> Option<(AgreementPublicKey, Secret<32>)> {
        None
    }
}

struct Decryption<'k> {
    encryption: Option<&'k EncryptionKey>,
    #[cfg(feature = "verify")]
    agreement: Option<CallbackAgreement>,
}

impl<'k> Decryption<'k> {
    /// # Safety
    /// The keys are valid for `'k`.
    unsafe fn of(keys: *const taskseal_decryption) -> Outcome<Self> {
        // SAFETY: the caller's contract.
        let (encryption, _agreement) = unsafe {
            match keys.as_ref::<'k>() {
                Some(keys) => (keys.encryption_key.as_ref::<'k>(), keys.agreement.as_ref::<'k>()),
                None => (None, None),
            }
        };
        Ok(Self {
            encryption: encryption.map(taskseal_encryption_key::key).transpose()?,
            #[cfg(feature = "verify")]
            agreement: _agreement.map(CallbackAgreement::of).transpose()?,
        })
    }

    /// Distinguishes a wiped key in memory from an unavailable key store.
    fn code(&self, error: OpenError) -> Code {
        #[cfg(feature = "verify")]
        if self.agreement.as_ref().is_some_and(CallbackAgreement::has_no_key) {
            return Code::TASKSEAL_NO_KEY;
        }
        of_open(error)
    }
}

#[cfg(feature = "verify")]
type Agreement = CallbackAgreement;

/// For builds without key agreement.
#[cfg(not(feature = "verify"))]
enum Agreement {}

#[cfg(not(feature = "verify"))]
impl Agree for &Agreement {
    type Error = Failed;

    fn kid(&self) -> KeyId {
        match **self {}
    }

    fn agree(&mut self, _: &AgreementPublicKey) -> Result<Secret<32>, Failed> {
        match **self {}
    }
}

impl DecryptionKeys for Decryption<'_> {
    type Agree<'k>
        = &'k Agreement
    where
        Self: 'k;

    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        self.encryption.filter(|key| key.kid() == kid)
    }

    #[cfg(feature = "verify")]
    fn agreement_key(&mut self, kid: KeyId) -> Option<&Agreement> {
        self.agreement.as_ref().filter(|key| Agree::kid(key) == kid)
    }

    #[cfg(not(feature = "verify"))]
    fn agreement_key(&mut self, _: KeyId) -> Option<&Agreement> {
        None
    }
}

/// # Safety
/// The contract of the interface.
unsafe fn verify<'e>(
    task: &mut InPlace<'e>,
    verifier: &taskseal_verifier,
    envelope: &'e [u8],
) -> Outcome<()> {
    // SAFETY: the caller's contract.
    let (records, policy, clock) = unsafe {
        let records = Records::of(verifier.records, verifier.record_count)?;
        (records, one(verifier.policy)?.to_core()?, verifier.clock.as_ref())
    };
    let mut clock = MaybeClock { clock, is_unknown: false };
    task.verify(envelope, &Built, &mut (), &records, &policy, &mut clock).map_err(|error| {
        match of_open(error) {
            // Without a time, these refusals are not known to apply.
            Code::TASKSEAL_ISSUED_IN_FUTURE | Code::TASKSEAL_EXPIRED | Code::TASKSEAL_NOT_YET_VALID
                if clock.is_unknown =>
            {
                Code::TASKSEAL_TIME_UNKNOWN
            }
            code => code,
        }
    })
}

/// Clears the output after an error, so that it contains no content that was not completely verified.
///
/// # Safety
/// The contract of the interface.
unsafe fn nothing_on_error(outcome: Outcome<usize>, verified: *mut taskseal_verified) -> Outcome<usize> {
    if outcome.is_err() && !verified.is_null() {
        // SAFETY: the caller's contract; zeros are valid numbers, empty texts and NULL.
        unsafe { verified.write_bytes(0, 1) };
    }
    outcome
}

/// Verifies an envelope and checks its claims against the rights of the key, the policy and the time. Nothing is
/// decrypted and no guard decides, so the task must not run after this alone. Returns 0; `verified->body_length` is the
/// size of the body, also if it is encrypted.
///
/// After an error `*verified` is all zeros, here and in `taskseal_open`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_verify(
    verifier: *const taskseal_verifier,
    envelope: *const u8,
    envelope_length: usize,
    verified: *mut taskseal_verified,
) -> i32 {
    // SAFETY: the contract of the interface.
    let outcome = unsafe {
        one_mut(verified).and_then(|told| {
            let mut task = InPlace::new();
            verify(&mut task, one(verifier)?, bytes(envelope, envelope_length)?)?;
            told.set(&task);
            told.body = task.clear_body().map_or(core::ptr::null(), <[u8]>::as_ptr);
            Ok(0)
        })
    };
    // SAFETY: the contract of the interface.
    returned(unsafe { nothing_on_error(outcome, verified) })
}

/// Verifies a task, asks the guard whether it may run, and decrypts its body into `body`. Returns the size of the body.
/// `verified->body` points into `body`, or into the envelope if the body is not encrypted. Wipe a decrypted body after
/// its use with `taskseal_wipe`.
///
/// The order is: verify; `TASKSEAL_BUFFER_TOO_SMALL` if the body is encrypted and longer than `body_size`; ask the
/// guard, which counts an attempt; decrypt. A short buffer therefore costs no attempt. `TASKSEAL_NO_DECRYPTION_KEY`,
/// `TASKSEAL_KEY_UNAVAILABLE` and a `TASKSEAL_REJECTED` of the inner encryption follow the guard and do cost an
/// attempt. `taskseal_verify` returns the size of the body, and a buffer of the size of the envelope is always
/// sufficient. `body` may be NULL with a `body_size` of 0 if no accepted suite encrypts. `body` and the envelope must
/// not overlap (`TASKSEAL_INVALID_ARGUMENT`).
///
/// A result is bound to its request and can be read any number of times: with a policy for results `guard` is not
/// called and may be NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_open(
    verifier: *const taskseal_verifier,
    guard: *const taskseal_guard,
    keys: *const taskseal_decryption,
    envelope: *const u8,
    envelope_length: usize,
    body: *mut u8,
    body_size: usize,
    verified: *mut taskseal_verified,
) -> i32 {
    // SAFETY: the contract of the interface.
    let outcome = unsafe {
        one_mut(verified).and_then(|told| {
            let mut keys = Decryption::of(keys)?;
            apart(body, body_size, envelope, envelope_length)?;
            let buffer = many_mut(body, body_size)?;
            let mut task = InPlace::new();
            verify(&mut task, one(verifier)?, bytes(envelope, envelope_length)?)?;
            told.set(&task);
            // Before the guard, which counts an attempt.
            if task.suite().encrypts() && buffer.len() < task.body_len() {
                return Err(Code::TASKSEAL_BUFFER_TOO_SMALL);
            }
            if task.kind() != Kind::Result
                && task.admit(&mut CallbackGuard(one(guard)?)).map_err(of_open)? == Admission::Redelivery
            {
                told.admission = TASKSEAL_REDELIVERY;
            }
            told.body = match task.open(&Built, &mut keys, buffer).map_err(|error| keys.code(error))? {
                BodyLocation::Envelope(body) => body.as_ptr(),
                BodyLocation::Buffer => body,
            };
            Ok(told.body_length)
        })
    };
    // SAFETY: the contract of the interface.
    returned(unsafe { nothing_on_error(outcome, verified) })
}
