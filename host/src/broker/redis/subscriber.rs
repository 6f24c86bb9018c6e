//! Wake-ups without polling: a subscription to the channel on which new tasks are announced. It starts at the first wait
//! and is renewed when it is lost. It is only a hint; a worker polls as well.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use redis::{AsyncConnectionConfig, PushInfo, PushKind, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::RedisConfig;
use super::error;
use crate::broker::BrokerError;
use crate::lock::lock;
use crate::queue::QueueName;
use crate::retry::Backoff;
use crate::runtime::boxed;

/// The subscription to the channel of wake-ups.
pub(super) struct Subscriber {
    config: RedisConfig,
    channel: String,
    announced: Arc<Announced>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

/// Which queues were announced.
#[derive(Default)]
struct Announced {
    /// Queues that are asked or waited for, and whether each was announced since its last dequeue.
    queues: Mutex<Vec<(QueueName, bool)>>,
    changed: Notify,
}

impl Subscriber {
    pub(super) fn new(config: RedisConfig, channel: String) -> Self {
        Self { config, channel, announced: Arc::default(), listener: Mutex::default() }
    }

    /// Forgets the announcements of a queue. Call it before each dequeue, so that later announcements count as new.
    pub(super) fn reset(&self, queue: &QueueName) {
        let mut known = self.announced.queues();
        match known.iter_mut().find(|(name, _)| name == queue) {
            Some((_, announced)) => *announced = false,
            // So that it is announced if it gets tasks before the first wait for it.
            None => known.push((queue.clone(), false)),
        }
    }

    /// Waits until one of `queues` was announced, at most for `limit`.
    pub(super) async fn wait(&self, queues: &[QueueName], limit: Duration) {
        let deadline = Instant::now() + limit;
        self.listen();
        {
            let mut known = self.announced.queues();
            for queue in queues {
                if known.iter().all(|(name, _)| name != queue) {
                    known.push((queue.clone(), false));
                }
            }
        }
        loop {
            let changed = self.announced.changed.notified();
            tokio::pin!(changed);
            // Registered before the check, so that no announcement between the two is missed.
            changed.as_mut().enable();
            if self.announced.any(queues) || timeout_at(deadline, changed).await.is_err() {
                return;
            }
        }
    }

    fn listen(&self) {
        let mut listener = lock(&self.listener);
        // The runtime it ran on may have ended.
        if listener.as_ref().is_none_or(JoinHandle::is_finished) {
            let (config, channel, announced) =
                (self.config.clone(), self.channel.clone(), Arc::clone(&self.announced));
            *listener =
                Some(tokio::spawn(boxed(async move { subscribe(&config, &channel, &announced).await })));
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if let Some(listener) = lock(&self.listener).take() {
            listener.abort();
        }
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Announced {
    fn queues(&self) -> MutexGuard<'_, Vec<(QueueName, bool)>> {
        lock(&self.queues)
    }

    fn any(&self, queues: &[QueueName]) -> bool {
        let known = self.queues();
        known.iter().any(|(name, announced)| *announced && queues.contains(name))
    }

    fn announce(&self, queue: &[u8]) {
        let name = str::from_utf8(queue).ok().and_then(|name| QueueName::parse(name).ok());
        // Only queues that are asked or waited for are stored: any client of Redis can send names on the channel.
        let Some(name) = name else { return };
        if let Some((_, announced)) = self.queues().iter_mut().find(|(known, _)| *known == name) {
            *announced = true;
            self.changed.notify_waiters();
        }
    }

    /// Marks every queue: while there was no subscription, each may have got a task.
    fn announce_all(&self) {
        self.queues().iter_mut().for_each(|(_, announced)| *announced = true);
        self.changed.notify_waiters();
    }
}

async fn subscribe(config: &RedisConfig, channel: &str, announced: &Announced) {
    let mut delays = Backoff::RECONNECT.delays();
    loop {
        match subscribe_once(config, channel, announced).await {
            Ok(()) => delays.reset(),
            Err(error) => tracing::warn!(%error, "cannot subscribe to wake-ups, polling instead"),
        }
        sleep(delays.after_failure()).await;
    }
}

/// Receives announcements until the subscription is lost.
async fn subscribe_once(
    config: &RedisConfig,
    channel: &str,
    announced: &Announced,
) -> Result<(), BrokerError> {
    let client = config.client()?;
    // Any client of Redis can flood the channel: the oldest announcements are dropped, and every queue is marked instead.
    let (sender, mut pushes) = broadcast::channel::<PushInfo>(PUSHES);
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT))
        .set_push_sender(sender);
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&settings)
        .await
        .map_err(error::while_connecting)?;
    connection.subscribe(channel).await.map_err(error::while_calling)?;
    announced.announce_all();
    loop {
        match timeout(PROBE_INTERVAL, pushes.recv()).await {
            Ok(Ok(push)) => match (push.kind, push.data.as_slice()) {
                (PushKind::Message, [_, Value::BulkString(queue)]) => announced.announce(queue),
                (PushKind::Disconnection, _) => return Ok(()),
                _ => {}
            },
            Ok(Err(RecvError::Lagged(_))) => announced.announce_all(),
            Ok(Err(RecvError::Closed)) => return Ok(()),
            // A connection that a firewall dropped without notice fails only when it is used.
            Err(_) => redis::cmd("PING").exec_async(&mut connection).await.map_err(error::while_calling)?,
        }
    }
}

/// Maximum number of unread announcements.
const PUSHES: usize = 1024;
const TIMEOUT: Duration = Duration::from_secs(5);
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
