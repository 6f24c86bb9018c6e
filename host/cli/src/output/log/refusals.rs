//! How many lines about refused tasks are logged: an attacker may store any number of tasks, and must not fill the disk.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::line::Line;

/// Interval in which lines are counted.
const INTERVAL: Duration = Duration::from_secs(60);

/// Maximum number of lines for one refusal code in an interval. A code that is rare stays visible beside one that floods the log.
const MAX_LINES: u64 = 20;

/// Counts the refused tasks of the current interval.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    interval: Mutex<Interval>,
}

#[derive(Debug, Default)]
struct Interval {
    /// Time of its first refusal. `None` if there was none.
    began: Option<Instant>,
    /// Number of refused tasks by code.
    counts: BTreeMap<String, u64>,
}

impl Refusals {
    /// Returns whether the line is to be logged; counts it if it is about a refused task.
    pub(super) fn is_logged(&self, line: &Line, now: Instant) -> bool {
        if line.event != "refused" {
            return true;
        }
        let mut interval = self.lock();
        interval.began.get_or_insert(now);
        let count = interval.counts.entry(line.text("code").to_owned()).or_default();
        *count += 1;
        *count <= MAX_LINES
    }

    /// Returns how long it takes until [`due`](Self::due) may return lines.
    pub(super) fn next_report(&self, now: Instant) -> Duration {
        let began = self.lock().began;
        began.map_or(INTERVAL, |began| INTERVAL.saturating_sub(now.duration_since(began)))
    }

    /// Returns one line for each code with refusals that were not logged, if the interval has ended, and begins another.
    pub(super) fn due(&self, now: Instant) -> Vec<Line> {
        let ended = |began: Instant| now.duration_since(began) >= INTERVAL;
        if self.lock().began.is_some_and(ended) { self.rest() } else { Vec::new() }
    }

    /// Returns the lines of [`due`](Self::due) for an interval that ends now.
    pub(super) fn rest(&self) -> Vec<Line> {
        let Interval { counts, .. } = std::mem::take(&mut *self.lock());
        let more = counts.into_iter().filter(|(_, count)| *count > MAX_LINES);
        more.map(|(code, count)| summary(&code, count - MAX_LINES)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Interval> {
        self.interval.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn summary(code: &str, count: u64) -> Line {
    let tasks = if count == 1 { "task" } else { "tasks" };
    Line::with("refused-more", &format!("refused {count} more {tasks} ({code}) in the last minute"))
        .member_added("code", json!(code))
        .member_added("count", json!(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> Line {
        Line::with("refused", "").member_added("code", json!(code))
    }

    #[test]
    fn refusals_after_the_first_of_a_minute_are_counted_by_code_and_not_logged() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let logged = (0..1254).filter(|_| refusals.is_logged(&refused("unsealed"), start)).count();
        assert_eq!(logged, 20);
        assert!(refusals.is_logged(&refused("rejected"), start));
        assert!(refusals.due(start + INTERVAL - Duration::from_millis(1)).is_empty());

        let lines = refusals.due(start + INTERVAL);

        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(line.event, "refused-more");
        assert_eq!(line.message, "refused 1234 more tasks (unsealed) in the last minute");
        assert_eq!(line.text("code"), "unsealed");
        assert!(refusals.is_logged(&refused("unsealed"), start + INTERVAL));
        assert!(refusals.rest().is_empty());
    }

    #[test]
    fn other_events_are_logged_without_a_limit() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        assert!((0..100).all(|_| refusals.is_logged(&Line::with("started", ""), now)));
        assert!(refusals.rest().is_empty());
    }
}
