//! What the benchmarks share: samples and their middle, and how much CPU a process has used.

use std::time::Duration;

use redis::{Connection, cmd};
use rustix::time::{ClockId, clock_gettime};

/// What one case measured, a sample a round.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds the sample of a round.
    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
        self.0.sort_by(f64::total_cmp);
    }

    /// The sample in the middle: a round that other work on the machine spoiled does not move it.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The least and the most, as text.
    #[must_use]
    pub fn spread(&self) -> String {
        match (self.0.first(), self.0.last()) {
            (Some(least), Some(most)) if *most >= 1000.0 => format!("{least:.0}-{most:.0}"),
            (Some(least), Some(most)) => format!("{least:.1}-{most:.1}"),
            _ => String::new(),
        }
    }
}

/// CPU time the server has used, in its own and in the kernel's code.
///
/// # Panics
/// If the server does not tell.
#[must_use]
pub fn redis_cpu_seconds(raw: &mut Connection) -> f64 {
    let info: String = cmd("INFO").arg("cpu").query(raw).expect("INFO cpu");
    let value = |name: &str| -> f64 {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse().ok()).expect("INFO cpu tells it")
    };
    value("used_cpu_user") + value("used_cpu_sys")
}

/// CPU time this process has used, all of its threads together, those that have ended included.
#[must_use]
pub fn own_cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default().as_secs_f64()
}
