//! What the audit log records. The names are stable.

mod operator;

pub use self::operator::{
    KeyChange, KeysetChange, LedgerChange, OperatorAction, QuarantineChange, QueueChange, TaskChange,
};
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
        /// Fingerprint of the keyset that it has loaded.
        keyset: String,
        /// Sequence number of that keyset, if it is signed.
        sequence: Option<u64>,
        /// Fingerprint of its policy.
        policy: String,
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
        /// The keys whose states have changed, each with its former and its new state, and a policy that was replaced.
        changes: Vec<String>,
    },
    /// A worker cannot load its keys again: the former ones stay in use.
    KeysNotLoaded {
        /// Why.
        reason: String,
    },
    /// A worker cannot load its policy again: the former one stays in use.
    PolicyNotLoaded {
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
            Self::PolicyNotLoaded { .. } => "policy-not-loaded",
            Self::LinesLost { .. } => "lines-lost",
            Self::Operator { action, .. } => action.name(),
        }
    }

    /// Returns the members of the event, in order.
    pub(super) fn members(&self) -> Vec<Member> {
        match self {
            Self::WorkerStarted { worker, queues, keyset, sequence, policy } => {
                let mut members =
                    vec![("worker", worker.as_str().into()), ("queues", Value::List(queues.clone()))];
                members.push(("keyset", keyset.as_str().into()));
                members.extend(sequence.map(|sequence| ("sequence", sequence.into())));
                members.push(("policy", policy.as_str().into()));
                members
            }
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
            Self::KeysNotLoaded { reason } | Self::PolicyNotLoaded { reason } => {
                vec![("reason", reason.as_str().into())]
            }
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

impl Step {
    const fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
        }
    }
}
