//! What this process knows of logins to one device, whoever made them and through which library.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use cryptoki::slot::TokenInfo;

use crate::error::Error;
use crate::login::connect::Refusal;
use crate::sync::{lock, wait_until};

/// What a token says that it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    manufacturer: String,
    model: String,
    serial: String,
    label: String,
}

impl Identity {
    pub(crate) fn of(info: &TokenInfo) -> Self {
        Self {
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            serial: info.serial_number().to_owned(),
            label: info.label().to_owned(),
        }
    }
}

/// A device, as far as logins are concerned: one attempt at a time, none after a PIN was refused, and few that nobody
/// knows the outcome of. A card counts attempts, not processes that mean well.
#[derive(Debug, Default)]
pub(crate) struct Device {
    state: Mutex<State>,
    changed: Condvar,
    /// Counts logins: handles of before one may mean nothing, or something else.
    logins: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody is at it.
    trying: bool,
    /// Attempts since the last login whose outcome is not known: any of them may have been counted as a wrong PIN.
    unclear: u32,
    /// What is known of the last of them.
    last: Option<Error>,
    /// No attempt before then.
    not_before: Option<Instant>,
    /// No attempt at all, and what whoever asks is told.
    refused: Option<Error>,
}

impl Device {
    /// The one with this identity.
    pub(crate) fn of(identity: &Identity) -> Arc<Self> {
        static KNOWN: OnceLock<Mutex<HashMap<Identity, Arc<Device>>>> = OnceLock::new();
        let mut known = lock(KNOWN.get_or_init(Mutex::default));
        Arc::clone(known.entry(identity.clone()).or_default())
    }

    /// How many logins there were. Those of others in this process, of other tokens of one device too, count.
    pub(crate) fn logins(&self) -> u64 {
        self.logins.load(Ordering::Acquire)
    }

    /// Fails if no attempt is to be made.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        match &lock(&self.state).refused {
            Some(refusal) => Err(Refusal::Never(refusal.clone())),
            None => Ok(()),
        }
    }

    /// The right to make an attempt, as soon as nobody else is at it.
    pub(crate) fn begin(&self, deadline: Instant) -> Result<Attempt<'_>, Refusal> {
        let mut state = lock(&self.state);
        while state.trying {
            if Instant::now() >= deadline {
                return Err(Refusal::Later(Error::Transient { retry_after: PAUSE }, PAUSE));
            }
            state = wait_until(&self.changed, state, deadline);
        }
        if let Some(refusal) = &state.refused {
            return Err(Refusal::Never(refusal.clone()));
        }
        if state.unclear >= MOST_UNCLEAR {
            return Err(Refusal::Never(state.last.clone().unwrap_or(Error::LockedOut)));
        }
        if let Some(left) = state.not_before.and_then(|then| then.checked_duration_since(Instant::now())) {
            return Err(Refusal::Later(Error::Transient { retry_after: left }, left));
        }
        state.trying = true;
        Ok(Attempt(self))
    }
}

/// One attempt at a login.
#[derive(Debug)]
pub(crate) struct Attempt<'d>(&'d Device);

impl Attempt<'_> {
    /// What came of the attempt before this one, if that may have been counted.
    pub(crate) fn unclear(&self) -> Option<Error> {
        let state = lock(&self.0.state);
        (state.unclear > 0).then(|| state.last.clone().unwrap_or(Error::LockedOut))
    }

    /// The PIN is about to be shown. It is taken to be unclear what came of that until the outcome is known, because
    /// a call may never come back. Handles of before mean nothing from here on.
    pub(crate) fn ask(&self) {
        let mut state = lock(&self.0.state);
        state.unclear = state.unclear.saturating_add(1);
        state.not_before = Some(Instant::now() + PAUSE);
        self.0.logins.fetch_add(1, Ordering::AcqRel);
    }

    /// The token took the PIN.
    pub(crate) fn accepted(&self) {
        let mut state = lock(&self.0.state);
        state.unclear = 0;
        state.not_before = None;
    }

    /// The token did not look at the PIN.
    pub(crate) fn not_looked_at(&self) {
        let mut state = lock(&self.0.state);
        state.unclear = state.unclear.saturating_sub(1);
        state.not_before = None;
    }

    /// The token refused the PIN: there are no more attempts, and `told` says why to those who want one.
    pub(crate) fn refused(&self, told: Error) {
        lock(&self.0.state).refused = Some(told);
    }

    /// The token does not say what came of it. `told` is for those who want another attempt when there is none.
    /// `None` if this was the last one, otherwise how long to wait for the next.
    pub(crate) fn not_told(&self, told: Error) -> Option<Duration> {
        let mut state = lock(&self.0.state);
        if state.unclear >= MOST_UNCLEAR {
            state.refused = Some(told);
            return None;
        }
        state.last = Some(told);
        state.not_before = Some(Instant::now() + PAUSE);
        Some(PAUSE)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).trying = false;
        self.0.changed.notify_all();
    }
}

/// How many attempts may end in no one knows what, between two logins. Cards lock after three wrong PINs.
const MOST_UNCLEAR: u32 = 2;

/// How long after an attempt of unknown outcome the next one may follow.
const PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Instant {
        Instant::now()
    }

    /// As if the pause were over.
    fn later(device: &Device) {
        lock(&device.state).not_before = None;
    }

    fn told() -> Error {
        Error::FinalTry
    }

    #[test]
    fn nobody_tries_while_somebody_does() {
        let device = Device::default();
        let attempt = device.begin(now()).unwrap();

        assert!(matches!(device.begin(now()), Err(Refusal::Later(..))));
        drop(attempt);
        assert!(device.begin(now()).is_ok());
    }

    #[test]
    fn a_refused_pin_is_not_tried_again() {
        let device = Device::default();
        let attempt = device.begin(now()).unwrap();
        attempt.ask();
        attempt.refused(Error::LockedOut);
        drop(attempt);

        assert!(matches!(device.begin(now()), Err(Refusal::Never(Error::LockedOut))));
        assert!(matches!(device.check(), Err(Refusal::Never(Error::LockedOut))));
    }

    #[test]
    fn two_attempts_of_unknown_outcome_are_the_last_ones_and_not_made_at_once() {
        let device = Device::default();
        let attempt = device.begin(now()).unwrap();
        attempt.ask();
        assert!(attempt.not_told(told()).is_some());
        drop(attempt);

        assert!(matches!(device.begin(now()), Err(Refusal::Later(..))), "too early");
        later(&device);
        let attempt = device.begin(now()).unwrap();
        attempt.ask();
        assert!(attempt.not_told(told()).is_none());
        drop(attempt);
        later(&device);
        assert!(matches!(device.begin(now()), Err(Refusal::Never(Error::FinalTry))));
    }

    #[test]
    fn an_attempt_that_ends_in_a_panic_counts() {
        let device = Device::default();
        for _ in 0..2 {
            later(&device);
            device.begin(now()).unwrap().ask();
        }
        later(&device);
        assert!(matches!(device.begin(now()), Err(Refusal::Never(Error::LockedOut))));
    }

    #[test]
    fn a_login_makes_up_for_what_was_unclear_before_it_and_a_pin_that_was_not_looked_at_counts_for_nothing() {
        let device = Device::default();
        for _ in 0..8 {
            let attempt = device.begin(now()).unwrap();
            attempt.ask();
            attempt.not_looked_at();
            drop(attempt);
            let attempt = device.begin(now()).unwrap();
            attempt.ask();
            attempt.not_told(told());
            drop(attempt);
            later(&device);
            let attempt = device.begin(now()).unwrap();
            assert!(matches!(attempt.unclear(), Some(Error::FinalTry)));
            attempt.ask();
            attempt.accepted();
            assert!(attempt.unclear().is_none());
        }
        assert_eq!(device.logins(), 24);
    }
}
