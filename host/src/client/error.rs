//! Errors of a client, grouped by who must act.

use taskseal_core::name::InvalidName;
use taskseal_core::{KeyId, OpenError, Suite};

use crate::broker::BrokerError;
use crate::keys::{KeyringError, NoRecipient, NotSealed, SealFault};

/// Why a task was not enqueued, or a result not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A name or media type is not valid: an error of the caller.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// This client has no key that may seal tasks now: it has none, or the keyset no longer allows it. Nothing was
    /// sealed. Workers would refuse what the key seals.
    #[error("cannot seal: {0}")]
    Key(#[from] KeyringError),
    /// The keyset has no key to encrypt the task to. Nothing was sealed.
    #[error("cannot seal: {0}")]
    Recipient(#[from] NoRecipient),
    /// Sealing failed: the body is too large, or the signer or the random number generator failed.
    #[error(transparent)]
    Sealing(#[from] SealFault),
    /// The key of this client does not sign, as a task with a [clear body](crate::Task::detached) requires.
    #[error("a key of suite {0} cannot sign a task with a clear body: use suite S, SE or SP")]
    CannotSign(Suite),
    /// The broker failed for longer than [`ClientSettings::retry_for`](super::ClientSettings::retry_for). It may still
    /// have stored the task: [`Client::enqueue_sealed`](super::Client::enqueue_sealed) with the envelope of
    /// [`Client::seal`](super::Client::seal) may be repeated until it succeeds.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Another task has this id; it was not changed.
    #[error("task id {0} is already used by another task")]
    Conflict(String),
    /// The bytes to forward are not an envelope.
    #[error("cannot be enqueued: {0}")]
    NotSealed(#[source] OpenError),
    /// What the queue holds under the id is not a task of this client: its result cannot be verified.
    #[error("the task in the queue is {0}")]
    Request(#[source] OpenError),
    /// The task was sealed with a key that the keyset says is compromised: it may be a task of an attacker.
    #[error("the task in the queue was sealed with key {0}, which the keyset says is compromised")]
    CompromisedKey(KeyId),
    /// What the queue holds is not the result of this request, or the key that decrypts it is unavailable.
    #[error("result {0}")]
    Result(#[source] OpenError),
    /// The broker replied for fewer tasks than it was given.
    #[error("the broker did not reply for a task")]
    Lost,
}

impl From<NotSealed> for ClientError {
    fn from(error: NotSealed) -> Self {
        match error {
            NotSealed::Recipient(error) => Self::Recipient(error),
            NotSealed::Sealing(error) => Self::Sealing(error),
        }
    }
}
