//! The order in which a worker asks its queues: weighted round robin, without those that do not respond.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::WorkerQueue;
use crate::queue::QueueName;
use crate::retry::{Backoff, Delays};

/// Each queue is the first of as many rounds as its weight. The others follow in the same round, so that no queue waits
/// while there are free slots.
#[derive(Debug)]
pub(super) struct QueueScheduler {
    queues: Vec<ScheduledQueue>,
    /// Sum of the weights, at least 1.
    total_weight: u64,
    round: u64,
}

#[derive(Debug)]
struct ScheduledQueue {
    name: QueueName,
    weight: u64,
    concurrency: Option<usize>,
    delays: Delays,
    failing_since: Option<Instant>,
    next_attempt: Option<Instant>,
}

impl QueueScheduler {
    pub(super) fn new(queues: &[WorkerQueue]) -> Self {
        let scheduled = |queue: &WorkerQueue| ScheduledQueue {
            name: queue.name.clone(),
            weight: u64::from(queue.weight.max(1)),
            concurrency: queue.concurrency.map(|most| most.max(1)),
            delays: Backoff::RECONNECT.delays(),
            failing_since: None,
            next_attempt: None,
        };
        let queues: Vec<ScheduledQueue> = queues.iter().map(scheduled).collect();
        let total_weight = queues.iter().map(|queue| queue.weight).sum::<u64>().max(1);
        Self { queues, total_weight, round: 0 }
    }

    /// Begins a round and returns the queues to ask in it, in order, each with its number.
    pub(super) fn round(&mut self) -> Vec<(usize, QueueName)> {
        let mut position = self.round % self.total_weight;
        self.round = self.round.wrapping_add(1);
        let first = self.queues.iter().position(|queue| {
            let reached = position < queue.weight;
            position = position.saturating_sub(queue.weight);
            reached
        });
        let now = Instant::now();
        let (before, after) = self.queues.split_at(first.unwrap_or_default());
        let numbered = after.iter().enumerate().map(|(at, queue)| (at + before.len(), queue));
        numbered
            .chain(before.iter().enumerate())
            .filter(|(_, queue)| queue.next_attempt.is_none_or(|next| next <= now))
            .map(|(number, queue)| (number, queue.name.clone()))
            .collect()
    }

    /// Returns the maximum number of tasks of a queue that the worker holds at once.
    pub(super) fn concurrency(&self, number: usize) -> Option<usize> {
        self.queues.get(number)?.concurrency
    }

    /// Returns the names of all queues.
    pub(super) fn names(&self) -> Vec<QueueName> {
        self.queues.iter().map(|queue| queue.name.clone()).collect()
    }

    /// Records that a queue did not respond. It is left out of the rounds for a delay that grows with each failure.
    pub(super) fn failed(&mut self, number: usize) {
        if let Some(queue) = self.queues.get_mut(number) {
            queue.failing_since = queue.failing_since.or(Some(Instant::now()));
            queue.next_attempt = Some(Instant::now() + queue.delays.after_failure());
        }
    }

    /// Records that no queue can be used, because the ledger does not respond.
    pub(super) fn all_failed(&mut self) {
        (0..self.queues.len()).for_each(|number| self.failed(number));
    }

    /// Records that a queue responded, and the ledger about its tasks.
    pub(super) fn responded(&mut self, number: usize) {
        if let Some(queue) = self.queues.get_mut(number) {
            queue.delays.reset();
            queue.failing_since = None;
            queue.next_attempt = None;
        }
    }

    /// Returns the queues that have not responded for `timeout`, or `None` if there is one that has failed for less than
    /// that.
    pub(super) fn unresponsive(&self, timeout: Duration) -> Option<Vec<QueueName>> {
        let failing = self.queues.iter().filter(|queue| queue.next_attempt.is_some());
        let is_lost =
            |queue: &ScheduledQueue| queue.failing_since.is_some_and(|since| since.elapsed() >= timeout);
        failing.map(|queue| is_lost(queue).then(|| queue.name.clone())).collect()
    }

    /// Returns the time until the first queue that failed is asked again.
    pub(super) fn next_attempt(&self) -> Option<Duration> {
        let now = Instant::now();
        self.queues
            .iter()
            .filter_map(|queue| queue.next_attempt)
            .map(|next| next.saturating_duration_since(now))
            .min()
    }
}

#[cfg(test)]
mod tests;
