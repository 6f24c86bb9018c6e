//! The statuses of processes: one hash, and a sorted set of the times at which they end.

use std::time::Duration;

use super::scripts::Args;
use super::{CHUNK, RedisBroker, keys, reply, scripts, to_i64};
use crate::broker::BrokerError;
use crate::broker::status::{MAX_STATUS, MAX_STATUSES};

impl RedisBroker {
    pub(super) async fn store_status(
        &self,
        process: &str,
        status: &[u8],
        keep: Duration,
    ) -> Result<(), BrokerError> {
        let [statuses, ends] = keys::statuses(&self.prefix);
        let mut args = Args::default().text(process);
        args.push_bytes(status);
        let args = args.int(i64::try_from(keep.as_secs()).unwrap_or(i64::MAX)).int(to_i64(CHUNK));
        self.connection.run(&scripts::PUBLISH_STATUS, &[&statuses, &ends], &args).await.map(drop)
    }

    pub(super) async fn load_statuses(&self) -> Result<Vec<Vec<u8>>, BrokerError> {
        let [statuses, ends] = keys::statuses(&self.prefix);
        let args = Args::default().int(to_i64(MAX_STATUSES)).int(to_i64(MAX_STATUS));
        let answer = self.connection.run(&scripts::STATUSES, &[&statuses, &ends], &args).await?;
        reply::array(answer)?.into_iter().map(reply::bytes).collect()
    }
}
