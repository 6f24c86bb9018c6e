//! What can go wrong between a producer and its queue, grouped by who must act.

use taskseal_core::name::InvalidName;
use taskseal_core::{OpenError, SealError};

use crate::broker::BrokerError;

/// Why a task was not enqueued, or a result not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A name or media type is not valid: mend the caller.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Sealing failed: the body is too long, or a key or the source of randomness failed.
    #[error(transparent)]
    Sealing(#[from] SealError),
    /// The broker failed and did not come back within the client's patience.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The id is taken by another task, which was left as it is.
    #[error("task id {0} is taken by another task")]
    Conflict(String),
    /// The bytes to forward are no envelope.
    #[error("cannot be enqueued: {0}")]
    NotSealed(#[source] OpenError),
    /// What the queue holds is not the result of this request.
    #[error("result {0}")]
    Result(#[source] OpenError),
    /// The broker answered for fewer tasks than it was given.
    #[error("the broker gave no answer for a task")]
    Lost,
}
