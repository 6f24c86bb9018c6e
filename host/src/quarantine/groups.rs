//! The entries counted by group, and the eviction of the oldest entry of the largest one.
//!
//! A group is a code and, where the refusal implies an authentic sender, its key. Messages that prove nothing may use half
//! of the quarantine and evict only one another: they cost an attacker nothing.

use rusqlite::{OptionalExtension, Params, Transaction, params};
use taskseal_core::Refusal;

use super::statements::{EVICT, GROUPS, SET_GROUP};
use super::usage::{signed, unsigned};
use super::{Limits, NewEntry, Usage};
use crate::sqlite::read_rows;

/// Maximum number of entries that are evicted for one new entry.
const MAX_EVICTED: usize = 1024;

/// Which entries are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupKey {
    pub(super) code: String,
    /// Key id of an authentic sender, otherwise empty.
    pub(super) sender: Vec<u8>,
}

impl GroupKey {
    /// Returns the group of an entry that is stored with `code`.
    pub(super) fn new(entry: &NewEntry, code: &str) -> Self {
        let sender = entry.kid.filter(|_| entry.kid_known && implies_sender(code));
        Self { code: code.to_owned(), sender: sender.map(|kid| kid.to_vec()).unwrap_or_default() }
    }

    const fn is_authentic(&self) -> bool {
        !self.sender.is_empty()
    }
}

/// Returns whether a refusal with `code` is evidence of what its sender did: its signature or MAC verified, and an attacker with
/// write access to the queue cannot cause it with copies of one task.
fn implies_sender(code: &str) -> bool {
    Refusal::from_code(code).is_some_and(|refusal| {
        !matches!(
            refusal,
            Refusal::Unsealed
                | Refusal::TooLarge
                | Refusal::Malformed
                | Refusal::WrongKind
                | Refusal::SuiteNotAllowed
                | Refusal::UnknownKey
                | Refusal::Rejected
                | Refusal::NoDecryptionKey
                | Refusal::MetadataMismatch
                | Refusal::WrongAudience
        )
    })
}

#[derive(Debug)]
struct Group {
    key: GroupKey,
    usage: Usage,
    evicted: u64,
    changed: bool,
}

/// The groups of a quarantine within one transaction.
#[derive(Debug)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// Number of entries evicted in this transaction.
    evicted: u64,
}

impl Groups {
    pub(super) fn read(transaction: &Transaction<'_>) -> rusqlite::Result<Self> {
        let mut statement = transaction.prepare_cached(GROUPS)?;
        let groups = read_rows(statement.query([])?, |row| {
            Ok(Group {
                key: GroupKey { code: row.get(0)?, sender: row.get(1)? },
                usage: Usage { entries: unsigned(row.get(2)?), bytes: unsigned(row.get(3)?) },
                evicted: unsigned(row.get(4)?),
                changed: false,
            })
        })?;
        Ok(Self { groups, evicted: 0 })
    }

    pub(super) fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut statement = transaction.prepare_cached(SET_GROUP)?;
        for Group { key, usage, evicted, .. } in self.groups.iter().filter(|group| group.changed) {
            let numbers = (signed(usage.entries), signed(usage.bytes), signed(*evicted));
            statement.execute(params![key.code, key.sender, numbers.0, numbers.1, numbers.2])?;
        }
        Ok(())
    }

    /// Returns the number of entries evicted in this transaction.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Counts an entry that is stored now.
    pub(super) fn add(&mut self, key: &GroupKey, size: u64) {
        self.change(key, |group| {
            group.usage.entries = group.usage.entries.saturating_add(1);
            group.usage.bytes = group.usage.bytes.saturating_add(size);
        });
    }

    /// Runs a statement that deletes one entry. Returns whether there was one.
    pub(super) fn remove(
        &mut self,
        transaction: &Transaction<'_>,
        statement: &str,
        params: impl Params,
    ) -> rusqlite::Result<bool> {
        let removed = transaction
            .prepare_cached(statement)?
            .query_row(params, |row| {
                let key = GroupKey { code: row.get(1)?, sender: row.get(2)? };
                Ok((key, unsigned(row.get(0)?)))
            })
            .optional()?;
        if let Some((key, size)) = &removed {
            self.change(key, |group| group.usage = group.usage.without(*size));
        }
        Ok(removed.is_some())
    }

    /// Evicts entries until one of `size` bytes fits. Returns false if it cannot fit.
    pub(super) fn make_room(
        &mut self,
        transaction: &Transaction<'_>,
        key: &GroupKey,
        size: u64,
        limits: &Limits,
    ) -> rusqlite::Result<bool> {
        let half = Limits { entries: limits.entries / 2, bytes: limits.bytes / 2 };
        let own = if key.is_authentic() { limits } else { &half };
        if own.entries == 0 || size > own.bytes {
            return Ok(false);
        }
        for _ in 0..MAX_EVICTED {
            if self.fits(key, size, limits, &half) {
                return Ok(true);
            }
            if !self.evict(transaction, key, limits, &half)? {
                return Ok(false);
            }
        }
        Ok(self.fits(key, size, limits, &half))
    }

    fn fits(&self, key: &GroupKey, size: u64, limits: &Limits, half: &Limits) -> bool {
        self.sum(false).with(size, limits).is_some()
            && (key.is_authentic() || self.sum(true).with(size, half).is_some())
    }

    /// Evicts the oldest entry of the largest group. Returns false if there is none that may be evicted.
    fn evict(
        &mut self,
        transaction: &Transaction<'_>,
        key: &GroupKey,
        limits: &Limits,
        half: &Limits,
    ) -> rusqlite::Result<bool> {
        let by_entries = self.sum(false).entries >= limits.entries
            || !key.is_authentic() && self.sum(true).entries >= half.entries;
        let evictable =
            |group: &&Group| group.usage.entries > 0 && (key.is_authentic() || !group.key.is_authentic());
        let weight = |group: &&Group| if by_entries { group.usage.entries } else { group.usage.bytes };
        let Some(largest) = self.groups.iter().filter(evictable).max_by_key(weight) else { return Ok(false) };
        let largest = largest.key.clone();
        let evicted = transaction
            .prepare_cached(EVICT)?
            .query_row(params![largest.code, largest.sender], |row| row.get::<_, i64>(0))
            .optional()?;
        let Some(bytes) = evicted else { return Ok(false) };
        self.change(&largest, |group| {
            group.usage = group.usage.without(unsigned(bytes));
            group.evicted = group.evicted.saturating_add(1);
        });
        self.evicted = self.evicted.saturating_add(1);
        Ok(true)
    }

    /// Returns the usage of all groups, or of those that prove no sender.
    fn sum(&self, unproven_only: bool) -> Usage {
        let counted = self.groups.iter().filter(|group| !(unproven_only && group.key.is_authentic()));
        counted.fold(Usage::default(), |sum, Group { usage, .. }| Usage {
            entries: sum.entries.saturating_add(usage.entries),
            bytes: sum.bytes.saturating_add(usage.bytes),
        })
    }

    /// Changes the group with `key`, which is created if it is missing.
    fn change(&mut self, key: &GroupKey, change: impl FnOnce(&mut Group)) {
        if !self.groups.iter().any(|group| group.key == *key) {
            self.groups.push(Group { key: key.clone(), usage: Usage::default(), evicted: 0, changed: true });
        }
        if let Some(group) = self.groups.iter_mut().find(|group| group.key == *key) {
            group.changed = true;
            change(group);
        }
    }
}
