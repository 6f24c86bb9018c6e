//! Threads that talk to the token. PKCS#11 calls block without a limit, so callers wait for them from outside.

pub(crate) mod call;
pub(crate) mod library_lock;
pub(crate) mod session;
pub(crate) mod worker;

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::pool::call::{Outcome, Ticket};
use crate::pool::worker::Seat;
use crate::recovery::state::Shared;
use crate::sync::{lock, wait_until};

/// The threads of a token, and the calls that wait for one.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<Threads>,
    changed: Condvar,
    max_abandoned: usize,
}

#[derive(Default)]
struct Threads {
    queue: VecDeque<Job>,
    limit: usize,
    live: usize,
    idle: usize,
    abandoned: usize,
    started: u64,
    closed: bool,
}

struct Job {
    ticket: Arc<Ticket>,
    work: Work,
}

type Work = Box<dyn FnOnce(&mut Seat, &Ticket) + Send>;

/// Who gets a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Whoever waits, in turn.
    Queue,
    /// Nobody, unless all threads are idle.
    Idle,
}

/// Numbers for [`Health`](crate::Health).
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) limit: usize,
    pub(crate) live: usize,
    pub(crate) in_use: usize,
    pub(crate) queued: usize,
    pub(crate) abandoned: usize,
}

impl Pool {
    pub(crate) fn new(max_abandoned: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), max_abandoned }
    }

    /// Sets how many threads may work at once.
    pub(crate) fn set_limit(&self, limit: usize) {
        lock(&self.state).limit = limit.max(1);
    }

    /// Has a thread do `work` and waits for its result.
    ///
    /// # Errors
    /// [`Error::Timeout`], also if the thread was left behind; [`Error::Transient`] if no thread can be had; what
    /// `work` returns.
    pub(crate) fn call<R: Send + 'static>(
        &self,
        shared: &Arc<Shared>,
        timeout: Duration,
        share: Share,
        work: impl FnOnce(&mut Seat, &Ticket) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let ticket = Arc::new(Ticket::new(timeout));
        let answer = Arc::new(Mutex::new(None));
        let job = Job {
            ticket: Arc::clone(&ticket),
            work: Box::new({
                let answer = Arc::clone(&answer);
                move |seat, ticket| {
                    let result = work(seat, ticket);
                    *lock(&answer) = Some(result);
                }
            }),
        };
        self.submit(shared, job, share)?;
        loop {
            match ticket.wait() {
                Outcome::Done => return lock(&answer).take().unwrap_or(Err(Error::Timeout)),
                Outcome::Refused(error) => return Err(error),
                Outcome::Cancelled => return Err(Error::Timeout),
                Outcome::Overdue if self.leave_behind(&ticket) => {
                    shared.hung();
                    return Err(Error::Timeout);
                }
                // It came back at the last moment.
                Outcome::Overdue => {}
            }
        }
    }

    /// Counts the thread that has this call as left behind, if it still is overdue. It says that it is back under the same
    /// lock, so that both agree on what it is.
    fn leave_behind(&self, ticket: &Ticket) -> bool {
        let mut state = lock(&self.state);
        let left = ticket.abandon();
        if left {
            state.live -= 1;
            state.abandoned += 1;
        }
        left
    }

    /// A thread is done with this call. False if it was left behind.
    fn finish(&self, ticket: &Ticket) -> bool {
        let _counted = lock(&self.state);
        ticket.finish()
    }

    /// A thread that was left behind ends.
    fn came_back(&self) {
        lock(&self.state).abandoned -= 1;
        self.changed.notify_all();
    }

    fn submit(&self, shared: &Arc<Shared>, job: Job, share: Share) -> Result<(), Error> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Error::Closed);
        }
        if share == Share::Idle && (state.live > state.idle || !state.queue.is_empty()) {
            return Err(Error::Transient { retry_after: LATER });
        }
        state.queue.push_back(job);
        let waiting = state.queue.len();
        if waiting > state.idle && state.live < state.limit {
            if state.abandoned >= self.max_abandoned {
                if state.live == 0 {
                    state.queue.pop_back();
                    return Err(Error::Transient { retry_after: LATER });
                }
            } else {
                state.started += 1;
                let name = format!("hsm-{}", state.started);
                let shared = Arc::clone(shared);
                if thread::Builder::new().name(name).spawn(move || shared.pool.serve(&shared)).is_ok() {
                    state.live += 1;
                } else if state.live == 0 {
                    state.queue.pop_back();
                    return Err(Error::Transient { retry_after: LATER });
                }
            }
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The life of a thread.
    fn serve(&self, shared: &Arc<Shared>) {
        let mut seat = Seat::new(Arc::clone(shared));
        while let Some(job) = self.next() {
            if job.ticket.pause().is_ok() {
                let (work, ticket) = (job.work, &job.ticket);
                // A panic is one caller's matter; a thread less would be everybody's.
                if panic::catch_unwind(AssertUnwindSafe(|| work(&mut seat, ticket))).is_err() {
                    seat.close();
                }
            }
            if !self.finish(&job.ticket) {
                // Others took over long ago, and the session may be in any state.
                drop(seat);
                return self.came_back();
            }
        }
        // Closes the session, before anybody who waits for that goes on.
        drop(seat);
        lock(&self.state).live -= 1;
        self.changed.notify_all();
    }

    /// Waits until the threads of a closed pool have ended, those that were left behind included: they may come back.
    pub(crate) fn wait_ended(&self, deadline: Instant) {
        let mut state = lock(&self.state);
        while state.live + state.abandoned > 0 && Instant::now() < deadline {
            state = wait_until(&self.changed, state, deadline);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = wait_until(&self.changed, state, Instant::now() + IDLE);
            state.idle -= 1;
        }
    }

    /// Sends everybody away who waits for a thread.
    pub(crate) fn refuse_queued(&self, error: &Error) {
        let queue = std::mem::take(&mut lock(&self.state).queue);
        for job in queue {
            job.ticket.refuse(error.clone());
        }
    }

    /// Takes no more calls and lets the threads end.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.refuse_queued(&Error::Closed);
        self.changed.notify_all();
    }

    pub(crate) fn load(&self) -> Load {
        let state = lock(&self.state);
        Load {
            limit: state.limit,
            live: state.live,
            in_use: state.live.saturating_sub(state.idle),
            queued: state.queue.len(),
            abandoned: state.abandoned,
        }
    }
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("live", &self.live).finish_non_exhaustive()
    }
}

/// When it is worth asking again for a thread.
const LATER: Duration = Duration::from_secs(1);

/// How long a thread sleeps at once; it is woken for work.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};

    use super::*;

    #[test]
    fn nobody_is_left_behind_before_that_is_counted() {
        let pool = Pool::new(4);
        lock(&pool.state).live = 1;
        let ticket = Ticket::new(Duration::ZERO);
        ticket.run().unwrap();
        let (begins, begun) = mpsc::channel();

        let counted = lock(&pool.state);
        let (back_in_time, left) = thread::scope(|scope| {
            let leaving = scope.spawn(|| {
                begins.send(()).unwrap();
                pool.leave_behind(&ticket)
            });
            begun.recv().unwrap();
            // Time enough for who does not wait for the lock.
            (0..10_000).for_each(|_| thread::yield_now());
            let back_in_time = ticket.pause().is_ok();
            drop(counted);
            (back_in_time, leaving.join().unwrap())
        });

        assert!(back_in_time && !left, "it was left behind and not counted");
        let state = lock(&pool.state);
        assert_eq!((state.live, state.abandoned), (1, 0));
    }

    #[test]
    fn a_thread_that_comes_back_as_it_is_left_behind_is_counted_once() {
        let pool = Pool::new(4);
        for _ in 0..2_000 {
            lock(&pool.state).live = 1;
            let ticket = Ticket::new(Duration::ZERO);
            ticket.run().unwrap();
            let both = Barrier::new(2);

            let left = thread::scope(|scope| {
                scope.spawn(|| {
                    both.wait();
                    if !pool.finish(&ticket) {
                        pool.came_back();
                    }
                });
                both.wait();
                pool.leave_behind(&ticket)
            });

            let state = lock(&pool.state);
            assert_eq!((state.live, state.abandoned), (usize::from(!left), 0));
        }
    }
}
