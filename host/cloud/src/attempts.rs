//! Attempts of a call until its deadline, with a growing delay between them.

use std::thread;
use std::time::Duration;

use getrandom::SysRng;
use rand_core::TryRng as _;

use crate::fault::Fault;
use crate::timeouts::{Deadline, Timeouts};

#[cfg(test)]
mod tests;

/// Delay after the first attempt.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// Maximum delay that this process chooses; a service may require a longer one.
const MAX_DELAY: Duration = Duration::from_secs(2);

/// Repeats `attempt` until it succeeds, fails permanently, or its deadline does not permit the next delay.
pub(crate) fn retrying<T>(
    timeouts: &Timeouts,
    mut attempt: impl FnMut(&Deadline) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let deadline = timeouts.deadline();
    let mut step = FIRST_DELAY;
    loop {
        let fault = match attempt(&deadline) {
            Ok(value) => return Ok(value),
            Err(fault) => fault,
        };
        let Some(required) = fault.retry_after() else { return Err(fault) };
        let delay = jittered(step).max(required);
        if delay >= deadline.remaining() {
            return Err(fault);
        }
        thread::sleep(delay);
        step = (step * 2).min(MAX_DELAY);
    }
}

/// Returns between half of a delay and the whole, so that processes that failed together do not return together.
fn jittered(delay: Duration) -> Duration {
    let half = delay / 2;
    // Without randomness of the system the delay is half of what it could be.
    let random = SysRng.try_next_u32().unwrap_or(0);
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
