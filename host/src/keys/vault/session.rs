//! The token of a login, and when it is renewed.

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::retry::with_jitter;

/// A token that the server has issued or accepted.
pub(super) struct Session {
    pub(super) token: Zeroizing<String>,
    /// Whether the server renews it.
    pub(super) renewable: bool,
    /// The time of the renewal and that of the end; `None` for a token without end.
    lifetime: Option<(Instant, Instant)>,
    /// The lifetime that the server granted last, in seconds.
    granted: u64,
}

/// Maximum lifetime of a token, in seconds: a year, 32 days being the default of servers. It keeps sums of times in range.
const MAX_LIFETIME: u64 = 365 * 86_400;

/// What to do with a token before the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Renew it, or log in again.
    Renewal,
    /// Log in again: it has ended.
    Login,
}

impl Session {
    /// Creates the session of a token that ends after `seconds`, or never if that is 0.
    pub(super) fn new(token: Zeroizing<String>, seconds: u64, renewable: bool, now: Instant) -> Self {
        let lifetime = (seconds > 0).then(|| {
            let whole = Duration::from_secs(seconds.min(MAX_LIFETIME));
            // A little before two thirds, so that processes that started together do not renew together.
            let renewal = whole / 2 + with_jitter(whole / 6);
            (now + renewal, now + whole)
        });
        Self { token, renewable, lifetime, granted: seconds }
    }

    /// Sets the lifetime after a renewal. The server shortens it when the maximum lifetime of the token is near: then a login is the next
    /// step, because each further renewal would be shorter.
    pub(super) fn renewed(&mut self, seconds: u64, renewable: bool, now: Instant) {
        let token = std::mem::take(&mut self.token);
        let is_last = seconds < self.granted;
        *self = Self::new(token, seconds.max(1), renewable && !is_last, now);
    }

    /// Returns the time until the token must be renewed; `None` if it has no end.
    pub(super) fn until_renewal(&self, now: Instant) -> Option<Duration> {
        self.lifetime.map(|(renewal, _)| renewal.saturating_duration_since(now))
    }

    /// Puts off a renewal that has failed, and leaves time for more attempts.
    pub(super) fn postpone(&mut self, now: Instant) {
        if let Some((renewal, end)) = &mut self.lifetime {
            *renewal = now + end.saturating_duration_since(now) / 4;
        }
    }

    /// Returns what to do at `now`.
    pub(super) fn due(&self, now: Instant) -> Due {
        match self.lifetime {
            Some((_, end)) if now >= end => Due::Login,
            Some((renewal, _)) if now >= renewal => Due::Renewal,
            _ => Due::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_renewed_before_two_thirds_of_its_time_and_replaced_when_no_renewal_extends_it() {
        let now = Instant::now();
        for _ in 0..100 {
            let session = Session::new(Zeroizing::new("t".to_owned()), 600, true, now);
            let at = |seconds| session.due(now + Duration::from_secs(seconds));
            assert_eq!(
                (at(349), at(400), at(599), at(600)),
                (Due::Nothing, Due::Renewal, Due::Renewal, Due::Login)
            );
        }
        let mut session = Session::new(Zeroizing::new("t".to_owned()), 600, true, now);
        session.renewed(600, true, now);
        assert!(session.renewable);
        session.renewed(599, true, now);
        assert!(!session.renewable, "the maximum lifetime is near");
        session.renewed(0, true, now);
        assert_eq!(session.due(now + Duration::from_secs(1)), Due::Login);
        let endless = Session::new(Zeroizing::new("t".to_owned()), 0, false, now);
        assert_eq!(endless.due(now + Duration::from_secs(1 << 30)), Due::Nothing);
    }
}
