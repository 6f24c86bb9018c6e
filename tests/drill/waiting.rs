//! Waits for events, with a limit that no correct run reaches.

use std::thread;
use std::time::{Duration, Instant};

/// Limit of each wait.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Delay between two looks.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `look` finds something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {} s: {what}", LIMIT.as_secs());
        thread::sleep(PAUSE);
    }
}
