//! What happens in a worker: the one type that it reports to counters, logs and observers.

use std::fmt;
use std::time::Duration;

use taskseal_core::keyset::signed::KeysetRefusal;
use taskseal_core::{KeyId, Refusal};

use crate::broker::BrokerError;
use crate::keys::NoRecipient;
use crate::policy::Mode;
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// Something that happened in a worker. Its `Display` text is one sentence for an operator.
///
/// Ids are as the broker gave them and reasons as the handler gave them: escape both, and the `Display` text, before
/// printing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A handler starts on a task.
    Started {
        /// Task id.
        id: String,
        /// Number of the attempt, from 1.
        attempt: u32,
    },
    /// A task succeeded and the queue recorded it.
    Succeeded {
        /// Task id.
        id: String,
    },
    /// A task that had succeeded before was settled without running it.
    SettledAgain {
        /// Task id.
        id: String,
    },
    /// An attempt failed and another one follows.
    Retried {
        /// Task id.
        id: String,
        /// Message of the handler. It stays on this host.
        reason: String,
    },
    /// A task failed for the last time and was archived.
    Archived {
        /// Task id.
        id: String,
        /// Message of the handler. It stays on this host.
        reason: String,
    },
    /// A task was refused: it did not run, and the queue's archive keeps it.
    Refused {
        /// Task id.
        id: String,
        /// Queue that the task was taken from.
        queue: QueueName,
        /// Why.
        refusal: Refusal,
        /// Details of the refusal, for an operator.
        detail: String,
        /// Whether the quarantine keeps the task too.
        quarantined: bool,
        /// Issuer that the envelope states.
        issuer: Option<String>,
        /// Kid that the envelope states.
        kid: Option<KeyId>,
    },
    /// A task that is not sealed runs, because the mode of its type allows that.
    Unsealed {
        /// Task id.
        id: String,
        /// Queue that the task was taken from.
        queue: QueueName,
        /// Pattern of the rule of its type.
        task_type: String,
        /// The mode.
        #[doc(hidden)]
        mode: Mode,
    },
    /// The detached envelope of a task is refused, and the task runs as an unsealed one, because the mode of its type allows that.
    DetachedRefused {
        /// Task id.
        id: String,
        /// Queue that the task was taken from.
        queue: QueueName,
        /// Why.
        refusal: Refusal,
        /// Details of the refusal, for an operator.
        detail: String,
        /// The mode.
        #[doc(hidden)]
        mode: Mode,
    },
    /// A task was refused for now: it did not run, no attempt counts, and the queue delivers it again. Time or another
    /// configuration of this worker makes it acceptable.
    Postponed {
        /// Task id.
        id: String,
        /// Queue that the task was taken from.
        queue: QueueName,
        /// Why.
        refusal: Refusal,
        /// Details of the refusal, for an operator.
        detail: String,
        /// When it is tried again.
        at: UnixMillis,
    },
    /// A task was given back to the queue: not run, deferred, or cut off at the end of a drain.
    GivenBack {
        /// Task id.
        id: String,
    },
    /// The queue does not recognise the lease of a task. The task continues; its next delivery settles it.
    LeaseLost {
        /// Task id.
        id: String,
    },
    /// The lock of a task in the ledger was lost: its handler was cancelled, and no outcome was recorded.
    LockLost {
        /// Task id.
        id: String,
    },
    /// This host cannot start the handler of a task type. Its tasks are put off; no attempt is counted. Reported for the first
    /// failure, then more and more rarely.
    HandlerNotStarted {
        /// Task id.
        id: String,
        /// Task type.
        task_type: String,
        /// Why.
        reason: String,
        /// Number of consecutive failures.
        count: u32,
    },
    /// Queue entries were dropped: without a task, or a second copy of one that runs.
    Dropped {
        /// Number of entries.
        count: usize,
    },
    /// Tasks of lost workers are pending again.
    Recovered {
        /// Number of tasks.
        count: usize,
    },
    /// The limits of the archive deleted archived tasks.
    ArchiveTrimmed {
        /// The queue.
        queue: QueueName,
        /// Number of tasks.
        count: usize,
    },
    /// A call to the broker failed.
    BrokerFailed {
        /// The operation, such as "take tasks".
        doing: &'static str,
        /// Error of the broker.
        error: BrokerError,
    },
    /// A queue, or the ledger about its tasks, did not answer for too long, so a worker in the mode "once" ends without it.
    GaveUp {
        /// The queue.
        queue: QueueName,
    },
    /// A key in a token or service is unavailable, for whatever reason. A task that cannot be decrypted is postponed;
    /// one whose result cannot be sealed waits.
    KeyUnavailable {
        /// Task id.
        id: String,
        /// The operation: "decrypt" or "seal the result".
        doing: &'static str,
        /// The key, if it is known which one.
        kid: Option<KeyId>,
        /// Error of the token or service.
        reason: String,
    },
    /// The signed keyset has expired while it was in use, or the clock was set to a time before it was issued. The task is put off,
    /// and no attempt counts.
    KeysetNotInForce {
        /// Task id.
        id: String,
        /// Sequence number of the keyset.
        sequence: u64,
        /// Why it is not in force.
        refusal: KeysetRefusal,
    },
    /// The keyset has no key to encrypt the result of a task to. A task that has not run is put off, and no attempt counts;
    /// otherwise its result waits.
    RecipientMissing {
        /// Task id.
        id: String,
        /// The request whose result cannot be encrypted.
        missing: NoRecipient,
        /// Whether the handler has run.
        has_run: bool,
    },
    /// The keyset does not allow the result key to seal the result of a task, so clients would refuse it. A task that has not run is
    /// put off, and no attempt counts; otherwise its result waits.
    ResultNotAllowed {
        /// Task id.
        id: String,
        /// The result key.
        kid: KeyId,
        /// Type of the task.
        task_type: String,
        /// What the keyset does not allow.
        reason: String,
        /// Whether the handler has run.
        has_run: bool,
    },
    /// The issuer of a task has used its quota of the policy file. The task is put off, and no attempt counts.
    QuotaUsed {
        /// Task id.
        id: String,
        /// The issuer.
        issuer: String,
        /// Pattern of the quota.
        quota: String,
        /// Number of tasks a minute.
        tasks_per_minute: u32,
    },
    /// The key for results is available again: results are sealed and tasks taken.
    KeyBack {
        /// The key.
        kid: KeyId,
    },
    /// The keys and the policy were loaded again.
    KeysReloaded {
        /// Number of keys of the keyset.
        count: usize,
        /// The keys whose states have changed, with both states, and the fingerprints of a policy that was replaced.
        changes: Vec<String>,
    },
    /// Keys cannot be loaded again. Reported when the error begins or changes.
    KeysReloadFailed {
        /// The error.
        error: String,
        /// Whether the keyset was loaded: then the secret keys that cannot be opened are the former ones, one may not be used, or
        /// the second source of the keyset returned none that could be used.
        /// Otherwise all keys are the former ones.
        keyset_loaded: bool,
    },
    /// The policy file cannot be loaded again, or would loosen a mode: the former policy stays in use. Reported when the error begins
    /// or changes.
    PolicyReloadFailed {
        /// The error.
        error: String,
    },
    /// No attempt to load the keys again has succeeded for longer than `max_stale` of `[keys]`.
    KeysStale {
        /// Time since the last success.
        age: Duration,
    },
    /// The key that seals ends within seven days.
    KeyEndsSoon {
        /// The key.
        kid: KeyId,
        /// When it ends.
        ends_at: UnixMillis,
    },
    /// Less than a third of the time is left for which the signed keyset is in force. After its end nothing is sealed and no task runs.
    KeysetEndsSoon {
        /// Its sequence number.
        sequence: u64,
        /// When it ends.
        ends_at: UnixMillis,
    },
    /// The quarantine is full: older entries were evicted for new ones.
    QuarantineFull {
        /// Number of entries evicted.
        evicted: u64,
    },
    /// The clock of this host was set back by more than the tolerance for skew.
    ClockSetBack {
        /// By how much.
        by: Duration,
    },
    /// The audit log cannot be written. The worker continues; its lines wait.
    AuditFailed {
        /// Error of the audit log.
        error: String,
    },
    /// The audit log is written again.
    AuditBack,
    /// Another process runs with another keyset, policy or mode. Reported once, until the difference has ended.
    FleetDiffers {
        /// The other process: role, name, host and number.
        process: String,
        /// What differs: `newer-keyset`, `older-keyset`, `keyset`, `policy` or `modes`.
        about: &'static str,
        /// The difference, for an operator.
        detail: String,
    },
    /// No process differs from this one, as one did before.
    FleetAgrees,
    /// The ledger or the quarantine failed: the worker runs nothing until it works again.
    StateFailed {
        /// Error of the ledger or quarantine.
        error: String,
    },
}

/// Fields of `taskseal.toml` that name the keys of a worker.
const RESULT_KEY: &str = "worker.result_key";
const DECRYPTION_KEYS: &str = "worker.decryption_keys";

impl Event {
    /// Returns the field of `taskseal.toml` that names the key, for events about a key.
    pub(crate) fn key_field(&self) -> Option<&'static str> {
        match self {
            Self::KeyUnavailable { doing: "decrypt", .. } => Some(DECRYPTION_KEYS),
            Self::KeyUnavailable { .. } | Self::KeyBack { .. } => Some(RESULT_KEY),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { id, attempt } => write!(f, "started {id}, attempt {attempt}"),
            Self::Succeeded { id } => write!(f, "succeeded {id}"),
            Self::SettledAgain { id } => {
                write!(f, "settled {id} without running it: it had succeeded before")
            }
            Self::Retried { id, reason } => write!(f, "failed {id}, will be retried: {reason}"),
            Self::Archived { id, reason } => write!(f, "failed {id}, archived: {reason}"),
            Self::Refused { id, queue, refusal, detail, quarantined, .. } => {
                write!(f, "refused {id} from queue {queue} ({}): {detail}", refusal.code())?;
                if *quarantined {
                    Ok(())
                } else {
                    f.write_str("; kept in the queue's archive, not in quarantine")
                }
            }
            Self::Postponed { id, queue, refusal, detail, at } => {
                let wait = at.since(UnixMillis::now()).as_secs();
                write!(f, "postponed {id} from queue {queue} by {wait} s ({}): {detail}", refusal.code())
            }
            Self::Unsealed { id, queue, task_type, mode } => write!(
                f,
                "{id} from queue {queue} is not sealed; it runs because the mode of {task_type} is \"{mode}\""
            ),
            Self::DetachedRefused { id, queue, refusal, detail, mode } => write!(
                f,
                "the detached envelope of {id} from queue {queue} is refused ({}): {detail}; the task runs unsealed in the mode \"{mode}\"",
                refusal.code()
            ),
            Self::GivenBack { id } => write!(f, "gave {id} back to the queue"),
            Self::LeaseLost { id } => {
                write!(f, "the queue gave the lease of {id} away; the next delivery settles the task")
            }
            Self::LockLost { id } => {
                write!(f, "lost the lock of {id} in the ledger: its handler was cancelled")
            }
            Self::HandlerNotStarted { id, task_type, reason, count } => {
                write!(
                    f,
                    "{reason}: tasks of type {task_type} are put off, among them {id} (failure {count} in a row)"
                )
            }
            Self::Dropped { count } => {
                write!(f, "dropped {count} queue entries without a task or with a second copy")
            }
            Self::Recovered { count } => write!(f, "recovered {count} tasks of lost workers"),
            Self::ArchiveTrimmed { queue, count } => {
                write!(
                    f,
                    "deleted the {count} oldest tasks in the archive of queue {queue}: they were beyond \
                     `archive_max_tasks` or `archive_max_age`"
                )
            }
            Self::BrokerFailed { doing, error } => write!(f, "cannot {doing}: {error}"),
            Self::GaveUp { queue } => {
                write!(f, "gave up on queue {queue}: it, or the ledger, does not answer")
            }
            Self::KeyUnavailable { id, kid, reason, .. } => self.fmt_key_unavailable(f, id, *kid, reason),
            Self::KeysetNotInForce { sequence, refusal, .. } => {
                write!(
                    f,
                    "the keyset with sequence {sequence} is {refusal}: no task runs until a newer one is here ({})",
                    refusal.code()
                )
            }
            Self::RecipientMissing { id, missing, has_run: false } => {
                write!(f, "{missing}: tasks of this issuer are put off, among them {id}")
            }
            Self::RecipientMissing { id, missing, .. } => write!(f, "{missing}: the result of {id} waits"),
            Self::ResultNotAllowed { id, task_type, reason, has_run: false, .. } => write!(
                f,
                "clients would refuse results of type {task_type}: {reason}; tasks of this type are put off, among them {id}"
            ),
            Self::ResultNotAllowed { id, reason, .. } => {
                write!(f, "clients would refuse the result of {id}, which waits: {reason}")
            }
            Self::QuotaUsed { id, issuer, quota, tasks_per_minute } => write!(
                f,
                "the quota of {tasks_per_minute} tasks a minute for issuer {quota} is used: tasks of {issuer} are put off, among \
                 them {id}"
            ),
            Self::KeyBack { kid } => {
                write!(f, "key {kid} ({RESULT_KEY}) is available again: results are sealed and tasks taken")
            }
            Self::KeysReloaded { count, changes } => {
                write!(f, "loaded the keys again: the keyset has {count} keys")?;
                if changes.is_empty() { Ok(()) } else { write!(f, "; {}", changes.join(", ")) }
            }
            Self::KeysReloadFailed { error, keyset_loaded: false } => {
                write!(f, "cannot load the keys again: {error}; the former ones stay in use")
            }
            Self::KeysReloadFailed { error, keyset_loaded: true } => {
                write!(
                    f,
                    "the keyset is loaded, and a key of this host or a source of keysets cannot be used: {error}"
                )
            }
            Self::PolicyReloadFailed { error } => {
                write!(f, "cannot load the policy again: {error}; the former one stays in use")
            }
            Self::KeysStale { age } => {
                write!(f, "the keys are stale: they were loaded last {} s ago", age.as_secs())
            }
            Self::KeyEndsSoon { kid, ends_at } => {
                let seconds = ends_at.since(UnixMillis::now()).as_secs();
                write!(f, "key {kid} seals for {} more hours: rotate it before it ends", seconds / 3600)
            }
            Self::KeysetEndsSoon { sequence, ends_at } => {
                let seconds = ends_at.since(UnixMillis::now()).as_secs();
                write!(
                    f,
                    "keyset {sequence} is in force for {} more hours: sign and publish the next one",
                    seconds / 3600
                )
            }
            Self::QuarantineFull { evicted } => {
                write!(f, "the quarantine is full: {evicted} older entries were evicted")
            }
            Self::ClockSetBack { by } => {
                let seconds = by.as_secs();
                write!(
                    f,
                    "the clock of this host was set back by {seconds} s: tasks that were sealed since are postponed if it is wrong"
                )
            }
            Self::AuditFailed { error } => write!(f, "{error}; its lines wait until it can be written"),
            Self::AuditBack => f.write_str("the audit log is written again"),
            Self::FleetDiffers { process, detail, .. } => write!(f, "{process} differs: {detail}"),
            Self::FleetAgrees => f.write_str("all processes have the same keyset and policy again"),
            Self::StateFailed { error } => write!(f, "no tasks are run: {error}"),
        }
    }
}

impl Event {
    fn fmt_key_unavailable(
        &self,
        f: &mut fmt::Formatter<'_>,
        id: &str,
        kid: Option<KeyId>,
        reason: &str,
    ) -> fmt::Result {
        let field = self.key_field().unwrap_or_default();
        match kid {
            Some(kid) => write!(f, "key {kid} ({field}) is unavailable: {reason}; ")?,
            None => write!(f, "a key of {field} is unavailable: {reason}; ")?,
        }
        if field == RESULT_KEY {
            write!(f, "no new tasks are taken until it is available, and the result of {id} waits")
        } else {
            write!(f, "tasks encrypted to it are postponed, among them {id}")
        }
    }
}
