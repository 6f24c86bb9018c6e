//! One call on its way through the pool: who waits, until when, and whether a thread is stuck with it.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::sync::{lock, wait_until};

/// A call. The caller waits with it, a thread of the pool works on it.
#[derive(Debug)]
pub(crate) struct Ticket {
    stage: Mutex<Stage>,
    changed: Condvar,
    deadline: Instant,
    timeout: Duration,
}

#[derive(Clone, Debug)]
enum Stage {
    /// No thread has it, or its thread waits for something else than the library.
    Waiting,
    /// A thread has been inside the library with it since then.
    Running(Instant),
    /// Its thread is done.
    Done,
    /// Nobody takes it any more.
    Refused(Error),
    /// The caller left before a thread went inside.
    Cancelled,
    /// The caller left a thread behind inside the library.
    Abandoned,
}

/// How waiting for a call ended.
pub(crate) enum Outcome {
    Done,
    Refused(Error),
    Cancelled,
    /// The thread has been inside the library for too long: it is to be left behind, see [`Ticket::abandon`].
    Overdue,
}

impl Ticket {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            stage: Mutex::new(Stage::Waiting),
            changed: Condvar::new(),
            deadline: Instant::now() + timeout,
            timeout,
        }
    }

    /// Until when the caller waits, unless the library is at it.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The thread goes into the library. Fails if nobody waits any more.
    pub(crate) fn run(&self) -> Result<(), Error> {
        let mut stage = lock(&self.stage);
        match *stage {
            Stage::Waiting => *stage = Stage::Running(Instant::now()),
            Stage::Running(_) => {}
            _ => return Err(Error::Timeout),
        }
        Ok(())
    }

    /// The thread is out of the library and waits for something else. Fails if it was given up meanwhile.
    pub(crate) fn pause(&self) -> Result<(), Error> {
        let mut stage = lock(&self.stage);
        match *stage {
            Stage::Running(_) | Stage::Waiting => *stage = Stage::Waiting,
            _ => return Err(Error::Timeout),
        }
        Ok(())
    }

    /// The thread is done. False if it had been given up.
    pub(crate) fn finish(&self) -> bool {
        let mut stage = lock(&self.stage);
        if matches!(*stage, Stage::Abandoned) {
            return false;
        }
        if !matches!(*stage, Stage::Cancelled) {
            *stage = Stage::Done;
        }
        drop(stage);
        self.changed.notify_all();
        true
    }

    /// Leaves the thread behind, if it still is overdue.
    pub(crate) fn abandon(&self) -> bool {
        let mut stage = lock(&self.stage);
        let overdue = matches!(*stage, Stage::Running(since) if Instant::now() >= since + self.timeout);
        if overdue {
            *stage = Stage::Abandoned;
        }
        overdue
    }

    /// Sends the caller away. For calls that no thread has.
    pub(crate) fn refuse(&self, error: Error) {
        let mut stage = lock(&self.stage);
        if matches!(*stage, Stage::Waiting) {
            *stage = Stage::Refused(error);
        }
        drop(stage);
        self.changed.notify_all();
    }

    /// Waits until the call is done or has taken too long. Time in the queue is not held against a thread.
    pub(crate) fn wait(&self) -> Outcome {
        let mut stage = lock(&self.stage);
        loop {
            let until = match &*stage {
                Stage::Done => return Outcome::Done,
                Stage::Refused(error) => return Outcome::Refused(error.clone()),
                Stage::Cancelled => return Outcome::Cancelled,
                Stage::Abandoned => return Outcome::Overdue,
                Stage::Waiting => self.deadline,
                Stage::Running(since) => *since + self.timeout,
            };
            if Instant::now() < until {
                stage = wait_until(&self.changed, stage, until);
            } else if matches!(*stage, Stage::Running(_)) {
                return Outcome::Overdue;
            } else {
                *stage = Stage::Cancelled;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(60);

    #[test]
    fn a_call_that_no_thread_took_is_cancelled_and_not_begun_later() {
        let ticket = Ticket::new(SOON);

        assert!(matches!(ticket.wait(), Outcome::Cancelled));
        assert!(matches!(ticket.pause(), Err(Error::Timeout)));
        assert!(matches!(ticket.run(), Err(Error::Timeout)));
        assert!(ticket.finish(), "no thread was left behind");
    }

    #[test]
    fn a_thread_inside_the_library_is_left_behind_and_learns_it() {
        let ticket = Ticket::new(SOON);
        ticket.run().unwrap();

        assert!(matches!(ticket.wait(), Outcome::Overdue));
        assert!(ticket.abandon());
        assert!(matches!(ticket.pause(), Err(Error::Timeout)));
        assert!(!ticket.finish());
    }

    #[test]
    fn a_thread_that_is_back_at_the_last_moment_is_not_left_behind() {
        let ticket = Ticket::new(SOON);
        ticket.run().unwrap();
        assert!(matches!(ticket.wait(), Outcome::Overdue));

        assert!(ticket.finish());
        assert!(!ticket.abandon());
        assert!(matches!(ticket.wait(), Outcome::Done));
    }

    #[test]
    fn a_thread_that_waits_outside_the_library_is_not_left_behind() {
        let ticket = Ticket::new(SOON);
        ticket.run().unwrap();
        ticket.pause().unwrap();

        assert!(matches!(ticket.wait(), Outcome::Cancelled));
    }

    #[test]
    fn whoever_waits_is_woken_by_the_end_and_by_a_refusal() {
        for refused in [false, true] {
            let ticket = Arc::new(Ticket::new(LATE));
            let other = Arc::clone(&ticket);
            let waiting = thread::spawn(move || other.wait());
            if refused {
                ticket.refuse(Error::Closed);
                assert!(matches!(waiting.join().unwrap(), Outcome::Refused(Error::Closed)));
            } else {
                ticket.run().unwrap();
                // Too late for that.
                ticket.refuse(Error::Closed);
                assert!(ticket.finish());
                assert!(matches!(waiting.join().unwrap(), Outcome::Done));
            }
        }
    }
}
