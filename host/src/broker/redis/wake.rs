//! Hearing of new tasks without asking: a subscription to the wake-up channel, made when somebody first waits
//! and made again when it is lost. Nobody depends on it; who waits also polls.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::link::Backoff;
use crate::queue::QueueName;

/// Wake-ups of the queues somebody here waits for.
pub(super) struct Wake {
    client: Client,
    channel: String,
    heard: Arc<Heard>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Heard {
    /// Queues somebody waits for, and whether each was announced since it was last looked into.
    queues: Mutex<BTreeMap<QueueName, bool>>,
    news: Notify,
}

impl Wake {
    pub(super) fn new(client: Client, channel: String) -> Self {
        Self { client, channel, heard: Arc::default(), listener: Mutex::default() }
    }

    /// To be called before a queue is looked into, so that what is announced from then on counts as new.
    pub(super) fn looking_into(&self, queue: &QueueName) {
        if let Some(announced) = self.heard.queues().get_mut(queue) {
            *announced = false;
        }
    }

    pub(super) async fn wait(&self, queues: &[QueueName], longest: Duration) {
        let deadline = Instant::now() + longest;
        self.listen();
        {
            let mut known = self.heard.queues();
            for queue in queues {
                known.entry(queue.clone()).or_insert(false);
            }
        }
        loop {
            let news = self.heard.news.notified();
            tokio::pin!(news);
            // Registered before looking, so that nothing announced in between is missed.
            news.as_mut().enable();
            if self.heard.any(queues) || timeout_at(deadline, news).await.is_err() {
                return;
            }
        }
    }

    fn listen(&self) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        // The runtime it ran on may be gone.
        if listener.as_ref().is_none_or(JoinHandle::is_finished) {
            let (client, channel, heard) =
                (self.client.clone(), self.channel.clone(), Arc::clone(&self.heard));
            *listener = Some(tokio::spawn(async move { subscribe(&client, &channel, &heard).await }));
        }
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        let listener = self.listener.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listener.take() {
            listener.abort();
        }
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wake").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Heard {
    fn queues(&self) -> MutexGuard<'_, BTreeMap<QueueName, bool>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn any(&self, queues: &[QueueName]) -> bool {
        let known = self.queues();
        queues.iter().any(|queue| known.get(queue).copied().unwrap_or(false))
    }

    fn announce(&self, queue: &[u8]) {
        let name = str::from_utf8(queue).ok().and_then(|name| QueueName::parse(name).ok());
        // Only queues that are waited for are remembered: names on the channel come from anybody.
        let Some(name) = name else { return };
        if let Some(announced) = self.queues().get_mut(&name) {
            *announced = true;
            self.news.notify_waiters();
        }
    }

    /// After a time of not hearing anything, every queue may have gained a task.
    fn announce_all(&self) {
        self.queues().values_mut().for_each(|announced| *announced = true);
        self.news.notify_waiters();
    }
}

async fn subscribe(client: &Client, channel: &str, heard: &Heard) {
    let mut backoff = Backoff::default();
    loop {
        match subscribe_once(client, channel, heard).await {
            Ok(()) => backoff = Backoff::default(),
            Err(error) => tracing::warn!(%error, "cannot subscribe to wake-ups, tasks are polled for"),
        }
        sleep(backoff.next()).await;
    }
}

/// Listens until the subscription is lost.
async fn subscribe_once(client: &Client, channel: &str, heard: &Heard) -> Result<(), RedisError> {
    // Anybody may flood the channel: what came first is dropped, and every queue is looked into instead.
    let (sender, mut pushes) = broadcast::channel::<PushInfo>(PUSHES);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_push_sender(sender);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    connection.subscribe(channel).await?;
    heard.announce_all();
    loop {
        match timeout(PROBE_EVERY, pushes.recv()).await {
            Ok(Ok(push)) => match (push.kind, push.data.as_slice()) {
                (PushKind::Message, [_, Value::BulkString(queue)]) => heard.announce(queue),
                (PushKind::Disconnection, _) => return Ok(()),
                _ => {}
            },
            Ok(Err(RecvError::Lagged(_))) => heard.announce_all(),
            Ok(Err(RecvError::Closed)) => return Ok(()),
            // A connection that a firewall forgot stays silent for ever unless it is asked.
            Err(_) => redis::cmd("PING").exec_async(&mut connection).await?,
        }
    }
}

/// Most announcements that wait to be looked at.
const PUSHES: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(5);
const PROBE_EVERY: Duration = Duration::from_secs(30);
