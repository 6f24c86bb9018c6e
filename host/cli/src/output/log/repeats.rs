//! Which repeated events are logged: a failure that lasts fills no log, and is not forgotten either.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::line::{Line, WARNING};

/// How long a failure that lasts is not logged again.
const REMINDER: Duration = Duration::from_secs(60);

/// What was logged about failures that may last.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    broker_unavailable: AtomicBool,
    state_unavailable: AtomicBool,
    /// When a failure of this name was logged.
    logged_at: Mutex<HashMap<String, Instant>>,
}

impl Repeats {
    /// Returns whether the line is to be logged.
    pub(super) fn is_news(&self, line: &Line) -> bool {
        match line.event.as_str() {
            // The broker does not answer: logged once, until it answers again.
            "broker-failed" if line.flag("transient") => {
                !self.broker_unavailable.swap(true, Ordering::Relaxed)
            }
            // It answers and refuses the operation, which it may do for a long time.
            "broker-failed" => self.is_due(line.text("doing"), Instant::now()),
            "state-failed" => !self.state_unavailable.swap(true, Ordering::Relaxed),
            "key-unavailable" => self.is_due(&key_name(line), Instant::now()),
            // Every task of an issuer is put off.
            "recipient-missing" => {
                self.is_due(&format!("{} {}", line.text("issuer"), line.text("task_type")), Instant::now())
            }
            "key-back" => {
                self.logged_at.lock().unwrap_or_else(PoisonError::into_inner).remove(&key_name(line));
                true
            }
            // A deployment may postpone many tasks, and an attacker may store any number.
            "postponed" => {
                self.is_due(&format!("{} {}", line.text("queue"), line.text("code")), Instant::now())
            }
            // A producer that does not seal yet may store many.
            "unsealed" => {
                self.is_due(&format!("{} {}", line.text("queue"), line.text("task_type")), Instant::now())
            }
            "keyset-not-in-force" => self.is_due(&line.event, Instant::now()),
            WARNING => self.is_due(line.text("message"), Instant::now()),
            _ => true,
        }
    }

    /// Returns the line to log before `line`, if that shows that ledger and quarantine work again: a task starts only
    /// after the ledger has admitted it.
    pub(super) fn recovery(&self, line: &Line) -> Option<Line> {
        let recovered = line.event == "started" && self.state_unavailable.swap(false, Ordering::Relaxed);
        recovered.then(|| Line::with("state-back", "ledger and quarantine work again"))
    }

    /// Returns whether the last call to the broker found it unavailable.
    pub(crate) fn broker_is_unavailable(&self) -> bool {
        self.broker_unavailable.load(Ordering::Relaxed)
    }

    /// Records that the broker is available, so that its next failure is logged.
    pub(crate) fn mark_broker_available(&self) {
        self.broker_unavailable.store(false, Ordering::Relaxed);
    }

    /// Returns whether the failure was not logged within the interval of reminders, and records it if so.
    fn is_due(&self, failure: &str, now: Instant) -> bool {
        let mut logged_at = self.logged_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = logged_at.get(failure).is_none_or(|logged| now.duration_since(*logged) >= REMINDER);
        if is_due {
            logged_at.insert(failure.to_owned(), now);
        }
        is_due
    }
}

/// Names a key by its field and kid: an operator must learn of each.
fn key_name(line: &Line) -> String {
    format!("{} {}", line.text("field"), line.text("kid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_that_lasts_is_logged_once_in_an_interval() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        assert!(repeats.is_due("take tasks", start));
        assert!(!repeats.is_due("take tasks", start + REMINDER - Duration::from_millis(1)));
        assert!(repeats.is_due("settle tasks", start));
        assert!(repeats.is_due("take tasks", start + REMINDER));
        assert!(!repeats.is_due("take tasks", start + REMINDER));
    }

    #[test]
    fn task_that_starts_shows_that_the_ledger_works_again() {
        let repeats = Repeats::default();
        let (failed, started) = (Line::with("state-failed", ""), Line::with("started", ""));
        assert!(repeats.recovery(&started).is_none());
        assert!(repeats.is_news(&failed) && !repeats.is_news(&failed));
        assert_eq!(repeats.recovery(&started).map(|line| line.event).as_deref(), Some("state-back"));
        assert!(repeats.recovery(&started).is_none());
        assert!(repeats.is_news(&failed));
    }

    #[test]
    fn key_that_is_back_is_logged_at_once_when_it_fails_again() {
        let repeats = Repeats::default();
        let (failed, back) = (Line::with("key-unavailable", ""), Line::with("key-back", ""));
        assert!(repeats.is_news(&failed) && !repeats.is_news(&failed));
        assert!(repeats.is_news(&back) && repeats.is_news(&failed));
    }
}
