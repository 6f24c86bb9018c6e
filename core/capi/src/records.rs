//! Key records: which keys may seal, for whom, what, where and when; in an array of the caller's.

use taskseal_core::keyset::{KeyRecord, RecordKey};
use taskseal_core::{KeyId, KeyLookup, NameSet};

use crate::code::{Code, Outcome, returned};
use crate::keys::{taskseal_encryption_key, taskseal_mac_key, taskseal_verifying_key};
use crate::memory::{many, taskseal_text};
use crate::seal::kind;

/// For `valid_until`: the key has no end.
pub const TASKSEAL_NO_END: u64 = u64::MAX;

/// A key that verifies envelopes, and what it may vouch for. Exactly one of the three keys is set.
///
/// A set of names is patterns separated by spaces; a pattern that ends in `*` stands for every name that begins with
/// what is before it. The empty text is the empty set.
///
/// A zeroed record vouches for nothing: without a key the check refuses it, its sets are empty, and `valid_until` of 0 is
/// long past. Set all three sets, and `valid_until` to an end or to `TASKSEAL_NO_END`.
#[repr(C)]
pub struct taskseal_record {
    /// Verifies suites S, SE and SP.
    pub verifying_key: *const taskseal_verifying_key,
    /// Verifies suite M.
    pub mac_key: *const taskseal_mac_key,
    /// Verifies suite E.
    pub encryption_key: *const taskseal_encryption_key,
    /// Issuers it may speak for.
    pub issuers: taskseal_text,
    /// Task types it may seal.
    pub types: taskseal_text,
    /// Audiences it may seal for.
    pub audiences: taskseal_text,
    /// Unix time in seconds from which on it is accepted.
    pub valid_from: u64,
    /// Unix time in seconds from which on it is refused; `TASKSEAL_NO_END`.
    pub valid_until: u64,
    /// What it seals: `TASKSEAL_TASK` or `TASKSEAL_RESULT`.
    pub kind: u32,
    /// Not 0: revoked; nothing it sealed is accepted.
    pub disabled: u32,
}

impl taskseal_record {
    /// # Safety
    /// Keys and texts are good for as long as `'a`.
    unsafe fn key<'a>(&'a self) -> Outcome<RecordKey<'a>> {
        // SAFETY: handed on to the caller.
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
        // SAFETY: handed on to the caller.
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

/// Records in the caller's memory. Made by [`Records::of`] only, whose promise reaches as far as the lifetime.
#[derive(Clone, Copy)]
pub(crate) struct Records<'a>(&'a [taskseal_record]);

impl<'a> Records<'a> {
    /// # Safety
    /// The records, and what they point to, are good for as long as `'a`.
    pub(crate) unsafe fn of(start: *const taskseal_record, count: usize) -> Outcome<Self> {
        // SAFETY: handed on to the caller.
        unsafe { many(start, count).map(Self) }
    }
}

impl KeyLookup for Records<'_> {
    /// A kid that two records have selects neither: that is an error of the configuration.
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        let mut found = None;
        for record in self.0 {
            // SAFETY: the promise of `of`.
            let Ok(key) = (unsafe { record.key() }) else { continue };
            if KeyRecord::new(key).kid() == kid && found.replace((record, key)).is_some() {
                return None;
            }
        }
        let (record, key) = found?;
        // SAFETY: the promise of `of`.
        unsafe { record.to_core(key) }.ok()
    }
}

/// Checks records once they are written: every one has one key and valid texts, and no two have one kid.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_records_check(records: *const taskseal_record, count: usize) -> i32 {
    // SAFETY: the contract of the interface.
    returned(unsafe { Records::of(records, count).and_then(|records| check(&records)) })
}

fn check(records: &Records<'_>) -> Outcome<usize> {
    for record in records.0 {
        // SAFETY: the promise of `Records::of`.
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
