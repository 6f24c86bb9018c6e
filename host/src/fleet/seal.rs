//! Statuses in envelopes: signed by the key of the process, so that the broker can neither change nor make one.

use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal_core::keyset::KeyRecord;
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, KeyId, KeyLookup, Kind, NameSet, OpenError, Policy, Refusal,
    Suite, SuiteSet, TaskId, TaskType, Unverified,
};
use zeroize::Zeroizing;

use super::MAX_KEEP;
use super::status::{ProcessStatus, Role, VERSION};
use crate::broker::status::MAX_STATUS;
use crate::keys::{Draft, Keyring, SealingKey};
use crate::result::ResultError;
use crate::time::clock;

/// Task type of every status. No right to it is needed.
const TYPE: &str = "taskseal:status";

/// A process whose status is genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the program reads every field")]
pub struct Member {
    /// What it states.
    pub status: ProcessStatus,
    /// The key that signed it.
    pub kid: KeyId,
}

/// A status that proves nothing: not signed by a key of the keyset for the name that it states, or expired.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the program reads every field")]
pub struct Unproven {
    /// The key that it names, if it can be read.
    pub kid: Option<KeyId>,
    /// Why it proves nothing.
    pub reason: String,
}

/// Signs a status with the key of the process, without encryption where the suite of the key allows it. It expires after `keep`.
///
/// # Errors
/// [`ResultError`] if the key fails, or the name of the process is not that of an issuer.
///
/// # Security
/// No queue has the audience of a status, and no request its digest: it is neither accepted as a task nor as a result.
pub fn seal(
    status: &ProcessStatus,
    deployment: &str,
    keep: Duration,
    key: &SealingKey,
) -> Result<Vec<u8>, ResultError> {
    let audience = audience(deployment);
    let id = TaskId::from_bytes(*uuid::Uuid::now_v7().as_bytes());
    let (issuer, audience) = (Issuer::new(&status.id)?, Audience::new(&audience)?);
    let mut claims = Claims::new(issuer, TaskType::new(TYPE)?, audience, id)
        .issued_at(status.at)
        .expires_at(status.at.saturating_add(keep.min(MAX_KEEP).as_secs()));
    if key.kind() == Kind::Result {
        claims = claims.request(request());
    }
    let body = serde_json::to_vec(status).unwrap_or_default();
    Ok(key.seal_readable(&Draft::new(&claims, ContentType::JSON, &body))?)
}

impl Unproven {
    /// Creates the reason for a status that was genuine and has expired.
    pub(super) fn expired(member: &Member) -> Self {
        Self { kid: Some(member.kid), reason: Refusal::Expired.code().to_owned() }
    }
}

/// Opens a status.
///
/// # Errors
/// [`Unproven`].
pub fn open(envelope: &[u8], keyring: &Keyring, deployment: &str) -> Result<Member, Unproven> {
    open_until(envelope, keyring, deployment).map(|(member, _)| member)
}

/// Opens a status, and returns the time at which it expires, in seconds of Unix time.
pub(super) fn open_until(
    envelope: &[u8],
    keyring: &Keyring,
    deployment: &str,
) -> Result<(Member, u64), Unproven> {
    let unproven = |kid, reason: String| Unproven { kid, reason };
    let unverified = Unverified::parse(envelope).map_err(|_| unproven(None, "not an envelope".to_owned()))?;
    let kid = unverified.kid();
    let body = body(&unverified, keyring, deployment).map_err(|error| {
        let reason = error.refusal().map_or_else(|| error.to_string(), |refusal| refusal.code().to_owned());
        unproven(Some(kid), reason)
    })?;
    // Of another version, a status may have other fields.
    let Stated { v } = serde_json::from_slice(&body)
        .map_err(|_| unproven(Some(kid), "it is not the status of a process".to_owned()))?;
    if v != VERSION {
        return Err(unproven(Some(kid), format!("it has version {v} of the format, expected {VERSION}")));
    }
    let status: ProcessStatus = serde_json::from_slice(&body)
        .map_err(|_| unproven(Some(kid), "it is not the status of a process".to_owned()))?;
    // The signature was verified.
    let claims = unverified.danger_claims_unverified();
    let role = if unverified.kind() == Kind::Result { Role::Worker } else { Role::Producer };
    if status.id != claims.issuer.as_str() || status.role != role {
        return Err(unproven(Some(kid), "it states the name or role of another process".to_owned()));
    }
    // Without an end it would be believed for as long as the broker repeats it.
    let expires_at = claims.expires_at.ok_or_else(|| unproven(Some(kid), "it has no end".to_owned()))?;
    Ok((Member { status, kid }, expires_at))
}

/// What every version of a status states.
#[derive(serde::Deserialize)]
struct Stated {
    v: u32,
}

/// Verifies a status and returns its body.
fn body(
    unverified: &Unverified<'_>,
    keyring: &Keyring,
    deployment: &str,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let audience = audience(deployment);
    let audience = Audience::new(&audience).map_err(|_| Refusal::WrongAudience)?;
    let is_result = unverified.kind() == Kind::Result;
    let mut policy =
        if is_result { Policy::for_result(audience, request()) } else { Policy::for_tasks(audience) };
    policy.suites = [Suite::S, Suite::M, Suite::E].into_iter().fold(SuiteSet::NONE, SuiteSet::with);
    policy.max_body = MAX_STATUS;
    policy.max_lifetime = MAX_KEEP.as_secs();
    let verified = unverified.verify(&OfAnyType(keyring), &policy, &mut clock())?;
    let mut buffer = Zeroizing::new(vec![0; verified.body_len()]);
    let keys = &mut keyring.opening();
    let opened = if is_result {
        verified.open_result(keys, &mut buffer)?
    } else {
        // Opened again and again by every process: a repeated status changes nothing until it expires.
        verified.danger_open_without_replay_guard(keys, &mut buffer)?
    };
    let body = opened.body().to_vec();
    Ok(Zeroizing::new(body))
}

/// The keys of a keyset, each for its own issuers, but for every type and audience: a key needs no right to state what its process
/// runs with.
struct OfAnyType<'k>(&'k Keyring);

impl KeyLookup for OfAnyType<'_> {
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        Some(self.0.find(kid)?.types(NameSet::ANY).audiences(NameSet::ANY))
    }
}

/// Returns the audience of every status. The second part is the name of no queue.
fn audience(deployment: &str) -> String {
    format!("{deployment}/@processes")
}

/// Returns what a worker's status states as its request: the digest of no envelope.
fn request() -> [u8; 32] {
    Sha256::digest(b"taskseal status v1").into()
}
