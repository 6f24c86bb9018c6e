//! The SQLite file of the record.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use rusqlite::{Connection, Row, Transaction, params};

use super::Loosened;
use super::copy::{ModesCopy, Strictness};
use super::counts::{Pending, QueueCounts, RefusalCount, TypeReport};
use crate::file_error::FileError;
use crate::policy::Mode;
use crate::queue::QueueName;
use crate::sqlite::{self, Schema, read_rows};
use crate::state::{StateError, StateFile, StateKind};
use crate::time::UnixMillis;

const SCHEMA: Schema = Schema {
    kind: "rollout",
    application_id: i32::from_be_bytes(*b"tskr"),
    version: 2,
    sql: "
CREATE TABLE mode (
    pattern TEXT NOT NULL PRIMARY KEY,
    strictest TEXT NOT NULL CHECK (strictest IN ('off', 'observe', 'prefer', 'enforce'))
) STRICT, WITHOUT ROWID;

CREATE TABLE accepted (
    pattern TEXT NOT NULL,
    queue TEXT NOT NULL,
    sealed INTEGER NOT NULL,
    unsealed INTEGER NOT NULL,
    last_sealed_at INTEGER, -- Unix milliseconds
    last_unsealed_at INTEGER, -- Unix milliseconds
    last_unsealed_id TEXT,
    detached INTEGER NOT NULL,
    last_detached_at INTEGER, -- Unix milliseconds
    PRIMARY KEY (pattern, queue)
) STRICT, WITHOUT ROWID;

CREATE TABLE refused (
    pattern TEXT NOT NULL,
    code TEXT NOT NULL,
    count INTEGER NOT NULL,
    last_at INTEGER NOT NULL, -- Unix milliseconds
    PRIMARY KEY (pattern, code)
) STRICT, WITHOUT ROWID;
",
};

const ADD_ACCEPTED: &str = "
    INSERT INTO accepted VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT DO UPDATE SET
        sealed = sealed + ?3,
        unsealed = unsealed + ?4,
        last_sealed_at = coalesce(?5, last_sealed_at),
        last_unsealed_at = coalesce(?6, last_unsealed_at),
        last_unsealed_id = coalesce(?7, last_unsealed_id),
        detached = detached + ?8,
        last_detached_at = coalesce(?9, last_detached_at)";
/// Of these, unsealed tasks are refused in the mode `prefer`.
const SEALED: &str = "
    SELECT queue, pattern FROM accepted WHERE last_sealed_at IS NOT NULL OR last_detached_at IS NOT NULL
    ORDER BY queue, pattern";
/// What the copy alone knows has no time.
const RESTORE_SEALED: &str = "
    INSERT INTO accepted VALUES (?1, ?2, 0, 0, 0, NULL, NULL, 0, NULL)
    ON CONFLICT DO UPDATE SET last_sealed_at = coalesce(last_sealed_at, 0)";
const ADD_REFUSED: &str = "
    INSERT INTO refused VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT DO UPDATE SET count = count + ?3, last_at = max(last_at, ?4)";
const SET_MODE: &str = "
    INSERT INTO mode VALUES (?1, ?2) ON CONFLICT DO UPDATE SET strictest = ?2";

#[derive(Debug)]
pub(super) struct Store {
    file: StateFile,
    copy: ModesCopy,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        // Before the record is created: it would look like a first start otherwise.
        let is_lost = !sqlite::is_used(path);
        let copy = ModesCopy::beside(path);
        let known = match copy.read() {
            Err(error) if is_lost => return Err(damaged(error)),
            // It is written again.
            Err(_) => Strictness::default(),
            Ok(known) => known.unwrap_or_default(),
        };
        let store = Self { file: StateFile::open(StateKind::Rollout, path, &SCHEMA, true)?, copy };
        store.restore(&known)?;
        Ok(store)
    }

    /// Opens the record if there is one.
    pub(super) fn open_existing(path: &Path) -> Result<Option<Self>, StateError> {
        if !sqlite::is_used(path) {
            return Ok(None);
        }
        let file = StateFile::open(StateKind::Rollout, path, &SCHEMA, false)?;
        Ok(Some(Self { file, copy: ModesCopy::beside(path) }))
    }

    /// Returns the strictest mode of each pattern, of the record and its copy.
    pub(super) fn modes(&self) -> Result<Vec<(String, Mode)>, StateError> {
        let mut modes = self.file.read(recorded)?;
        modes.extend(self.copy.read().ok().flatten().unwrap_or_default().modes);
        Ok(modes)
    }

    /// Records the modes of the copy that are stricter than those of the record, and its sealed tasks, and writes the copy.
    fn restore(&self, known: &Strictness) -> Result<(), StateError> {
        self.change_modes(|transaction| {
            let recorded = recorded(transaction)?;
            let is_missing = |(pattern, mode): &&(String, Mode)| {
                let same = recorded.iter().find(|(other, _)| other == pattern);
                same.is_none_or(|(_, recorded)| mode > recorded)
            };
            for (pattern, mode) in known.modes.iter().filter(is_missing) {
                set_mode(transaction, pattern, *mode)?;
            }
            let seen = sealed(transaction)?;
            for (queue, pattern) in known.sealed.iter().filter(|entry| !seen.contains(entry)) {
                transaction.execute(RESTORE_SEALED, params![pattern, queue.as_str()])?;
            }
            Ok(())
        })
    }

    /// Writes the copy.
    ///
    /// # Errors
    /// [`StateError`].
    pub(super) fn write_copy(&self) -> Result<(), StateError> {
        self.change_modes(|_| Ok(()))
    }

    /// Changes modes, and writes the copy while no other process changes them. If that fails, the change is recorded all the same:
    /// of two different modes, the stricter one holds.
    fn change_modes<T>(
        &self,
        mut change: impl FnMut(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let (changed, written) = self.file.write(|transaction| {
            let changed = change(transaction)?;
            let strictness = Strictness { modes: recorded(transaction)?, sealed: sealed(transaction)? };
            Ok((changed, self.copy.write(&strictness)))
        })?;
        let unavailable = |error: FileError| StateError::new(StateKind::Rollout, true, Box::new(error));
        written.map_err(unavailable)?;
        Ok(changed)
    }

    /// Returns queue and pattern of the types of which a sealed task was accepted, of the record and its copy.
    pub(super) fn sealed(&self) -> Result<HashSet<(QueueName, String)>, StateError> {
        let mut found: HashSet<_> = self.file.read(sealed)?.into_iter().collect();
        found.extend(self.copy.read().ok().flatten().unwrap_or_default().sealed);
        Ok(found)
    }

    /// Records modes. Returns the strictest of each pattern, or the modes that are looser than recorded.
    #[expect(clippy::type_complexity, reason = "two outcomes of a call that succeeded")]
    pub(super) fn adopt(
        &self,
        modes: &[(String, Mode)],
    ) -> Result<Result<Vec<(String, Mode)>, Vec<Loosened>>, StateError> {
        self.change_modes(|transaction| {
            let loosened = find_loosened(&recorded(transaction)?, modes);
            if !loosened.is_empty() {
                return Ok(Err(loosened));
            }
            for (pattern, mode) in modes {
                set_mode(transaction, pattern, *mode)?;
            }
            Ok(Ok(modes.to_vec()))
        })
    }

    /// Records modes, except those that are looser than recorded.
    pub(super) fn tighten(&self, modes: &[(String, Mode)]) -> Result<(), StateError> {
        self.change_modes(|transaction| {
            let recorded = recorded(transaction)?;
            for (pattern, mode) in modes {
                if loosened(&recorded, pattern, *mode).is_none() {
                    set_mode(transaction, pattern, *mode)?;
                }
            }
            Ok(())
        })
    }

    pub(super) fn loosen(&self, pattern: &str) -> Result<Vec<(String, Mode)>, StateError> {
        self.change_modes(|transaction| {
            let recorded = recorded(transaction)?;
            let matching: Vec<(String, Mode)> =
                recorded.into_iter().filter(|(other, _)| includes(other, pattern)).collect();
            // A separate record, because a pattern that includes this one stays as strict as it is.
            set_mode(transaction, pattern, Mode::Off)?;
            Ok(matching)
        })
    }

    pub(super) fn add(&self, pending: &Pending) -> Result<(), StateError> {
        self.file.write(|transaction| {
            let mut accepted = transaction.prepare_cached(ADD_ACCEPTED)?;
            for ((pattern, queue), counts) in &pending.accepted {
                let (sealed, unsealed) = (signed(counts.sealed), signed(counts.unsealed));
                let at = |time: Option<UnixMillis>| time.map(|time| time.0);
                let (last_sealed, last_unsealed) = (at(counts.last_sealed_at), at(counts.last_unsealed_at));
                let (detached, last_detached) = (signed(counts.detached), at(counts.last_detached_at));
                let id = &counts.last_unsealed_id;
                let queue = queue.as_str();
                accepted.execute(params![
                    pattern,
                    queue,
                    sealed,
                    unsealed,
                    last_sealed,
                    last_unsealed,
                    id,
                    detached,
                    last_detached
                ])?;
            }
            let mut refused = transaction.prepare_cached(ADD_REFUSED)?;
            for ((pattern, code), (count, at)) in &pending.refused {
                refused.execute(params![pattern, code, signed(*count), at.0])?;
            }
            Ok(())
        })
    }

    pub(super) fn report(&self) -> Result<Vec<TypeReport>, StateError> {
        self.file.read(|connection| {
            let mut types: BTreeMap<String, TypeReport> = BTreeMap::new();
            for (pattern, mode) in recorded(connection)? {
                report_of(&mut types, pattern).strictest = Some(mode);
            }
            let mut statement = connection.prepare("SELECT * FROM accepted ORDER BY pattern, queue")?;
            for (pattern, counts) in read_rows(statement.query([])?, read_counts)? {
                report_of(&mut types, pattern).queues.push(counts);
            }
            let mut statement = connection.prepare("SELECT * FROM refused ORDER BY pattern, code")?;
            for (pattern, count) in read_rows(statement.query([])?, read_refusal)? {
                report_of(&mut types, pattern).refused.push(count);
            }
            Ok(types.into_values().collect())
        })
    }
}

/// Returns what the copy has, for a record that does not exist.
pub(super) fn read_copy(path: &Path) -> Result<Strictness, StateError> {
    Ok(ModesCopy::beside(path).read().map_err(damaged)?.unwrap_or_default())
}

fn damaged(error: FileError) -> StateError {
    StateError::new(StateKind::Rollout, false, Box::new(error))
}

fn report_of(types: &mut BTreeMap<String, TypeReport>, pattern: String) -> &mut TypeReport {
    let new = TypeReport { pattern: pattern.clone(), ..TypeReport::default() };
    types.entry(pattern).or_insert(new)
}

fn recorded(connection: &Connection) -> rusqlite::Result<Vec<(String, Mode)>> {
    let mut statement = connection.prepare("SELECT pattern, strictest FROM mode ORDER BY pattern")?;
    let read = |row: &Row<'_>| {
        let mode = Mode::from_name(row.get_ref(1)?.as_str()?);
        // The table allows no other word.
        Ok((row.get(0)?, mode.unwrap_or(Mode::Enforce)))
    };
    read_rows(statement.query([])?, read)
}

fn sealed(connection: &Connection) -> rusqlite::Result<Vec<(QueueName, String)>> {
    let mut statement = connection.prepare(SEALED)?;
    let rows = read_rows(statement.query([])?, |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let named = |(queue, pattern): (String, _)| Some((QueueName::parse(&queue).ok()?, pattern));
    Ok(rows.into_iter().filter_map(named).collect())
}

fn set_mode(transaction: &Transaction<'_>, pattern: &str, mode: Mode) -> rusqlite::Result<()> {
    transaction.prepare_cached(SET_MODE)?.execute(params![pattern, mode.name()])?;
    Ok(())
}

/// Returns the modes that are looser than recorded.
pub(super) fn find_loosened(recorded: &[(String, Mode)], modes: &[(String, Mode)]) -> Vec<Loosened> {
    let direct = modes.iter().filter_map(|(pattern, mode)| loosened(recorded, pattern, *mode));
    let wider = recorded.iter().filter_map(|(pattern, mode)| loosened_by_wider(modes, pattern, *mode));
    direct.chain(wider).collect()
}

/// Returns whether `mode` is looser than what is recorded of `pattern`. Without a separate record, that of the longest pattern
/// that includes it counts.
fn loosened(recorded: &[(String, Mode)], pattern: &str, mode: Mode) -> Option<Loosened> {
    let including = recorded.iter().filter(|(other, _)| includes(other, pattern));
    let (recorded_pattern, strictest) = including.max_by_key(|(other, _)| (other == pattern, other.len()))?;
    (mode < *strictest).then(|| Loosened {
        pattern: pattern.to_owned(),
        mode,
        recorded_pattern: recorded_pattern.clone(),
        strictest: *strictest,
    })
}

/// Returns whether a recorded pattern that `modes` does not name now has the looser mode of a pattern that includes it.
fn loosened_by_wider(modes: &[(String, Mode)], pattern: &str, strictest: Mode) -> Option<Loosened> {
    let including = modes.iter().filter(|(other, _)| includes(other, pattern));
    let (other, mode) = including.max_by_key(|(other, _)| (other == pattern, other.len()))?;
    (other != pattern && *mode < strictest).then(|| Loosened {
        pattern: pattern.to_owned(),
        mode: *mode,
        recorded_pattern: pattern.to_owned(),
        strictest,
    })
}

/// Returns whether every type of `pattern` is one of `other`.
pub(super) fn includes(other: &str, pattern: &str) -> bool {
    other == pattern || other.strip_suffix('*').is_some_and(|prefix| pattern.starts_with(prefix))
}

fn read_counts(row: &Row<'_>) -> rusqlite::Result<(String, QueueCounts)> {
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(UnixMillis));
    let counts = QueueCounts {
        queue: row.get(1)?,
        sealed: unsigned(row.get(2)?),
        unsealed: unsigned(row.get(3)?),
        last_sealed_at: time(4)?.filter(|at| at.0 != 0),
        last_unsealed_at: time(5)?,
        last_unsealed_id: row.get(6)?,
        detached: unsigned(row.get(7)?),
        last_detached_at: time(8)?,
    };
    Ok((row.get(0)?, counts))
}

fn read_refusal(row: &Row<'_>) -> rusqlite::Result<(String, RefusalCount)> {
    let count =
        RefusalCount { code: row.get(1)?, count: unsigned(row.get(2)?), last_at: UnixMillis(row.get(3)?) };
    Ok((row.get(0)?, count))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
