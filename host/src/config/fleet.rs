//! The section `[fleet]`: how processes state what they run with, and what a worker does that differs from the others.

use std::time::Duration;

use serde::Deserialize;

use super::value::{HOUR, Seconds};

/// How processes compare what they run with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FleetSettings {
    /// Delay between two statuses of a worker or client. 10 seconds by default; with zero it publishes none.
    pub status_every: Duration,
    /// Whether a worker that differs from the others does not start.
    pub refuse: bool,
}

impl Default for FleetSettings {
    fn default() -> Self {
        Self { status_every: Duration::from_secs(10), refuse: false }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FleetSection {
    status_every: Option<Seconds<0, HOUR>>,
    #[serde(default)]
    on_difference: OnDifference,
}

/// What a worker does that differs from the others when it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnDifference {
    /// It logs the difference.
    #[default]
    Report,
    /// It does not start.
    Refuse,
}

impl FleetSection {
    pub(super) fn check(self) -> FleetSettings {
        let mut settings = FleetSettings::default();
        settings.status_every = self.status_every.map_or(settings.status_every, Duration::from);
        settings.refuse = self.on_difference == OnDifference::Refuse;
        settings
    }
}
