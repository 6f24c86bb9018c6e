//! Between the stages 1 and 2: decides about a task that is not sealed, by the mode of its type.
//!
//! Nothing about such a task is proven. The queue's word for its type chooses the rule, so an attacker can make a task of any
//! type whose mode lets unsealed tasks run, and of no other. The replay ledger limits its attempts, but keeps no record of its
//! success: as in asynq, the same id may be used again, and a task whose end was not stored runs again.

use std::ops::ControlFlow::{Break, Continue};

use sha2::{Digest, Sha256};
use taskseal_core::{NameSet, Refusal, TaskId, TaskType};

use super::decided_by::DecidedBy;
use super::event::Event;
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::task_state::{
    AdmittedRun, DecryptedTask, LeasedTask, Outcome, RefusalDetails, StageDecision, VerifiedTask,
};
use crate::broker::TaskRecord;
use crate::escape::Escaped;
use crate::handler::OpenedTask;
use crate::policy::{Mode, PolicySet, RuleChoice, Violation};
use crate::queue::QueueName;
use crate::replay::ReplayQuery;
use crate::time::UnixMillis;

/// An unsealed task that its mode lets run.
#[derive(Debug)]
pub(super) struct UnsealedTask<'a> {
    record: &'a TaskRecord,
    queue: &'a QueueName,
    pattern: String,
    mode: Mode,
    digest: [u8; 32],
    task_id: [u8; 16],
    /// Why its detached envelope is refused, if it has one.
    refused_envelope: Option<Box<RefusalDetails>>,
}

/// Returns whether a payload cannot be an envelope, not even a damaged one. An array of three that does not begin with a byte
/// string is not an envelope of a batch; a map of three in MessagePack begins with the same byte.
#[must_use]
pub fn is_unsealed(payload: &[u8]) -> bool {
    match payload {
        [0xd0..=0xd2, ..] => false,
        [0x83, second, ..] => !matches!(second, 0x40..=0x5b),
        [0x83] => false,
        _ => true,
    }
}

/// Decides whether an unsealed task may run.
pub(super) fn decide<'a>(
    shared: &Shared,
    keys: &Snapshot,
    task: &'a LeasedTask,
) -> StageDecision<VerifiedTask<'a>> {
    let LeasedTask { record, queue, .. } = task;
    let policy = &keys.policy;
    let rules = policy.rules();
    let RuleChoice::Rule(rule) = rules.choose(&record.task_type) else {
        return refuse(Refusal::Unsealed, None);
    };
    let mode = shared.rollout.effective(&rule.pattern, rule.mode_at(UnixMillis::now()));
    match mode {
        Mode::Enforce => return refuse(Refusal::Unsealed, None),
        Mode::Prefer if shared.rollout.has_sealed(queue, &record.task_type) => {
            let violation = Violation::sealed_before(rule);
            return refuse(Refusal::Unsealed, Some(violation));
        }
        _ => {}
    }
    if let Some(violation) = misplaced(task) {
        return refuse(violation.refusal, Some(violation));
    }
    if let Err(violation) = policy.check_queue(rule, queue) {
        return refuse(violation.refusal, Some(violation));
    }
    if record.envelope.len() > policy.settings_of(rule).max_body {
        return refuse(Refusal::TooLarge, None);
    }
    let digest = Sha256::digest(&record.envelope).into();
    let task_id = ledger_id(queue, &record.id, &digest);
    let is_handled = TaskType::new(&record.task_type).is_ok()
        && NameSet::new(&shared.handled_types).contains(&record.task_type);
    if !is_handled {
        return Break(not_handled(shared, task_id));
    }
    let pattern = rule.pattern.clone();
    let refused_envelope = None;
    let task = UnsealedTask { record, queue, pattern, mode, digest, task_id, refused_envelope };
    Continue(VerifiedTask::Unsealed(task))
}

fn refuse<T>(refusal: Refusal, violation: Option<Violation>) -> StageDecision<T> {
    let mut refusal = RefusalDetails::unsealed(refusal);
    refusal.violation = violation;
    Break(Outcome::Refused { refusal, acquired: None })
}

/// Puts off a task for whose type a deployment may bring a handler, for as long as a sealed one could wait.
fn not_handled(shared: &Shared, task_id: [u8; 16]) -> Outcome {
    let refusal = RefusalDetails::unsealed(Refusal::TypeNotHandled);
    let now = UnixMillis::now();
    match shared.first_seen.age(task_id, now, shared.settings.policy.max_lifetime) {
        Some(age) => {
            let at = now.plus(shared.settings.postpone.delay_after(age / 2));
            Outcome::Postponed { at, refusal, acquired: None }
        }
        None => Outcome::Refused { refusal, acquired: None },
    }
}

/// Returns the first word of the message that differs from the place in the queue where the message was.
fn misplaced(task: &LeasedTask) -> Option<Violation> {
    let LeasedTask { lease, record, queue, .. } = task;
    let words = [("id", &*record.id, &*lease.id), ("queue", &record.queue, queue.as_str())];
    let (word, stated, place) = words.into_iter().find(|(_, stated, place)| stated != place)?;
    let (stated, place) = (Escaped::new(stated), Escaped::new(place));
    let required = format!("the message states {word} \"{stated}\", the queue has it under \"{place}\"");
    Some(Violation::new(Refusal::MetadataMismatch, required))
}

/// Returns the id under which the ledger counts the attempts. Another body under the same id is another task.
fn ledger_id(queue: &QueueName, id: &str, digest: &[u8; 32]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [b"taskseal unsealed".as_slice(), queue.as_str().as_bytes(), id.as_bytes(), digest] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut short = [0; 16];
    short.iter_mut().zip(hash.finalize()).for_each(|(short, byte)| *short = byte);
    short
}

impl UnsealedTask<'_> {
    /// Adds why the detached envelope of the task is refused.
    pub(super) fn with_refused_envelope(mut self, refusal: RefusalDetails) -> Self {
        self.refused_envelope = Some(Box::new(refusal));
        self
    }

    fn count(&self, shared: &Shared) {
        let now = UnixMillis::now();
        if let Some(refused) = &self.refused_envelope {
            let (refusal, detail) = (refused.refusal, refused.detail());
            shared.rollout.count_refused(&self.pattern, refusal, now);
            let (id, queue) = (self.record.id.clone(), self.queue.clone());
            shared.observe(&Event::DetachedRefused { id, queue, refusal, detail, mode: self.mode });
        }
        let (id, queue, task_type) = (self.record.id.clone(), self.queue.clone(), self.pattern.clone());
        shared.rollout.count_unsealed(&queue, &task_type, &id, now);
        shared.observe(&Event::Unsealed { id, queue, task_type, mode: self.mode });
    }

    /// Returns the query for the ledger. No issuer has an empty name, so no sealed task has this key.
    pub(super) fn query(&self, shared: &Shared) -> ReplayQuery {
        let now = UnixMillis::now();
        let attempts = self.record.max_retries.map(|retries| retries.saturating_add(1));
        ReplayQuery {
            issuer: String::new(),
            task_id: self.task_id,
            digest: self.digest,
            issued_at: Some(now),
            expires_at: now.plus(shared.settings.policy.max_lifetime),
            max_attempts: attempts.unwrap_or(shared.settings.default_attempts.into()),
            ttl: None,
        }
    }

    /// Returns the task as the handler gets it, and counts it.
    pub(super) fn open(&self, shared: &Shared, policy: &PolicySet, run: AdmittedRun) -> DecryptedTask {
        let AdmittedRun { key, attempt, max_attempts, must_begin, suspect } = run;
        let record = self.record;
        if attempt == 1 && self.mode != Mode::Off {
            self.count(shared);
        }
        let limit = shared.settings.max_timeout;
        let task = OpenedTask {
            id: TaskId::parse(&record.id).unwrap_or(TaskId::from_bytes(self.task_id)),
            sealed_by: None,
            issuer: String::new(),
            task_type: record.task_type.clone(),
            queue: self.queue.clone(),
            content_type: taskseal_core::ContentType::OCTETS.as_str().to_owned(),
            attempt,
            timeout: record.timeout.unwrap_or(limit).min(limit),
            body: record.envelope.to_vec().into(),
        };
        DecryptedTask {
            task,
            key,
            digest: self.digest,
            max_attempts,
            must_begin,
            retention: record.retention,
            expires_at: None,
            decided_by: DecidedBy::unsealed(policy, self.mode),
            suspect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_envelope_does_not_count_as_unsealed() {
        for payload in [
            &[0xd2][..],
            &[0xd0, 0x83],
            &[0xd1, 0xff, 0xff],
            &[0x83],
            &[0x83, 0x40],
            &[0x83, 0x58, 0x20],
            &[0x83, 0x5b],
        ] {
            assert!(!is_unsealed(payload), "{payload:02x?}");
        }
        // JSON, protobuf, MessagePack with a map of three entries, nothing.
        for payload in [&b"{\"id\":1}"[..], &[0x0a, 0x03], &[0x83, 0xa2, b'i', b'd'], &[]] {
            assert!(is_unsealed(payload), "{payload:02x?}");
        }
    }

    #[test]
    fn another_queue_id_or_body_is_another_task() {
        let (mail, bulk) = (QueueName::parse("mail").unwrap(), QueueName::parse("bulk").unwrap());
        let ids = [
            ledger_id(&mail, "a", &[1; 32]),
            ledger_id(&bulk, "a", &[1; 32]),
            ledger_id(&mail, "b", &[1; 32]),
            ledger_id(&mail, "a", &[2; 32]),
        ];
        assert!(ids.iter().enumerate().all(|(index, id)| !ids[..index].contains(id)));
        assert_eq!(ids[0], ledger_id(&mail, "a", &[1; 32]));
    }
}
