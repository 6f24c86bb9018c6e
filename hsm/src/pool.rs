//! A thread pool for calls that may never return. PKCS#11 calls have no timeouts, so callers wait for them outside.

pub(crate) mod call;
pub(crate) mod expiring_mutex;
pub(crate) mod library_lock;
pub(crate) mod operation;
pub(crate) mod session;
pub(crate) mod session_table;
pub(crate) mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::call::{PendingCall, WaitOutcome};
use crate::error::Error;
use crate::sync::{lock, wait_until};

/// The threads of a token and the calls that wait for one. Each thread owns a `W`, such as a session.
pub(crate) struct Pool<W> {
    state: Mutex<PoolState<W>>,
    changed: Condvar,
    max_abandoned: usize,
}

struct PoolState<W> {
    queue: VecDeque<Job<W>>,
    /// Maximum number of threads.
    limit: usize,
    live: usize,
    idle: usize,
    abandoned: usize,
    /// Number of threads started so far, for their names.
    started: u64,
    /// Handles of the threads that have not been joined, by their numbers.
    handles: BTreeMap<u64, JoinHandle<()>>,
    /// Numbers of threads that have made their last call into the library and are about to exit.
    exiting: Vec<u64>,
    closed: bool,
}

struct Job<W> {
    call: Arc<PendingCall>,
    work: Work<W>,
}

type Work<W> = Box<dyn FnOnce(&mut W, &PendingCall) + Send>;

/// Whether a call may wait for a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dispatch {
    /// It waits in the queue.
    Queue,
    /// It fails unless all threads are idle.
    IfIdle,
}

/// The reason why a call has no result.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Its thread did not return from the library in time and was abandoned.
    Abandoned,
    /// The call failed or was not executed.
    Failed(Error),
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

impl<W: Default + 'static> Pool<W> {
    pub(crate) const fn new(max_abandoned: usize) -> Self {
        let state = PoolState {
            queue: VecDeque::new(),
            limit: 0,
            live: 0,
            idle: 0,
            abandoned: 0,
            started: 0,
            handles: BTreeMap::new(),
            exiting: Vec::new(),
            closed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), max_abandoned }
    }

    /// Sets the maximum number of threads.
    pub(crate) fn set_limit(&self, limit: usize) {
        lock(&self.state).limit = limit.max(1);
    }

    /// Executes `work` on a thread of the pool and waits for its result.
    pub(crate) fn call<R: Send + 'static>(
        self: &Arc<Self>,
        timeout: Duration,
        dispatch: Dispatch,
        work: impl FnOnce(&mut W, &PendingCall) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, CallError> {
        let call = Arc::new(PendingCall::new(timeout));
        let result = Arc::new(Mutex::new(None));
        let job = Job {
            call: Arc::clone(&call),
            work: Box::new({
                let result = Arc::clone(&result);
                move |owned, call| {
                    let returned = work(owned, call);
                    *lock(&result) = Some(returned);
                }
            }),
        };
        self.submit(job, dispatch).map_err(CallError::Failed)?;
        loop {
            match call.wait() {
                WaitOutcome::Done => {
                    return lock(&result).take().unwrap_or(Err(Error::Timeout)).map_err(CallError::Failed);
                }
                WaitOutcome::Refused(error) => return Err(CallError::Failed(error)),
                WaitOutcome::Cancelled => return Err(CallError::Failed(Error::Timeout)),
                WaitOutcome::Overdue if self.abandon(&call) => return Err(CallError::Abandoned),
                // The thread returned in the meantime.
                WaitOutcome::Overdue => {}
            }
        }
    }

    /// Abandons the thread of this call if it is still overdue, and counts it. [`Pool::finish`] takes the same lock, so
    /// that both sides agree on whether the thread was abandoned.
    fn abandon(&self, call: &PendingCall) -> bool {
        let mut state = lock(&self.state);
        let abandoned = call.abandon();
        if abandoned {
            state.live -= 1;
            state.abandoned += 1;
        }
        abandoned
    }

    /// Completes a call. Returns false if its thread was abandoned.
    fn finish(&self, call: &PendingCall) -> bool {
        let _counted = lock(&self.state);
        call.finish()
    }

    /// Counts the end of an abandoned thread.
    fn abandoned_thread_ended(&self, number: u64) {
        let mut state = lock(&self.state);
        state.abandoned -= 1;
        state.exiting.push(number);
        drop(state);
        self.changed.notify_all();
    }

    fn submit(self: &Arc<Self>, job: Job<W>, dispatch: Dispatch) -> Result<(), Error> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Error::Closed);
        }
        if dispatch == Dispatch::IfIdle && (state.live > state.idle || !state.queue.is_empty()) {
            return Err(NO_THREAD);
        }
        state.queue.push_back(job);
        if state.queue.len() > state.idle && state.live < state.limit {
            let started = state.abandoned < self.max_abandoned && self.start_thread(&mut state);
            if !started && state.live == 0 {
                state.queue.pop_back();
                return Err(NO_THREAD);
            }
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Starts a thread. Returns false if the operating system refuses.
    fn start_thread(self: &Arc<Self>, state: &mut PoolState<W>) -> bool {
        state.started += 1;
        let number = state.started;
        let pool = Arc::clone(self);
        let thread = thread::Builder::new().name(format!("hsm-{number}"));
        let Ok(handle) = thread.spawn(move || pool.run_thread(number)) else { return false };
        // Those that have exited long ago need no handle.
        for number in std::mem::take(&mut state.exiting) {
            state.handles.remove(&number);
        }
        state.handles.insert(number, handle);
        state.live += 1;
        true
    }

    /// Executes calls until the pool is closed or the thread was abandoned.
    fn run_thread(&self, number: u64) {
        let mut owned = W::default();
        while let Some(job) = self.next() {
            if job.call.leave_library().is_ok() {
                let (work, call) = (job.work, &job.call);
                // A panic affects its caller only; it must not shrink the pool.
                if panic::catch_unwind(AssertUnwindSafe(|| work(&mut owned, call))).is_err() {
                    owned = W::default();
                }
            }
            if !self.finish(&job.call) {
                // Another thread has taken this one's place, and what it owns may be in any state.
                drop(owned);
                return self.abandoned_thread_ended(number);
            }
        }
        // Closes the session before `wait_ended` returns.
        drop(owned);
        let mut state = lock(&self.state);
        state.live -= 1;
        state.exiting.push(number);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until the threads of a closed pool have exited, including the abandoned ones, which may still return.
    ///
    /// A library may free memory of a thread when the thread exits, which must not happen while the process exits and
    /// unloads the library. So the threads are joined after their last call.
    pub(crate) fn wait_ended(&self, deadline: Instant) {
        let mut state = lock(&self.state);
        while state.live + state.abandoned > 0 && Instant::now() < deadline {
            state = wait_until(&self.changed, state, deadline);
        }
        let exiting = std::mem::take(&mut state.exiting);
        let handles: Vec<_> = exiting.iter().filter_map(|number| state.handles.remove(number)).collect();
        drop(state);
        for handle in handles {
            // Short: the thread makes no more calls. Its panics were caught.
            let _ = handle.join();
        }
    }

    fn next(&self) -> Option<Job<W>> {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = wait_until(&self.changed, state, Instant::now() + IDLE_WAIT);
            state.idle -= 1;
        }
    }

    /// Fails all calls that wait for a thread.
    pub(crate) fn refuse_queued(&self, error: &Error) {
        let queue = std::mem::take(&mut lock(&self.state).queue);
        for job in queue {
            job.call.refuse(error.clone());
        }
    }

    /// Refuses further calls and lets the threads end.
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

/// The error of a call for which no thread is available.
const NO_THREAD: Error = Error::Transient { retry_after: Duration::from_secs(1) };

/// Maximum time a thread waits at once; calls wake it earlier.
const IDLE_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
