//! Telemetry of the worker: turns each [`Event`] into one `tracing` event and into counters of the `metrics` facade.
//!
//! The library emits only. The program installs a `tracing` subscriber and a `metrics` recorder if it wants them;
//! without them both calls return at once.

pub mod text;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use taskseal_core::Refusal;
use tracing::field::display;
use tracing::{info, warn};

use crate::quarantine::{Quarantine, StateError};
use crate::time::UnixMillis;
use crate::worker::event::Event;
use crate::worker::postpone;

/// Target of the `tracing` events that report what a worker does.
///
/// The field `event` names the kind of event, the other fields are those of [`Event`], and the message is its
/// `Display` text. Ids and reasons come from outside: a subscriber must escape them.
pub const WORKER_TARGET: &str = "taskseal::worker";

const TASKS: &str = "taskseal_tasks_total";
const REFUSED: &str = "taskseal_refused_total";
const UNSEALED: &str = "taskseal_unsealed_total";
const DETACHED_REFUSED: &str = "taskseal_detached_refused_total";
const POSTPONED: &str = "taskseal_postponed_total";
const ATTEMPTS: &str = "taskseal_attempts_total";
const LEASE_LOST: &str = "taskseal_lease_lost_total";
const LOCK_LOST: &str = "taskseal_lock_lost_total";
const RECOVERED: &str = "taskseal_recovered_total";
const ARCHIVE_TRIMMED: &str = "taskseal_archive_trimmed_total";
const BROKER_FAILURES: &str = "taskseal_broker_failures_total";
const STATE_FAILURES: &str = "taskseal_state_failures_total";
const AUDIT_FAILURES: &str = "taskseal_audit_failures_total";
const KEY_UNAVAILABLE: &str = "taskseal_key_unavailable_total";
const KEYSET_NOT_IN_FORCE: &str = "taskseal_keyset_not_in_force_total";
const RESULT_NOT_ALLOWED: &str = "taskseal_result_not_allowed_total";
const KEYS_RELOAD_FAILED: &str = "taskseal_keys_reload_failed_total";
const QUOTA_USED: &str = "taskseal_quota_used_total";
const POLICY_RELOAD_FAILED: &str = "taskseal_policy_reload_failed_total";
const KEYS_LOADED: &str = "taskseal_keys_loaded_timestamp_seconds";
const RESULTS_WAITING: &str = "taskseal_results_waiting";
const QUARANTINE_ENTRIES: &str = "taskseal_quarantine_entries";
const QUARANTINE_BYTES: &str = "taskseal_quarantine_bytes";
const QUARANTINE_EVICTED: &str = "taskseal_quarantine_evicted_total";

/// Values of the label `outcome` of `taskseal_tasks_total`.
const OUTCOMES: [&str; 5] = ["succeeded", "retried", "archived", "given_back", "settled_again"];

/// Counters without labels, with their descriptions.
const COUNTERS: [(&str, &str); 15] = [
    (ATTEMPTS, "Attempts started."),
    (LEASE_LOST, "Leases lost. Their tasks continue."),
    (LOCK_LOST, "Locks of the ledger lost. Their handlers were cancelled."),
    (RECOVERED, "Tasks of lost workers that are pending again."),
    (ARCHIVE_TRIMMED, "Archived tasks deleted by the limits of the archive."),
    (BROKER_FAILURES, "Failed calls to the broker."),
    (
        QUARANTINE_EVICTED,
        "Entries evicted from the quarantine of this host for newer ones, since it was created.",
    ),
    (AUDIT_FAILURES, "Reported failures to write the audit log."),
    (STATE_FAILURES, "Failed calls to the ledger or the quarantine."),
    (KEYS_RELOAD_FAILED, "Attempts to load the keys again that failed."),
    (QUOTA_USED, "Times that a task was put off because its issuer had used its quota."),
    (POLICY_RELOAD_FAILED, "Faults of the policy file that left the former policy in use."),
    (KEY_UNAVAILABLE, "Uses of a key that failed because the key was unavailable."),
    (
        RESULT_NOT_ALLOWED,
        "Times that a task or result waited because no client could read or accept the result.",
    ),
    (KEYSET_NOT_IN_FORCE, "Times that a task was put off because the signed keyset was not in force."),
];

/// Gauges, with their descriptions.
const GAUGES: [(&str, &str); 4] = [
    (KEYS_LOADED, "Unix time at which the keys were last loaded, in seconds."),
    (RESULTS_WAITING, "Executed tasks whose results wait for their key."),
    (QUARANTINE_ENTRIES, "Refused tasks in the quarantine of this host."),
    (QUARANTINE_BYTES, "Size of the tasks in the quarantine of this host, in bytes."),
];

/// Registers every metric of the worker with the installed recorder, so that each has a description and a value before
/// the first event. Call it once the recorder is installed.
pub fn register_metrics() {
    describe_counter!(TASKS, "Tasks by outcome.");
    for outcome in OUTCOMES {
        drop(tasks(outcome));
    }
    describe_counter!(REFUSED, "Refused tasks by refusal code.");
    for refusal in Refusal::ALL {
        drop(counter!(REFUSED, "reason" => refusal.code()));
    }
    describe_counter!(
        POSTPONED,
        "Times that a task was not acceptable yet and was postponed, by refusal code."
    );
    for refusal in postpone::REFUSALS {
        drop(counter!(POSTPONED, "reason" => refusal.code()));
    }
    describe_counter!(UNSEALED, "Tasks without a seal that ran, by the pattern of the rule of their type.");
    describe_counter!(
        DETACHED_REFUSED,
        "Tasks that ran unsealed because their detached envelope was refused, by refusal code."
    );
    for (name, description) in COUNTERS {
        describe_counter!(name, description);
        drop(counter!(name));
    }
    for (name, description) in GAUGES {
        describe_gauge!(name, description);
        drop(gauge!(name));
    }
}

/// Reports an event to the subscriber and the recorder.
pub(crate) fn observe(event: &Event) {
    count(event);
    trace(event);
}

/// Reports that one more result waits for its key.
pub(crate) fn result_waits() {
    gauge(RESULTS_WAITING).increment(1.0);
}

/// Reports that a result no longer waits for its key.
pub(crate) fn result_waits_no_more() {
    gauge(RESULTS_WAITING).decrement(1.0);
}

/// Reports that keys were loaded.
pub(crate) fn keys_loaded() {
    let seconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
    gauge(KEYS_LOADED).set(seconds);
}

/// Reports that keys cannot be loaded again.
pub(crate) fn keys_reload_failed() {
    counter(KEYS_RELOAD_FAILED).increment(1);
}

/// Reports an event about the keys of a client, which has no observer.
pub(crate) fn observe_client(event: &Event) {
    match event {
        Event::KeysReloaded { .. } => info!(target: "taskseal::client", event = "keys-reloaded", "{event}"),
        _ => warn!(target: "taskseal::client", event = "keys", "{event}"),
    }
}

/// Reports what the quarantine stores, and how many entries it has evicted: the workers of a host share it.
pub(crate) fn measure_quarantine(quarantine: &Quarantine) -> Result<(), StateError> {
    let (usage, evicted) = (quarantine.usage()?, quarantine.evicted()?);
    #[expect(clippy::cast_precision_loss, reason = "an approximate value is enough")]
    let (entries, bytes) = (usage.entries as f64, usage.bytes as f64);
    gauge(QUARANTINE_ENTRIES).set(entries);
    gauge(QUARANTINE_BYTES).set(bytes);
    counter(QUARANTINE_EVICTED).absolute(evicted.iter().map(|(_, count)| count).sum());
    Ok(())
}

fn counter(name: &'static str) -> Counter {
    counter!(name)
}

fn gauge(name: &'static str) -> Gauge {
    gauge!(name)
}

fn tasks(outcome: &'static str) -> Counter {
    counter!(TASKS, "outcome" => outcome)
}

fn count(event: &Event) {
    match event {
        Event::Started { .. } => counter(ATTEMPTS).increment(1),
        Event::Succeeded { .. } => tasks("succeeded").increment(1),
        Event::SettledAgain { .. } => tasks("settled_again").increment(1),
        Event::Retried { .. } => tasks("retried").increment(1),
        Event::Archived { .. } => tasks("archived").increment(1),
        Event::GivenBack { .. } => tasks("given_back").increment(1),
        Event::Refused { refusal, .. } => counter!(REFUSED, "reason" => refusal.code()).increment(1),
        Event::Postponed { refusal, .. } => counter!(POSTPONED, "reason" => refusal.code()).increment(1),
        Event::Unsealed { task_type, .. } => counter!(UNSEALED, "type" => task_type.clone()).increment(1),
        Event::DetachedRefused { refusal, .. } => {
            counter!(DETACHED_REFUSED, "reason" => refusal.code()).increment(1);
        }
        Event::LeaseLost { .. } => counter(LEASE_LOST).increment(1),
        Event::LockLost { .. } => counter(LOCK_LOST).increment(1),
        Event::Recovered { count } => counter(RECOVERED).increment(*count as u64),
        Event::ArchiveTrimmed { count, .. } => counter(ARCHIVE_TRIMMED).increment(*count as u64),
        Event::BrokerFailed { .. } => counter(BROKER_FAILURES).increment(1),
        Event::StateFailed { .. } => counter(STATE_FAILURES).increment(1),
        Event::KeyUnavailable { .. } => counter(KEY_UNAVAILABLE).increment(1),
        Event::KeysetNotInForce { .. } => counter(KEYSET_NOT_IN_FORCE).increment(1),
        Event::RecipientMissing { .. } | Event::ResultNotAllowed { .. } => {
            counter(RESULT_NOT_ALLOWED).increment(1);
        }
        Event::QuotaUsed { .. } => counter(QUOTA_USED).increment(1),
        Event::PolicyReloadFailed { .. } => counter(POLICY_RELOAD_FAILED).increment(1),
        Event::AuditFailed { .. } => counter(AUDIT_FAILURES).increment(1),
        Event::ClockSetBack { .. }
        | Event::AuditBack
        | Event::Dropped { .. }
        | Event::GaveUp { .. }
        // The counter is that of the quarantine, which several workers share.
        | Event::QuarantineFull { .. }
        | Event::HandlerNotStarted { .. }
        // Counted where the keys are loaded.
        | Event::KeysReloaded { .. }
        | Event::KeysReloadFailed { .. }
        | Event::KeysStale { .. }
        | Event::KeyEndsSoon { .. }
        | Event::KeysetEndsSoon { .. }
        | Event::FleetDiffers { .. }
        | Event::FleetAgrees
        | Event::KeyBack { .. } => {}
    }
}

/// Emits the event: at level `INFO` what is normal, at level `WARN` what an operator should see.
macro_rules! emit {
    ($level:ident, $name:literal, $event:expr, $($fields:tt)*) => {
        $level!(target: WORKER_TARGET, event = $name, $($fields)*, "{}", $event)
    };
}

fn trace(event: &Event) {
    match event {
        Event::Started { id, attempt } => emit!(info, "started", event, id, attempt),
        Event::Succeeded { id } => emit!(info, "succeeded", event, id),
        Event::SettledAgain { id } => emit!(info, "settled-again", event, id),
        Event::GivenBack { id } => emit!(info, "given-back", event, id),
        Event::Retried { id, reason } => emit!(warn, "retried", event, id, reason),
        Event::Archived { id, reason } => emit!(warn, "archived", event, id, reason),
        Event::Refused { id, queue, refusal, detail, quarantined, .. } => {
            let (queue, code) = (queue.as_str(), refusal.code());
            emit!(warn, "refused", event, id, queue, code, detail, quarantined);
        }
        Event::Postponed { id, queue, refusal, detail, at } => {
            let (queue, code) = (queue.as_str(), refusal.code());
            let wait_seconds = at.since(UnixMillis::now()).as_secs();
            emit!(warn, "postponed", event, id, queue, code, detail, wait_seconds);
        }
        Event::Unsealed { id, queue, task_type, mode } => {
            let (queue, mode) = (queue.as_str(), mode.name());
            emit!(warn, "unsealed", event, id, queue, task_type, mode);
        }
        Event::DetachedRefused { id, queue, refusal, detail, mode } => {
            let (queue, code, mode) = (queue.as_str(), refusal.code(), mode.name());
            emit!(warn, "detached-refused", event, id, queue, code, detail, mode);
        }
        Event::LeaseLost { id } => emit!(warn, "lease-lost", event, id),
        Event::LockLost { id } => emit!(warn, "lock-lost", event, id),
        Event::HandlerNotStarted { id, task_type, reason, count } => {
            emit!(warn, "handler-not-started", event, id, task_type, reason, count);
        }
        Event::Dropped { count } => emit!(warn, "dropped", event, count),
        Event::Recovered { count } => emit!(warn, "recovered", event, count),
        Event::ArchiveTrimmed { queue, count } => {
            emit!(warn, "archive-trimmed", event, queue = queue.as_str(), count);
        }
        Event::BrokerFailed { doing, error } => {
            let transient = error.is_transient();
            emit!(warn, "broker-failed", event, doing, error = display(error), transient);
        }
        Event::GaveUp { queue } => emit!(warn, "gave-up", event, queue = queue.as_str()),
        Event::KeyUnavailable { id, doing, kid, reason } => {
            let (kid, field) = (kid.map(display), event.key_field());
            emit!(warn, "key-unavailable", event, id, doing, kid, field, reason);
        }
        Event::KeysetNotInForce { id, sequence, refusal } => {
            emit!(warn, "keyset-not-in-force", event, id, sequence, code = refusal.code());
        }
        Event::RecipientMissing { id, missing, .. } => {
            let (issuer, task_type, audience) = (&missing.issuer, &missing.task_type, &missing.audience);
            emit!(warn, "recipient-missing", event, id, issuer, task_type, audience);
        }
        Event::ResultNotAllowed { id, kid, task_type, reason, .. } => {
            emit!(warn, "result-not-allowed", event, id, kid = display(kid), task_type, reason);
        }
        Event::KeyBack { kid } => {
            emit!(warn, "key-back", event, kid = display(kid), field = event.key_field());
        }
        Event::KeysReloaded { count, changes } => {
            let changes = changes.join(", ");
            emit!(info, "keys-reloaded", event, count, changes);
        }
        Event::KeysReloadFailed { error, keyset_loaded } => {
            emit!(warn, "keys-reload-failed", event, error, keyset_loaded);
        }
        Event::QuotaUsed { id, issuer, quota, tasks_per_minute } => {
            emit!(warn, "quota-used", event, id, issuer, quota, tasks_per_minute);
        }
        Event::PolicyReloadFailed { error } => emit!(warn, "policy-reload-failed", event, error),
        Event::KeysStale { age } => emit!(warn, "keys-stale", event, seconds = age.as_secs()),
        Event::KeyEndsSoon { kid, ends_at } => {
            emit!(warn, "key-ends-soon", event, kid = display(kid), ends_at = ends_at.as_secs());
        }
        Event::KeysetEndsSoon { sequence, ends_at } => {
            emit!(warn, "keyset-ends-soon", event, sequence, ends_at = ends_at.as_secs());
        }
        Event::QuarantineFull { evicted } => emit!(warn, "quarantine-full", event, evicted),
        Event::ClockSetBack { by } => emit!(warn, "clock-set-back", event, seconds = by.as_secs()),
        Event::AuditFailed { error } => emit!(warn, "audit-failed", event, error),
        Event::AuditBack => warn!(target: WORKER_TARGET, event = "audit-back", "{event}"),
        Event::FleetDiffers { process, about, detail } => {
            emit!(warn, "fleet-differs", event, process, about, detail);
        }
        Event::FleetAgrees => emit!(warn, "fleet-agrees", event, about = "keyset and policy"),
        Event::StateFailed { error } => emit!(warn, "state-failed", event, error),
    }
}
