//! What operators do. The names are stable.

use crate::audit::line::{Member, Value};

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

impl OperatorAction {
    pub(super) const fn name(&self) -> &'static str {
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

    pub(super) fn members(&self) -> Vec<Member> {
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
