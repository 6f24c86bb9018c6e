//! The behaviours that every broker must have, each a function that runs against a store.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::indexing_slicing)]

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use taskseal::broker::{
    ArchiveLimits, Broker, Lease, Leased, NewTask, QueueStats, Recovered, Settled, Settlement, TaskInfo,
    TaskRecord, TaskState,
};
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;

pub mod damage;
pub mod enqueue;
pub mod lease;
pub mod operate;
pub mod recover;
pub mod settle;
pub mod sharing;
pub mod statuses;
pub mod upkeep;

/// An empty store of one kind of broker, and an attacker's access to it.
#[async_trait]
pub trait Store: Send + Sync {
    /// Opens a separate handle, as another process would.
    async fn open(&self) -> Arc<dyn Broker> {
        self.open_with(ArchiveLimits::default()).await
    }

    /// Opens a handle with these limits of the archive.
    async fn open_with(&self, archive: ArchiveLimits) -> Arc<dyn Broker>;

    /// Overwrites the stored message of a task by bytes that no decoder understands.
    async fn damage(&self, queue: &QueueName, id: &str, bytes: &[u8]);

    /// Deletes the stored message of a task and leaves its id in the lists.
    async fn lose(&self, queue: &QueueName, id: &str);

    /// Deletes the lease of an active task and leaves the task active.
    async fn lose_lease(&self, queue: &QueueName, id: &str);
}

/// Mounts the suite: one test a behaviour, each with a fresh `$store`, an expression that is a [`Store`].
#[macro_export]
macro_rules! conformance {
    ($store:expr) => {
        $crate::conformance! { @mount $store;
            enqueue {
                enqueue_of_nothing_stores_nothing,
                enqueue_answers_in_the_order_of_the_tasks,
                enqueue_of_another_payload_under_a_known_id_is_a_conflict_and_changes_nothing,
                enqueue_of_a_stored_task_changes_nothing_whatever_its_state,
                dequeued_records_equal_the_enqueued_ones,
                payloads_keep_every_byte_value,
                payload_of_16_mib_comes_out_whole,
                ids_are_kept_whatever_characters_they_have,
                thousand_tasks_in_one_call_keep_their_order,
                queues_do_not_see_each_other,
                queues_are_listed_by_name_once_a_task_was_enqueued,
                task_for_the_past_is_pending_at_once,
                task_for_later_is_not_handed_out_before_its_time,
                task_for_later_is_handed_out_after_its_time,
            }
            lease {
                dequeue_of_an_empty_queue_hands_out_nothing,
                dequeue_of_no_tasks_hands_out_none,
                dequeue_hands_out_every_task_once_and_the_oldest_first,
                dequeue_of_a_thousand_tasks_in_one_call,
                every_lease_has_its_own_token,
                paused_queue_hands_out_nothing_until_it_is_resumed,
                extend_tells_which_leases_are_held,
                extended_lease_does_not_run_out,
            }
            settle {
                settle_of_nothing_answers_nothing,
                settle_with_the_token_of_another_lease_changes_nothing,
                settle_of_an_unknown_task_is_a_lost_lease,
                settle_twice_changes_nothing_the_second_time,
                settle_of_one_lease_twice_in_one_call_counts_once,
                settle_answers_in_the_order_of_the_ends,
                done_task_is_gone_and_its_id_free,
                completed_task_is_kept_with_its_result,
                retried_task_waits_for_its_delay,
                every_failed_attempt_counts_one_retry_and_replaces_the_last_error,
                retry_without_a_failure_is_not_counted,
                retried_tasks_become_pending_in_the_order_of_their_delays,
                archived_task_is_kept_and_never_handed_out,
                requeued_task_is_next_in_line,
                tasks_requeued_together_keep_their_order,
            }
            recover {
                lease_that_runs_is_not_recovered,
                lease_that_ran_out_puts_the_task_back_in_front,
                tasks_recovered_together_keep_their_order,
                recover_takes_no_more_than_its_limit,
                late_settle_of_a_recovered_task_changes_nothing,
                late_settle_of_a_task_leased_to_another_changes_nothing,
                late_extend_is_refused,
                task_is_recovered_however_many_of_its_leases_expire,
            }
            upkeep {
                health_of_a_broker_in_order_is_found_without_a_change,
                forward_moves_no_more_than_its_limit,
                forward_leaves_what_is_not_due,
                tidy_deletes_completed_tasks_past_their_retention_only,
                tidy_deletes_no_more_than_its_limit,
                archived_tasks_beyond_the_limit_are_deleted_by_tidy_oldest_first_and_counted,
                archived_tasks_past_the_age_limit_are_deleted_by_tidy_and_counted,
                active_task_without_a_lease_is_repaired_and_recovered,
                pausing_twice_changes_nothing_the_second_time,
                unknown_queue_is_empty,
                unknown_task_is_not_found,
                list_pages_through_a_state_in_order,
                find_tells_the_state_of_every_task,
                statistics_equal_what_lists_show_after_every_step,
            }
            operate {
                run_makes_every_waiting_and_archived_task_pending,
                archive_keeps_every_task_that_waits,
                delete_removes_every_task_that_no_worker_holds,
                operation_repeated_changes_nothing,
                queue_with_tasks_is_deleted_only_on_request_and_never_while_one_is_active,
            }
            statuses {
                status_of_a_process_replaces_its_previous_one,
                status_ends_with_its_time_or_when_it_is_withdrawn,
                status_that_is_too_long_is_not_returned,
            }
            damage {
                damaged_message_is_reported_archived_whole_and_stops_no_other_task,
                damaged_messages_do_not_take_the_place_of_good_ones,
                damaged_task_that_is_active_does_not_stop_the_recovery_of_others,
                damaged_task_is_listed_without_a_record,
                lost_message_is_dropped_and_stops_no_other_task,
                lost_message_of_an_active_task_is_dropped_by_recover,
                lost_message_does_not_block_its_id,
            }
            sharing {
                new_handle_sees_everything_that_was_acknowledged,
                task_leased_through_one_handle_is_settled_through_another,
                two_handles_enqueueing_the_same_tasks_store_each_once,
                four_consumers_on_two_handles_share_ten_thousand_tasks_and_none_twice,
                wait_ends_when_another_handle_enqueues,
                wait_ends_at_its_timeout,
            }
        }
    };
    (@mount $store:expr; $($subject:ident { $($behaviour:ident,)* })*) => {
        $(mod $subject {
            #[allow(unused_imports)]
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let store = $store;
                $crate::conformance::$subject::$behaviour(&store).await;
            })*
        })*

        #[test]
        fn every_behaviour_is_mounted() {
            $({
                let mounted = [$(stringify!($behaviour)),*];
                let written = include_str!(concat!("../support/conformance/", stringify!($subject), ".rs"));
                let written: Vec<&str> = written
                    .lines()
                    .filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next())
                    .collect();
                assert_eq!(mounted.as_slice(), written);
            })*
        }
    };
}

/// Maximum time to wait for an event that must occur.
const DEADLINE: Duration = Duration::from_secs(60);

/// The states that our brokers give to tasks; asynq has another one.
pub(crate) const OURS: [TaskState; 6] = [
    TaskState::Pending,
    TaskState::Active,
    TaskState::Scheduled,
    TaskState::Retry,
    TaskState::Archived,
    TaskState::Completed,
];

/// Longer than any test runs.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// Shorter than the time between two calls.
pub(crate) const SHORT: Duration = Duration::from_millis(1);

pub(crate) fn queue() -> QueueName {
    QueueName::parse("mail").unwrap()
}

pub(crate) fn record(id: &str) -> TaskRecord {
    TaskRecord {
        task_type: "email:deliver".into(),
        envelope: format!("payload of {id}").into(),
        id: id.into(),
        queue: "mail".into(),
        max_retries: Some(3),
        timeout: Some(Duration::from_secs(30)),
        ..TaskRecord::default()
    }
}

pub(crate) fn task(id: &str) -> NewTask {
    NewTask::now(record(id))
}

pub(crate) fn task_at(id: &str, at: UnixMillis) -> NewTask {
    NewTask { record: record(id), not_before: Some(at) }
}

pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("t{number:05}")).collect()
}

/// Enqueues tasks of these names.
pub(crate) async fn fill(broker: &dyn Broker, ids: &[impl AsRef<str>]) {
    for chunk in ids.chunks(500) {
        let tasks: Vec<NewTask> = chunk.iter().map(|id| task(id.as_ref())).collect();
        broker.enqueue(&queue(), &tasks).await.unwrap();
    }
}

/// Leases up to `limit` tasks, none of them damaged.
pub(crate) async fn take(broker: &dyn Broker, limit: usize, lease: Duration) -> Vec<Leased> {
    let dequeued = broker.dequeue(&queue(), limit, lease).await.unwrap();
    assert_eq!((dequeued.corrupt, dequeued.dropped), (Vec::new(), Vec::<String>::new()));
    dequeued.tasks
}

/// Enqueues one task and leases it.
pub(crate) async fn leased(broker: &dyn Broker, id: &str, lease: Duration) -> Lease {
    fill(broker, &[id]).await;
    let mut tasks = take(broker, 1, lease).await;
    assert_eq!(ids_of(&tasks), [id]);
    tasks.remove(0).lease
}

pub(crate) async fn settle_one(broker: &dyn Broker, lease: &Lease, end: Settlement) -> Settled {
    let mut settled = broker.settle(&queue(), &[(lease.clone(), end)]).await.unwrap();
    assert_eq!(settled.len(), 1);
    settled.remove(0)
}

pub(crate) fn ids_of(tasks: &[Leased]) -> Vec<&str> {
    tasks.iter().map(|task| task.lease.id.as_str()).collect()
}

pub(crate) async fn stats(broker: &dyn Broker) -> QueueStats {
    broker.stats(&queue()).await.unwrap()
}

/// Every task in `state`, in order, a few a page.
pub(crate) async fn listed(broker: &dyn Broker, state: TaskState) -> Vec<TaskInfo> {
    let mut all = Vec::new();
    loop {
        let page = broker.list(&queue(), state, all.len(), 300).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

pub(crate) async fn ids_in(broker: &dyn Broker, state: TaskState) -> Vec<String> {
    listed(broker, state).await.into_iter().map(|info| info.id).collect()
}

pub(crate) async fn found(broker: &dyn Broker, id: &str) -> TaskInfo {
    broker.find(&queue(), id).await.unwrap().expect("the task is there")
}

/// Asserts that counts, lists and single tasks agree, and returns the counts.
pub(crate) async fn consistent(broker: &dyn Broker) -> QueueStats {
    let stats = stats(broker).await;
    let counts = [
        (TaskState::Pending, stats.pending),
        (TaskState::Active, stats.active),
        (TaskState::Scheduled, stats.scheduled),
        (TaskState::Retry, stats.retry),
        (TaskState::Archived, stats.archived),
        (TaskState::Completed, stats.completed),
    ];
    for (state, count) in counts {
        let listed = listed(broker, state).await;
        assert_eq!(listed.len() as u64, count, "{state:?}");
        for info in listed.iter().take(50) {
            assert_eq!(info.state, state);
            assert_eq!(found(broker, &info.id).await.state, state, "{}", info.id);
        }
    }
    assert!(stats.oldest_pending.is_none() || stats.pending > 0);
    stats
}

/// Repeats `attempt` until it returns a value.
///
/// # Panics
/// If it has not within a minute.
pub async fn eventually<T, F: Future<Output = Option<T>>>(mut attempt: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(Instant::now() < deadline, "nothing came");
        tokio::task::yield_now().await;
    }
}

/// Recovers until `count` leases that are to run out have.
pub(crate) async fn recovered(broker: &dyn Broker, count: usize) -> Recovered {
    let mut all = Recovered::default();
    let deadline = Instant::now() + DEADLINE;
    while all.requeued.len() + all.dropped.len() < count {
        let some = broker.recover(&queue(), 1000).await.unwrap();
        all.requeued.extend(some.requeued);
        all.dropped.extend(some.dropped);
        assert!(Instant::now() < deadline, "only {all:?} recovered");
    }
    all
}

/// One of each way a lease ends.
pub(crate) fn every_end() -> Vec<Settlement> {
    vec![
        Settlement::Done,
        Settlement::Complete { result: b"late".to_vec(), retention: LONG },
        Settlement::Retry { delay: LONG, failure: Some("late".into()) },
        Settlement::Retry { delay: LONG, failure: None },
        archive("late"),
        Settlement::Requeue,
    ]
}

/// An attempt that failed.
pub(crate) fn failed(delay: Duration) -> Settlement {
    Settlement::Retry { delay, failure: Some("failed".into()) }
}

pub(crate) fn archive(reason: &str) -> Settlement {
    Settlement::Archive { reason: reason.into() }
}

/// What an operator sees of a task, for comparison.
#[derive(Debug, PartialEq)]
pub(crate) struct Picture {
    pub(crate) state: TaskState,
    pub(crate) record: Option<TaskRecord>,
    pub(crate) retries: u32,
    pub(crate) last_error: Option<String>,
    pub(crate) last_failed_at: Option<UnixMillis>,
    pub(crate) completed_at: Option<UnixMillis>,
    pub(crate) result: Option<Vec<u8>>,
}

impl Picture {
    /// A task that was enqueued by [`task`] and has neither failed nor ended.
    pub(crate) fn of(id: &str, state: TaskState) -> Self {
        Self {
            state,
            record: Some(record(id)),
            retries: 0,
            last_error: None,
            last_failed_at: None,
            completed_at: None,
            result: None,
        }
    }
}

pub(crate) fn picture(info: &TaskInfo) -> Picture {
    Picture {
        state: info.state,
        record: info.record.clone(),
        retries: info.retries,
        last_error: info.last_error.clone(),
        last_failed_at: info.last_failed_at,
        completed_at: info.completed_at,
        result: info.result.clone(),
    }
}

/// Asserts that a time was set since `from`; formats may keep whole seconds only.
pub(crate) fn assert_set_since(at: Option<UnixMillis>, from: UnixMillis) {
    let (at, now) = (at.expect("a time is set"), UnixMillis::now());
    assert!(at.as_secs() >= from.as_secs() && at <= now, "{at:?} is not between {from:?} and {now:?}");
}

/// A record with something in every field.
pub(crate) fn full_record(id: &str) -> TaskRecord {
    TaskRecord {
        task_type: "billing:réconcile \u{1F9FE} \"quoted\" \\ '; DROP TABLE task; --\u{0}\n".into(),
        envelope: (0..=255).rev().collect(),
        detached: None,
        id: id.into(),
        queue: "mail".into(),
        max_retries: Some(32_767),
        timeout: Some(Duration::from_secs(u32::MAX.into())),
        retention: Duration::from_secs(86_400),
    }
}
