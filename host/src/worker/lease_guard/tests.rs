use std::ops::ControlFlow::{Break, Continue};

use super::*;
use crate::broker::LeaseToken;

const LEASE: Duration = Duration::from_secs(60);
const MARGIN: Duration = Duration::from_secs(10);

fn key() -> TaskKey {
    TaskKey { issuer: "shop".to_owned(), task_id: [7; 16] }
}

/// Adds a lease to `table`, without a ledger entry.
fn leased(table: &Arc<LeaseTable>) -> LeaseGuard {
    let lease = Lease::new("task".to_owned(), LeaseToken::from_bytes([1; 16]));
    let queue = QueueName::parse("mail").unwrap();
    LeaseGuard::new(table, &queue, &lease, UnixMillis::now().plus(LEASE))
}

/// Adds a lease to `table`, with the ledger entry held for `entry`.
fn acquired(table: &Arc<LeaseTable>, entry: Duration) -> LeaseGuard {
    let guard = leased(table);
    guard.acquired(key(), UnixMillis::now().plus(entry));
    guard
}

#[test]
fn task_with_lease_and_ledger_entry_may_start() {
    let guard = acquired(&Arc::default(), LEASE);
    assert_eq!(guard.still_runnable(Phase::Running, MARGIN), Continue(()));
}

#[test]
fn task_without_ledger_entry_is_given_back() {
    let guard = leased(&Arc::default());
    assert_eq!(guard.still_runnable(Phase::Running, MARGIN), Break(Interruption::GiveBack));
}

#[test]
fn task_whose_ledger_entry_expires_within_the_margin_is_given_back() {
    let guard = acquired(&Arc::default(), MARGIN / 2);
    assert_eq!(guard.still_runnable(Phase::Running, MARGIN), Break(Interruption::GiveBack));
    assert_eq!(guard.still_held(), Continue(()));
    guard.entry_extended(UnixMillis::now().plus(LEASE));
    assert_eq!(guard.still_runnable(Phase::Running, MARGIN), Continue(()));
}

#[test]
fn no_task_starts_once_the_worker_drains() {
    let guard = acquired(&Arc::default(), LEASE);
    for phase in [Phase::Draining, Phase::Stopping, Phase::Stopped] {
        assert_eq!(guard.still_runnable(phase, MARGIN), Break(Interruption::GiveBack));
        assert_eq!(guard.still_held(), Continue(()));
    }
}

#[test]
fn lost_lease_is_reported_once_and_ends_its_task() {
    let table = Arc::default();
    let guard = acquired(&table, LEASE);
    assert!(guard.mark_lost() && !guard.mark_lost());
    assert_eq!(guard.still_runnable(Phase::Running, MARGIN), Break(Interruption::LeaseLost));
    assert_eq!(guard.still_held(), Break(Interruption::LeaseLost));
    assert_eq!(guard.cancellation(), Interruption::LeaseLost);
    table.cancel_all();
    assert_eq!(guard.cancellation(), Interruption::LeaseLost);
}

#[tokio::test]
async fn cancellation_of_all_tasks_stops_handlers_that_run_and_those_that_start_later() {
    let table = Arc::default();
    let guard = acquired(&table, LEASE);
    let running = tokio::spawn(std::future::pending::<()>());
    guard.cancel_with(running.abort_handle());
    table.cancel_all();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(guard.still_held(), Break(Interruption::GiveBack));
    let later = tokio::spawn(std::future::pending::<()>());
    guard.cancel_with(later.abort_handle());
    assert!(later.await.unwrap_err().is_cancelled());
}

#[test]
fn heartbeat_does_not_report_the_loss_of_a_completed_task() {
    let table = Arc::default();
    let (running, completed) = (acquired(&table, LEASE), acquired(&table, LEASE));
    completed.completed();
    let later = UnixMillis::now().plus(LEASE * 2);
    let mut lost: Vec<String> = table.expiring(later).into_iter().filter_map(|id| table.lose(id)).collect();
    assert_eq!(lost.pop().as_deref(), Some("task"));
    assert!(lost.is_empty());
    assert_eq!(running.still_held(), Break(Interruption::LeaseLost));
    assert_eq!(completed.still_held(), Continue(()));
}

#[test]
fn dropped_guard_ends_the_heartbeat_of_its_lease() {
    let table: Arc<LeaseTable> = Arc::default();
    let guard = acquired(&table, LEASE);
    assert!(table.is_in_flight(&key()) && !table.is_empty());
    drop(guard);
    assert!(!table.is_in_flight(&key()) && table.is_empty());
    assert!(table.entries().is_empty() && table.leases(&QueueName::parse("mail").unwrap()).is_empty());
}
