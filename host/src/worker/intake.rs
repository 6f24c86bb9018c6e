//! Deciding what becomes of leased tasks: verify, compare with the queue's words, ask the ledger, decrypt.
//!
//! Blocking and processor-bound: runs off the async threads, a batch at a time, on all cores.

use std::thread;
use std::time::Duration;

use taskseal_core::claims::Claims;
use taskseal_core::replay::Admission;
use taskseal_core::{Audience, NameSet, OpenError, Refusal, Software, TimeWindow, Unverified, Verified};
use zeroize::Zeroizing;

use super::Shared;
use super::confirm::{confirm, not_any_more};
use super::event::Event;
use super::expired::Expired;
use super::in_flight::Place;
use super::refuse::Refused;
use super::settle::End;
use crate::broker::Leased;
use crate::handler::OpenedTask;
use crate::queue::QueueName;
use crate::replay::{self, LedgerRefusal, ReplayQuery, TaskKey};
use crate::task::queue_id;
use crate::time::{UnixMillis, unix_seconds};

/// What becomes of one leased task.
#[derive(Debug)]
pub(super) enum Ruling {
    /// Run it.
    Run(Box<Admitted>),
    /// Do not run it, and end its lease like this.
    NotRun(End),
}

impl Ruling {
    /// The claim of one that is to run.
    pub(super) fn claim(&self) -> Option<TaskKey> {
        match self {
            Self::Run(admitted) => Some(admitted.key.clone()),
            Self::NotRun(_) => None,
        }
    }
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

/// What is decided on a batch.
#[derive(Debug)]
pub(super) struct Ruled {
    /// In the order of the batch.
    pub(super) rulings: Vec<Ruling>,
    /// Whether the ledger answered; if not, nothing runs and it is of no use to take more.
    pub(super) ledger_answered: bool,
}

/// Decides on a batch from one queue. Opening may wait for a token, once for every task and for longer than a claim lasts:
/// the claims are with the heartbeat before it begins, and the ledger is asked again whose they are after it.
pub(super) fn rule(shared: &Shared, queue: &QueueName, batch: &[Leased], places: &[Place]) -> Ruled {
    let audience = shared.settings.audience(queue);
    let verdicts = on_all_cores(batch.iter().collect(), |leased| verify(shared, queue, &audience, leased));
    let (claims, claims_answered) = claim(shared, verdicts, places);
    let claims = claims.into_iter().zip(places).collect();
    let mut rulings = on_all_cores(claims, |(claim, place)| match claim {
        Ok(claimed) => not_any_more(shared, place, &claimed.key)
            .map_or_else(|| open(shared, queue, &claimed), Ruling::NotRun),
        Err(end) => Ruling::NotRun(*end),
    });
    let confirmed = confirm(shared, &mut rulings, places);
    Ruled { rulings, ledger_answered: claims_answered && confirmed }
}

/// Asks the ledger about all verified tasks at once; tells whether it answered. What it grants is noted in `places` at once,
/// with the end that it was granted for.
fn claim<'a>(
    shared: &Shared,
    verdicts: Vec<Result<Authentic<'a>, Box<End>>>,
    places: &[Place],
) -> (Vec<Result<Claimed<'a>, Box<End>>>, bool) {
    let verdicts: Vec<_> = verdicts
        .into_iter()
        .map(|verdict| verdict.and_then(|authentic| not_here(shared, authentic)))
        .collect();
    let sightings: Vec<ReplayQuery> =
        verdicts.iter().flatten().map(|authentic| authentic.sighting(shared)).collect();
    let now = UnixMillis::now();
    let until = now.plus(shared.settings.lease);
    let answer = if sightings.is_empty() {
        Ok(Vec::new())
    } else {
        shared.parts.ledger.acquire(&shared.owner, now, until, &sightings)
    };
    let answered = answer.is_ok();
    let admissions = answer.unwrap_or_else(|error| {
        // Fail closed: without the ledger's word nothing runs.
        shared.observe(&Event::StateFailed { error: error.to_string() });
        Vec::new()
    });
    let mut answers = sightings.into_iter().zip(admissions);
    let decided = verdicts.into_iter().zip(places).map(|(verdict, place)| {
        let authentic = verdict?;
        let unanswered = || Box::new(End::GivenBack { claimed: None });
        let (sighting, admission) = answers.next().ok_or_else(unanswered)?;
        match authentic {
            Authentic::InTime(verified) => {
                let claimed = decide(verified, &sighting, admission).map_err(Box::new)?;
                place.claimed(claimed.key.clone(), until);
                Ok(claimed)
            }
            Authentic::TooLate(expired) => Err(Box::new(expired.end(sighting.key(), admission))),
        }
    });
    (decided.collect(), answered)
}

/// Puts off a task that this very worker is still running: to the ledger, whose claims bear the worker's name, its second
/// run would look like the first.
fn not_here<'a>(shared: &Shared, authentic: Authentic<'a>) -> Result<Authentic<'a>, Box<End>> {
    if !shared.in_flight.has_claim(&authentic.sighting(shared).key()) {
        return Ok(authentic);
    }
    let at = UnixMillis::now().plus(shared.settings.lease);
    Err(Box::new(End::PutOff { at, claimed: None }))
}

/// A task whose signature and rights are good.
#[allow(clippy::large_enum_variant, reason = "nearly all are the large one")]
enum Authentic<'a> {
    InTime(Verified<'a>),
    /// It may not run any more. The ledger is asked all the same whether it has ended.
    TooLate(Expired),
}

impl Authentic<'_> {
    fn sighting(&self, shared: &Shared) -> ReplayQuery {
        match self {
            Self::InTime(verified) => sighting(shared, verified),
            Self::TooLate(expired) => expired.sighting(),
        }
    }
}

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
    leased: &'a Leased,
) -> Result<Authentic<'a>, Box<End>> {
    let record = &leased.record;
    let refuse = |refusal, unverified: Option<&Unverified<'_>>| {
        let refused = Refused::new(refusal, unverified, &shared.parts.keyring);
        Box::new(End::Refused { refused, claimed: None })
    };
    let unverified = Unverified::parse(&record.envelope)
        .map_err(|error| refuse(error.refusal().unwrap_or(Refusal::Malformed), None))?;
    let Ok(audience) = Audience::new(audience) else {
        return Err(refuse(Refusal::WrongAudience, Some(&unverified)));
    };
    let policy = shared.settings.policy.for_tasks(audience, NameSet::new(&shared.handled));
    let seconds = unix_seconds();
    let (keyring, clock) = (&shared.parts.keyring, &mut TimeWindow::exact(seconds));
    match unverified.verify_with(&Software, &mut &shared.roots, keyring, &policy, clock) {
        Ok(verified) if agrees(leased, queue, verified.claims()) => Ok(Authentic::InTime(verified)),
        // After a good signature too: what it says of itself is true, it only comes too late.
        Err(OpenError::Refused(Refusal::Expired))
            if agrees(leased, queue, unverified.danger_claims_unverified()) =>
        {
            Ok(Authentic::TooLate(Expired::new(&unverified, &record.envelope, keyring)))
        }
        Ok(_) | Err(OpenError::Refused(Refusal::Expired)) => {
            Err(refuse(Refusal::MetadataMismatch, Some(&unverified)))
        }
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
fn agrees(leased: &Leased, queue: &QueueName, claims: &Claims<'_>) -> bool {
    let Leased { lease, record } = leased;
    let id = queue_id(claims);
    lease.id == id
        && record.id == id
        && record.task_type == claims.task_type.as_str()
        && record.queue == queue.as_str()
}

fn sighting(shared: &Shared, verified: &Verified<'_>) -> ReplayQuery {
    let sighting = verified.admission_request();
    let forget_after = sighting.forget_after.and_then(|seconds| i64::try_from(seconds).ok());
    ReplayQuery {
        issuer: sighting.issuer.as_str().to_owned(),
        task_id: *sighting.task_id.as_bytes(),
        digest: sighting.digest,
        expires_at: UnixMillis::from_secs(forget_after.unwrap_or(i64::MAX)),
        max_attempts: u32::from(sighting.attempts.unwrap_or(shared.settings.default_attempts)),
        ttl: sighting.ttl.map(|seconds| Duration::from_secs(seconds.into())),
    }
}

fn decide<'a>(
    verified: Verified<'a>,
    sighting: &ReplayQuery,
    admission: replay::Decision,
) -> Result<Claimed<'a>, End> {
    let key = sighting.key();
    let attempt = match admission {
        replay::Decision::FirstRun => 1,
        replay::Decision::Redelivery { attempt } => attempt,
        replay::Decision::Finished { outcome } => {
            return Err(End::SettledAgain { key, outcome, retention: retention(verified.claims()) });
        }
        replay::Decision::InProgress { until } => {
            return Err(End::PutOff { at: until, claimed: None });
        }
        replay::Decision::Refused(refusal) => {
            let refused = Refused::after_verification(from_ledger(refusal), &verified);
            return Err(End::Refused { refused, claimed: None });
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
        LedgerRefusal::Expired => Refusal::Expired,
    }
}

fn open(shared: &Shared, queue: &QueueName, claimed: &Claimed<'_>) -> Ruling {
    let Claimed { verified, key, attempt, max_attempts } = claimed;
    let claims = verified.claims();
    let mut buffer = Zeroizing::new(vec![0; verified.body_len()]);
    let mut admission = if *attempt == 1 { Admission::FirstRun } else { Admission::Redelivery };
    let mut keys = shared.parts.keyring.opening();
    let opened = verified
        .admit(&mut admission)
        .and_then(|admitted| admitted.open(&mut keys, &mut buffer))
        .map(|opened| Zeroizing::new(opened.body().to_vec()))
        .map_err(|error| keys.verdict(error));
    let body = match opened {
        Ok(body) => body,
        Err(OpenError::Refused(refusal)) => {
            let refused = Refused::after_verification(refusal, verified);
            return Ruling::NotRun(End::Refused { refused, claimed: Some(key.clone()) });
        }
        Err(_) => {
            let (kid, reason) = keys.fault();
            let id = claims.task_id.to_string();
            shared.observe(&Event::KeyUnavailable { id, doing: "decrypt", kid, reason });
            let at = UnixMillis::now().plus(shared.settings.key_retry);
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

pub(super) fn retention(claims: &Claims<'_>) -> Duration {
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
