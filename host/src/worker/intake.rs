//! Deciding what becomes of leased tasks: verify, compare with the queue's words, ask the ledger, decrypt.
//!
//! Blocking and processor-bound: runs off the async threads, a batch at a time, on all cores.

use std::thread;
use std::time::Duration;

use taskseal_core::claims::Claims;
use taskseal_core::replay::Admission;
use taskseal_core::{Audience, NameSet, OpenError, Policy, Refusal, TimeWindow, Unverified, Verified};
use zeroize::Zeroizing;

use super::Shared;
use super::event::Event;
use super::refuse::Refused;
use super::settle::End;
use crate::broker::Leased;
use crate::handler::OpenedTask;
use crate::ledger::{self, LedgerRefusal, Sighting, TaskKey};
use crate::message::Message;
use crate::queue::QueueName;
use crate::results::unix_seconds;
use crate::time::UnixMillis;

/// What becomes of one leased task.
#[derive(Debug)]
pub(super) enum Ruling {
    /// Run it.
    Run(Box<Admitted>),
    /// Do not run it, and end its lease like this.
    NotRun(End),
}

/// A task that may run.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) task: OpenedTask,
    pub(super) key: TaskKey,
    /// SHA-256 of the request envelope.
    pub(super) digest: [u8; 32],
    pub(super) max_attempts: u32,
    pub(super) retention: Duration,
    pub(super) expires_at: Option<UnixMillis>,
}

/// Decides on a batch from one queue, held until `until`. Rulings stand in the order of `batch`.
pub(super) fn rule(shared: &Shared, queue: &QueueName, batch: &[Leased], until: UnixMillis) -> Vec<Ruling> {
    let audience = shared.settings.audience(queue);
    let verdicts =
        on_all_cores(batch.iter().collect(), |leased| verify(shared, queue, &audience, &leased.message));
    let claims = claim(shared, verdicts, until);
    on_all_cores(claims, |claim| match claim {
        Ok(claimed) => open(shared, queue, &claimed),
        Err(end) => Ruling::NotRun(*end),
    })
}

/// Asks the ledger about all verified tasks at once.
fn claim<'a>(
    shared: &Shared,
    verdicts: Vec<Result<Verified<'a>, Box<End>>>,
    until: UnixMillis,
) -> Vec<Result<Claimed<'a>, Box<End>>> {
    let sightings: Vec<Sighting> =
        verdicts.iter().flatten().map(|verified| sighting(shared, verified)).collect();
    let now = UnixMillis::now();
    let admissions = if sightings.is_empty() {
        Vec::new()
    } else {
        let answer = shared.parts.ledger.claim(&shared.owner, now, until, &sightings);
        answer.unwrap_or_else(|error| {
            // Fail closed: without the ledger's word nothing runs.
            shared.observe(&Event::StateFailed { error: error.to_string() });
            Vec::new()
        })
    };
    let mut answers = sightings.into_iter().zip(admissions);
    let put_off = || Box::new(End::PutOff { at: now.plus(LEDGER_RETRY), claimed: None });
    let decided = verdicts.into_iter().map(|verdict| {
        let verified = verdict?;
        let (sighting, admission) = answers.next().ok_or_else(put_off)?;
        decide(verified, &sighting, admission).map_err(Box::new)
    });
    decided.collect()
}

/// How long tasks are put off when the ledger does not answer.
const LEDGER_RETRY: Duration = Duration::from_secs(5);
/// How long a task is put off when its decryption key is out of reach.
const KEY_RETRY: Duration = Duration::from_secs(10);

/// A claim granted by the ledger.
struct Claimed<'a> {
    verified: Verified<'a>,
    key: TaskKey,
    attempt: u32,
    max_attempts: u32,
}

fn verify<'a>(
    shared: &Shared,
    queue: &QueueName,
    audience: &str,
    message: &'a Message,
) -> Result<Verified<'a>, Box<End>> {
    let refuse = |refusal, unverified: Option<&Unverified<'_>>| {
        Box::new(End::Refused(Refused::new(refusal, unverified, &shared.parts.keyring)))
    };
    let unverified = Unverified::parse(&message.payload)
        .map_err(|error| refuse(error.refusal().unwrap_or(Refusal::Malformed), None))?;
    let Ok(audience) = Audience::new(audience) else {
        return Err(refuse(Refusal::WrongAudience, Some(&unverified)));
    };
    let settings = &shared.settings;
    let mut policy = Policy::for_tasks(audience);
    policy.types = NameSet::new(&shared.handled);
    policy.suites = settings.suites;
    policy.skew = settings.skew;
    policy.max_lifetime = settings.max_lifetime;
    policy.max_body = settings.max_body;
    let seconds = unix_seconds();
    match unverified.verify(&shared.parts.keyring, &policy, &mut TimeWindow::exact(seconds)) {
        Ok(verified) if agrees(message, queue, verified.claims()) => Ok(verified),
        Ok(_) => Err(refuse(Refusal::MetadataMismatch, Some(&unverified))),
        // The only refusal that time mends. It comes after a good signature, so the time can be believed.
        Err(OpenError::Refused(Refusal::NotYetValid)) => {
            let from = unverified.danger_claims_unverified().not_before.unwrap_or(seconds);
            let at = UnixMillis::from_secs(i64::try_from(from).unwrap_or(i64::MAX));
            let refused = Refused::new(Refusal::NotYetValid, Some(&unverified), &shared.parts.keyring);
            Err(Box::new(End::Early { at, refused }))
        }
        Err(error) => Err(refuse(error.refusal().unwrap_or(Refusal::Rejected), Some(&unverified))),
    }
}

/// Whether the queue's words about the task are the sealed ones. The words that only tools and counters use are
/// not compared: nothing here is decided by them.
fn agrees(message: &Message, queue: &QueueName, claims: &Claims<'_>) -> bool {
    let id_agrees = match claims.reference {
        Some(reference) => message.id == reference.as_str(),
        None => message.id == claims.task_id.to_string(),
    };
    id_agrees && message.task_type == claims.task_type.as_str() && message.queue == queue.as_str()
}

fn sighting(shared: &Shared, verified: &Verified<'_>) -> Sighting {
    let sighting = verified.sighting();
    let forget_after = sighting.forget_after.and_then(|seconds| i64::try_from(seconds).ok());
    Sighting {
        issuer: sighting.issuer.as_str().to_owned(),
        task_id: *sighting.task_id.as_bytes(),
        digest: sighting.digest,
        expires_at: UnixMillis::from_secs(forget_after.unwrap_or(i64::MAX)),
        max_attempts: u32::from(sighting.attempts.unwrap_or(shared.settings.default_attempts)),
    }
}

fn decide<'a>(
    verified: Verified<'a>,
    sighting: &Sighting,
    admission: ledger::Admission,
) -> Result<Claimed<'a>, End> {
    let key = sighting.key();
    let attempt = match admission {
        ledger::Admission::FirstRun => 1,
        ledger::Admission::Redelivery { attempt } => attempt,
        ledger::Admission::Finished { outcome } => {
            return Err(End::SettledAgain { key, outcome, retention: retention(verified.claims()) });
        }
        ledger::Admission::InProgress { until } => {
            return Err(End::PutOff { at: until, claimed: None });
        }
        ledger::Admission::Refused(refusal) => {
            return Err(End::Refused(Refused::after_verification(from_ledger(refusal), &verified)));
        }
    };
    Ok(Claimed { verified, key, attempt, max_attempts: sighting.max_attempts })
}

const fn from_ledger(refusal: LedgerRefusal) -> Refusal {
    match refusal {
        LedgerRefusal::Replayed => Refusal::Replayed,
        LedgerRefusal::Conflict => Refusal::Conflict,
        LedgerRefusal::AttemptsExhausted => Refusal::AttemptsExhausted,
        LedgerRefusal::Poisonous { .. } => Refusal::Poisonous,
    }
}

fn open(shared: &Shared, queue: &QueueName, claimed: &Claimed<'_>) -> Ruling {
    let Claimed { verified, key, attempt, max_attempts } = claimed;
    let claims = verified.claims();
    let mut buffer = Zeroizing::new(vec![0; verified.body_len()]);
    let mut admission = if *attempt == 1 { Admission::FirstRun } else { Admission::Redelivery };
    let opened = verified
        .admit(&mut admission)
        .and_then(|admitted| admitted.open(&mut &shared.parts.keyring, &mut buffer))
        .map(|opened| Zeroizing::new(opened.body().to_vec()));
    let body = match opened {
        Ok(body) => body,
        Err(OpenError::Refused(refusal)) => {
            return Ruling::NotRun(End::Refused(Refused::after_verification(refusal, verified)));
        }
        Err(_) => {
            let at = UnixMillis::now().plus(KEY_RETRY);
            return Ruling::NotRun(End::PutOff { at, claimed: Some(key.clone()) });
        }
    };
    let limit = shared.settings.max_timeout;
    let task = OpenedTask {
        id: claims.task_id,
        issuer: claims.issuer.to_string(),
        task_type: claims.task_type.to_string(),
        queue: queue.clone(),
        content_type: verified.content_type().to_string(),
        attempt: *attempt,
        timeout: claims.timeout.map_or(limit, |seconds| Duration::from_secs(seconds.into())).min(limit),
        body,
    };
    let expires_at = claims.expires_at.and_then(|seconds| i64::try_from(seconds).ok());
    Ruling::Run(Box::new(Admitted {
        task,
        key: key.clone(),
        digest: *verified.digest(),
        max_attempts: *max_attempts,
        retention: retention(claims),
        expires_at: expires_at.map(UnixMillis::from_secs),
    }))
}

fn retention(claims: &Claims<'_>) -> Duration {
    Duration::from_secs(claims.retention.unwrap_or(0).into())
}

/// Maps in order, on as many threads as there are cores when there is enough to do.
fn on_all_cores<T: Send, R: Send>(mut items: Vec<T>, map: impl Fn(T) -> R + Sync) -> Vec<R> {
    const WORTH_A_THREAD: usize = 4;
    let threads = thread::available_parallelism().map_or(1, usize::from).min(items.len() / WORTH_A_THREAD);
    if threads < 2 {
        return items.into_iter().map(map).collect();
    }
    let share = items.len().div_ceil(threads);
    thread::scope(|scope| {
        let map = &map;
        let mut running = Vec::with_capacity(threads);
        while !items.is_empty() {
            let rest = items.split_off(share.min(items.len()));
            let chunk = std::mem::replace(&mut items, rest);
            running.push(scope.spawn(move || chunk.into_iter().map(map).collect::<Vec<R>>()));
        }
        let finished = running.into_iter().flat_map(|thread| match thread.join() {
            Ok(mapped) => mapped,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        finished.collect()
    })
}
