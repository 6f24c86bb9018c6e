use std::ops::ControlFlow::{Break, Continue};

use std::time::Duration;

use super::*;
use crate::broker::LeaseToken;

const LEASE: Duration = Duration::from_secs(60);
const START: UnixMillis = UnixMillis(1_000_000);
/// Ten seconds after [`START`].
const MARGIN: UnixMillis = UnixMillis(1_010_000);

fn key() -> TaskKey {
    TaskKey { issuer: "shop".to_owned(), task_id: [7; 16] }
}

/// Adds a lease to `table`, without a lock.
fn leased(table: &Arc<LeaseTable>) -> LeaseGuard {
    let lease = Lease::new("task".to_owned(), LeaseToken::from_bytes([1; 16]));
    let queue = QueueName::parse("mail").unwrap();
    LeaseGuard::new(table, &queue, &lease)
}

/// Adds a lease to `table`, with a lock held for `lock` from [`START`] on.
fn locked(table: &Arc<LeaseTable>, lock: Duration) -> LeaseGuard {
    let guard = leased(table);
    guard.locked(key(), START.plus(lock));
    guard
}

#[test]
fn task_with_a_lock_may_start() {
    let guard = locked(&Arc::default(), LEASE);
    assert_eq!(guard.still_runnable(Phase::Running, MARGIN), Continue(()));
}

#[test]
fn task_without_a_lock_is_given_back() {
    let guard = leased(&Arc::default());
    assert_eq!(guard.still_runnable(Phase::Running, MARGIN), Break(Interruption::GiveBack));
}

#[test]
fn task_whose_lock_expires_within_the_margin_is_given_back() {
    let guard = locked(&Arc::default(), Duration::from_secs(5));
    assert_eq!(guard.still_runnable(Phase::Running, MARGIN), Break(Interruption::GiveBack));
    assert_eq!(guard.still_locked(), Continue(()));
    guard.lock_extended(START.plus(LEASE));
    assert_eq!(guard.still_runnable(Phase::Running, MARGIN), Continue(()));
}

#[test]
fn no_task_starts_once_the_worker_drains() {
    let guard = locked(&Arc::default(), LEASE);
    for phase in [Phase::Draining, Phase::Stopping, Phase::Stopped] {
        assert_eq!(guard.still_runnable(phase, MARGIN), Break(Interruption::GiveBack));
        assert_eq!(guard.still_locked(), Continue(()));
    }
}

#[test]
fn lost_lock_is_reported_once_and_ends_its_task() {
    let table = Arc::default();
    let guard = locked(&table, LEASE);
    assert!(guard.mark_lock_lost() && !guard.mark_lock_lost());
    assert_eq!(guard.still_runnable(Phase::Running, MARGIN), Break(Interruption::LockLost));
    assert_eq!(guard.still_locked(), Break(Interruption::LockLost));
    assert_eq!(guard.cancellation(), Interruption::LockLost);
    table.cancel_all();
    assert_eq!(guard.cancellation(), Interruption::LockLost);
}

#[test]
fn lost_lease_is_reported_once_and_ends_no_task() {
    let table = Arc::default();
    let guard = locked(&table, LEASE);
    let queue = QueueName::parse("mail").unwrap();
    let (id, _) = table.leases(&queue).remove(0);
    assert_eq!(table.lose_lease(id).as_deref(), Some("task"));
    assert_eq!(table.lose_lease(id), None);
    assert!(!guard.mark_lease_lost());
    assert_eq!(guard.still_runnable(Phase::Running, MARGIN), Continue(()));
    // It is not extended again, and the lock still is.
    assert!(table.leases(&queue).is_empty() && table.locks().len() == 1);
}

#[tokio::test]
async fn cancellation_of_all_tasks_stops_handlers_that_run_and_those_that_start_later() {
    let table = Arc::default();
    let guard = locked(&table, LEASE);
    let running = tokio::spawn(std::future::pending::<()>());
    guard.cancel_with(running.abort_handle());
    table.cancel_all();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(guard.still_locked(), Break(Interruption::GiveBack));
    let later = tokio::spawn(std::future::pending::<()>());
    guard.cancel_with(later.abort_handle());
    assert!(later.await.unwrap_err().is_cancelled());
}

#[test]
fn heartbeat_does_not_report_the_loss_of_a_completed_task() {
    let table = Arc::default();
    let (running, completed) = (locked(&table, LEASE), locked(&table, LEASE));
    completed.completed();
    let later = START.plus(LEASE * 2);
    let mut lost: Vec<String> =
        table.expiring(later).into_iter().filter_map(|id| table.lose_lock(id)).collect();
    assert_eq!(lost.pop().as_deref(), Some("task"));
    assert!(lost.is_empty());
    assert_eq!(running.still_locked(), Break(Interruption::LockLost));
    assert_eq!(completed.still_locked(), Continue(()));
}

#[test]
fn dropped_guard_ends_the_heartbeat_of_its_lease() {
    let table: Arc<LeaseTable> = Arc::default();
    let guard = locked(&table, LEASE);
    assert!(table.is_in_flight(&key()) && !table.is_empty());
    drop(guard);
    assert!(!table.is_in_flight(&key()) && table.is_empty());
    assert!(table.locks().is_empty() && table.leases(&QueueName::parse("mail").unwrap()).is_empty());
}
