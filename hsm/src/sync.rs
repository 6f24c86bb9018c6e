//! Locks: one way to take them, and two gates with deadlines that `std` does not have.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Takes a lock. What the locks here guard is consistent at every step, so a panic elsewhere is no reason to stop.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until woken or until `deadline`.
pub(crate) fn wait_until<'a, T>(
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Instant,
) -> MutexGuard<'a, T> {
    let left = deadline.saturating_duration_since(Instant::now());
    changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
}

/// Counts the threads that are inside a library, for the calls that are made only when there are none.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    inside: usize,
    shut: bool,
}

impl Gate {
    /// Goes in; where the gate is shut, as soon as it opens, and `None` if it has not by `deadline`.
    pub(crate) fn enter(&self, deadline: Instant) -> Option<Pass<'_>> {
        let mut state = lock(&self.state);
        while state.shut {
            if Instant::now() >= deadline {
                return None;
            }
            state = wait_until(&self.changed, state, deadline);
        }
        state.inside += 1;
        Some(Pass(self))
    }

    /// Shuts the gate and waits until everybody has left; `None`, and open again, if somebody has not by `deadline`.
    pub(crate) fn shut(&self, deadline: Instant) -> Option<Shut<'_>> {
        let mut state = lock(&self.state);
        while state.shut {
            if Instant::now() >= deadline {
                return None;
            }
            state = wait_until(&self.changed, state, deadline);
        }
        state.shut = true;
        let shut = Shut(self);
        while state.inside > 0 {
            if Instant::now() >= deadline {
                drop(state);
                return None;
            }
            state = wait_until(&self.changed, state, deadline);
        }
        drop(state);
        Some(shut)
    }
}

/// One thread inside. Leaves on drop.
#[derive(Debug)]
pub(crate) struct Pass<'g>(&'g Gate);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.inside = state.inside.saturating_sub(1);
        drop(state);
        self.0.changed.notify_all();
    }
}

/// Nobody inside, and nobody gets in. Opens on drop.
#[derive(Debug)]
pub(crate) struct Shut<'g>(&'g Gate);

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).shut = false;
        self.0.changed.notify_all();
    }
}

/// One at a time, with a deadline.
#[derive(Debug)]
pub(crate) struct Turnstile {
    taken: Mutex<bool>,
    freed: Condvar,
}

impl Turnstile {
    pub(crate) const fn new() -> Self {
        Self { taken: Mutex::new(false), freed: Condvar::new() }
    }

    pub(crate) fn pass(&self, deadline: Instant) -> Option<Turn<'_>> {
        let mut taken = lock(&self.taken);
        while *taken {
            if Instant::now() >= deadline {
                return None;
            }
            taken = wait_until(&self.freed, taken, deadline);
        }
        *taken = true;
        drop(taken);
        Some(Turn(self))
    }
}

/// The turn of one thread. Ends on drop.
#[derive(Debug)]
pub(crate) struct Turn<'t>(&'t Turnstile);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.taken) = false;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[test]
    fn a_gate_is_not_shut_around_somebody_inside() {
        let gate = Gate::default();
        let inside = gate.enter(soon()).unwrap();

        assert!(gate.shut(soon()).is_none());
        let second = gate.enter(soon());
        assert!(second.is_some(), "it is open again");
        drop((inside, second));
        let shut = gate.shut(soon()).unwrap();
        assert!(gate.enter(soon()).is_none());
        assert!(gate.shut(soon()).is_none(), "one at a time");
        drop(shut);
        assert!(gate.enter(Instant::now()).is_some());
    }

    #[test]
    fn who_waits_at_a_shut_gate_goes_in_when_it_opens() {
        let gate = Gate::default();
        let shut = gate.shut(soon()).unwrap();

        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter(Instant::now() + Duration::from_secs(60)).is_some());
            drop(shut);
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn a_turn_ends_with_its_holder() {
        let turnstile = Turnstile::new();
        let turn = turnstile.pass(soon()).unwrap();

        assert!(turnstile.pass(soon()).is_none());
        drop(turn);
        assert!(turnstile.pass(soon()).is_some());
    }
}
