//! The queues of a worker in the order in which they are asked, without those that do not answer at the moment.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::WorkerQueue;
use crate::queue::QueueName;
use crate::retry::Backoff;

/// Every queue gets as many first turns as its weight; the others follow it in the same turn, so that nobody waits
/// while there is room.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Vec<Line>,
    /// Sum of the weights, at least 1.
    total: u64,
    turn: u64,
}

#[derive(Debug)]
struct Line {
    name: QueueName,
    weight: u64,
    failures: u32,
    failing_since: Option<Instant>,
    next_try: Option<Instant>,
}

impl Lines {
    pub(super) fn new(queues: &[WorkerQueue]) -> Self {
        let line = |queue: &WorkerQueue| Line {
            name: queue.name.clone(),
            weight: u64::from(queue.weight.max(1)),
            failures: 0,
            failing_since: None,
            next_try: None,
        };
        let lines: Vec<Line> = queues.iter().map(line).collect();
        let total = lines.iter().map(|line| line.weight).sum::<u64>().max(1);
        Self { lines, total, turn: 0 }
    }

    /// The queues to ask now, each with its number, beginning with the one whose turn it is.
    pub(super) fn in_turn(&mut self) -> Vec<(usize, QueueName)> {
        let mut position = self.turn % self.total;
        self.turn = self.turn.wrapping_add(1);
        let first = self.lines.iter().position(|line| {
            let reached = position < line.weight;
            position = position.saturating_sub(line.weight);
            reached
        });
        let now = Instant::now();
        let (before, after) = self.lines.split_at(first.unwrap_or_default());
        let numbered = after.iter().enumerate().map(|(at, line)| (at + before.len(), line));
        numbered
            .chain(before.iter().enumerate())
            .filter(|(_, line)| line.next_try.is_none_or(|next| next <= now))
            .map(|(number, line)| (number, line.name.clone()))
            .collect()
    }

    pub(super) fn names(&self) -> Vec<QueueName> {
        self.lines.iter().map(|line| line.name.clone()).collect()
    }

    /// A queue did not answer: the others are asked on, this one later and later.
    pub(super) fn failed(&mut self, number: usize) {
        if let Some(line) = self.lines.get_mut(number) {
            line.failures = line.failures.saturating_add(1);
            line.failing_since = line.failing_since.or(Some(Instant::now()));
            line.next_try = Some(Instant::now() + Backoff::RECONNECT.delay(line.failures));
        }
    }

    pub(super) fn all_failed(&mut self) {
        (0..self.lines.len()).for_each(|number| self.failed(number));
    }

    pub(super) fn answered(&mut self, number: usize) {
        if let Some(line) = self.lines.get_mut(number) {
            line.failures = 0;
            line.failing_since = None;
            line.next_try = None;
        }
    }

    /// The queues that have not answered for as long as `patience`; `None` while there is hope for one that does not
    /// answer.
    pub(super) fn lost(&self, patience: Duration) -> Option<Vec<QueueName>> {
        let silent = self.lines.iter().filter(|line| line.next_try.is_some());
        let is_lost = |line: &Line| line.failing_since.is_some_and(|since| since.elapsed() >= patience);
        silent.map(|line| is_lost(line).then(|| line.name.clone())).collect()
    }

    /// How long until the first queue that failed is asked again.
    pub(super) fn next_try(&self) -> Option<Duration> {
        let now = Instant::now();
        self.lines
            .iter()
            .filter_map(|line| line.next_try)
            .map(|next| next.saturating_duration_since(now))
            .min()
    }
}

#[cfg(test)]
mod tests;
