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
    /// Failures by their names.
    logged: Mutex<HashMap<String, Logged>>,
}

/// When a failure was logged, and how often it has occurred since.
#[derive(Clone, Copy, Debug)]
struct Logged {
    at: Instant,
    omitted: u64,
}

impl Repeats {
    /// Returns whether the line is to be logged. If others like it were omitted before, their number is added.
    pub(super) fn is_news(&self, line: &mut Line) -> bool {
        self.is_news_at(line, Instant::now())
    }

    fn is_news_at(&self, line: &mut Line, now: Instant) -> bool {
        let failure = match line.event.as_str() {
            // The broker does not answer: logged once, until it answers again.
            "broker-failed" if line.flag("transient") => {
                return !self.broker_unavailable.swap(true, Ordering::Relaxed);
            }
            // It answers and refuses the operation, which it may do for a long time.
            "broker-failed" => line.text("doing").to_owned(),
            "state-failed" => return !self.state_unavailable.swap(true, Ordering::Relaxed),
            "key-unavailable" => key_name(line),
            // Every task of an issuer is put off.
            "recipient-missing" => format!("{} {}", line.text("issuer"), line.text("task_type")),
            "result-not-allowed" => format!("{} {}", line.text("kid"), line.text("task_type")),
            "key-back" => {
                self.logged
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&format!("key-unavailable {}", key_name(line)));
                return true;
            }
            // A deployment may postpone many tasks, and an attacker may store any number.
            "postponed" | "detached-refused" => format!("{} {}", line.text("queue"), line.text("code")),
            // A producer that does not seal yet may store many.
            "unsealed" => format!("{} {}", line.text("queue"), line.text("task_type")),
            // Its tasks come back until the quota leaves one.
            "quota-used" => line.text("quota").to_owned(),
            "keyset-not-in-force" => String::new(),
            WARNING => line.text("message").to_owned(),
            _ => return true,
        };
        let omitted = self.due(&format!("{} {failure}", line.event), now);
        line.add_omitted(omitted.unwrap_or(0));
        omitted.is_some()
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

    /// Returns how often the failure was omitted since it was logged, and records that it is logged now; `None` if it was logged within
    /// the interval of reminders.
    fn due(&self, failure: &str, now: Instant) -> Option<u64> {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = logged.get_mut(failure)
            && now.duration_since(last.at) < REMINDER
        {
            last.omitted += 1;
            return None;
        }
        let last = logged.insert(failure.to_owned(), Logged { at: now, omitted: 0 });
        Some(last.map_or(0, |last| last.omitted))
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
        assert_eq!(repeats.due("take tasks", start), Some(0));
        assert_eq!(repeats.due("take tasks", start + REMINDER - Duration::from_millis(1)), None);
        assert_eq!(repeats.due("settle tasks", start), Some(0));
        assert_eq!(repeats.due("take tasks", start + REMINDER), Some(1));
        assert_eq!(repeats.due("take tasks", start + REMINDER), None);
    }

    #[test]
    fn flood_of_one_cause_is_one_line_with_a_count_in_an_interval() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        for event in ["recipient-missing", "result-not-allowed", "unsealed", "postponed"] {
            let line = || Line::with(event, "put off").member_added("task_type", "report:build".into());
            assert!(repeats.is_news_at(&mut line(), start), "{event}");
            for _ in 0..1000 {
                assert!(!repeats.is_news_at(&mut line(), start), "{event}");
            }
            let mut next = line();
            assert!(repeats.is_news_at(&mut next, start + REMINDER), "{event}");
            assert_eq!(
                (next.number("omitted"), &*next.message),
                (1000, "put off; 1000 more since the last line")
            );
            // Another cause.
            let mut other = Line::with(event, "").member_added("task_type", "report:send".into());
            other = other.member_added("code", "type-not-handled".into());
            assert!(repeats.is_news_at(&mut other, start), "{event}");
        }
    }

    #[test]
    fn task_that_starts_shows_that_the_ledger_works_again() {
        let repeats = Repeats::default();
        let (mut failed, started) = (Line::with("state-failed", ""), Line::with("started", ""));
        assert!(repeats.recovery(&started).is_none());
        assert!(repeats.is_news(&mut failed) && !repeats.is_news(&mut failed));
        assert_eq!(repeats.recovery(&started).map(|line| line.event).as_deref(), Some("state-back"));
        assert!(repeats.recovery(&started).is_none());
        assert!(repeats.is_news(&mut failed));
    }

    #[test]
    fn key_that_is_back_is_logged_at_once_when_it_fails_again() {
        let repeats = Repeats::default();
        let (mut failed, mut back) = (Line::with("key-unavailable", ""), Line::with("key-back", ""));
        assert!(repeats.is_news(&mut failed) && !repeats.is_news(&mut failed));
        assert!(repeats.is_news(&mut back) && repeats.is_news(&mut failed));
    }
}
