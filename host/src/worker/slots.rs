//! How many tasks a worker holds: as many as it has handlers for, and, if its handlers are fast, some more, so that the batches
//! of the queue and of the ledger do not shrink with the number of handlers.
//!
//! A task that waits for a handler is locked in the ledger and cannot run elsewhere. Therefore only as many tasks are fetched
//! ahead as the handlers are expected to start within [`AHEAD`].

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::lock::lock;

/// How long a task that was fetched ahead is expected to wait for a handler.
const AHEAD: Duration = Duration::from_millis(200);
/// Maximum size of all records that the worker holds while it fetches ahead, in bytes.
const MAX_BYTES_AHEAD: usize = 16 << 20;
/// Weight of the latest run in the average, as a divisor.
const SMOOTHING: u32 = 16;

/// The slots of a worker, each for one task that is not settled.
#[derive(Debug)]
pub(super) struct SlotPool {
    concurrency: usize,
    max_ahead: usize,
    usage: Mutex<Usage>,
    freed: Notify,
    handlers: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Usage {
    taken: usize,
    bytes: usize,
    /// The average time that a task occupies a handler. `None` before the first one has ended.
    run: Option<Duration>,
    /// When the last one has ended.
    ended: Option<Instant>,
}

/// The right to hold one task, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pool: Arc<SlotPool>,
    bytes: usize,
}

impl SlotPool {
    /// Creates slots for `concurrency` handlers, and up to `max_ahead` more.
    pub(super) fn new(concurrency: usize, max_ahead: usize) -> Arc<Self> {
        let concurrency = concurrency.max(1);
        Arc::new(Self {
            concurrency,
            max_ahead,
            usage: Mutex::default(),
            freed: Notify::new(),
            handlers: Arc::new(Semaphore::new(concurrency)),
        })
    }

    /// Waits for a free slot. Takes all free slots, up to `limit`.
    pub(super) async fn take(self: &Arc<Self>, limit: usize) -> Vec<Slot> {
        loop {
            // Created first, so that no slot that is freed meanwhile goes unnoticed.
            let freed = self.freed.notified();
            let taken = self.try_take(limit);
            if taken > 0 {
                return (0..taken).map(|_| Slot { pool: Arc::clone(self), bytes: 0 }).collect();
            }
            freed.await;
        }
    }

    /// Waits until a slot is freed.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn try_take(&self, limit: usize) -> usize {
        let mut usage = lock(&self.usage);
        let free = (self.concurrency + self.ahead(&usage)).saturating_sub(usage.taken).min(limit);
        usage.taken += free;
        free
    }

    /// Returns how many tasks may wait for a handler.
    fn ahead(&self, usage: &Usage) -> usize {
        // Handlers that were fast may run a slow task now.
        let flows = usage.ended.is_some_and(|ended| ended.elapsed() < 2 * AHEAD);
        let Some(run) = usage.run.filter(|_| flows && usage.bytes < MAX_BYTES_AHEAD) else { return 0 };
        let runs = AHEAD.as_nanos() / run.as_nanos().max(1);
        usize::try_from(runs).unwrap_or(usize::MAX).saturating_mul(self.concurrency).min(self.max_ahead)
    }

    /// Waits until one of the handlers is free. Tasks are served in the order in which they ask.
    pub(super) async fn handler(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.handlers).acquire_owned().await.ok()
    }

    /// Records how long a task has occupied a handler.
    pub(super) fn ran(&self, time: Duration) {
        let mut usage = lock(&self.usage);
        usage.ended = Some(Instant::now());
        usage.run = Some(usage.run.map_or(time, |run| run - run / SMOOTHING + time / SMOOTHING));
    }
}

impl Slot {
    /// Records the size of the record that is held in this slot, in bytes.
    pub(super) fn with_bytes(mut self, bytes: usize) -> Self {
        lock(&self.pool.usage).bytes += bytes;
        self.bytes += bytes;
        self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut usage = lock(&self.pool.usage);
        usage.taken -= 1;
        usage.bytes -= self.bytes;
        drop(usage);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_micros(50);
    const SLOW: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn nothing_is_fetched_ahead_of_handlers_that_are_slow_or_unknown() {
        let pool = SlotPool::new(2, 64);
        let slots = pool.take(100).await;
        assert_eq!(slots.len(), 2);
        pool.ran(SLOW);
        assert_eq!(pool.try_take(100), 0);
        drop(slots);
        assert_eq!(pool.try_take(100), 2);
    }

    #[tokio::test]
    async fn tasks_are_fetched_ahead_of_fast_handlers_within_a_bound() {
        let pool = SlotPool::new(2, 64);
        pool.ran(FAST);
        let slots = pool.take(100).await;
        assert_eq!(slots.len(), 66);
        pool.ran(Duration::from_secs(16));
        assert_eq!(pool.try_take(100), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_fetched_ahead_while_no_handler_ends() {
        let pool = SlotPool::new(2, 64);
        pool.ran(FAST);
        tokio::time::advance(2 * AHEAD).await;
        assert_eq!(pool.try_take(100), 2);
        pool.ran(FAST);
        assert_eq!(pool.try_take(100), 64);
    }

    #[tokio::test]
    async fn large_records_end_fetching_ahead() {
        let pool = SlotPool::new(2, 64);
        pool.ran(FAST);
        let large = pool.take(1).await.pop().map(|slot| slot.with_bytes(MAX_BYTES_AHEAD));
        assert_eq!(pool.try_take(100), 1);
        drop(large);
        assert_eq!(pool.try_take(100), 65);
    }

    #[tokio::test]
    async fn slot_that_is_freed_wakes_the_fetching_task() {
        let pool = SlotPool::new(1, 0);
        let first = pool.take(1).await;
        let waiting = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.take(1).await.len() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(waiting.await.unwrap(), 1);
    }
}
