//! Publishes what a producer works with, as workers do: an operator sees which keyset it has before the next step of a rotation.

use std::sync::{Arc, Weak};

use super::seal::Producer;
use crate::fleet::{self, ProcessStatus, Role};
use crate::runtime::run_blocking;

/// Publishes the status of a producer until its client is dropped. A process that ends within the first interval publishes none.
pub(super) async fn run(producer: Weak<Producer>) {
    loop {
        let Some(every) = producer.upgrade().map(|producer| producer.settings.status_every) else { return };
        if every.is_zero() {
            return;
        }
        tokio::time::sleep(every).await;
        let Some(producer) = producer.upgrade() else { return };
        producer.announce().await;
    }
}

impl Producer {
    /// Publishes the status. A key or a broker that cannot be used now is reported by the tasks that wait for it.
    async fn announce(self: &Arc<Self>) {
        let Some(broker) = self.broker.upgrade() else { return };
        let producer = Arc::clone(self);
        let Ok(Some((process, sealed))) = run_blocking(move || producer.sealed_status()).await else {
            return;
        };
        let _ = broker.publish_status(&process, &sealed, fleet::keep(self.settings.status_every)).await;
    }

    /// Returns the name and the signed status of this process; `None` if it may seal nothing now.
    fn sealed_status(&self) -> Option<(String, Vec<u8>)> {
        let keys = self.keys.snapshot();
        let key = keys.sealing().ok()?;
        let issuer = &self.settings.issuer;
        let status = ProcessStatus::of_this_process(Role::Producer, issuer, self.started_at, &keys.keyring);
        let keep = fleet::keep(self.settings.status_every);
        let sealed = fleet::seal(&status, &self.settings.deployment, keep, key).ok()?;
        Some((status.process(), sealed))
    }
}
