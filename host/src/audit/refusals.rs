//! Counts refusals, so that a flood of them does not fill the log: each has a line, up to a number a minute for each code and
//! issuer, and one line has the count of the others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::event::AuditEvent;

const MINUTE: Duration = Duration::from_secs(60);
/// Maximum number of pairs of code and issuer: an attacker can write any issuer into an envelope.
const MAX_KEYS: usize = 1024;
/// The issuer of refusals beyond [`MAX_KEYS`].
const OTHERS: &str = "(others)";

/// A refused task.
#[derive(Clone, Debug)]
pub(super) struct RefusedTask {
    pub(super) queue: String,
    pub(super) code: &'static str,
    pub(super) issuer: Option<String>,
    pub(super) kid: Option<String>,
    pub(super) id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    queue: String,
    code: &'static str,
    issuer: Option<String>,
}

/// A minute of refusals with the same key.
#[derive(Debug)]
struct Window {
    ends: Instant,
    logged: u32,
    held: u64,
}

/// The refusals of the current minute.
#[derive(Debug)]
pub(super) struct Refusals {
    per_minute: u32,
    windows: HashMap<Key, Window>,
}

impl Refusals {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute, windows: HashMap::new() }
    }

    /// Counts a refusal. Returns its line if it has one; it has none unless there `is_room`.
    pub(super) fn add(&mut self, task: RefusedTask, is_room: bool, now: Instant) -> Option<AuditEvent> {
        let RefusedTask { queue, code, issuer, kid, id } = task;
        let mut key = Key { queue: queue.clone(), code, issuer: issuer.clone() };
        if self.windows.len() >= MAX_KEYS && !self.windows.contains_key(&key) {
            key.issuer = Some(OTHERS.to_owned());
        }
        let new = || Window { ends: now + MINUTE, logged: 0, held: 0 };
        let window = self.windows.entry(key).or_insert_with(new);
        if !is_room || window.logged >= self.per_minute {
            window.held += 1;
            return None;
        }
        window.logged += 1;
        Some(AuditEvent::Refused { queue, code, issuer, kid, task: Some(id), count: 1 })
    }

    /// Ends the minutes that are over at `now`. Returns the lines with their counts.
    pub(super) fn close(&mut self, now: Instant) -> Vec<AuditEvent> {
        self.close_if(|window| now >= window.ends)
    }

    /// Ends all minutes. Returns the lines with their counts.
    pub(super) fn close_all(&mut self) -> Vec<AuditEvent> {
        self.close_if(|_| true)
    }

    fn close_if(&mut self, is_over: impl Fn(&Window) -> bool) -> Vec<AuditEvent> {
        let over = self.windows.extract_if(|_, window| is_over(window));
        let held = over.filter(|(_, window)| window.held > 0);
        let line = |(key, window): (Key, Window)| AuditEvent::Refused {
            queue: key.queue,
            code: key.code,
            issuer: key.issuer,
            kid: None,
            task: None,
            count: window.held,
        };
        held.map(line).collect()
    }

    /// Returns when the first minute is over.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.windows.values().map(|window| window.ends).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(issuer: &str) -> RefusedTask {
        let issuer = Some(issuer.to_owned());
        RefusedTask { queue: "default".to_owned(), code: "rejected", issuer, kid: None, id: "7".to_owned() }
    }

    fn count(event: &AuditEvent) -> u64 {
        let AuditEvent::Refused { count, .. } = event else { panic!("{event:?}") };
        *count
    }

    #[test]
    fn refusals_beyond_the_number_of_a_minute_are_counted_in_one_line() {
        let (mut refusals, now) = (Refusals::new(3), Instant::now());
        let lines: Vec<_> = (0..10).filter_map(|_| refusals.add(task("shop"), true, now)).collect();
        assert_eq!(lines.iter().map(count).sum::<u64>(), 3);
        assert!(refusals.close(now + MINUTE - Duration::from_millis(1)).is_empty());
        assert_eq!(refusals.close(now + MINUTE).iter().map(count).collect::<Vec<_>>(), [7]);
        assert!(refusals.add(task("shop"), true, now + MINUTE).is_some());
        assert!(refusals.close_all().is_empty() && refusals.next_end().is_none());
    }

    #[test]
    fn refusals_without_room_for_lines_are_counted() {
        let (mut refusals, now) = (Refusals::new(3), Instant::now());
        assert!(refusals.add(task("shop"), false, now).is_none());
        assert_eq!(refusals.close_all().iter().map(count).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn flood_of_issuers_takes_a_limited_number_of_keys_and_the_counts_add_up() {
        let (mut refusals, now) = (Refusals::new(1), Instant::now());
        let mut total = 0;
        for number in 0..5000 {
            for _ in 0..2 {
                total += refusals.add(task(&number.to_string()), true, now).as_ref().map_or(0, count);
            }
        }
        assert!(refusals.windows.len() <= MAX_KEYS + 1);
        total += refusals.close_all().iter().map(count).sum::<u64>();
        assert_eq!(total, 10_000);
    }
}
