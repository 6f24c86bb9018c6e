//! When a worker saw a task first that has no expiry, or none that is proven. It limits how long such a task is put off.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::lock::lock;
use crate::time::UnixMillis;

/// Maximum number of tasks. Of further ones nothing is known, so that they are not put off.
const CAPACITY: usize = 10_000;

/// The tasks that this process has put off, each with the time at which it did so first.
#[derive(Debug, Default)]
pub(super) struct FirstSeen(Mutex<HashMap<[u8; 16], UnixMillis>>);

impl FirstSeen {
    /// Returns the time since the task was seen first. Returns `None` if it is longer than `longest`, or if there are too many tasks.
    pub(super) fn age(&self, task: [u8; 16], now: UnixMillis, longest: Duration) -> Option<Duration> {
        let mut seen = lock(&self.0);
        let is_kept = |at: &UnixMillis| now.since(*at) <= longest;
        match seen.get(&task) {
            Some(at) if is_kept(at) => return Some(now.since(*at)),
            Some(_) => {
                seen.remove(&task);
                return None;
            }
            None => {}
        }
        if seen.len() >= CAPACITY {
            seen.retain(|_, at| is_kept(at));
        }
        (seen.len() < CAPACITY).then(|| {
            seen.insert(task, now);
            Duration::ZERO
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn task_is_known_until_its_time_has_passed_and_others_while_there_is_room() {
        let (seen, start) = (FirstSeen::default(), UnixMillis(1_000_000));
        let id = |number: usize| (number as u128).to_be_bytes();
        let age = |number, after| seen.age(id(number), start.plus(after), HOUR);
        assert_eq!(age(0, Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(age(0, HOUR), Some(HOUR));
        for number in 1..CAPACITY {
            assert_eq!(age(number, HOUR), Some(Duration::ZERO));
        }
        assert_eq!(age(CAPACITY, HOUR), None);
        // The first one has ended, so that there is room.
        let later = HOUR + Duration::from_millis(1);
        assert_eq!(age(CAPACITY, later), Some(Duration::ZERO));
        assert_eq!(age(1, HOUR * 3), None);
    }
}
