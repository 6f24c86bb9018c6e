//! The file of the ledger: commits, indexes, a lost or emptied file, and the time that it records.

use super::*;

#[test]
fn failure_in_the_middle_of_a_batch_locks_nothing() {
    let (folder, ledger) = fresh();
    let path = folder.path().join("ledger.db");
    // 2^32 attempts, which no ledger writes, cannot be read back.
    acquire(&ledger, "a", NOW, &query(2));
    Connection::open(&path).unwrap().execute("UPDATE task SET attempts = 4294967296", []).unwrap();

    let answer = ledger.acquire("a", NOW, after(1), &[query(1), query(2)]);

    assert!(matches!(answer, Err(StateError::Unusable { .. })), "{answer:?}");
    assert_eq!(acquire(&ledger, "a", NOW, &query(1)), Decision::FirstRun);
}

#[test]
fn commits_are_on_disk_before_a_call_returns() {
    let (_folder, ledger) = fresh();
    let writer = lock_writer(&ledger);
    let full: i64 = writer.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();

    assert_eq!((full, mode.as_str()), (2, "wal"));
}

#[test]
fn sweep_and_acquire_find_their_rows_by_index() {
    let (_folder, ledger) = fresh();
    let writer = lock_writer(&ledger);
    let plan = |sql: &str| {
        let mut statement = writer.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // Unbound, since a plan does not depend on the values.
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get::<_, String>(3).unwrap());
        }
        steps.join("; ")
    };

    let found = plan(sqlite::statements::FIND);
    assert!(found.contains("(issuer=? AND task_id=?)"), "{found}");
    let swept = plan(sqlite::statements::FORGET);
    assert!(swept.contains("task_by_expiry (expires_at<?)") && !swept.contains("TEMP"), "{swept}");
}

#[test]
fn new_ledger_is_reported_once_and_keeps_its_id() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let missing = SqliteLedger::open_existing(&path);
    assert!(matches!(missing, Err(StateError::Missing { .. })));
    assert!(!path.exists());

    let first = SqliteLedger::open(&path).unwrap();
    let second = SqliteLedger::open_existing(&path).unwrap();

    assert!(first.is_new() && !second.is_new());
    assert_eq!(first.stats().unwrap(), second.stats().unwrap());
    let other = SqliteLedger::open(Path::new(&folder.path().join("other.db"))).unwrap();
    assert_ne!(first.stats().unwrap().id, other.stats().unwrap().id);
}

#[test]
fn ledger_that_replaces_a_lost_one_refuses_what_was_issued_before_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = SqliteLedger::create(&path, false).unwrap();
    assert!(matches!(SqliteLedger::create(&path, true), Err(StateError::Exists { .. })));
    let created_at = ledger.stats().unwrap().created_at;
    let issued = |id, at| ReplayQuery { issued_at: at, expires_at: UnixMillis(i64::MAX), ..query(id) };

    let refused = Decision::Refused(LedgerRefusal::OlderThanLedger);
    let earlier = UnixMillis(created_at.0 - 1000);
    assert_eq!(acquire(&ledger, "a", NOW, &issued(1, Some(earlier))), refused);
    // An issuer without a clock does not say that the task is new.
    assert_eq!(acquire(&ledger, "a", NOW, &issued(2, None)), refused);
    let later = UnixMillis(created_at.0 + 1000);
    assert_eq!(acquire(&ledger, "a", NOW, &issued(3, Some(later))), Decision::FirstRun);
}

#[test]
fn ledger_that_lost_its_identity_refuses_what_was_issued_before() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let lost = SqliteLedger::open(&path).unwrap();
    lost.writer.write(|file| file.execute("DELETE FROM identity", [])).unwrap();
    drop(lost);

    let ledger = SqliteLedger::open_existing(&path).unwrap();

    let refused = Decision::Refused(LedgerRefusal::OlderThanLedger);
    let issued = |id, at| ReplayQuery { issued_at: Some(at), ..query(id) };
    assert_eq!(acquire(&ledger, "a", NOW, &issued(1, NOW)), refused);
    // By a clock that is ahead by as much as a worker tolerates: the lost ledger may have recorded it.
    let ahead = UnixMillis::now().plus(Duration::from_secs(299));
    assert_eq!(acquire(&ledger, "a", NOW, &issued(2, ahead)), refused);
    let later = UnixMillis::now().plus(Duration::from_secs(301));
    assert_eq!(acquire(&ledger, "a", NOW, &issued(3, later)), Decision::FirstRun);
}

#[test]
fn decision_about_a_task_records_the_time_of_the_host_and_never_an_earlier_one() {
    let (_folder, ledger) = fresh();
    let set = |latest: i64| {
        ledger.writer.write(|file| file.execute("UPDATE identity SET latest = ?1", [latest])).unwrap();
    };
    let before = UnixMillis::now();
    set(0);
    acquire(&ledger, "a", NOW, &query(1));
    assert!(ledger.latest().unwrap() >= before);

    let later = before.plus(Duration::from_secs(3600));
    set(later.0);
    acquire(&ledger, "a", NOW, &query(2));
    assert_eq!(ledger.latest().unwrap(), later);
    ledger.accept_clock().unwrap();
    assert!(ledger.latest().unwrap() < later);
}

#[test]
fn file_of_another_kind_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notes.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE note (text TEXT)").unwrap();

    assert!(matches!(SqliteLedger::open(&path), Err(StateError::Unusable { .. })));
}

fn lock_writer(ledger: &SqliteLedger) -> std::sync::MutexGuard<'_, Connection> {
    ledger.writer.connection()
}
