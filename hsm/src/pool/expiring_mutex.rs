//! A mutex with deadlines for waiting and for holding, which `std` does not have.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::sync::{lock, wait_until};

/// Mutual exclusion with a time limit for the holder. A thread that never returns from the library must not block all
/// others forever.
#[derive(Debug)]
pub(crate) struct ExpiringMutex {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug)]
struct State {
    holder: Option<Holder>,
    /// Number of acquisitions, which identifies each of them.
    acquisitions: u64,
}

#[derive(Debug)]
struct Holder {
    acquisition: u64,
    expires_at: Instant,
}

impl ExpiringMutex {
    pub(crate) const fn new() -> Self {
        Self { state: Mutex::new(State { holder: None, acquisitions: 0 }), released: Condvar::new() }
    }

    /// Acquires the mutex, or returns `None` at `deadline`. It is released after `hold_limit` even if the guard still
    /// exists.
    pub(crate) fn acquire(&self, deadline: Instant, hold_limit: Duration) -> Option<ExpiringGuard<'_>> {
        let mut state = lock(&self.state);
        while let Some(holder) = &state.holder {
            let (now, expires_at) = (Instant::now(), holder.expires_at);
            if now >= expires_at {
                break;
            }
            if now >= deadline {
                return None;
            }
            state = wait_until(&self.released, state, deadline.min(expires_at));
        }
        state.acquisitions += 1;
        let acquisition = state.acquisitions;
        state.holder = Some(Holder { acquisition, expires_at: Instant::now() + hold_limit });
        drop(state);
        Some(ExpiringGuard { mutex: self, acquisition })
    }
}

/// Releases an [`ExpiringMutex`] on drop.
#[derive(Debug)]
pub(crate) struct ExpiringGuard<'m> {
    mutex: &'m ExpiringMutex,
    acquisition: u64,
}

impl Drop for ExpiringGuard<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.mutex.state);
        // After the time limit, another thread may hold the mutex.
        if state.holder.as_ref().is_some_and(|holder| holder.acquisition == self.acquisition) {
            state.holder = None;
        }
        drop(state);
        self.mutex.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[test]
    fn dropping_the_guard_releases_the_mutex() {
        let mutex = ExpiringMutex::new();
        let guard = mutex.acquire(soon(), LONG).unwrap();

        assert!(mutex.acquire(soon(), LONG).is_none());
        drop(guard);
        assert!(mutex.acquire(soon(), LONG).is_some());
    }

    #[test]
    fn an_expired_guard_does_not_release_the_next_acquisition() {
        let mutex = ExpiringMutex::new();
        let first = mutex.acquire(soon(), Duration::from_millis(20)).unwrap();

        let second = mutex.acquire(Instant::now() + LONG, LONG);
        assert!(second.is_some(), "the first acquisition must expire");
        drop(first);
        assert!(mutex.acquire(soon(), LONG).is_none(), "the first guard released the second acquisition");
    }
}
