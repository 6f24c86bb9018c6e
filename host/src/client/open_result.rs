//! Opens results, with retries while the token of the decryption key is unavailable.

use std::sync::Arc;
use std::time::Duration;

use taskseal_core::OpenError;
use tokio::time::Instant;

use super::{ClientError, Receipt};
use crate::keys::Keyring;
use crate::policy::PolicySettings;
use crate::result::{Request, TaskResult, Unopened, try_open_result};
use crate::retry::{Retry, retry_until};
use crate::runtime::{BoxFuture, boxed, run_blocking};

/// A result from the queue, and what it is compared with.
pub(super) struct Found {
    pub(super) envelope: Vec<u8>,
    pub(super) receipt: Receipt,
    pub(super) audience: String,
    pub(super) policy: PolicySettings,
}

impl Found {
    /// Opens the result, on a blocking thread if the key may block. An unavailable token is retried until `retry_for` has
    /// passed.
    pub(super) fn open(
        self,
        keyring: Keyring,
        retry_for: Duration,
    ) -> BoxFuture<'static, Result<TaskResult, ClientError>> {
        boxed(async move {
            let deadline = Instant::now() + retry_for;
            let this = Arc::new(self);
            let retry = |unopened: &Unopened| unopened.retry_after.map_or(Retry::Never, Retry::After);
            let opened = retry_until(deadline, || Arc::clone(&this).attempt(&keyring), retry).await;
            opened.map_err(|unopened| ClientError::Result(unopened.error))
        })
    }

    async fn attempt(self: Arc<Self>, keyring: &Keyring) -> Result<TaskResult, Unopened> {
        if !keyring.may_block() {
            return self.open_now(keyring);
        }
        let keyring = keyring.clone();
        // Also after a panic of the key, and when the runtime shuts down.
        let cut_off = Unopened { error: OpenError::KeyUnavailable, retry_after: None };
        run_blocking(move || self.open_now(&keyring)).await.unwrap_or(Err(cut_off))
    }

    fn open_now(&self, keyring: &Keyring) -> Result<TaskResult, Unopened> {
        let Self { envelope, receipt, audience, policy } = self;
        let (id, digest) = (receipt.id, receipt.digest);
        let request = Request { task_type: &receipt.task_type, audience, id, digest };
        try_open_result(envelope, &request, policy, keyring)
    }
}
