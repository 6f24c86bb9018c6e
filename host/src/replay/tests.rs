mod file;
mod memory;

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::time::UnixMillis;

const LEASE: Duration = Duration::from_secs(30);
const NOW: UnixMillis = UnixMillis::from_secs(1_000_000);

fn fresh() -> (TempDir, SqliteLedger) {
    let folder = TempDir::new().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    (folder, ledger)
}

fn query(id: u8) -> ReplayQuery {
    ReplayQuery {
        issuer: "sensor-17".to_owned(),
        task_id: [id; 16],
        digest: [id; 32],
        expires_at: NOW.plus(Duration::from_secs(3600)),
        max_attempts: 5,
        issued_at: None,
        ttl: None,
    }
}

fn acquire(ledger: &SqliteLedger, owner: &str, now: UnixMillis, query: &ReplayQuery) -> Decision {
    let mut admissions = ledger.acquire(owner, now, now.plus(LEASE), std::slice::from_ref(query)).unwrap();
    assert_eq!(admissions.len(), 1);
    admissions.remove(0)
}

fn refused(reason: LedgerRefusal) -> Decision {
    Decision::Refused(reason)
}

/// A time at which a lock acquired at `NOW` has expired `lapses` times over.
fn after(lapses: u32) -> UnixMillis {
    NOW.plus(LEASE * lapses)
}

#[test]
fn done_task_is_a_replay_for_every_owner() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    acquire(&ledger, "a", NOW, &task);
    assert_eq!(ledger.finish("a", &[(task.key(), b"sealed".to_vec())]).unwrap(), [true]);
    assert_eq!(ledger.settled(&[task.key()]).unwrap(), [true]);

    for owner in ["a", "b"] {
        assert_eq!(acquire(&ledger, owner, after(2), &task), refused(LedgerRefusal::Replayed));
    }
    assert_eq!(ledger.settled(&[task.key()]).unwrap(), [true], "settling twice is harmless");
}

#[test]
fn other_envelope_with_a_known_id_is_a_conflict_in_every_state() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    let other = ReplayQuery { digest: [9; 32], ..task.clone() };
    let conflicts = |now| acquire(&ledger, "b", now, &other) == refused(LedgerRefusal::Conflict);

    acquire(&ledger, "a", NOW, &task);
    assert!(conflicts(NOW), "claimed");
    assert!(conflicts(after(2)), "lock expired");
    ledger.release("a", &[task.key()]).unwrap();
    assert!(conflicts(NOW), "waiting");
    acquire(&ledger, "a", NOW, &task);
    ledger.finish("a", &[(task.key(), vec![])]).unwrap();
    assert!(conflicts(NOW), "finished");
    ledger.settled(&[task.key()]).unwrap();
    assert!(conflicts(NOW), "done");
}

#[test]
fn id_is_taken_per_issuer() {
    let (_folder, ledger) = fresh();
    let other = ReplayQuery { issuer: "sensor-18".to_owned(), digest: [9; 32], ..query(1) };

    assert_eq!(acquire(&ledger, "a", NOW, &query(1)), Decision::FirstRun);
    assert_eq!(acquire(&ledger, "a", NOW, &other), Decision::FirstRun);
}

#[test]
fn lock_that_has_not_expired_excludes_every_run_also_of_its_owner() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    let busy = Decision::InProgress { until: after(1) };

    assert_eq!(acquire(&ledger, "a", NOW, &task), Decision::FirstRun);
    for owner in ["a", "b"] {
        assert_eq!(acquire(&ledger, owner, UnixMillis(after(1).0 - 1), &task), busy);
    }
}

#[test]
fn second_copy_in_a_batch_is_in_progress() {
    let (_folder, ledger) = fresh();
    let batch = [query(1), query(2), query(1)];

    let admissions = ledger.acquire("a", NOW, after(1), &batch).unwrap();

    let busy = Decision::InProgress { until: after(1) };
    assert_eq!(admissions, [Decision::FirstRun, Decision::FirstRun, busy]);
}

#[test]
fn third_lost_worker_makes_a_task_poisonous_for_good() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    let poisonous = refused(LedgerRefusal::Poisonous { crashes: 3 });

    assert_eq!(acquire(&ledger, "a", NOW, &task), Decision::FirstRun);
    assert_eq!(acquire(&ledger, "b", after(1), &task), Decision::Redelivery { attempt: 2, crashes: 1 });
    assert_eq!(acquire(&ledger, "c", after(2), &task), Decision::Redelivery { attempt: 3, crashes: 2 });
    ledger.begin("c", &[task.key()]).unwrap();
    assert_eq!(acquire(&ledger, "d", after(3), &task), poisonous);
    assert_eq!(
        acquire(&ledger, "e", after(4), &task),
        poisonous,
        "a refused query does not count as a crash"
    );
}

#[test]
fn attempts_end_at_what_the_issuer_signed() {
    let (_folder, ledger) = fresh();
    let twice = ReplayQuery { max_attempts: 2, ..query(1) };
    let exhausted = refused(LedgerRefusal::AttemptsExhausted);

    assert_eq!(acquire(&ledger, "a", NOW, &twice), Decision::FirstRun);
    ledger.release("a", &[twice.key()]).unwrap();
    assert_eq!(acquire(&ledger, "a", NOW, &twice), Decision::Redelivery { attempt: 2, crashes: 0 });
    ledger.release("a", &[twice.key()]).unwrap();
    assert_eq!(acquire(&ledger, "a", NOW, &twice), exhausted);

    let never = ReplayQuery { max_attempts: 0, ..query(2) };
    assert_eq!(acquire(&ledger, "a", NOW, &never), exhausted);
}

#[test]
fn time_to_live_counts_from_the_first_attempt_and_excludes_later_ones() {
    let (_folder, ledger) = fresh();
    let brief = ReplayQuery { ttl: Some(3 * LEASE), ..query(1) };
    let end = NOW.plus(3 * LEASE);
    let last = UnixMillis(end.0 - 1);

    assert_eq!(acquire(&ledger, "a", NOW, &brief), Decision::FirstRun);
    assert_eq!(acquire(&ledger, "b", last, &brief), Decision::Redelivery { attempt: 2, crashes: 1 });
    ledger.release("b", &[brief.key()]).unwrap();
    assert_eq!(acquire(&ledger, "c", end, &brief), refused(LedgerRefusal::Expired));

    assert_eq!(acquire(&ledger, "c", last, &brief), Decision::Redelivery { attempt: 3, crashes: 1 });
    assert!(matches!(acquire(&ledger, "d", end, &brief), Decision::InProgress { .. }), "it began in time");
    assert_eq!(acquire(&ledger, "d", end.plus(LEASE), &brief), refused(LedgerRefusal::Expired));
}

#[test]
fn time_to_live_does_not_count_from_an_attempt_that_was_given_back_or_never_began() {
    let (_folder, ledger) = fresh();
    let brief = ReplayQuery { ttl: Some(LEASE), max_attempts: 1, ..query(1) };

    assert_eq!(acquire(&ledger, "a", NOW, &brief), Decision::FirstRun);
    ledger.give_back("a", &[brief.key()]).unwrap();
    assert_eq!(acquire(&ledger, "b", after(2), &brief), Decision::FirstRun);
    assert_eq!(acquire(&ledger, "c", after(4), &brief), Decision::FirstRun);

    let twice = ReplayQuery { max_attempts: 2, ..brief };
    ledger.release("c", &[twice.key()]).unwrap();
    let last = UnixMillis(after(5).0 - 1);
    assert_eq!(acquire(&ledger, "d", last, &twice), Decision::Redelivery { attempt: 2, crashes: 0 });
    ledger.give_back("d", &[twice.key()]).unwrap();
    assert_eq!(acquire(&ledger, "d", after(5), &twice), refused(LedgerRefusal::Expired));
}

#[test]
fn task_that_ended_is_settled_or_replayed_whatever_its_time_to_live() {
    let (_folder, ledger) = fresh();
    let brief = ReplayQuery { ttl: Some(LEASE), ..query(1) };
    let late = NOW.plus(10 * LEASE);
    acquire(&ledger, "a", NOW, &brief);
    ledger.finish("a", &[(brief.key(), b"sealed".to_vec())]).unwrap();

    assert_eq!(acquire(&ledger, "b", late, &brief), Decision::Finished { outcome: b"sealed".to_vec() });
    ledger.settled(&[brief.key()]).unwrap();
    assert_eq!(acquire(&ledger, "b", late, &brief), refused(LedgerRefusal::Replayed));
}

#[test]
fn lost_worker_used_its_attempt() {
    let (_folder, ledger) = fresh();
    let once = ReplayQuery { max_attempts: 1, ..query(1) };

    acquire(&ledger, "a", NOW, &once);
    assert_eq!(ledger.begin("a", &[once.key()]).unwrap(), [true]);

    assert_eq!(acquire(&ledger, "b", after(1), &once), refused(LedgerRefusal::AttemptsExhausted));
    assert_eq!(ledger.stats().unwrap().waiting, 1);
}

#[test]
fn worker_lost_before_the_last_attempt_began_has_not_used_it() {
    let (_folder, ledger) = fresh();
    let (once, twice) =
        (ReplayQuery { max_attempts: 1, ..query(1) }, ReplayQuery { max_attempts: 2, ..query(2) });

    for lapses in 0..5 {
        assert_eq!(acquire(&ledger, "a", after(lapses), &once), Decision::FirstRun);
    }
    assert_eq!(acquire(&ledger, "a", NOW, &twice), Decision::FirstRun);
    ledger.release("a", &[twice.key()]).unwrap();
    for lapses in 0..5 {
        let again = Decision::Redelivery { attempt: 2, crashes: 0 };
        assert_eq!(acquire(&ledger, "b", after(lapses), &twice), again);
    }
}

#[test]
fn worker_lost_before_a_suspect_began_does_not_make_it_poisonous() {
    let (_folder, ledger) = fresh();
    let task = query(1);

    acquire(&ledger, "a", NOW, &task);
    acquire(&ledger, "b", after(1), &task);
    for lapses in 2..7 {
        let suspect = Decision::Redelivery { attempt: 3, crashes: 2 };
        assert_eq!(acquire(&ledger, "c", after(lapses), &task), suspect);
    }
}

#[test]
fn last_attempt_does_not_begin_without_its_lock() {
    let (_folder, ledger) = fresh();
    let once = ReplayQuery { max_attempts: 1, ..query(1) };
    let begin = |owner| ledger.begin(owner, &[once.key()]).unwrap();

    acquire(&ledger, "a", NOW, &once);
    assert_eq!(acquire(&ledger, "b", after(1), &once), Decision::FirstRun);

    assert_eq!((begin("a"), begin("b")), (vec![false], vec![true]));
    // That of another owner counts, and that of an earlier one did not.
    assert_eq!(acquire(&ledger, "c", after(2), &once), refused(LedgerRefusal::AttemptsExhausted));
    assert_eq!(begin("b"), [false]);
}

#[test]
fn archived_task_may_be_run_again_by_an_operator() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    acquire(&ledger, "a", NOW, &task);

    assert_eq!(ledger.release("a", &[task.key()]).unwrap(), [true]);

    assert_eq!(acquire(&ledger, "b", NOW, &task), Decision::Redelivery { attempt: 2, crashes: 0 });
}

#[test]
fn task_given_back_unrun_has_used_no_attempt() {
    let (_folder, ledger) = fresh();
    let once = ReplayQuery { max_attempts: 1, ..query(1) };

    for _ in 0..4 {
        assert_eq!(acquire(&ledger, "a", NOW, &once), Decision::FirstRun);
        assert_eq!(ledger.give_back("a", &[once.key()]).unwrap(), [true]);
    }
}

#[test]
fn finished_task_keeps_its_outcome_until_it_is_settled() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    acquire(&ledger, "a", NOW, &task);
    ledger.finish("a", &[(task.key(), b"sealed".to_vec())]).unwrap();

    let finished = Decision::Finished { outcome: b"sealed".to_vec() };
    assert_eq!(acquire(&ledger, "b", after(9), &task), finished);
    assert_eq!(acquire(&ledger, "b", after(9), &task), finished);
}

#[test]
fn owner_that_lost_its_lock_changes_nothing() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    let keys = [task.key()];
    acquire(&ledger, "a", NOW, &task);
    acquire(&ledger, "b", after(1), &task);

    assert_eq!(ledger.extend("a", &keys, after(9)).unwrap(), [false]);
    assert_eq!(ledger.release("a", &keys).unwrap(), [false]);
    assert_eq!(ledger.give_back("a", &keys).unwrap(), [false]);
    assert_eq!(ledger.finish("a", &[(task.key(), vec![1])]).unwrap(), [false]);
    assert_eq!(ledger.settled(&keys).unwrap(), [false]);

    assert_eq!(acquire(&ledger, "c", after(1), &task), Decision::InProgress { until: after(2) });
}

#[test]
fn expired_lock_that_no_other_owner_acquired_can_be_extended_and_finished() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    acquire(&ledger, "a", NOW, &task);

    assert_eq!(ledger.extend("a", &[task.key(), query(2).key()], after(5)).unwrap(), [true, false]);

    assert_eq!(acquire(&ledger, "b", after(4), &task), Decision::InProgress { until: after(5) });
    assert_eq!(ledger.finish("a", &[(task.key(), vec![])]).unwrap(), [true]);
}

#[test]
fn misuse_and_oversized_outcomes_change_nothing() {
    let (_folder, ledger) = fresh();
    let (first, second) = (query(1), query(2));
    let over = ledger.acquire("a", NOW, NOW, std::slice::from_ref(&first));
    assert!(matches!(over, Err(StateError::AlreadyExpired)));

    ledger.acquire("a", NOW, after(1), &[first.clone(), second.clone()]).unwrap();
    let outcomes = [(first.key(), vec![1]), (second.key(), vec![0; MAX_OUTCOME_LEN + 1])];
    let long = ledger.finish("a", &outcomes);
    assert!(matches!(long, Err(StateError::OutcomeTooLong { .. })));
    assert_eq!(ledger.stats().unwrap().locked, 2);

    let longest = [(second.key(), vec![7; MAX_OUTCOME_LEN])];
    assert_eq!(ledger.finish("a", &longest).unwrap(), [true]);
    let Decision::Finished { outcome } = acquire(&ledger, "b", NOW, &second) else { panic!("not finished") };
    assert_eq!(outcome, longest[0].1);
}
