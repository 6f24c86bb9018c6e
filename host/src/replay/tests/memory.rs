//! How long tasks are remembered.

use super::*;

#[test]
fn expired_task_is_remembered_until_the_margin_has_passed() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    acquire(&ledger, "a", NOW, &task);
    ledger.finish("a", &[(task.key(), vec![])]).unwrap();
    ledger.settled(&[task.key()]).unwrap();

    let end = task.expires_at.plus(SWEEP_MARGIN);
    assert_eq!(ledger.sweep(end, 100).unwrap(), 0);
    assert_eq!(acquire(&ledger, "b", end, &task), refused(LedgerRefusal::Replayed));
    assert_eq!(ledger.sweep(UnixMillis(end.0 + 1), 100).unwrap(), 1);
    assert_eq!(ledger.stats().unwrap().done, 0);
}

#[test]
fn outcome_that_the_queue_has_not_taken_is_remembered_for_a_day_past_the_expiry_of_its_task() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    acquire(&ledger, "a", NOW, &task);
    let late = task.expires_at.plus(SWEEP_MARGIN * 2);
    ledger.extend("a", &[task.key()], late.plus(LEASE)).unwrap();
    ledger.finish("a", &[(task.key(), vec![7])]).unwrap();

    assert_eq!(ledger.sweep(late, 100).unwrap(), 0);
    let asked = ReplayQuery { expires_at: UnixMillis(i64::MAX), ..task.clone() };
    assert_eq!(acquire(&ledger, "b", late, &asked), Decision::Finished { outcome: vec![7] });
    let end = task.expires_at.plus(OUTCOME_MARGIN);
    assert_eq!(ledger.sweep(end, 100).unwrap(), 0);
    assert_eq!(ledger.sweep(UnixMillis(end.0 + 1), 100).unwrap(), 1);
}

#[test]
fn clock_set_back_does_not_let_a_forgotten_task_run_again() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    acquire(&ledger, "a", NOW, &task);
    ledger.finish("a", &[(task.key(), vec![])]).unwrap();
    ledger.settled(&[task.key()]).unwrap();
    let far = UnixMillis::from_secs(9_000_000);
    assert_eq!(ledger.sweep(far, 100).unwrap(), 1);

    assert_eq!(acquire(&ledger, "a", NOW, &task), refused(LedgerRefusal::Replayed));

    // A clock that was wrong by weeks for a moment does not lock later tasks out.
    let floor = ledger.stats().unwrap().floor;
    assert_eq!(floor, task.expires_at.plus(SWEEP_MARGIN));
    let later = ReplayQuery { expires_at: UnixMillis(floor.0 + 1), ..query(2) };
    assert_eq!(acquire(&ledger, "a", NOW, &later), Decision::FirstRun);
    ledger.sweep(NOW, 100).unwrap();
    assert_eq!(ledger.stats().unwrap().floor, floor, "it never sinks");
}

#[test]
fn raised_tolerance_for_skew_does_not_let_a_forgotten_task_run_again() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    acquire(&ledger, "a", NOW, &task);
    ledger.sweep(task.expires_at.plus(SWEEP_MARGIN * 2), 100).unwrap();

    let tolerated = ReplayQuery { expires_at: task.expires_at.plus(SWEEP_MARGIN), ..task };
    assert_eq!(acquire(&ledger, "a", NOW, &tolerated), refused(LedgerRefusal::Replayed));
}

#[test]
fn sweep_forgets_the_earliest_first_and_spares_locked_tasks() {
    let (_folder, ledger) = fresh();
    let expiring =
        |id: u8| ReplayQuery { expires_at: NOW.plus(Duration::from_secs(u64::from(id))), ..query(id) };
    ledger.acquire("a", NOW, after(1), &[expiring(3), expiring(1), expiring(2)]).unwrap();
    let late = NOW.plus(SWEEP_MARGIN * 2);
    ledger.extend("a", &[expiring(1).key()], late.plus(LEASE)).unwrap();

    assert_eq!(ledger.sweep(late, 1).unwrap(), 1);

    let floor = expiring(2).expires_at.plus(SWEEP_MARGIN);
    assert_eq!(ledger.stats().unwrap().floor, floor);
    assert_eq!(ledger.sweep(late, 100).unwrap(), 1);
    assert_eq!(ledger.sweep(late, 100).unwrap(), 0);
    assert_eq!(ledger.finish("a", &[(expiring(1).key(), vec![])]).unwrap(), [true]);
}

#[test]
fn redelivery_with_a_later_expiry_is_remembered_longer() {
    let (_folder, ledger) = fresh();
    let task = query(1);
    let longer = ReplayQuery { expires_at: task.expires_at.plus(SWEEP_MARGIN), ..task.clone() };
    acquire(&ledger, "a", NOW, &task);
    acquire(&ledger, "a", after(1), &longer);

    assert_eq!(ledger.sweep(UnixMillis(longer.expires_at.plus(SWEEP_MARGIN).0), 9).unwrap(), 0);
}
