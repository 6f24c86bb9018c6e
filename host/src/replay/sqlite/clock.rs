//! The clock that measures locks: it advances evenly, however the host's clock is set.
//!
//! A lock that expired by a clock that was set forward would let a second run start beside the first. The clock of the ledger
//! counts the time since the host was booted, also while it is suspended. The file stores the distance of that count to the
//! host's clock when the file was first opened after the boot, so that all processes read the same time.

use std::fs;
use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction, params};
use rustix::time::{ClockId, clock_gettime};

use super::statements::{CLOCK, LATEST, LIMIT_LOCKS, SET_CLOCK};
use crate::broker::MAX_LEASE;
use crate::time::UnixMillis;

/// The clock of a ledger, until the next boot of the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct LedgerClock {
    /// Milliseconds to add to the time since boot.
    offset: i64,
}

impl LedgerClock {
    /// Returns the clock of the file. At the first call after a boot, sets it by the host's clock, but not before the latest time that
    /// the ledger has recorded: that clock may not be set yet. Then no lock lasts for longer than the longest lease. Locks are not
    /// ended, because containers of one host may state different boots.
    pub(super) fn of(transaction: &Transaction<'_>) -> rusqlite::Result<Self> {
        match boot_id() {
            boot if boot.is_empty() => Ok(Self::at(None)),
            boot => Self::in_boot(transaction, &boot),
        }
    }

    fn in_boot(transaction: &Transaction<'_>, boot: &str) -> rusqlite::Result<Self> {
        let stored = transaction.query_row(CLOCK, [], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)));
        match stored.optional()? {
            Some((stored, offset)) if stored == boot => Ok(Self { offset }),
            _ => {
                let latest = transaction.query_row(LATEST, [], |row| Ok(UnixMillis(row.get(0)?)));
                let clock = Self::at(latest.optional()?.max(Some(UnixMillis::now())));
                transaction.execute(SET_CLOCK, params![boot, clock.offset])?;
                transaction.execute(LIMIT_LOCKS, [clock.now().plus(MAX_LEASE).0])?;
                Ok(clock)
            }
        }
    }

    /// Returns a clock that shows `time` now, by default that of the host's clock.
    fn at(time: Option<UnixMillis>) -> Self {
        Self { offset: time.unwrap_or_else(UnixMillis::now).0.saturating_sub(since_boot()) }
    }

    /// Returns the time.
    pub(super) fn now(self) -> UnixMillis {
        UnixMillis(self.offset.saturating_add(since_boot()))
    }
}

/// Returns the number of milliseconds since the host was booted.
fn since_boot() -> i64 {
    let since = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the id that the kernel drew at its start. Empty if it cannot be read.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::statements::{INSERT_IDENTITY, SCHEMA};
    use super::*;

    const LOCKED: &str = "
        INSERT INTO task (issuer, task_id, digest, state, owner, until, attempts, crashes, first_seen_at, expires_at)
        VALUES ('shop', zeroblob(16), zeroblob(32), 'claimed', 'worker', 9000000000000000, 1, 0, 0, 0)";

    fn clock_in(connection: &mut Connection, boot: &str) -> LedgerClock {
        let transaction = connection.transaction().unwrap();
        let clock = LedgerClock::in_boot(&transaction, boot).unwrap();
        transaction.commit().unwrap();
        clock
    }

    fn until(connection: &Connection) -> i64 {
        connection.query_row("SELECT until FROM task", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn clock_is_set_once_for_each_boot() {
        let mut file = Connection::open_in_memory().unwrap();
        file.execute_batch(SCHEMA.sql).unwrap();
        let first = clock_in(&mut file, "first");
        // As if the host's clock had been set back by a minute since.
        file.execute("UPDATE clock SET offset = offset + 60000", []).unwrap();
        assert_eq!(clock_in(&mut file, "first").offset, first.offset + 60_000);
        assert!(clock_in(&mut file, "second").offset < first.offset + 60_000);
    }

    #[test]
    fn clock_of_a_host_that_is_not_set_yet_starts_at_the_latest_time_of_the_ledger() {
        let mut file = Connection::open_in_memory().unwrap();
        file.execute_batch(SCHEMA.sql).unwrap();
        let later = UnixMillis::now().plus(Duration::from_secs(86_400));
        file.execute(INSERT_IDENTITY, [later.0, 0]).unwrap();
        assert!(clock_in(&mut file, "first").now() >= later);
    }

    #[test]
    fn lock_lasts_for_the_longest_lease_after_a_boot() {
        let mut file = Connection::open_in_memory().unwrap();
        file.execute_batch(SCHEMA.sql).unwrap();
        clock_in(&mut file, "first");
        file.execute(LOCKED, []).unwrap();
        clock_in(&mut file, "first");
        assert_eq!(until(&file), 9_000_000_000_000_000);
        let clock = clock_in(&mut file, "second");
        assert!(until(&file) <= clock.now().plus(MAX_LEASE).0);
    }
}
