//! How a token is used, beyond what its URI says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::health::Event;
use crate::login::pin::Pin;

/// Whether the host checks the signatures and the tags that it gets from a token. What is wrapped is always unwrapped
/// before it is used; shared secrets are checked by [`EcKey::self_test`](crate::EcKey::self_test) only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SelfCheck {
    /// Every one. A signature costs one verification in software, well below a millisecond, which is nothing next to a
    /// device; a tag is calculated by the token twice. It is all that stands between a faulty token and tasks that nobody
    /// accepts, or a signature that gives away the key.
    #[default]
    Always,
    /// Only that of the test which every key has to pass when it is loaded and after each login.
    First,
}

/// Settings of a token; a URI's `x-` attributes prevail.
#[non_exhaustive]
pub struct Settings {
    pub(crate) pin: Option<Pin>,
    pub(crate) self_check: SelfCheck,
    pub(crate) allow_extractable: bool,
    pub(crate) allow_other_ids: bool,
    pub(crate) max_sessions: Option<u32>,
    pub(crate) timeout: Duration,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) max_abandoned: usize,
    pub(crate) observer: Option<Observer>,
}

/// Is told of every transition, on a thread of the token: it should be quick, and must not use the token.
pub(crate) type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

impl Settings {
    /// The defaults: every signature and tag checked, no extractable keys, 10 s a call, no keep-alive, 4 abandoned threads.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pin: None,
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

    /// A PIN that somebody typed, instead of a `pin-source`. It is kept until the token is closed, because recovery
    /// logs in again.
    #[must_use]
    pub fn pin(mut self, pin: Pin) -> Self {
        self.pin = Some(pin);
        self
    }

    /// Which signatures and tags the host checks.
    #[must_use]
    pub const fn self_check(mut self, check: SelfCheck) -> Self {
        self.self_check = check;
        self
    }

    /// Accepts keys that could leave the token.
    #[must_use]
    pub const fn allow_extractable(mut self, allow: bool) -> Self {
        self.allow_extractable = allow;
        self
    }

    /// Accepts signing and agreement keys whose `CKA_ID` is not their kid, and leaves it as it is where a token does not
    /// let it be changed: for tokens with ids of their own. Such a key is named by its label.
    #[must_use]
    pub const fn allow_other_ids(mut self, allow: bool) -> Self {
        self.allow_other_ids = allow;
        self
    }

    /// At most this many sessions work at once.
    #[must_use]
    pub const fn max_sessions(mut self, sessions: u32) -> Self {
        self.max_sessions = Some(sessions);
        self
    }

    /// How long one call may take. PKCS#11 has no timeouts: a thread that is not back by then is abandoned, and the
    /// token is down until it answers again.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks an idle token for one random byte so often: for devices that end idle sessions, and to notice a loss
    /// before a caller does.
    #[must_use]
    pub const fn keep_alive(mut self, interval: Option<Duration>) -> Self {
        self.keep_alive = interval;
        self
    }

    /// How many threads may be stuck in the library before no more are started.
    #[must_use]
    pub const fn max_abandoned(mut self, threads: usize) -> Self {
        self.max_abandoned = threads;
        self
    }

    /// Is called at each transition, on a thread of the token: it should be quick, and must not use the token. If it
    /// panics, that is its own affair.
    #[must_use]
    pub fn observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
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
            .field("self_check", &self.self_check)
            .field("allow_extractable", &self.allow_extractable)
            .field("allow_other_ids", &self.allow_other_ids)
            .field("max_sessions", &self.max_sessions)
            .field("timeout", &self.timeout)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}
