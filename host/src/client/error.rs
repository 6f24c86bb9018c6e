//! What can go wrong between a producer and its queue, grouped by who must act.

use taskseal_core::OpenError;
use taskseal_core::name::InvalidName;

use crate::broker::BrokerError;
use crate::keys::SealFault;

/// Why a task was not enqueued, or a result not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A name or media type is not valid: mend the caller.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Sealing failed: the body is too long, or the signer or the source of randomness failed.
    #[error(transparent)]
    Sealing(#[from] SealFault),
    /// The broker failed and did not come back within the client's patience. It may have stored the task all the same:
    /// [`Client::enqueue_sealed`](super::Client::enqueue_sealed) with the envelope of [`Client::seal`](super::Client::seal)
    /// may be repeated until there is an answer.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The id is taken by another task, which was left as it is.
    #[error("task id {0} is taken by another task")]
    Conflict(String),
    /// The bytes to forward are no envelope.
    #[error("cannot be enqueued: {0}")]
    NotSealed(#[source] OpenError),
    /// What the queue holds is not the result of this request, or the key that opens it cannot be used.
    #[error("result {0}")]
    Result(#[source] OpenError),
    /// The broker answered for fewer tasks than it was given.
    #[error("the broker gave no answer for a task")]
    Lost,
}
