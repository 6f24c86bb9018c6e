//! A call on its way through the pool: its state, its deadline, and whether its thread is stuck.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::sync::{lock, wait_until};

/// A call that a caller waits for and a thread of the pool executes.
#[derive(Debug)]
pub(crate) struct PendingCall {
    state: Mutex<CallState>,
    changed: Condvar,
    deadline: Instant,
    timeout: Duration,
}

#[derive(Clone, Debug)]
enum CallState {
    /// No thread has taken the call, or its thread waits outside the library.
    Waiting,
    /// The thread has been inside the library since this time.
    InLibrary(Instant),
    /// The thread has finished.
    Done,
    /// No thread will take the call.
    Refused(Error),
    /// The caller gave up before a thread entered the library.
    Cancelled,
    /// The caller gave up while the thread was inside the library.
    Abandoned,
}

/// The result of waiting for a call.
pub(crate) enum WaitOutcome {
    Done,
    Refused(Error),
    Cancelled,
    /// The thread has been inside the library for too long. The caller decides with [`PendingCall::abandon`].
    Overdue,
}

impl PendingCall {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            state: Mutex::new(CallState::Waiting),
            changed: Condvar::new(),
            deadline: Instant::now() + timeout,
            timeout,
        }
    }

    /// Returns the time until which the caller waits while no thread is inside the library.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Records that the thread enters the library. Fails if the caller has given up.
    pub(crate) fn enter_library(&self) -> Result<(), Error> {
        let mut state = lock(&self.state);
        match *state {
            CallState::Waiting => *state = CallState::InLibrary(Instant::now()),
            CallState::InLibrary(_) => {}
            _ => return Err(Error::Timeout),
        }
        Ok(())
    }

    /// Records that the thread is outside the library. Fails if the caller has given up.
    pub(crate) fn leave_library(&self) -> Result<(), Error> {
        let mut state = lock(&self.state);
        match *state {
            CallState::InLibrary(_) | CallState::Waiting => *state = CallState::Waiting,
            _ => return Err(Error::Timeout),
        }
        Ok(())
    }

    /// Records that the thread has finished. Returns false if the call was abandoned.
    pub(crate) fn finish(&self) -> bool {
        let mut state = lock(&self.state);
        if matches!(*state, CallState::Abandoned) {
            return false;
        }
        if !matches!(*state, CallState::Cancelled) {
            *state = CallState::Done;
        }
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Abandons the call and its thread if the thread is still overdue. Returns whether it was.
    pub(crate) fn abandon(&self) -> bool {
        let mut state = lock(&self.state);
        let overdue = matches!(*state, CallState::InLibrary(since) if Instant::now() >= since + self.timeout);
        if overdue {
            *state = CallState::Abandoned;
        }
        overdue
    }

    /// Fails a call that no thread has taken. Has no effect on any other call.
    pub(crate) fn refuse(&self, error: Error) {
        let mut state = lock(&self.state);
        if matches!(*state, CallState::Waiting) {
            *state = CallState::Refused(error);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until the call is done or has timed out. The timeout of the library call starts when the thread enters
    /// the library, so time in the queue does not make a thread overdue.
    pub(crate) fn wait(&self) -> WaitOutcome {
        let mut state = lock(&self.state);
        loop {
            let until = match &*state {
                CallState::Done => return WaitOutcome::Done,
                CallState::Refused(error) => return WaitOutcome::Refused(error.clone()),
                CallState::Cancelled => return WaitOutcome::Cancelled,
                CallState::Abandoned => return WaitOutcome::Overdue,
                CallState::Waiting => self.deadline,
                CallState::InLibrary(since) => *since + self.timeout,
            };
            if Instant::now() < until {
                state = wait_until(&self.changed, state, until);
            } else if matches!(*state, CallState::InLibrary(_)) {
                return WaitOutcome::Overdue;
            } else {
                *state = CallState::Cancelled;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_call_that_no_thread_took_is_cancelled_and_cannot_start_later() {
        let call = PendingCall::new(SHORT);

        assert!(matches!(call.wait(), WaitOutcome::Cancelled));
        assert!(matches!(call.leave_library(), Err(Error::Timeout)));
        assert!(matches!(call.enter_library(), Err(Error::Timeout)));
        assert!(call.finish(), "no thread was abandoned");
    }

    #[test]
    fn a_thread_that_is_overdue_inside_the_library_is_abandoned() {
        let call = PendingCall::new(SHORT);
        call.enter_library().unwrap();

        assert!(matches!(call.wait(), WaitOutcome::Overdue));
        assert!(call.abandon());
        assert!(matches!(call.leave_library(), Err(Error::Timeout)));
        assert!(!call.finish());
    }

    #[test]
    fn a_thread_that_finishes_before_it_is_abandoned_is_kept() {
        let call = PendingCall::new(SHORT);
        call.enter_library().unwrap();
        assert!(matches!(call.wait(), WaitOutcome::Overdue));

        assert!(call.finish());
        assert!(!call.abandon());
        assert!(matches!(call.wait(), WaitOutcome::Done));
    }

    #[test]
    fn a_thread_that_waits_outside_the_library_is_not_abandoned() {
        let call = PendingCall::new(SHORT);
        call.enter_library().unwrap();
        call.leave_library().unwrap();

        assert!(matches!(call.wait(), WaitOutcome::Cancelled));
    }

    #[test]
    fn completion_and_refusal_wake_the_caller() {
        for refused in [false, true] {
            let call = Arc::new(PendingCall::new(LONG));
            let other = Arc::clone(&call);
            let waiting = thread::spawn(move || other.wait());
            if refused {
                call.refuse(Error::Closed);
                assert!(matches!(waiting.join().unwrap(), WaitOutcome::Refused(Error::Closed)));
            } else {
                call.enter_library().unwrap();
                // Has no effect on a call that a thread executes.
                call.refuse(Error::Closed);
                assert!(call.finish());
                assert!(matches!(waiting.join().unwrap(), WaitOutcome::Done));
            }
        }
    }
}
