//! The way into a library: many threads at once, or one alone.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::sync::{lock, wait_until};

/// Counts the threads that are inside a library, for the calls that are made only when there are none.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    shut: Option<Closing>,
    /// Counts closings, to tell them apart.
    closings: u64,
}

/// Somebody is inside alone, or waits for that.
#[derive(Clone, Copy, Debug)]
struct Closing {
    number: u64,
    /// Until when others stay outside; for ever, or not alone yet, if there is none.
    until: Option<Instant>,
}

thread_local! {
    /// The gates that this thread is inside of, by their addresses.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

impl Gate {
    /// Goes in; where the gate is shut, as soon as it opens, and `None` if it has not by `deadline`. Who is inside
    /// already does not wait: whoever wants to be alone waits for them.
    pub(crate) fn enter(&self, deadline: Instant) -> Option<Pass<'_>> {
        let mut state = lock(&self.state);
        if !self.is_inside() {
            state = self.wait_open(state, deadline)?;
        }
        state.inside += 1;
        drop(state);
        Some(Pass(Presence::new(self)))
    }

    /// Shuts the gate and waits until everybody has left; `None`, and open again, if somebody has not by `deadline`.
    /// After `hold` the gate opens by itself, and who had shut it is one of those inside: a call that hangs must not
    /// keep others out for ever.
    pub(crate) fn shut(&self, deadline: Instant, hold: Option<Duration>) -> Option<Shut<'_>> {
        let mut state = self.wait_open(lock(&self.state), deadline)?;
        state.closings += 1;
        let number = state.closings;
        state.shut = Some(Closing { number, until: None });
        while state.inside > 0 {
            if Instant::now() >= deadline {
                state.shut = None;
                drop(state);
                self.changed.notify_all();
                return None;
            }
            state = wait_until(&self.changed, state, deadline);
        }
        state.shut = Some(Closing { number, until: hold.map(|hold| Instant::now() + hold) });
        drop(state);
        // Those who wait learn until when.
        self.changed.notify_all();
        Some(Shut { presence: Presence::new(self), number })
    }

    fn wait_open<'g>(
        &'g self,
        mut state: MutexGuard<'g, State>,
        deadline: Instant,
    ) -> Option<MutexGuard<'g, State>> {
        while let Some(closing) = state.shut {
            let now = Instant::now();
            if closing.until.is_some_and(|until| now >= until) {
                state.shut = None;
                state.inside += 1;
            } else if now >= deadline {
                return None;
            } else {
                let until = closing.until.map_or(deadline, |until| until.min(deadline));
                state = wait_until(&self.changed, state, until);
            }
        }
        Some(state)
    }

    fn is_inside(&self) -> bool {
        INSIDE.with_borrow(|gates| gates.contains(&self.address()))
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// Notes that this thread is inside, for as long as it lives. Stays on its thread.
#[derive(Debug)]
struct Presence<'g> {
    gate: &'g Gate,
    on_this_thread: PhantomData<*const ()>,
}

impl<'g> Presence<'g> {
    fn new(gate: &'g Gate) -> Self {
        INSIDE.with_borrow_mut(|gates| gates.push(gate.address()));
        Self { gate, on_this_thread: PhantomData }
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        INSIDE.with_borrow_mut(|gates| {
            if let Some(at) = gates.iter().rposition(|gate| *gate == self.gate.address()) {
                gates.remove(at);
            }
        });
    }
}

/// One thread inside. Leaves on drop.
#[derive(Debug)]
pub(crate) struct Pass<'g>(Presence<'g>);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let gate = self.0.gate;
        let mut state = lock(&gate.state);
        state.inside = state.inside.saturating_sub(1);
        drop(state);
        gate.changed.notify_all();
    }
}

/// Nobody else inside, and nobody gets in, unless the time for that is over. Opens on drop.
#[derive(Debug)]
pub(crate) struct Shut<'g> {
    presence: Presence<'g>,
    number: u64,
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        let gate = self.presence.gate;
        let mut state = lock(&gate.state);
        if state.shut.is_some_and(|closing| closing.number == self.number) {
            state.shut = None;
        } else {
            // It was opened from outside, which counted this thread as one inside.
            state.inside = state.inside.saturating_sub(1);
        }
        drop(state);
        gate.changed.notify_all();
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

    /// Whether another thread gets in.
    fn others_enter(gate: &Gate, deadline: Instant) -> bool {
        thread::scope(|scope| scope.spawn(|| gate.enter(deadline).is_some()).join().unwrap())
    }

    fn others_shut(gate: &Gate) -> bool {
        thread::scope(|scope| scope.spawn(|| gate.shut(soon(), None).is_some()).join().unwrap())
    }

    #[test]
    fn a_gate_is_not_shut_around_somebody_inside() {
        let gate = Gate::default();
        let inside = gate.enter(soon()).unwrap();

        assert!(!others_shut(&gate));
        assert!(others_enter(&gate, soon()), "it is open again");
        drop(inside);
        let shut = gate.shut(soon(), None).unwrap();
        assert!(!others_enter(&gate, soon()));
        assert!(!others_shut(&gate), "one at a time");
        drop(shut);
        assert!(others_enter(&gate, Instant::now()));
    }

    #[test]
    fn who_waits_at_a_shut_gate_goes_in_when_it_opens() {
        let gate = Gate::default();
        let shut = gate.shut(soon(), None).unwrap();

        thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter(late()).is_some());
            drop(shut);
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn who_is_alone_for_too_long_is_one_of_many_then() {
        let gate = Gate::default();
        let shut = gate.shut(soon(), Some(Duration::from_millis(20))).unwrap();

        assert!(others_enter(&gate, late()), "it opened by itself");
        assert!(!others_shut(&gate), "it was shut around somebody inside");
        drop(shut);
        assert!(others_shut(&gate), "somebody is counted who is not inside");
    }

    #[test]
    fn who_is_inside_goes_in_again_although_somebody_waits_to_be_alone() {
        let gate = Gate::default();
        let inside = gate.enter(soon()).unwrap();
        let (waits, waiting) = mpsc::channel();

        thread::scope(|scope| {
            let alone = scope.spawn(|| {
                waits.send(()).unwrap();
                gate.shut(late(), None).is_some()
            });
            waiting.recv().unwrap();
            while lock(&gate.state).shut.is_none() {
                thread::yield_now();
            }
            assert!(!others_enter(&gate, soon()), "others wait");
            let again = gate.enter(Instant::now());
            assert!(again.is_some(), "it waits for itself");
            drop((inside, again));
            assert!(alone.join().unwrap());
        });
    }
}
