//! Opening results, for as long as patience lasts if the key for that is in a token.

use std::sync::Arc;
use std::time::Duration;

use taskseal_core::OpenError;
use tokio::time::Instant;

use super::{ClientError, Receipt};
use crate::keys::Keyring;
use crate::result::{Request, ResultPolicy, TaskResult, Unopened, try_open_result};
use crate::retry::{Retry, retry_until};

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
        let retry = |unopened: &Unopened| unopened.retry_after.map_or(Retry::Never, Retry::After);
        let opened = retry_until(deadline, || Arc::clone(&this).attempt(keyring), retry).await;
        opened.map_err(|unopened| ClientError::Result(unopened.error))
    }

    async fn attempt(self: Arc<Self>, keyring: &Keyring) -> Result<TaskResult, Unopened> {
        if !keyring.may_block() {
            return self.open_now(keyring);
        }
        let keyring = keyring.clone();
        // A key that panicked, or a runtime that is shut down, has given no answer.
        let cut_off = Unopened { error: OpenError::KeyUnavailable, retry_after: None };
        let opening = tokio::task::spawn_blocking(move || self.open_now(&keyring));
        opening.await.unwrap_or(Err(cut_off))
    }

    fn open_now(&self, keyring: &Keyring) -> Result<TaskResult, Unopened> {
        let Self { envelope, receipt, audience, policy } = self;
        let (id, digest) = (receipt.id, receipt.digest);
        let request = Request { task_type: &receipt.task_type, audience, id, digest };
        try_open_result(envelope, &request, *policy, keyring)
    }
}
