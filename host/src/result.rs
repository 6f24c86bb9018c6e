//! Results: sealed by the worker, bound to the request they answer, opened by who asked.

use std::time::Duration;

use taskseal_core::name::InvalidName;
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, KeyId, OpenError, Policy, Refusal, SealError, SuiteSet, TaskId,
    TaskType, Unverified,
};
use zeroize::Zeroizing;

use crate::handler::Output;
use crate::keys::{Keyring, OpeningKeys, SealFault, SealingKey};
use crate::time::{clock, unix_seconds};

/// Seals results in the name of one worker.
#[derive(Debug)]
pub struct ResultSealer {
    issuer: String,
    key: SealingKey,
}

/// The request that a result answers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// Type of the task.
    pub task_type: &'r str,
    /// Deployment and queue of the task.
    pub audience: &'r str,
    /// Id of the task.
    pub id: TaskId,
    /// SHA-256 of the task's envelope.
    pub digest: [u8; 32],
}

/// A result that cannot be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// A name or media type in it is not valid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The key or its token failed, or the output is too long.
    #[error(transparent)]
    Sealing(#[from] SealFault),
}

impl ResultError {
    /// Whether it is the key, or the source of randomness, that failed, and not the output: another output would not be
    /// sealed either, and this one may be another time. Within: when the key says that it is worth trying again.
    pub(crate) fn of_the_key(&self) -> Option<Option<Duration>> {
        match self {
            // This output, and no other.
            Self::Sealing(SealError::Signer(fault)) if fault.refuses_message() => None,
            Self::Sealing(SealError::Signer(fault)) => Some(fault.retry_after()),
            Self::Sealing(SealError::InvalidSignature | SealError::Random) => Some(None),
            _ => None,
        }
    }
}

impl ResultSealer {
    /// Seals as `issuer` with `key`.
    ///
    /// # Errors
    /// [`InvalidName`] if `issuer` is no issuer.
    pub fn new(issuer: &str, key: SealingKey) -> Result<Self, InvalidName> {
        Issuer::new(issuer)?;
        Ok(Self { issuer: issuer.to_owned(), key })
    }

    /// The key it seals with.
    pub(crate) fn kid(&self) -> KeyId {
        self.key.kid()
    }

    /// Whether sealing may wait for a token or a service.
    pub(crate) const fn may_block(&self) -> bool {
        self.key.may_block()
    }

    /// Seals `output` as the result of `request`, to be read within `retention`.
    ///
    /// # Errors
    /// [`ResultError`].
    pub fn seal(
        &self,
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
        let content_type = ContentType::new(&output.content_type)?;
        Ok(self.key.seal(&claims, content_type, &output.body)?)
    }
}

/// An opened result. The body is wiped on drop.
#[derive(Debug)]
#[non_exhaustive]
pub struct TaskResult {
    /// The task it answers.
    pub id: TaskId,
    /// The worker that sealed it.
    pub worker: String,
    /// Unix time in seconds at which it was sealed.
    pub sealed_at: u64,
    /// Media type of the body.
    pub content_type: String,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

/// What is accepted as a result.
#[derive(Clone, Copy, Debug)]
pub struct ResultPolicy {
    /// Suites accepted. Whether a worker signs its results one by one or in batches is its own affair.
    pub suites: SuiteSet,
    /// Most bytes of the body.
    pub max_body: usize,
    /// Seconds by which clocks may differ.
    pub skew: u32,
}

/// Verifies and opens the result of `request`.
///
/// # Errors
/// [`OpenError`]: [`Refusal::WrongRequest`] if it answers another request, and all that a task can be refused for;
/// [`OpenError::KeyUnavailable`] if the key that opens it is kept elsewhere and gave no answer that can be believed.
pub fn open_result(
    envelope: &[u8],
    request: &Request<'_>,
    accepted: ResultPolicy,
    keyring: &Keyring,
) -> Result<TaskResult, OpenError> {
    try_open_result(envelope, request, accepted, keyring).map_err(|unopened| unopened.error)
}

/// Why a result was not opened, and after which time it is worth trying again; `None`: that is of no use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unopened {
    pub(crate) error: OpenError,
    pub(crate) retry_after: Option<Duration>,
}

/// As [`open_result`], for one who can wait for a token.
pub(crate) fn try_open_result(
    envelope: &[u8],
    request: &Request<'_>,
    accepted: ResultPolicy,
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
    accepted: ResultPolicy,
    keyring: &Keyring,
    keys: &mut OpeningKeys<'_>,
) -> Result<TaskResult, OpenError> {
    let audience = Audience::new(request.audience).map_err(|_| Refusal::WrongAudience)?;
    let mut policy = Policy::for_result(audience, request.digest);
    policy.suites = accepted.suites;
    policy.accept_batches = true;
    policy.max_body = accepted.max_body;
    policy.skew = accepted.skew;
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
        sealed_at: claims.issued_at.unwrap_or_default(),
        content_type,
        body: Zeroizing::new(opened.body().to_vec()),
    })
}
