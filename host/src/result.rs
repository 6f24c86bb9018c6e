//! Results: sealed by the worker, bound to their request, opened by the client.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use taskseal_core::name::InvalidName;
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, KeyId, NameSet, OpenError, Refusal, SealError, TaskId, TaskType,
    Unverified,
};
use zeroize::Zeroizing;

use crate::fleet::{self, ProcessStatus};
use crate::handler::Output;
use crate::keys::{Draft, KeyError, Keyring, NoRecipient, NotSealed, OpeningKeys, SealFault, SealingKey};
use crate::policy::PolicySettings;
use crate::time::{clock, unix_seconds};

/// Seals the results of one worker.
#[derive(Debug)]
pub struct ResultSealer {
    issuer: String,
    key: SealingKey,
}

/// The request of a result.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct Request<'r> {
    /// Type of the task.
    pub task_type: &'r str,
    /// Deployment and queue of the task.
    pub audience: &'r str,
    /// Id of the task.
    pub id: TaskId,
    /// SHA-256 digest of the envelope of the task.
    pub digest: [u8; 32],
}

/// Why a result cannot be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// A name or the media type is not valid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The keyset does not allow the key to seal results now.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The keyset has no key to encrypt the result to.
    #[error(transparent)]
    Recipient(#[from] NoRecipient),
    /// The key or its token failed, or the output is too large.
    #[error(transparent)]
    Sealing(#[from] SealFault),
}

impl From<NotSealed> for ResultError {
    fn from(error: NotSealed) -> Self {
        match error {
            NotSealed::Recipient(error) => Self::Recipient(error),
            NotSealed::Sealing(error) => Self::Sealing(error),
        }
    }
}

impl ResultError {
    /// Returns `Some` if the key or the random number generator failed, so that no other output could be sealed now and this one may
    /// be later. The inner value is the delay that the key asks for.
    pub(crate) fn of_the_key(&self) -> Option<Option<Duration>> {
        match self {
            // Only this output is at fault.
            Self::Sealing(SealError::Signer(fault)) if fault.refuses_message() => None,
            Self::Sealing(SealError::Signer(fault)) => Some(fault.retry_after()),
            Self::Sealing(SealError::InvalidSignature | SealError::Random) => Some(None),
            _ => None,
        }
    }
}

impl ResultSealer {
    /// Creates a sealer for the issuer `issuer` with `key`.
    ///
    /// # Errors
    /// [`InvalidName`] if `issuer` is not a valid issuer.
    pub fn new(issuer: &str, key: SealingKey) -> Result<Self, InvalidName> {
        Issuer::new(issuer)?;
        Ok(Self { issuer: issuer.to_owned(), key })
    }

    /// Returns a sealer for the same issuer with another key.
    pub(crate) fn with_key(&self, key: SealingKey) -> Self {
        Self { issuer: self.issuer.clone(), key }
    }

    /// Returns the key.
    pub(crate) const fn key(&self) -> &SealingKey {
        &self.key
    }

    /// Returns the identifier of the key.
    pub(crate) fn kid(&self) -> KeyId {
        self.key.kid()
    }

    /// Returns whether sealing may wait for a token or a service.
    pub(crate) fn may_block(&self) -> bool {
        self.key.may_block()
    }

    /// Returns whether there is a key to encrypt results of some of these types and an audience to now, for some issuer.
    pub(crate) fn has_recipient_for(&self, types: NameSet<'_>, audience: &str) -> bool {
        self.key.has_recipient_for(types, audience)
    }

    /// Signs the status of the worker, which expires after `keep`.
    ///
    /// # Errors
    /// [`ResultError`].
    pub(crate) fn seal_status(
        &self,
        status: &ProcessStatus,
        deployment: &str,
        keep: Duration,
    ) -> Result<Vec<u8>, ResultError> {
        fleet::seal(status, deployment, keep, &self.key)
    }

    /// Seals `output` as the result of `request`, which `issuer` made. The result expires after `retention`.
    ///
    /// # Errors
    /// [`ResultError`].
    pub fn seal(
        &self,
        issuer: &str,
        request: &Request<'_>,
        retention: Duration,
        output: &Output,
    ) -> Result<Vec<u8>, ResultError> {
        let now = unix_seconds();
        let claims = Claims::new(
            Issuer::new(&self.issuer)?,
            TaskType::new(request.task_type)?,
            Audience::new(request.audience)?,
            request.id,
        )
        .issued_at(now)
        .expires_at(now.saturating_add(retention.as_secs().max(1)))
        .request(request.digest);
        self.key.check_claims(&claims)?;
        let content_type = ContentType::new(&output.content_type)?;
        let draft = Draft::new(&claims, content_type, &output.body).answering(Issuer::new(issuer)?);
        Ok(self.key.seal_draft(&draft)?)
    }

    /// Checks that a result of the task with these claims can be sealed now, and that clients with the same keyset accept it.
    ///
    /// # Errors
    /// [`ResultError::Key`] if the keyset does not allow the key to seal it, [`ResultError::Recipient`] if it has no key to encrypt it
    /// to.
    pub(crate) fn check_request(&self, request: &Claims<'_>) -> Result<(), ResultError> {
        let mut claims = *request;
        claims.issuer = Issuer::new(&self.issuer)?;
        self.key.check_claims(&claims)?;
        Ok(self.key.check_recipient(&Draft::new(request, ContentType::OCTETS, &[]))?)
    }
}

/// An opened result. The body is wiped on drop and omitted in `Debug`.
#[non_exhaustive]
pub struct TaskResult {
    /// Id of the task.
    pub id: TaskId,
    /// Issuer of the result: the worker.
    pub worker: String,
    /// Time of sealing, exact to the second.
    pub sealed_at: SystemTime,
    /// Media type of the body.
    pub content_type: String,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for TaskResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskResult")
            .field("id", &self.id)
            .field("worker", &self.worker)
            .field("sealed_at", &self.sealed_at)
            .field("content_type", &self.content_type)
            .field("body_len", &self.body.len())
            .finish()
    }
}

/// Verifies and opens the result of `request`.
///
/// # Errors
/// [`OpenError`]: [`Refusal::WrongRequest`] if it is the result of another request, and every reason for which a task is refused;
/// [`OpenError::KeyUnavailable`] if the decryption key is in a token or service that did not respond correctly.
pub fn open_result(
    envelope: &[u8],
    request: &Request<'_>,
    accepted: &PolicySettings,
    keyring: &Keyring,
) -> Result<TaskResult, OpenError> {
    try_open_result(envelope, request, accepted, keyring).map_err(|unopened| unopened.error)
}

/// Why a result was not opened, and the delay before another attempt; `None` if another attempt is useless.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unopened {
    pub(crate) error: OpenError,
    pub(crate) retry_after: Option<Duration>,
}

/// As [`open_result`], with the delay before another attempt.
pub(crate) fn try_open_result(
    envelope: &[u8],
    request: &Request<'_>,
    accepted: &PolicySettings,
    keyring: &Keyring,
) -> Result<TaskResult, Unopened> {
    let mut keys = keyring.opening();
    open_with(envelope, request, accepted, keyring, &mut keys).map_err(|error| {
        let error = keys.verdict(error);
        let unavailable = error == OpenError::KeyUnavailable;
        Unopened { error, retry_after: unavailable.then(|| keys.retry_after()).flatten() }
    })
}

fn open_with(
    envelope: &[u8],
    request: &Request<'_>,
    accepted: &PolicySettings,
    keyring: &Keyring,
    keys: &mut OpeningKeys<'_>,
) -> Result<TaskResult, OpenError> {
    let audience = Audience::new(request.audience).map_err(|_| Refusal::WrongAudience)?;
    let policy = accepted.for_results(audience, request.digest);
    let verified = Unverified::parse(envelope)?.verify(keyring, &policy, &mut clock())?;
    let claims = *verified.claims();
    if claims.task_id != request.id || claims.task_type.as_str() != request.task_type {
        return Err(Refusal::WrongRequest.into());
    }
    let mut buffer = Zeroizing::new(vec![0; verified.body_len()]);
    let content_type = verified.content_type().to_string();
    let opened = verified.open_result(keys, &mut buffer)?;
    Ok(TaskResult {
        id: claims.task_id,
        worker: claims.issuer.to_string(),
        sealed_at: UNIX_EPOCH + Duration::from_secs(claims.issued_at.unwrap_or_default().min(MAX_SECONDS)),
        content_type,
        body: Zeroizing::new(opened.body().to_vec()),
    })
}

/// The end of the year 9999, so that the sum with the epoch cannot overflow.
const MAX_SECONDS: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_a_result_omits_its_body() {
        let result = TaskResult {
            id: TaskId::from_bytes([1; 16]),
            worker: "worker".to_owned(),
            sealed_at: UNIX_EPOCH,
            content_type: "text/plain".to_owned(),
            body: Zeroizing::new(b"canary".to_vec()),
        };
        let shown = format!("{result:?} {result:#?}");
        let bytes = format!("{:?}", b"canary");
        assert!(shown.contains("body_len: 6"), "{shown}");
        assert!(!shown.contains("canary") && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    }
}
