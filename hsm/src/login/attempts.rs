//! Login attempts of this process at one device, through any library and any `Token`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::error::ConnectError;
use super::identity::Identity;
use super::pin::PinMark;
use crate::error::Error;
use crate::sync::{lock, wait_until};

/// Limits the login attempts at one device: one at a time, none with a PIN that was rejected, and few with an unknown
/// outcome. A smart card locks after a number of wrong PINs, whichever part of a process sends them.
#[derive(Debug, Default)]
pub(crate) struct LoginAttempts {
    state: Mutex<State>,
    changed: Condvar,
    /// Number of logins. Handles from before a login may be invalid, or belong to other objects.
    logins: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    in_progress: bool,
    /// Number of attempts with an unknown outcome since the last login. The token may have counted each as a wrong PIN.
    unclear: u32,
    /// Error of the latest attempt with an unknown outcome.
    last_error: Option<Error>,
    /// Earliest time of the next attempt.
    not_before: Option<Instant>,
    /// The error of all further attempts, once none may be made.
    refusal: Option<Error>,
    /// The PIN that the token rejected, if it is `refusal` that it did: another PIN may be tried.
    rejected: Option<PinMark>,
}

impl State {
    /// Returns the error of an attempt with this PIN, if it must not be made.
    fn refusal_of(&self, pin: Option<PinMark>) -> Option<&Error> {
        let is_another = pin.is_some() && self.rejected.is_some() && pin != self.rejected;
        self.refusal.as_ref().filter(|_| !is_another)
    }
}

impl LoginAttempts {
    /// Returns the attempts at the device with this identity.
    pub(crate) fn at(identity: &Identity) -> Arc<Self> {
        static KNOWN: OnceLock<Mutex<HashMap<Identity, Arc<LoginAttempts>>>> = OnceLock::new();
        let mut known = lock(KNOWN.get_or_init(Mutex::default));
        Arc::clone(known.entry(identity.clone()).or_default())
    }

    /// Returns the number of logins to the device in this process.
    pub(crate) fn logins(&self) -> u64 {
        self.logins.load(Ordering::Acquire)
    }

    /// Fails if no further attempt may be made, whatever the PIN.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        let state = lock(&self.state);
        match &state.refusal {
            Some(refusal) if state.rejected.is_none() => Err(ConnectError::Permanent(refusal.clone())),
            _ => Ok(()),
        }
    }

    /// Returns whether the token has rejected another PIN than this one, so that one attempt may be made with it.
    pub(crate) fn permits_instead(&self, pin: PinMark) -> bool {
        lock(&self.state).rejected.is_some_and(|rejected| rejected != pin)
    }

    /// Waits until no other attempt is in progress, then starts one with this PIN if it is permitted. `None` is a PIN that is entered at
    /// the device.
    pub(crate) fn begin(
        &self,
        deadline: Instant,
        pin: Option<PinMark>,
    ) -> Result<LoginAttempt<'_>, ConnectError> {
        let mut state = lock(&self.state);
        while state.in_progress {
            if Instant::now() >= deadline {
                return Err(ConnectError::Retryable(Error::Transient { retry_after: PAUSE }, PAUSE));
            }
            state = wait_until(&self.changed, state, deadline);
        }
        if let Some(refusal) = state.refusal_of(pin) {
            return Err(ConnectError::Permanent(refusal.clone()));
        }
        if state.unclear >= MAX_UNCLEAR {
            return Err(ConnectError::Permanent(state.last_error.clone().unwrap_or(Error::LockedOut)));
        }
        if let Some(left) = state.not_before.and_then(|time| time.checked_duration_since(Instant::now())) {
            return Err(ConnectError::Retryable(Error::Transient { retry_after: left }, left));
        }
        state.in_progress = true;
        Ok(LoginAttempt { attempts: self, pin })
    }
}

/// A login attempt in progress.
#[derive(Debug)]
pub(crate) struct LoginAttempt<'a> {
    attempts: &'a LoginAttempts,
    pin: Option<PinMark>,
}

impl LoginAttempt<'_> {
    /// Returns the error of the previous attempt if the token may have counted that as a wrong PIN.
    pub(crate) fn previous_unclear(&self) -> Option<Error> {
        let state = lock(&self.attempts.state);
        (state.unclear > 0).then(|| state.last_error.clone().unwrap_or(Error::LockedOut))
    }

    /// Records that the PIN is about to be sent. The outcome is unclear until it is recorded, because the call may
    /// never return. Older handles are invalid from here on.
    pub(crate) fn pin_sent(&self) {
        let mut state = lock(&self.attempts.state);
        state.unclear = state.unclear.saturating_add(1);
        state.not_before = Some(Instant::now() + PAUSE);
        self.attempts.logins.fetch_add(1, Ordering::AcqRel);
    }

    /// Records that the token accepted the PIN.
    pub(crate) fn accepted(&self) {
        let mut state = lock(&self.attempts.state);
        state.unclear = 0;
        state.not_before = None;
        (state.refusal, state.rejected) = (None, None);
    }

    /// Records that the token did not compare the PIN.
    pub(crate) fn not_compared(&self) {
        let mut state = lock(&self.attempts.state);
        state.unclear = state.unclear.saturating_sub(1);
        state.not_before = None;
    }

    /// Records that the token rejected the PIN. All further attempts with it fail with `refusal`.
    pub(crate) fn rejected(&self, refusal: Error) {
        let mut state = lock(&self.attempts.state);
        // The outcome is known.
        state.unclear = state.unclear.saturating_sub(1);
        state.not_before = None;
        (state.refusal, state.rejected) = (Some(refusal), self.pin);
    }

    /// Records that the token accepts no PIN. All further attempts fail with `refusal`.
    pub(crate) fn locked(&self, refusal: Error) {
        let mut state = lock(&self.attempts.state);
        (state.refusal, state.rejected) = (Some(refusal), None);
    }

    /// Records that the outcome is unknown. Returns the time until the next attempt; `None` if there must not be one,
    /// and then all further attempts fail with `error`.
    pub(crate) fn unclear(&self, error: Error) -> Option<Duration> {
        let mut state = lock(&self.attempts.state);
        if state.unclear >= MAX_UNCLEAR {
            (state.refusal, state.rejected) = (Some(error), None);
            return None;
        }
        state.last_error = Some(error);
        state.not_before = Some(Instant::now() + PAUSE);
        Some(PAUSE)
    }
}

impl Drop for LoginAttempt<'_> {
    fn drop(&mut self) {
        lock(&self.attempts.state).in_progress = false;
        self.attempts.changed.notify_all();
    }
}

/// Maximum number of attempts with an unknown outcome between two logins. Smart cards lock after three wrong PINs.
const MAX_UNCLEAR: u32 = 2;

/// Minimum time between an attempt with an unknown outcome and the next one.
const PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::super::pin::Pin;
    use super::*;

    fn now() -> Instant {
        Instant::now()
    }

    fn pin(text: &str) -> Option<PinMark> {
        Some(Pin::new(text).unwrap().mark())
    }

    /// Ends the pause.
    fn skip_pause(attempts: &LoginAttempts) {
        lock(&attempts.state).not_before = None;
    }

    fn error() -> Error {
        Error::FinalTry
    }

    #[test]
    fn one_attempt_is_in_progress_at_a_time() {
        let attempts = LoginAttempts::default();
        let attempt = attempts.begin(now(), pin("1234")).unwrap();

        assert!(matches!(attempts.begin(now(), pin("1234")), Err(ConnectError::Retryable(..))));
        drop(attempt);
        assert!(attempts.begin(now(), pin("1234")).is_ok());
    }

    #[test]
    fn a_rejected_pin_is_not_tried_again_and_another_one_is_tried_once() {
        let attempts = LoginAttempts::default();
        for (wrong, is_locked) in [("1111", false), ("2222", false), ("3333", true)] {
            skip_pause(&attempts);
            let attempt = attempts.begin(now(), pin(wrong)).unwrap();
            attempt.pin_sent();
            if is_locked {
                attempt.locked(Error::LockedOut);
            } else {
                attempt.rejected(Error::LockedOut);
            }
            drop(attempt);
            skip_pause(&attempts);
            for again in [pin(wrong), None] {
                let refused = attempts.begin(now(), again);
                assert!(matches!(refused, Err(ConnectError::Permanent(Error::LockedOut))), "{wrong}");
            }
            assert_eq!(
                (attempts.check().is_err(), attempts.permits_instead(pin("4444").unwrap())),
                (is_locked, !is_locked)
            );
            assert!(!attempts.permits_instead(pin(wrong).unwrap()));
        }
        let refused = attempts.begin(now(), pin("4444"));
        assert!(matches!(refused, Err(ConnectError::Permanent(Error::LockedOut))));
    }

    #[test]
    fn an_accepted_pin_ends_the_refusal_of_another_one() {
        let attempts = LoginAttempts::default();
        let attempt = attempts.begin(now(), pin("1111")).unwrap();
        attempt.pin_sent();
        attempt.rejected(Error::LockedOut);
        drop(attempt);
        skip_pause(&attempts);
        let attempt = attempts.begin(now(), pin("2222")).unwrap();
        assert!(attempt.previous_unclear().is_none());
        attempt.pin_sent();
        attempt.accepted();
        drop(attempt);
        assert!(attempts.begin(now(), None).is_ok());
    }

    #[test]
    fn two_attempts_with_an_unknown_outcome_are_the_last_and_have_a_pause_between_them() {
        let attempts = LoginAttempts::default();
        let attempt = attempts.begin(now(), pin("1234")).unwrap();
        attempt.pin_sent();
        assert!(attempt.unclear(error()).is_some());
        drop(attempt);

        assert!(matches!(attempts.begin(now(), pin("1234")), Err(ConnectError::Retryable(..))), "too early");
        skip_pause(&attempts);
        let attempt = attempts.begin(now(), pin("1234")).unwrap();
        attempt.pin_sent();
        assert!(attempt.unclear(error()).is_none());
        drop(attempt);
        skip_pause(&attempts);
        assert!(matches!(attempts.begin(now(), pin("1234")), Err(ConnectError::Permanent(Error::FinalTry))));
    }

    #[test]
    fn an_attempt_that_panics_has_an_unknown_outcome() {
        let attempts = LoginAttempts::default();
        for _ in 0..2 {
            skip_pause(&attempts);
            attempts.begin(now(), pin("1234")).unwrap().pin_sent();
        }
        skip_pause(&attempts);
        assert!(matches!(attempts.begin(now(), pin("1234")), Err(ConnectError::Permanent(Error::LockedOut))));
    }

    #[test]
    fn a_login_resets_the_unclear_attempts_and_a_pin_that_was_not_compared_does_not_count() {
        let attempts = LoginAttempts::default();
        for _ in 0..8 {
            let attempt = attempts.begin(now(), pin("1234")).unwrap();
            attempt.pin_sent();
            attempt.not_compared();
            drop(attempt);
            let attempt = attempts.begin(now(), pin("1234")).unwrap();
            attempt.pin_sent();
            attempt.unclear(error());
            drop(attempt);
            skip_pause(&attempts);
            let attempt = attempts.begin(now(), pin("1234")).unwrap();
            assert!(matches!(attempt.previous_unclear(), Some(Error::FinalTry)));
            attempt.pin_sent();
            attempt.accepted();
            assert!(attempt.previous_unclear().is_none());
        }
        assert_eq!(attempts.logins(), 24);
    }
}
