//! Settings of a token beyond its URI.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::health::TokenEvent;
use crate::login::pin::Pin;

/// Whether the host checks the signatures and tags of a token. Wrapped keys are always unwrapped before they are
/// returned. Shared secrets are checked by [`EcKey::self_test`](crate::EcKey::self_test) only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SelfCheck {
    /// Checks every result: verifies each signature in software, which takes well below a millisecond, and has the
    /// token compute each tag twice. A faulty token could otherwise produce tasks that every worker refuses, or a
    /// signature that reveals the key.
    #[default]
    Always,
    /// Checks only the self-test that every key must pass when it is loaded and after each login.
    AtLogin,
}

/// When a PIN is sent to the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginRule {
    /// At each login, unless the token accepts only one more wrong PIN.
    #[default]
    Always,
    /// Only if the token reports no wrong PIN since its last login, otherwise [`Error::PinCounted`](crate::Error::PinCounted):
    /// for programs that are started repeatedly, so that a wrong PIN costs one attempt in total.
    UnlessCounted,
    /// Never. Where a login is needed, the PIN is read and [`Error::LoginOmitted`](crate::Error::LoginOmitted) is returned.
    Never,
}

/// Settings of a token. The `x-` attributes of a URI take precedence.
#[non_exhaustive]
pub struct Settings {
    pub(crate) pin: Option<Pin>,
    pub(crate) login_rule: LoginRule,
    pub(crate) self_check: SelfCheck,
    pub(crate) allow_extractable: bool,
    pub(crate) allow_other_ids: bool,
    pub(crate) max_sessions: Option<u32>,
    pub(crate) timeout: Duration,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) max_abandoned: usize,
    observer: Option<Observer>,
}

type Observer = Arc<dyn Fn(&TokenEvent) + Send + Sync>;

impl Settings {
    /// Creates the default settings: every signature and tag is checked, extractable keys are rejected, a call takes
    /// at most 10 s, there is no keep-alive, and at most 4 threads may be abandoned.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pin: None,
            login_rule: LoginRule::Always,
            self_check: SelfCheck::default(),
            allow_extractable: false,
            allow_other_ids: false,
            max_sessions: None,
            timeout: Duration::from_secs(10),
            keep_alive: None,
            max_abandoned: 4,
            observer: None,
        }
    }

    /// Sets the PIN, for example one entered by a user, instead of a `pin-source`. It is kept in memory until the
    /// token is closed, because recovery logs in again.
    #[must_use]
    pub fn pin(mut self, pin: Pin) -> Self {
        self.pin = Some(pin);
        self
    }

    /// Sets when a PIN is sent to the token.
    #[must_use]
    pub const fn login_rule(mut self, rule: LoginRule) -> Self {
        self.login_rule = rule;
        self
    }

    /// Sets which signatures and tags the host checks.
    #[must_use]
    pub const fn self_check(mut self, check: SelfCheck) -> Self {
        self.self_check = check;
        self
    }

    /// Sets whether extractable keys are accepted.
    #[must_use]
    pub const fn allow_extractable(mut self, allow: bool) -> Self {
        self.allow_extractable = allow;
        self
    }

    /// Sets whether signing and agreement keys are accepted whose `CKA_ID` is not their kid, and whether a new key may
    /// keep an id that the token does not allow to change. For tokens that assign ids themselves. Such a key is named
    /// by its label.
    #[must_use]
    pub const fn allow_other_ids(mut self, allow: bool) -> Self {
        self.allow_other_ids = allow;
        self
    }

    /// Sets the maximum number of sessions that execute calls at the same time.
    #[must_use]
    pub const fn max_sessions(mut self, sessions: u32) -> Self {
        self.max_sessions = Some(sessions);
        self
    }

    /// Sets the maximum duration of a call. PKCS#11 has no timeouts: a thread that exceeds it is abandoned, and the
    /// token is down until it responds again.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the interval at which an idle token is asked for one random byte. For devices that close idle sessions,
    /// and to detect a loss before a caller does.
    #[must_use]
    pub const fn keep_alive(mut self, interval: Option<Duration>) -> Self {
        self.keep_alive = interval;
        self
    }

    /// Sets the maximum number of threads stuck in the library. No further threads are started beyond it.
    #[must_use]
    pub const fn max_abandoned(mut self, threads: usize) -> Self {
        self.max_abandoned = threads;
        self
    }

    /// Sets a function that is called at each transition, on a thread of the token. It should return quickly and must
    /// not use the token. Its panics are ignored.
    #[must_use]
    pub fn observer(mut self, observer: impl Fn(&TokenEvent) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Calls the observer.
    pub(crate) fn notify(&self, event: &TokenEvent) {
        if let Some(observer) = &self.observer {
            // A panic of the observer must not end the recovery thread.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| observer(event)));
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("login_rule", &self.login_rule)
            .field("self_check", &self.self_check)
            .field("allow_extractable", &self.allow_extractable)
            .field("allow_other_ids", &self.allow_other_ids)
            .field("max_sessions", &self.max_sessions)
            .field("timeout", &self.timeout)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}
