//! Queues in Redis, in the layout of asynq: its workers and tools see our tasks, its producers can feed us.
//!
//! A call is one script on up to 128 tasks. Hash fields that start with `taskseal_` are ours; asynq leaves them
//! alone. Times are those of the Redis server. Redis 6.2 or later.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Client, ConnectionAddr, cmd};
use rustls::crypto::CryptoProvider;

use self::asynq::{Message, NewMessage};
pub use self::config::{InvalidPrefix, Password, RedisConfig};
use self::keys::Keys;
use self::link::Link;
use self::scripts::Args;
pub use self::unique::Unique;
use self::wake::Wake;
use super::{
    Broker, BrokerError, Corrupt, Dequeued, Enqueued, Lease, LeaseToken, Leased, MAX_CRASHES, NewTask,
    QueueStats, Recovered, Settled, Settlement, TaskInfo, TaskState, Tidied,
};
use crate::queue::QueueName;

pub mod asynq;
mod config;
mod enqueue;
mod fault;
mod inspect;
mod keys;
mod link;
mod reply;
mod scripts;
mod settle;
mod unique;
mod wake;

/// A broker on one Redis server.
///
/// # Security
/// Redis is trusted with nothing but availability: whoever can write to it can lose, delay, repeat and reorder
/// tasks, and change every field of a stored message.
pub struct RedisBroker {
    prefix: String,
    channel: String,
    link: Link,
    wake: Wake,
    /// Queues whose name was stored, and on which connection.
    known: Mutex<BTreeMap<QueueName, u64>>,
    /// Which of scheduled and retry is forwarded first: the other one the next time, so that neither starves.
    retry_first: AtomicBool,
}

impl RedisBroker {
    /// Prepares a connection; it is made at the first call, and made again whenever it is lost.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the configuration makes no sense.
    pub fn connect(config: &RedisConfig) -> Result<Self, BrokerError> {
        let info = config.connection_info()?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) && CryptoProvider::get_default().is_none() {
            // Another thread may have been faster, with the same or its own choice: either will do.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client = Client::open(info).map_err(|error| BrokerError::Refused(error.into()))?;
        let channel = keys::wake_channel(config.prefix());
        Ok(Self {
            prefix: config.prefix().to_owned(),
            channel: channel.clone(),
            link: Link::new(client.clone(), config.response_timeout()),
            wake: Wake::new(client, channel),
            known: Mutex::default(),
            retry_first: AtomicBool::new(false),
        })
    }

    fn keys(&self, queue: &QueueName) -> Keys {
        Keys::new(&self.prefix, queue)
    }

    /// The arguments every script that may wake somebody starts with.
    fn waking<'a>(&'a self, keys: &'a Keys, queue: &'a QueueName) -> Args<'a> {
        Args::default().text(&keys.base).text(&self.channel).text(queue.as_str())
    }

    /// Adds a queue to the set of queues, once a connection: a server that came back may have lost it. The set
    /// lies in another slot than the queue, so this cannot be part of a script.
    async fn announce_queue(&self, queue: &QueueName) -> Result<(), BrokerError> {
        let generation = self.link.generation().await?;
        let is_known = self.known().get(queue) == Some(&generation);
        if !is_known {
            let mut sadd = cmd("SADD");
            sadd.arg(keys::queues(&self.prefix)).arg(queue.as_str());
            self.link.call(&sadd).await?;
            self.known().insert(queue.clone(), generation);
        }
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<QueueName, u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One script call's worth of [`Broker::dequeue`]; also tells how many ids it took off the list.
    async fn dequeue_chunk(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
        out: &mut Dequeued,
    ) -> Result<usize, BrokerError> {
        let keys = self.keys(queue);
        let tokens = Tokens::random(limit)?;
        let args = Args::default()
            .text(&keys.base)
            .int(to_i64(limit))
            .int(millis(lease))
            .text(&tokens.first_digits)
            .text(&tokens.last_digits);
        let names = [keys.pending.as_str(), &keys.paused, &keys.active, &keys.lease];
        let answer = self.link.run(&scripts::DEQUEUE, &names, &args).await?;
        let [leased, messages, dropped] = reply::tuple(answer)?;
        let (leased, messages, dropped) =
            (reply::ids(leased)?, reply::array(messages)?, reply::ids(dropped)?);
        if leased.len() != messages.len() {
            return Err(reply::unexpected());
        }
        let taken = leased.len() + dropped.len();
        out.dropped.extend(dropped);

        let mut corrupt = Vec::new();
        for ((id, message), number) in leased.into_iter().zip(messages).zip(0..) {
            // None: too long to be a message, and to be carried here.
            let stored = reply::optional(message)?.map(Bytes::from);
            let message = stored.as_ref().map(Message::decode_shared);
            let lease = Lease { id, token: tokens.nth(number), stored };
            match message {
                Some(Ok(message)) => out.tasks.push(Leased { lease, record: message.to_record() }),
                Some(Err(_)) | None => corrupt.push(lease),
            }
        }
        self.archive_corrupt(queue, &keys, corrupt, out).await;
        Ok(taken)
    }

    async fn archive_corrupt(&self, queue: &QueueName, keys: &Keys, corrupt: Vec<Lease>, out: &mut Dequeued) {
        if corrupt.is_empty() {
            return;
        }
        let mut args = self.waking(keys, queue);
        settle::push_leases(&mut args, corrupt.iter());
        let args = args.text("corrupt").int(to_i64(corrupt.len()));
        match self.settle_chunk(keys, &args, corrupt.len()).await {
            Ok(_) => {
                let corrupt = corrupt.into_iter();
                out.corrupt.extend(corrupt.map(|Lease { id, stored, .. }| Corrupt {
                    id,
                    bytes: stored.unwrap_or_default().into(),
                }));
            }
            // They stay leased, run out and come again: nothing is lost by going on with the healthy ones.
            Err(error) => tracing::warn!(%error, %queue, "cannot archive undecodable messages"),
        }
    }
}

#[async_trait]
impl Broker for RedisBroker {
    async fn enqueue(&self, queue: &QueueName, tasks: &[NewTask]) -> Result<Vec<Enqueued>, BrokerError> {
        let messages: Vec<NewMessage> = tasks.iter().map(NewMessage::from).collect();
        self.enqueue_messages(queue, &messages).await
    }

    async fn dequeue(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        self.wake.looking_into(queue);
        let mut out = Dequeued::default();
        let mut left = limit;
        while left > 0 {
            let chunk = left.min(CHUNK);
            match self.dequeue_chunk(queue, chunk, lease, &mut out).await {
                Ok(taken) if taken < chunk => break,
                Ok(taken) => left -= taken,
                Err(error) if left == limit => return Err(error),
                // What earlier chunks leased must not be left to run out because of a later one.
                Err(_) => break,
            }
        }
        Ok(out)
    }

    async fn settle(
        &self,
        queue: &QueueName,
        ends: &[(Lease, Settlement)],
    ) -> Result<Vec<Settled>, BrokerError> {
        self.settle_all(queue, ends).await
    }

    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<bool>, BrokerError> {
        let keys = self.keys(queue);
        let mut held = Vec::with_capacity(leases.len());
        for chunk in leases.chunks(CHUNK) {
            let mut args = Args::default().text(&keys.base).int(millis(lease));
            for lease in chunk {
                args.push_text(&lease.id);
                args.push_owned(lease.token.to_hex());
            }
            let answer = self.link.run(&scripts::EXTEND, &[&keys.lease], &args).await?;
            for value in reply::array(answer)? {
                held.push(reply::int(&value)? == 1);
            }
        }
        if held.len() == leases.len() { Ok(held) } else { Err(reply::unexpected()) }
    }

    async fn recover(&self, queue: &QueueName, limit: usize) -> Result<Recovered, BrokerError> {
        let keys = self.keys(queue);
        let names =
            [keys.lease.as_str(), &keys.active, &keys.pending, &keys.archived, &keys.processed, &keys.failed];
        let mut out = Recovered::default();
        let mut left = limit;
        while left > 0 {
            let chunk = left.min(CHUNK);
            let args = self
                .waking(&keys, queue)
                .int(to_i64(chunk))
                .int(i64::from(MAX_CRASHES))
                .int(FOREIGN_LEASE_GRACE_SECS);
            let [requeued, archived, dropped] =
                reply::tuple(self.link.run(&scripts::RECOVER, &names, &args).await?)?;
            let before = out.requeued.len() + out.archived.len() + out.dropped.len();
            out.requeued.extend(reply::ids(requeued)?.into_iter().rev());
            out.archived.extend(reply::ids(archived)?);
            out.dropped.extend(reply::ids(dropped)?);
            let taken = out.requeued.len() + out.archived.len() + out.dropped.len() - before;
            if taken < chunk {
                break;
            }
            left = left.saturating_sub(taken);
        }
        Ok(out)
    }

    async fn forward(&self, queue: &QueueName, limit: usize) -> Result<usize, BrokerError> {
        let keys = self.keys(queue);
        let names = if self.retry_first.fetch_xor(true, Ordering::Relaxed) {
            [keys.pending.as_str(), &keys.retry, &keys.scheduled]
        } else {
            [keys.pending.as_str(), &keys.scheduled, &keys.retry]
        };
        let mut total = 0;
        while total < limit {
            let chunk = (limit - total).min(CHUNK);
            let args = self.waking(&keys, queue).int(to_i64(chunk));
            let [moved, taken] = reply::tuple(self.link.run(&scripts::FORWARD, &names, &args).await?)?;
            total += reply::count(&moved)?;
            if reply::count(&taken)? < chunk {
                break;
            }
        }
        Ok(total)
    }

    async fn tidy(&self, queue: &QueueName, limit: usize) -> Result<Tidied, BrokerError> {
        let keys = self.keys(queue);
        let names = [keys.completed.as_str(), &keys.active, &keys.lease];
        let mut out = Tidied::default();
        let mut left = limit;
        while left > 0 {
            let chunk = left.min(CHUNK);
            let args = Args::default().text(&keys.base).int(to_i64(chunk));
            let [expired, repaired] = reply::tuple(self.link.run(&scripts::TIDY, &names, &args).await?)?;
            let (expired, repaired) = (reply::count(&expired)?, reply::count(&repaired)?);
            out.expired += expired;
            out.repaired += repaired;
            if expired.max(repaired) < chunk {
                break;
            }
            left -= chunk;
        }
        Ok(out)
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<bool, BrokerError> {
        let keys = self.keys(queue);
        let args = Args::default().int(i64::from(paused)).text(&self.channel).text(queue.as_str());
        let changed = self.link.run(&scripts::PAUSE, &[&keys.paused], &args).await?;
        Ok(reply::int(&changed)? == 1)
    }

    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        let mut smembers = cmd("SMEMBERS");
        smembers.arg(keys::queues(&self.prefix));
        let names = reply::ids(self.link.call(&smembers).await?)?;
        let names: BTreeSet<QueueName> =
            names.iter().filter_map(|name| QueueName::parse(name).ok()).collect();
        Ok(names.into_iter().collect())
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BrokerError> {
        self.read_stats(queue).await
    }

    async fn list(
        &self,
        queue: &QueueName,
        state: TaskState,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<TaskInfo>, BrokerError> {
        self.read_page(queue, state, offset, limit).await
    }

    async fn find(&self, queue: &QueueName, id: &str) -> Result<Option<TaskInfo>, BrokerError> {
        self.read_task(queue, id).await
    }

    async fn wait(&self, queues: &[QueueName], timeout: Duration) {
        self.wake.wait(queues, timeout).await;
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroker").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The fencing tokens of one call: 128 random bits, the last 16 of which count up from task to task.
struct Tokens {
    random: [u8; 16],
    first_digits: String,
    /// Four a token, one after another: cheaper for the script than making them.
    last_digits: String,
    start: u16,
}

impl Tokens {
    fn random(count: usize) -> Result<Self, BrokerError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| BrokerError::Unavailable(error.into()))?;
        let [.., high, low] = random;
        let mut first_digits = LeaseToken::from_bytes(random).to_hex();
        first_digits.truncate(28);
        let start = u16::from_be_bytes([high, low]);
        let mut last_digits = String::with_capacity(4 * count);
        for number in (0..=u16::MAX).take(count) {
            // Writing to a string cannot fail.
            let _ = write!(last_digits, "{:04x}", start.wrapping_add(number));
        }
        Ok(Self { random, first_digits, last_digits, start })
    }

    fn nth(&self, number: u16) -> LeaseToken {
        let mut bytes = self.random;
        let [.., high, low] = &mut bytes;
        [*high, *low] = self.start.wrapping_add(number).to_be_bytes();
        LeaseToken::from_bytes(bytes)
    }
}

fn to_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Tasks a script call: most of what batching saves is saved at 32, and a script must not keep Redis busy long.
const CHUNK: usize = 128;

/// The longest task id in bytes, as in `bounds.lua`: what is longer would be dropped.
const LONGEST_ID: usize = 1024;

/// Bytes a script call at most, unless one task alone has more.
const CHUNK_BYTES: usize = 1 << 20;

/// How long after its end a lease of another make is left alone: such workers count by their own clock.
const FOREIGN_LEASE_GRACE_SECS: i64 = 30;
