//! Refused tasks: kept in quarantine, with what a person needs to understand why, before the queue is told.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use taskseal_core::{KeyId, Refusal, Unverified, Verified};

use super::Shared;
use super::event::Event;
use super::settle::{End, Ending, again};
use crate::broker::{Corrupt, TaskRecord};
use crate::keys::Keyring;
use crate::quarantine::{Disposition, Held, NewEntry};
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// A refusal and what a person needs to understand it.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    kid: Option<KeyId>,
    kid_known: bool,
    claimed: Option<Claimed>,
    /// Whether quarantine has it.
    pub(super) quarantined: bool,
}

/// What the envelope says of itself; verified only if the refusal comes after a good signature.
#[derive(Clone, Debug)]
struct Claimed {
    issuer: String,
    task_type: String,
}

impl Refused {
    pub(super) fn new(refusal: Refusal, unverified: Option<&Unverified<'_>>, keyring: &Keyring) -> Self {
        let kid = unverified.map(Unverified::kid);
        let claims = unverified.map(Unverified::danger_claims_unverified);
        Self {
            refusal,
            kid,
            kid_known: kid.is_some_and(|kid| keyring.record(kid).is_some()),
            claimed: claims.map(|claims| Claimed {
                issuer: claims.issuer.to_string(),
                task_type: claims.task_type.to_string(),
            }),
            quarantined: false,
        }
    }

    pub(super) fn after_verification(refusal: Refusal, verified: &Verified<'_>) -> Self {
        let claims = verified.claims();
        Self {
            refusal,
            kid: Some(verified.kid()),
            kid_known: true,
            claimed: Some(Claimed {
                issuer: claims.issuer.to_string(),
                task_type: claims.task_type.to_string(),
            }),
            quarantined: false,
        }
    }

    fn entry(&self, queue: &QueueName, record: &TaskRecord, disposition: Disposition) -> NewEntry {
        NewEntry {
            queue: queue.clone(),
            task_id: record.id.clone(),
            code: self.refusal.code().to_owned(),
            detail: self.detail(),
            kid: self.kid.map(|kid| *kid.as_bytes()),
            kid_known: self.kid_known,
            unverified_type: Some(record.task_type.clone()),
            unverified_issuer: self.claimed.as_ref().map(|claimed| claimed.issuer.clone()),
            digest: Sha256::digest(&record.envelope).into(),
            payload: record.envelope.clone(),
            disposition,
            seen_at: UnixMillis::now(),
        }
    }

    /// One sentence for a person.
    pub(super) fn detail(&self) -> String {
        match (&self.claimed, self.kid) {
            (Some(claimed), Some(kid)) => {
                let Claimed { issuer, task_type } = claimed;
                format!("{}; says it is {task_type} by {issuer}, sealed with {kid}", self.refusal)
            }
            _ => self.refusal.to_string(),
        }
    }
}

/// Puts the refused among `endings` into quarantine. What cannot be kept because there is no room stays in the archive of
/// its queue. If the quarantine does not answer and the worker is to stop, the refused are left out: their leases run
/// out, they come back and are refused again.
pub(super) async fn hold(shared: &Arc<Shared>, mut endings: Vec<Ending>) -> Vec<Ending> {
    let entries: Vec<NewEntry> = endings.iter().filter_map(entry).collect();
    if entries.is_empty() {
        return endings;
    }
    let Some(held) = keep(shared, entries).await else {
        endings.retain(|ending| refused(&ending.end).is_none());
        return endings;
    };
    let refused = endings.iter_mut().filter_map(|ending| match &mut ending.end {
        End::Refused { refused, .. } | End::Early { refused, .. } => Some(refused),
        _ => None,
    });
    for (refused, held) in refused.zip(held) {
        refused.quarantined = matches!(held, Held::New { .. } | Held::Again { .. });
    }
    endings
}

fn refused(end: &End) -> Option<(&Refused, Disposition)> {
    match end {
        End::Refused { refused, .. } => Some((refused, Disposition::Archived)),
        End::Early { refused, .. } => Some((refused, Disposition::Rescheduled)),
        _ => None,
    }
}

fn entry(ending: &Ending) -> Option<NewEntry> {
    let (refused, disposition) = refused(&ending.end)?;
    Some(refused.entry(&ending.handout.queue, &ending.handout.record, disposition))
}

/// Tries until the quarantine answers; `None` when the worker is to stop.
async fn keep(shared: &Arc<Shared>, entries: Vec<NewEntry>) -> Option<Vec<Held>> {
    let entries = Arc::new(entries);
    let mut tries = 0;
    loop {
        let (worker, entries) = (Arc::clone(shared), Arc::clone(&entries));
        match tokio::task::spawn_blocking(move || worker.parts.quarantine.hold(&entries)).await.ok()? {
            Ok(held) => return Some(held),
            Err(error) => {
                shared.observe(&Event::StateFailed { error: error.to_string() });
                again(shared, &mut tries).await?;
            }
        }
    }
}

/// Keeps messages that are none. The broker has archived them already.
pub(super) async fn keep_corrupt(shared: &Arc<Shared>, queue: &QueueName, corrupt: Vec<Corrupt>) {
    let refusal = Refusal::Malformed;
    let detail = "the queue holds no task message under this id";
    let ids: Vec<String> = corrupt.iter().map(|corrupt| corrupt.id.clone()).collect();
    let entries = corrupt.into_iter().map(|corrupt| NewEntry {
        queue: queue.clone(),
        task_id: corrupt.id,
        code: refusal.code().to_owned(),
        detail: detail.to_owned(),
        kid: None,
        kid_known: false,
        unverified_type: None,
        unverified_issuer: None,
        digest: Sha256::digest(&corrupt.bytes).into(),
        payload: corrupt.bytes.into(),
        disposition: Disposition::Archived,
        seen_at: UnixMillis::now(),
    });
    let held = keep(shared, entries.collect()).await.unwrap_or_default();
    for (index, id) in ids.into_iter().enumerate() {
        let quarantined = matches!(held.get(index), Some(Held::New { .. } | Held::Again { .. }));
        let detail = detail.to_owned();
        shared.observe(&Event::Refused { id, queue: queue.clone(), refusal, detail, quarantined });
    }
}
