//! What is counted of a task type.

use std::collections::BTreeMap;

use crate::policy::Mode;
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// What is stored about the task types of one pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TypeReport {
    /// Pattern of the rule.
    pub pattern: String,
    /// The strictest mode that a worker of this host has used.
    pub strictest: Option<Mode>,
    /// The tasks that were accepted, by queue.
    pub queues: Vec<QueueCounts>,
    /// The tasks that were refused, by code.
    pub refused: Vec<RefusalCount>,
}

/// The accepted tasks of one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueCounts {
    /// Name of the queue.
    pub queue: String,
    /// Number of sealed tasks.
    pub sealed: u64,
    /// Number of signed tasks with a clear body.
    pub detached: u64,
    /// Number of unsealed tasks.
    pub unsealed: u64,
    /// When the last sealed task was accepted.
    pub last_sealed_at: Option<UnixMillis>,
    /// When the last signed task with a clear body was accepted.
    pub last_detached_at: Option<UnixMillis>,
    /// When the last unsealed task began.
    pub last_unsealed_at: Option<UnixMillis>,
    /// Its id. Any process that can write to the queue can choose it.
    pub last_unsealed_id: Option<String>,
}

/// The tasks that were refused with one code.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusalCount {
    /// Refusal code.
    pub code: String,
    /// Number of tasks.
    pub count: u64,
    /// When the last one was refused.
    pub last_at: UnixMillis,
}

/// Where the body of a verified task was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealForm {
    /// In the envelope.
    Sealed,
    /// In clear beside a detached envelope.
    Detached,
}

/// What was counted and is not stored.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// By pattern and queue.
    pub(super) accepted: BTreeMap<(String, QueueName), QueueCounts>,
    /// By pattern and code.
    pub(super) refused: BTreeMap<(String, &'static str), (u64, UnixMillis)>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.refused.is_empty()
    }

    /// Returns whether sealed tasks, or signed ones with a clear body, were counted.
    pub(super) fn has_sealed(&self) -> bool {
        let is_sealed =
            |counts: &QueueCounts| counts.last_sealed_at.is_some() || counts.last_detached_at.is_some();
        self.accepted.values().any(is_sealed)
    }

    fn counts(&mut self, queue: &QueueName, pattern: &str) -> &mut QueueCounts {
        self.accepted.entry((pattern.to_owned(), queue.clone())).or_default()
    }

    pub(super) fn count_sealed(
        &mut self,
        queue: &QueueName,
        pattern: &str,
        form: SealForm,
        attempt: u32,
        at: UnixMillis,
    ) {
        let counts = self.counts(queue, pattern);
        let (count, last_at) = match form {
            SealForm::Sealed => (&mut counts.sealed, &mut counts.last_sealed_at),
            SealForm::Detached => (&mut counts.detached, &mut counts.last_detached_at),
        };
        *count += u64::from(attempt == 1);
        *last_at = Some(at);
    }

    pub(super) fn count_unsealed(&mut self, queue: &QueueName, pattern: &str, id: &str, at: UnixMillis) {
        let counts = self.counts(queue, pattern);
        counts.unsealed += 1;
        counts.last_unsealed_at = Some(at);
        counts.last_unsealed_id = Some(id.to_owned());
    }

    pub(super) fn count_refused(&mut self, pattern: &str, code: &'static str, at: UnixMillis) {
        let (count, last_at) = self.refused.entry((pattern.to_owned(), code)).or_insert((0, at));
        *count += 1;
        *last_at = at;
    }

    /// Adds older counts, which could not be stored.
    pub(super) fn merge(&mut self, older: Self) {
        for (key, counts) in older.accepted {
            let newer = self.accepted.entry(key).or_default();
            newer.sealed += counts.sealed;
            newer.detached += counts.detached;
            newer.unsealed += counts.unsealed;
            newer.last_sealed_at = newer.last_sealed_at.or(counts.last_sealed_at);
            newer.last_detached_at = newer.last_detached_at.or(counts.last_detached_at);
            if newer.last_unsealed_at.is_none() {
                newer.last_unsealed_at = counts.last_unsealed_at;
                newer.last_unsealed_id = counts.last_unsealed_id;
            }
        }
        for (key, (count, at)) in older.refused {
            self.refused.entry(key).or_insert((0, at)).0 += count;
        }
    }
}
