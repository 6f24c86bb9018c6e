//! What differs between two keysets.

use std::fmt;

use taskseal_core::KeyId;
use taskseal_core::keyset::signed::KeyState;

use crate::keys::keyring::Keyring;
use crate::keys::record::Record;

/// A key that two keysets have in different states, or that one of them has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyChange {
    kid: KeyId,
    before: Option<KeyState>,
    after: Option<KeyState>,
}

impl Keyring {
    /// Returns whether the records of two keysets are the same.
    pub(super) fn has_records_of(&self, other: &Self) -> bool {
        // `Debug` shows every field but the secret ones, which determine the kid.
        let texts = |keyring: &Self| -> Vec<String> {
            keyring.records().map(|record| format!("{record:?}")).collect()
        };
        texts(self) == texts(other)
    }

    /// Returns whether the keyset may allow other keys to seal at `now` than at `then`, in seconds of Unix time: the time of a key has
    /// begun or ended, or the clock was set back.
    pub(super) fn allows_others_since(&self, then: u64, now: u64) -> bool {
        let has_come = |at: u64| then < at && at <= now;
        now < then
            || self
                .records()
                .any(|record| has_come(record.sealing_end()) || record.use_from().is_some_and(has_come))
    }

    /// Returns the keys whose states differ from those of a former keyset, in the order of their kids.
    pub(super) fn changes_since(&self, former: &Self) -> Vec<KeyChange> {
        let mut kids: Vec<KeyId> = self.known_kids().chain(former.known_kids()).collect();
        kids.sort_unstable();
        kids.dedup();
        let state = |keyring: &Self, kid| keyring.record(kid).map(Record::state);
        let changes = kids.into_iter().map(|kid| KeyChange {
            kid,
            before: state(former, kid),
            after: state(self, kid),
        });
        changes.filter(|change| change.before != change.after).collect()
    }
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kid, before, after } = self;
        match (before, after) {
            (_, None) => write!(f, "{kid} removed"),
            (None, Some(after)) => write!(f, "{kid} added, {after}"),
            (Some(before), Some(after)) => write!(f, "{kid} {before} -> {after}"),
        }
    }
}
