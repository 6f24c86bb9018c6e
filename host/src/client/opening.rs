//! Opening results, for as long as patience lasts if the key for that is in a token.

use std::sync::Arc;
use std::time::Duration;

use taskseal_core::OpenError;
use tokio::time::Instant;

use super::sealing::SHORTEST_WAIT;
use super::{ClientError, Receipt};
use crate::keys::Keyring;
use crate::result::{Request, ResultPolicy, TaskResult, Unopened, try_open_result};

/// A result as the queue has it, and all that it is compared with.
pub(super) struct Found {
    pub(super) envelope: Vec<u8>,
    pub(super) receipt: Receipt,
    pub(super) audience: String,
    pub(super) policy: ResultPolicy,
}

impl Found {
    /// Opens it, off the async threads if that may wait for a token. A token that is away is asked again for as long as
    /// `patience` lasts.
    pub(super) async fn open(self, keyring: &Keyring, patience: Duration) -> Result<TaskResult, ClientError> {
        let deadline = Instant::now() + patience;
        let this = Arc::new(self);
        loop {
            let opened = if keyring.may_block() {
                let (this, keyring) = (Arc::clone(&this), keyring.clone());
                // A key that panicked, or a runtime that is shut down, has given no answer.
                let cut_off = Unopened { error: OpenError::KeyUnavailable, retry_after: None };
                let opening = tokio::task::spawn_blocking(move || this.open_now(&keyring));
                opening.await.unwrap_or(Err(cut_off))
            } else {
                this.open_now(keyring)
            };
            let Unopened { error, retry_after } = match opened {
                Ok(result) => return Ok(result),
                Err(unopened) => unopened,
            };
            match retry_after.map(|delay| delay.max(SHORTEST_WAIT)) {
                Some(delay) if Instant::now() + delay < deadline => tokio::time::sleep(delay).await,
                _ => return Err(ClientError::Result(error)),
            }
        }
    }

    fn open_now(&self, keyring: &Keyring) -> Result<TaskResult, Unopened> {
        let Self { envelope, receipt, audience, policy } = self;
        let (id, digest) = (receipt.id, receipt.digest);
        let request = Request { task_type: &receipt.task_type, audience, id, digest };
        try_open_result(envelope, &request, *policy, keyring)
    }
}
