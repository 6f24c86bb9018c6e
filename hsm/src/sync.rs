//! Locks: one way to take them, and a turnstile with deadlines, which `std` does not have.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// One at a time, with a deadline for those who wait and another one for who has the turn.
#[derive(Debug)]
pub(crate) struct Turnstile {
    taken: Mutex<Taken>,
    freed: Condvar,
}

#[derive(Debug)]
struct Taken {
    /// Whose turn it is, and until when.
    holder: Option<(u64, Instant)>,
    /// Counts turns, to tell them apart.
    turns: u64,
}

impl Turnstile {
    pub(crate) const fn new() -> Self {
        Self { taken: Mutex::new(Taken { holder: None, turns: 0 }), freed: Condvar::new() }
    }

    /// Waits for a turn until `deadline`. It is over after `hold`, whether its holder is done or not: one who never
    /// comes back would keep all others waiting for ever.
    pub(crate) fn pass(&self, deadline: Instant, hold: Duration) -> Option<Turn<'_>> {
        let mut taken = lock(&self.taken);
        while let Some((_, until)) = taken.holder {
            let now = Instant::now();
            if now >= until {
                break;
            }
            if now >= deadline {
                return None;
            }
            taken = wait_until(&self.freed, taken, deadline.min(until));
        }
        taken.turns += 1;
        let number = taken.turns;
        taken.holder = Some((number, Instant::now() + hold));
        drop(taken);
        Some(Turn { turnstile: self, number })
    }
}

/// The turn of one thread. Ends on drop.
#[derive(Debug)]
pub(crate) struct Turn<'t> {
    turnstile: &'t Turnstile,
    number: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = lock(&self.turnstile.taken);
        // It may be somebody else's by now.
        if taken.holder.is_some_and(|(number, _)| number == self.number) {
            taken.holder = None;
        }
        drop(taken);
        self.turnstile.freed.notify_one();
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
    fn a_turn_ends_with_its_holder() {
        let turnstile = Turnstile::new();
        let turn = turnstile.pass(soon(), LONG).unwrap();

        assert!(turnstile.pass(soon(), LONG).is_none());
        drop(turn);
        assert!(turnstile.pass(soon(), LONG).is_some());
    }

    #[test]
    fn a_turn_whose_holder_does_not_come_back_is_the_next_ones() {
        let turnstile = Turnstile::new();
        let first = turnstile.pass(soon(), Duration::from_millis(20)).unwrap();

        let second = turnstile.pass(Instant::now() + LONG, LONG);
        assert!(second.is_some(), "it was to be over");
        drop(first);
        assert!(turnstile.pass(soon(), LONG).is_none(), "the first one ended the turn of the second");
    }
}
