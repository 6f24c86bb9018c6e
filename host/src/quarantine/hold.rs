//! Storing one entry.

use rusqlite::{OptionalExtension, Transaction, params};

use super::groups::{GroupKey, Groups};
use super::statements::{COUNT_AGAIN, INSERT, REMOVE_RELEASED};
use super::usage::{signed, unsigned};
use super::{EntryId, Held, Limits, MAX_PAYLOAD_LEN, MAX_TASK_ID_LEN, MAX_TEXT_LEN, NewEntry};

/// Stores an entry, or counts one that is already stored, and updates `groups`. If a limit is reached, older
/// entries are evicted. Replaces the entries with which the same task was released.
pub(super) fn hold(
    transaction: &Transaction<'_>,
    entry: &NewEntry,
    limits: &Limits,
    groups: &mut Groups,
) -> rusqlite::Result<Held> {
    let held = hold_one(transaction, entry, limits, groups)?;
    if let Held::New { id } | Held::Again { id, .. } = held {
        remove_released(transaction, groups, entry.queue.as_str(), &entry.digest, Some(id))?;
    }
    Ok(held)
}

/// Removes the released entries of a task. Returns their number.
pub(super) fn remove_released(
    transaction: &Transaction<'_>,
    groups: &mut Groups,
    queue: &str,
    digest: &[u8; 32],
    except: Option<EntryId>,
) -> rusqlite::Result<usize> {
    let except = except.map_or(0, |id| id.0);
    let mut removed = 0;
    while groups.remove(transaction, REMOVE_RELEASED, params![queue, digest, except])? {
        removed += 1;
    }
    Ok(removed)
}

fn hold_one(
    transaction: &Transaction<'_>,
    entry: &NewEntry,
    limits: &Limits,
    groups: &mut Groups,
) -> rusqlite::Result<Held> {
    if entry.payload.len() > MAX_PAYLOAD_LEN || entry.task_id.len() > MAX_TASK_ID_LEN {
        return Ok(Held::TooLong);
    }
    if let Some(again) = count_again(transaction, entry)? {
        return Ok(again);
    }
    let size = size(entry);
    let group = GroupKey::new(entry, truncated(&entry.code));
    if !groups.make_room(transaction, &group, size, limits)? {
        return Ok(Held::Full);
    }
    transaction.prepare_cached(INSERT)?.execute(params![
        entry.queue.as_str(),
        entry.task_id,
        truncated(&entry.code),
        truncated(&entry.detail),
        entry.kid,
        entry.kid_known,
        entry.unverified_type.as_deref().map(truncated),
        entry.unverified_issuer.as_deref().map(truncated),
        entry.digest,
        entry.disposition.as_str(),
        entry.seen_at.0,
        i64::try_from(entry.payload.len()).unwrap_or(i64::MAX),
        signed(size),
        &*entry.payload,
        group.sender
    ])?;
    let id = EntryId(transaction.last_insert_rowid());
    groups.add(&group, size);
    Ok(Held::New { id })
}

fn count_again(transaction: &Transaction<'_>, entry: &NewEntry) -> rusqlite::Result<Option<Held>> {
    let seen = params![
        entry.queue.as_str(),
        entry.task_id,
        truncated(&entry.code),
        entry.digest,
        truncated(&entry.detail),
        entry.kid_known,
        entry.disposition.as_str(),
        entry.seen_at.0
    ];
    let counted =
        |row: &rusqlite::Row<'_>| Ok(Held::Again { id: EntryId(row.get(0)?), count: unsigned(row.get(1)?) });
    transaction.prepare_cached(COUNT_AGAIN)?.query_row(seen, counted).optional()
}

/// Returns the size of the payload, id and texts as they are stored, in bytes.
fn size(entry: &NewEntry) -> u64 {
    let texts = [
        entry.queue.as_str(),
        &entry.task_id,
        truncated(&entry.code),
        truncated(&entry.detail),
        truncated(entry.unverified_type.as_deref().unwrap_or("")),
        truncated(entry.unverified_issuer.as_deref().unwrap_or("")),
    ];
    let size = texts.iter().map(|text| text.len()).sum::<usize>().saturating_add(entry.payload.len());
    u64::try_from(size).unwrap_or(u64::MAX)
}

/// Returns the longest start of `text` that fits and ends at a character boundary.
fn truncated(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT_LEN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}
