//! One query at a time: read the record, judge, and store what follows.

use rusqlite::{CachedStatement, OptionalExtension, Row, Transaction, params};

use super::statements::{FIND, FIRST_RUN, LOSE, OUTCOME, RUN_AGAIN};
use crate::replay::judge::{Bounds, StoredState, StoredTask, Transition, judge};
use crate::replay::{Decision, ReplayQuery};
use crate::time::UnixMillis;

/// The statements of [`Ledger::acquire`](crate::replay::Ledger::acquire), prepared once for a batch.
pub(super) struct Statements<'conn> {
    find: CachedStatement<'conn>,
    outcome: CachedStatement<'conn>,
    first_run: CachedStatement<'conn>,
    run_again: CachedStatement<'conn>,
    lose: CachedStatement<'conn>,
}

impl<'conn> Statements<'conn> {
    pub(super) fn prepare(transaction: &'conn Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            find: transaction.prepare_cached(FIND)?,
            outcome: transaction.prepare_cached(OUTCOME)?,
            first_run: transaction.prepare_cached(FIRST_RUN)?,
            run_again: transaction.prepare_cached(RUN_AGAIN)?,
            lose: transaction.prepare_cached(LOSE)?,
        })
    }

    pub(super) fn acquire(
        &mut self,
        owner: &str,
        now: UnixMillis,
        until: UnixMillis,
        bounds: Bounds,
        query: &ReplayQuery,
    ) -> rusqlite::Result<Decision> {
        let ReplayQuery { issuer, task_id, digest, .. } = query;
        let found = self.find.query_row(params![issuer, task_id], read_entry).optional()?;
        let (rowid, entry) = found.unzip();
        Ok(match judge(entry, query, now, bounds) {
            Transition::Run { attempts, crashes, begun, first_seen_at, expires_at } => {
                let (seen, expires) = (first_seen_at.0, expires_at.0);
                if rowid.is_some() {
                    let row = params![rowid, owner, until.0, begun, seen, expires, attempts, crashes];
                    self.run_again.execute(row)?;
                } else {
                    let row = params![issuer, task_id, digest, owner, until.0, begun, seen, expires];
                    self.first_run.execute(row)?;
                }
                match attempts {
                    1 => Decision::FirstRun,
                    attempt => Decision::Redelivery { attempt, crashes },
                }
            }
            Transition::Settle => {
                Decision::Finished { outcome: self.outcome.query_row([rowid], |row| row.get(0))? }
            }
            Transition::InProgress { until } => Decision::InProgress { until },
            Transition::Refuse(reason) => Decision::Refused(reason),
            Transition::Lost { attempts, crashes, reason } => {
                self.lose.execute(params![rowid, attempts, crashes])?;
                Decision::Refused(reason)
            }
        })
    }
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<(i64, StoredTask)> {
    let state = match row.get_ref(2)?.as_str()? {
        "claimed" => StoredState::Locked { until: UnixMillis(row.get(3)?), begun: row.get(8)? },
        "waiting" => StoredState::Waiting,
        "finished" => StoredState::Finished,
        // The table allows no other word.
        _ => StoredState::Done,
    };
    let entry = StoredTask {
        digest: row.get(1)?,
        state,
        attempts: row.get(4)?,
        crashes: row.get(5)?,
        expires_at: UnixMillis(row.get(6)?),
        first_seen_at: UnixMillis(row.get(7)?),
    };
    Ok((row.get(0)?, entry))
}
