//! Reports that the clock of the host was set back while the worker runs: its tasks are then postponed as sealed in the future.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::Event;
use super::phase::Phase;
use super::shared::Shared;
use crate::time::UnixMillis;

/// Delay between two comparisons of the clocks.
const EVERY: Duration = Duration::from_secs(5);
/// Minimum step that is reported. The two clocks are not read at the same time.
const MIN_STEP: Duration = Duration::from_secs(1);

/// Compares the clocks until the worker has stopped.
pub(super) async fn watch(shared: Arc<Shared>) {
    let start = Instant::now();
    let mut steps = ClockSteps::new(shared.settings.policy.skew);
    loop {
        if let Some(by) = steps.step_back(UnixMillis::now(), start.elapsed()) {
            shared.observe(&Event::ClockSetBack { by });
        }
        if shared.lifecycle.sleep_unless(Phase::Stopped, EVERY).await {
            return;
        }
    }
}

/// How far the clock of the host was ahead of a clock that is never set, at most.
#[derive(Debug)]
struct ClockSteps {
    skew: Duration,
    /// In milliseconds.
    lead: Option<i64>,
}

impl ClockSteps {
    const fn new(skew: Duration) -> Self {
        Self { skew, lead: None }
    }

    /// Returns by how much the clock that shows `now` was set back since the last report, if by more than the skew. `elapsed` is
    /// the time since the start by the other clock. That one may stop while the host is suspended: then this one gains on it.
    fn step_back(&mut self, now: UnixMillis, elapsed: Duration) -> Option<Duration> {
        let lead = now.0.saturating_sub(UnixMillis(0).plus(elapsed).0);
        let highest = self.lead.unwrap_or(lead).max(lead);
        let by = UnixMillis(highest).since(UnixMillis(lead));
        if by > self.skew.max(MIN_STEP) {
            self.lead = Some(lead);
            return Some(by);
        }
        self.lead = Some(highest);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn step_back_is_reported_once_with_its_size() {
        let mut steps = ClockSteps::new(secs(60));
        assert_eq!(steps.step_back(UnixMillis::from_secs(10_000), secs(0)), None);
        assert_eq!(steps.step_back(UnixMillis::from_secs(6_405), secs(5)), Some(secs(3600)));
        assert_eq!(steps.step_back(UnixMillis::from_secs(6_410), secs(10)), None);
        // Set right again, and back again.
        assert_eq!(steps.step_back(UnixMillis::from_secs(10_015), secs(15)), None);
        assert_eq!(steps.step_back(UnixMillis::from_secs(9_900), secs(20)), Some(secs(120)));
    }

    #[test]
    fn small_steps_back_are_reported_when_they_exceed_the_skew_together() {
        let mut steps = ClockSteps::new(secs(60));
        assert_eq!(steps.step_back(UnixMillis::from_secs(1000), secs(0)), None);
        assert_eq!(steps.step_back(UnixMillis::from_secs(960), secs(0)), None);
        assert_eq!(steps.step_back(UnixMillis::from_secs(920), secs(0)), Some(secs(80)));
    }

    #[test]
    fn suspension_and_steps_forward_are_not_reported() {
        let mut steps = ClockSteps::new(Duration::ZERO);
        assert_eq!(steps.step_back(UnixMillis::from_secs(1000), secs(0)), None);
        assert_eq!(steps.step_back(UnixMillis::from_secs(9000), secs(5)), None);
        assert_eq!(steps.step_back(UnixMillis::from_secs(9005), secs(10)), None);
    }
}
