//! How many lines about refused tasks and evicted quarantine entries are logged: an attacker may store any number of tasks, and must not fill the disk.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::line::Line;
use taskseal::small_map::SmallMap;

/// Interval in which lines are counted.
const INTERVAL: Duration = Duration::from_secs(60);

/// Maximum number of lines for one refusal code in an interval. A code that is rare stays visible beside one that floods the log.
const MAX_LINES: u64 = 20;

/// Counts the refused tasks and the evicted entries of the current interval.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    interval: Mutex<Interval>,
}

#[derive(Debug, Default)]
struct Interval {
    /// Time of its first event. `None` if there was none.
    began: Option<Instant>,
    /// Number of entries evicted since the last line about evictions.
    evicted: u64,
    /// Time of the last eviction.
    evicted_at: Option<Instant>,
    /// Number of refused tasks by code.
    counts: SmallMap<String, u64>,
}

impl Refusals {
    /// Returns whether the line is to be logged; counts it if it is about a refused task or evicted entries.
    pub(super) fn is_logged(&self, line: &Line, now: Instant) -> bool {
        match line.event.as_str() {
            "refused" => self.lock().is_logged_refusal(line.text("code"), now),
            "quarantine-full" => self.lock().is_first_eviction(line.number("evicted"), now),
            _ => true,
        }
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
        let mut interval = self.lock();
        let next = Interval { evicted_at: interval.evicted_at, ..Interval::default() };
        let Interval { counts, evicted, .. } = std::mem::replace(&mut *interval, next);
        let more = counts.into_entries().into_iter().filter(|(_, count)| *count > MAX_LINES);
        let refused = more.map(|(code, count)| summary(&code, count - MAX_LINES));
        refused.chain((evicted > 0).then(|| evictions(evicted))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Interval> {
        self.interval.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interval {
    fn is_logged_refusal(&mut self, code: &str, now: Instant) -> bool {
        self.began.get_or_insert(now);
        let count = self.counts.get_or_insert(code, 0);
        *count += 1;
        *count <= MAX_LINES
    }

    /// Returns whether no entry was evicted for one interval; counts the entries if not.
    fn is_first_eviction(&mut self, entries: u64, now: Instant) -> bool {
        let last = self.evicted_at.replace(now);
        let is_first = last.is_none_or(|last| now.duration_since(last) >= INTERVAL);
        if !is_first {
            self.began.get_or_insert(now);
            self.evicted = self.evicted.saturating_add(entries);
        }
        is_first
    }
}

fn evictions(count: u64) -> Line {
    let entries = if count == 1 { "entry" } else { "entries" };
    Line::with(
        "quarantine-full",
        &format!("evicted {count} more {entries} from the quarantine in the last minute"),
    )
    .member_added("evicted", json!(count))
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
    fn first_eviction_is_logged_at_once_and_further_ones_once_a_minute() {
        let evicted = |count: u64| Line::with("quarantine-full", "").member_added("evicted", json!(count));
        let (refusals, start) = (Refusals::default(), Instant::now());
        assert!(refusals.is_logged(&evicted(3), start));
        assert!(refusals.due(start + INTERVAL).is_empty());
        assert!((0..1000).all(|_| !refusals.is_logged(&evicted(2), start)));

        let lines = refusals.due(start + INTERVAL);

        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(line.message, "evicted 2000 more entries from the quarantine in the last minute");
        assert_eq!((line.event.as_str(), line.number("evicted")), ("quarantine-full", 2000));
        assert!(!refusals.is_logged(&evicted(1), start + INTERVAL - Duration::from_millis(1)));
        assert!(refusals.is_logged(&evicted(1), start + 3 * INTERVAL));
    }

    #[test]
    fn other_events_are_logged_without_a_limit() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        assert!((0..100).all(|_| refusals.is_logged(&Line::with("started", ""), now)));
        assert!(refusals.rest().is_empty());
    }
}
