//! Key records, in an array of the caller: the keys that verify envelopes, with their rights and periods of validity.

use taskseal_core::keyset::{KeyRecord, RecordKey};
use taskseal_core::{KeyId, KeyLookup, NameSet};

use crate::code::{Code, Outcome, returned};
use crate::keys::{taskseal_encryption_key, taskseal_mac_key, taskseal_verifying_key};
use crate::memory::{many, taskseal_text};
use crate::seal::kind;

/// For `valid_until`: the key has no end.
pub const TASKSEAL_NO_END: u64 = u64::MAX;

/// A key that verifies envelopes, with its rights. Exactly one of the three keys is set.
///
/// A set of names is written as patterns separated by spaces; a pattern that ends in `*` matches every name with that
/// prefix. The empty text is the empty set.
///
/// A zeroed record has no rights: the check refuses it without a key, its sets are empty, and a `valid_until` of 0 has
/// passed. Set all three sets, and `valid_until` to a time or to `TASKSEAL_NO_END`.
#[repr(C)]
pub struct taskseal_record {
    /// Verifies suites S, SE and SP.
    pub verifying_key: *const taskseal_verifying_key,
    /// Verifies suite M.
    pub mac_key: *const taskseal_mac_key,
    /// Verifies suite E.
    pub encryption_key: *const taskseal_encryption_key,
    /// Issuers for which the key may seal.
    pub issuers: taskseal_text,
    /// Task types that the key may seal.
    pub types: taskseal_text,
    /// Audiences for which the key may seal.
    pub audiences: taskseal_text,
    /// Unix time in seconds from which the key is accepted.
    pub valid_from: u64,
    /// Unix time in seconds from which the key is refused; `TASKSEAL_NO_END` for no end.
    pub valid_until: u64,
    /// Kind of envelope that the key seals: `TASKSEAL_TASK` or `TASKSEAL_RESULT`.
    pub kind: u32,
    /// Revoked if not 0: envelopes sealed with the key are refused.
    pub disabled: u32,
}

impl taskseal_record {
    /// # Safety
    /// Keys and texts are valid for `'a`.
    unsafe fn key<'a>(&'a self) -> Outcome<RecordKey<'a>> {
        // SAFETY: the caller's contract.
        unsafe {
            match (self.verifying_key.as_ref(), self.mac_key.as_ref(), self.encryption_key.as_ref()) {
                (Some(key), None, None) => key.key().map(RecordKey::Es256),
                (None, Some(key), None) => key.key().map(RecordKey::Hmac256),
                (None, None, Some(key)) => key.key().map(RecordKey::A256Gcm),
                _ => Err(Code::TASKSEAL_INVALID_ARGUMENT),
            }
        }
    }

    /// # Safety
    /// As [`key`](Self::key).
    unsafe fn to_core<'a>(&'a self, key: RecordKey<'a>) -> Outcome<KeyRecord<'a>> {
        let mut record = KeyRecord::new(key);
        record.kind = kind(self.kind)?;
        // SAFETY: the caller's contract.
        unsafe {
            record.issuers = NameSet::new(self.issuers.to_str()?);
            record.types = NameSet::new(self.types.to_str()?);
            record.audiences = NameSet::new(self.audiences.to_str()?);
        }
        record.valid_from = self.valid_from;
        record.valid_until = self.valid_until;
        record.enabled = self.disabled == 0;
        Ok(record)
    }
}

/// Records in the caller's memory. Created by [`Records::of`] only, whose contract holds for the lifetime.
#[derive(Clone, Copy)]
pub(crate) struct Records<'a>(&'a [taskseal_record]);

impl<'a> Records<'a> {
    /// # Safety
    /// The records and the values that they point to are valid for `'a`.
    pub(crate) unsafe fn of(start: *const taskseal_record, count: usize) -> Outcome<Self> {
        // SAFETY: the caller's contract.
        unsafe { many(start, count).map(Self) }
    }
}

impl KeyLookup for Records<'_> {
    /// A kid of two records selects neither, because the configuration is wrong.
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        let mut found = None;
        for record in self.0 {
            // SAFETY: the contract of `of`.
            let Ok(key) = (unsafe { record.key() }) else { continue };
            if KeyRecord::new(key).kid() == kid && found.replace((record, key)).is_some() {
                return None;
            }
        }
        let (record, key) = found?;
        // SAFETY: the contract of `of`.
        unsafe { record.to_core(key) }.ok()
    }
}

/// Checks records: each must have one key and valid texts, and the kids must be unique.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_records_check(records: *const taskseal_record, count: usize) -> i32 {
    // SAFETY: the contract of the interface.
    returned(unsafe { Records::of(records, count).and_then(|records| check(&records)) })
}

fn check(records: &Records<'_>) -> Outcome<usize> {
    for record in records.0 {
        // SAFETY: the contract of `Records::of`.
        let kid = unsafe {
            let key = record.key()?;
            record.to_core(key)?.kid()
        };
        if records.find(kid).is_none() {
            return Err(Code::TASKSEAL_INVALID_ARGUMENT);
        }
    }
    Ok(0)
}
