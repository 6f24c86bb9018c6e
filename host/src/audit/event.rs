//! What the audit log records. The names are stable.

use super::line::{Member, Value};

/// Something that the audit log records. It has no payload and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditEvent {
    /// A worker starts to take tasks.
    WorkerStarted {
        /// Id of the worker.
        worker: String,
        /// Its queues.
        queues: Vec<String>,
        /// SHA-256 of its keyset file, in hexadecimal.
        keyset: String,
        /// SHA-256 of its configuration file, in hexadecimal.
        config: String,
    },
    /// A worker has drained and ends.
    WorkerStopped {
        /// Id of the worker.
        worker: String,
        /// Number of tasks that succeeded.
        succeeded: u64,
        /// Number of tasks that were refused.
        refused: u64,
    },
    /// Tasks were refused.
    Refused {
        /// The queue.
        queue: String,
        /// Code of the refusal.
        code: &'static str,
        /// Issuer that the envelope states. Verified only if the refusal follows the verification of the signature.
        issuer: Option<String>,
        /// Kid that the envelope states.
        kid: Option<String>,
        /// Id of the task. `None` in a line for several tasks.
        task: Option<String>,
        /// Number of tasks.
        count: u64,
    },
    /// A worker has loaded its keys again.
    KeysLoaded {
        /// Number of keys of the keyset.
        keys: u64,
        /// The keys whose states have changed, each with its former and its new state.
        changes: Vec<String>,
    },
    /// A worker cannot load its keys again: the former ones stay in use.
    KeysNotLoaded {
        /// Why.
        reason: String,
    },
    /// Lines about refusals or changes could not be written and are lost.
    LinesLost {
        /// Number of lines.
        count: u64,
    },
    /// What an operator does.
    Operator {
        /// The action.
        action: OperatorAction,
        /// Before it, or after it.
        step: Step,
        /// Number of tasks or entries that have changed, after an action that counts them.
        changed: Option<u64>,
    },
}

/// Before or after an action. The first step is on the disk before the action begins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The action is about to begin.
    Requested,
    /// The action has ended.
    Done,
    /// The action has failed, perhaps in part.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What an operator does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorAction {
    /// Changes tasks of a queue.
    Tasks {
        /// What is done.
        change: TaskChange,
        /// The queue, if one is named.
        queue: Option<String>,
        /// Ids of the tasks.
        ids: Vec<String>,
    },
    /// Changes a queue.
    Queue {
        /// What is done.
        change: QueueChange,
        /// The queue; `None` for the file of all.
        queue: Option<String>,
    },
    /// Takes tasks out of the quarantine.
    Quarantine {
        /// What is done.
        change: QuarantineChange,
        /// Numbers of the entries.
        entries: Vec<i64>,
    },
    /// Creates the replay ledger or corrects its time.
    Ledger {
        /// What is done.
        change: LedgerChange,
    },
    /// Changes, signs or publishes the keyset of the deployment.
    Keyset {
        /// What is done.
        change: KeysetChange,
        /// The key, if the change is about one.
        kid: Option<String>,
    },
    /// Allows a looser mode of a task type than workers have used.
    LoosenMode {
        /// The pattern of the type.
        task_type: String,
    },
    /// Creates or copies a key.
    Key {
        /// What is done.
        change: KeyChange,
        /// The key, once it is known.
        kid: Option<String>,
        /// Where it is written or read.
        place: String,
    },
}

/// What is done with tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the commands")]
#[non_exhaustive]
pub enum TaskChange {
    Run,
    Archive,
    Delete,
}

/// What is done with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the commands")]
#[non_exhaustive]
pub enum QueueChange {
    Init,
    Pause,
    Resume,
    Delete,
}

/// What is done with entries of the quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the commands")]
#[non_exhaustive]
pub enum QuarantineChange {
    Release,
    Prune,
    Export,
}

/// What is done with the replay ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LedgerChange {
    /// Creates it; the flag says whether it accepts tasks that were issued before.
    Init(bool),
    /// Accepts the clock of the host.
    AcceptClock,
}

/// What is done with the keyset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the commands")]
#[non_exhaustive]
pub enum KeysetChange {
    Init,
    Add,
    Activate,
    Retire,
    Disable,
    Enable,
    Revoke,
    Destroy,
    Remove,
    Sign,
    Publish,
}

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the commands")]
#[non_exhaustive]
pub enum KeyChange {
    Generate,
    Import,
    Export,
}

impl AuditEvent {
    /// Returns the name of the event in the log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WorkerStarted { .. } => "worker-started",
            Self::WorkerStopped { .. } => "worker-stopped",
            Self::Refused { .. } => "refused",
            Self::KeysLoaded { .. } => "keys-loaded",
            Self::KeysNotLoaded { .. } => "keys-not-loaded",
            Self::LinesLost { .. } => "lines-lost",
            Self::Operator { action, .. } => action.name(),
        }
    }

    /// Returns the members of the event, in order.
    pub(super) fn members(&self) -> Vec<Member> {
        match self {
            Self::WorkerStarted { worker, queues, keyset, config } => vec![
                ("worker", worker.as_str().into()),
                ("queues", Value::List(queues.clone())),
                ("keyset_sha256", keyset.as_str().into()),
                ("config_sha256", config.as_str().into()),
            ],
            Self::WorkerStopped { worker, succeeded, refused } => vec![
                ("worker", worker.as_str().into()),
                ("succeeded", (*succeeded).into()),
                ("refused", (*refused).into()),
            ],
            Self::Refused { queue, code, issuer, kid, task, count } => {
                let mut members = vec![("queue", queue.as_str().into()), ("code", (*code).into())];
                let texts = [("issuer", issuer), ("kid", kid), ("id", task)];
                for (name, text) in texts {
                    members.extend(text.as_deref().map(|text| (name, text.into())));
                }
                members.push(("count", (*count).into()));
                members
            }
            Self::KeysLoaded { keys, changes } => {
                vec![("keys", (*keys).into()), ("changes", Value::List(changes.clone()))]
            }
            Self::KeysNotLoaded { reason } => vec![("reason", reason.as_str().into())],
            Self::LinesLost { count } => vec![("count", (*count).into())],
            Self::Operator { action, step, changed } => {
                let mut members = vec![("step", step.name().into())];
                members.extend(action.members());
                members.extend(changed.map(|changed| ("changed", changed.into())));
                if let Step::Failed { reason } = step {
                    members.push(("reason", reason.as_str().into()));
                }
                members
            }
        }
    }
}

impl OperatorAction {
    /// Returns the action in parts that each fit into a line.
    #[must_use]
    pub fn split(&self) -> Vec<Self> {
        match self {
            Self::Tasks { change, queue, ids } if ids.len() > PART => {
                let part =
                    |ids: &[String]| Self::Tasks { change: *change, queue: queue.clone(), ids: ids.to_vec() };
                ids.chunks(PART).map(part).collect()
            }
            Self::Quarantine { change, entries } if entries.len() > PART => {
                let part = |entries: &[i64]| Self::Quarantine { change: *change, entries: entries.to_vec() };
                entries.chunks(PART).map(part).collect()
            }
            _ => vec![self.clone()],
        }
    }

    /// Returns the action without the tasks or entries, if they do not fit into a line.
    #[must_use]
    pub fn summary(self) -> Self {
        match self {
            Self::Tasks { change, queue, ids } if ids.len() > PART => {
                Self::Tasks { change, queue, ids: Vec::new() }
            }
            Self::Quarantine { change, entries } if entries.len() > PART => {
                Self::Quarantine { change, entries: Vec::new() }
            }
            action => action,
        }
    }
}

/// Maximum number of tasks or entries in a line.
const PART: usize = 100;

impl KeysetChange {
    const fn name(self) -> &'static str {
        match self {
            Self::Init => "keyset-init",
            Self::Add => "keyset-add",
            Self::Activate => "keyset-activate",
            Self::Retire => "keyset-retire",
            Self::Disable => "keyset-disable",
            Self::Enable => "keyset-enable",
            Self::Revoke => "keyset-revoke",
            Self::Destroy => "keyset-destroy",
            Self::Remove => "keyset-remove",
            Self::Sign => "keyset-sign",
            Self::Publish => "keyset-publish",
        }
    }
}

impl Step {
    const fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
        }
    }
}

impl OperatorAction {
    const fn name(&self) -> &'static str {
        match self {
            Self::Tasks { change: TaskChange::Run, .. } => "task-run",
            Self::Tasks { change: TaskChange::Archive, .. } => "task-archive",
            Self::Tasks { change: TaskChange::Delete, .. } => "task-delete",
            Self::Queue { change: QueueChange::Init, .. } => "queue-init",
            Self::Queue { change: QueueChange::Pause, .. } => "queue-pause",
            Self::Queue { change: QueueChange::Resume, .. } => "queue-resume",
            Self::Queue { change: QueueChange::Delete, .. } => "queue-delete",
            Self::Quarantine { change: QuarantineChange::Release, .. } => "quarantine-release",
            Self::Quarantine { change: QuarantineChange::Prune, .. } => "quarantine-prune",
            Self::Quarantine { change: QuarantineChange::Export, .. } => "quarantine-export",
            Self::Ledger { change: LedgerChange::Init(_) } => "ledger-init",
            Self::Ledger { change: LedgerChange::AcceptClock } => "ledger-accept-clock",
            Self::LoosenMode { .. } => "rollout-loosen",
            Self::Keyset { change, .. } => change.name(),
            Self::Key { change: KeyChange::Generate, .. } => "key-generate",
            Self::Key { change: KeyChange::Import, .. } => "key-import",
            Self::Key { change: KeyChange::Export, .. } => "key-export",
        }
    }

    fn members(&self) -> Vec<Member> {
        match self {
            Self::Tasks { queue, ids, .. } => {
                let queue = queue.as_deref().map(|queue| ("queue", queue.into()));
                queue.into_iter().chain([("ids", Value::List(ids.clone()))]).collect()
            }
            Self::Queue { queue, .. } => queue.iter().map(|queue| ("queue", queue.as_str().into())).collect(),
            Self::Quarantine { entries, .. } => {
                vec![("entries", Value::List(entries.iter().map(i64::to_string).collect()))]
            }
            Self::Ledger { change: LedgerChange::Init(accept_older) } => {
                vec![("accept_older", (*accept_older).into())]
            }
            Self::Ledger { change: LedgerChange::AcceptClock } => Vec::new(),
            Self::LoosenMode { task_type } => vec![("type", task_type.as_str().into())],
            Self::Keyset { kid, .. } => kid.iter().map(|kid| ("kid", kid.as_str().into())).collect(),
            Self::Key { kid, place, .. } => {
                let kid = kid.as_deref().map(|kid| ("kid", kid.into()));
                kid.into_iter().chain([("place", place.as_str().into())]).collect()
            }
        }
    }
}
