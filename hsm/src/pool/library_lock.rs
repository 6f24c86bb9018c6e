//! A shared and exclusive lock for a PKCS#11 library, with deadlines.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::sync::{lock, wait_until};

/// Counts the threads inside a library, and excludes them for calls that must run alone. Shared locking is reentrant.
#[derive(Debug, Default)]
pub(crate) struct LibraryLock {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Number of threads inside the library.
    inside: usize,
    exclusive: Option<Exclusive>,
    /// Number of exclusive acquisitions, which identifies each of them.
    acquisitions: u64,
}

/// An exclusive acquisition: held, or waiting for the threads inside.
#[derive(Clone, Copy, Debug)]
struct Exclusive {
    acquisition: u64,
    /// End of the exclusion; `None` if it has no time limit or is not held yet.
    expires_at: Option<Instant>,
}

thread_local! {
    /// Addresses of the locks that this thread holds.
    static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

impl LibraryLock {
    /// Acquires the lock together with others, or returns `None` at `deadline`. A thread that holds the lock already
    /// does not wait, because a pending exclusive acquisition waits for it.
    pub(crate) fn lock_shared(&self, deadline: Instant) -> Option<SharedGuard<'_>> {
        let mut state = lock(&self.state);
        if !self.is_held() {
            state = self.wait_not_exclusive(state, deadline)?;
        }
        state.inside += 1;
        drop(state);
        Some(SharedGuard(Registration::new(self)))
    }

    /// Excludes new threads and waits until all others have left, or returns `None` at `deadline`. After `hold_limit`
    /// the acquisition becomes a shared one: a call that hangs must not exclude other threads forever.
    pub(crate) fn lock_exclusive(
        &self,
        deadline: Instant,
        hold_limit: Option<Duration>,
    ) -> Option<ExclusiveGuard<'_>> {
        let mut state = self.wait_not_exclusive(lock(&self.state), deadline)?;
        state.acquisitions += 1;
        let acquisition = state.acquisitions;
        state.exclusive = Some(Exclusive { acquisition, expires_at: None });
        while state.inside > 0 {
            if Instant::now() >= deadline {
                state.exclusive = None;
                drop(state);
                self.changed.notify_all();
                return None;
            }
            state = wait_until(&self.changed, state, deadline);
        }
        let expires_at = hold_limit.map(|limit| Instant::now() + limit);
        state.exclusive = Some(Exclusive { acquisition, expires_at });
        drop(state);
        // Waiting threads read `expires_at`.
        self.changed.notify_all();
        Some(ExclusiveGuard { registration: Registration::new(self), acquisition })
    }

    fn wait_not_exclusive<'l>(
        &'l self,
        mut state: MutexGuard<'l, State>,
        deadline: Instant,
    ) -> Option<MutexGuard<'l, State>> {
        while let Some(exclusive) = state.exclusive {
            let now = Instant::now();
            if exclusive.expires_at.is_some_and(|expires_at| now >= expires_at) {
                // Its thread is still inside, now as one of several.
                state.exclusive = None;
                state.inside += 1;
            } else if now >= deadline {
                return None;
            } else {
                let until = exclusive.expires_at.map_or(deadline, |expires_at| expires_at.min(deadline));
                state = wait_until(&self.changed, state, until);
            }
        }
        Some(state)
    }

    fn is_held(&self) -> bool {
        HELD.with_borrow(|held| held.contains(&self.address()))
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// Records on the current thread that it holds the lock. Not `Send`, because the record is thread-local.
#[derive(Debug)]
struct Registration<'l> {
    lock: &'l LibraryLock,
    not_send: PhantomData<*const ()>,
}

impl<'l> Registration<'l> {
    fn new(lock: &'l LibraryLock) -> Self {
        HELD.with_borrow_mut(|held| held.push(lock.address()));
        Self { lock, not_send: PhantomData }
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| {
            if let Some(at) = held.iter().rposition(|address| *address == self.lock.address()) {
                held.remove(at);
            }
        });
    }
}

/// Releases a shared acquisition on drop.
#[derive(Debug)]
pub(crate) struct SharedGuard<'l>(Registration<'l>);

impl Drop for SharedGuard<'_> {
    fn drop(&mut self) {
        let library = self.0.lock;
        let mut state = lock(&library.state);
        state.inside = state.inside.saturating_sub(1);
        drop(state);
        library.changed.notify_all();
    }
}

/// Releases an exclusive acquisition on drop.
#[derive(Debug)]
pub(crate) struct ExclusiveGuard<'l> {
    registration: Registration<'l>,
    acquisition: u64,
}

impl Drop for ExclusiveGuard<'_> {
    fn drop(&mut self) {
        let library = self.registration.lock;
        let mut state = lock(&library.state);
        if state.exclusive.is_some_and(|exclusive| exclusive.acquisition == self.acquisition) {
            state.exclusive = None;
        } else {
            // The exclusion has expired, and this thread was counted as one inside.
            state.inside = state.inside.saturating_sub(1);
        }
        drop(state);
        library.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// Returns whether another thread can acquire the lock together with others.
    fn another_thread_enters(lock: &LibraryLock, deadline: Instant) -> bool {
        thread::scope(|scope| scope.spawn(|| lock.lock_shared(deadline).is_some()).join().unwrap())
    }

    fn another_thread_excludes(lock: &LibraryLock) -> bool {
        thread::scope(|scope| scope.spawn(|| lock.lock_exclusive(soon(), None).is_some()).join().unwrap())
    }

    #[test]
    fn an_exclusive_acquisition_waits_for_the_threads_inside() {
        let lock = LibraryLock::default();
        let inside = lock.lock_shared(soon()).unwrap();

        assert!(!another_thread_excludes(&lock));
        assert!(another_thread_enters(&lock, soon()), "the attempt must not keep excluding");
        drop(inside);
        let exclusive = lock.lock_exclusive(soon(), None).unwrap();
        assert!(!another_thread_enters(&lock, soon()));
        assert!(!another_thread_excludes(&lock), "there is one exclusive holder at a time");
        drop(exclusive);
        assert!(another_thread_enters(&lock, Instant::now()));
    }

    #[test]
    fn a_waiting_thread_enters_when_the_exclusive_guard_is_dropped() {
        let lock = LibraryLock::default();
        let exclusive = lock.lock_exclusive(soon(), None).unwrap();

        thread::scope(|scope| {
            let waiting = scope.spawn(|| lock.lock_shared(late()).is_some());
            drop(exclusive);
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn an_expired_exclusive_guard_counts_as_a_shared_one() {
        let lock = LibraryLock::default();
        let exclusive = lock.lock_exclusive(soon(), Some(Duration::from_millis(20))).unwrap();

        assert!(another_thread_enters(&lock, late()), "the exclusion must expire");
        assert!(!another_thread_excludes(&lock), "the expired holder is still inside");
        drop(exclusive);
        assert!(another_thread_excludes(&lock), "the expired holder is still counted");
    }

    #[test]
    fn a_thread_inside_can_enter_again_while_an_exclusive_acquisition_waits() {
        let library = LibraryLock::default();
        let inside = library.lock_shared(soon()).unwrap();
        let (waits, waiting) = mpsc::channel();

        thread::scope(|scope| {
            let exclusive = scope.spawn(|| {
                waits.send(()).unwrap();
                library.lock_exclusive(late(), None).is_some()
            });
            waiting.recv().unwrap();
            while lock(&library.state).exclusive.is_none() {
                thread::yield_now();
            }
            assert!(!another_thread_enters(&library, soon()), "other threads wait");
            let again = library.lock_shared(Instant::now());
            assert!(again.is_some(), "the thread waits for itself");
            drop((inside, again));
            assert!(exclusive.join().unwrap());
        });
    }
}
