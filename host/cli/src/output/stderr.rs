//! Standard error: writes lines, and knows when writing must not block.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::fstat;

/// Longest wait for a reader, in milliseconds. 0: no limit.
static LONGEST_WAIT_MS: AtomicU64 = AtomicU64::new(0);
/// Whether a thread waits for a reader and holds standard error.
static GIVEN_UP: AtomicBool = AtomicBool::new(false);

/// A pipe that is writable accepts as many bytes at once without blocking.
const PART: usize = 4096;

/// Writes one line. A failure to write it does not change the result of the command.
pub(crate) fn print(line: &str) {
    if GIVEN_UP.load(Ordering::Relaxed) {
        return;
    }
    let line = format!("{line}\n");
    match LONGEST_WAIT_MS.load(Ordering::Relaxed) {
        0 => {
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
        wait => line.as_bytes().chunks(PART).for_each(|part| {
            if is_writable(Duration::from_millis(wait)) {
                let _ = io::stderr().lock().write_all(part);
            } else {
                give_up();
            }
        }),
    }
}

/// Drops lines from now on if standard error stays blocked for so long.
pub(crate) fn limit_wait(longest: Duration) {
    let wait = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    LONGEST_WAIT_MS.store(wait, Ordering::Relaxed);
}

/// Drops every line from now on.
pub(crate) fn give_up() {
    GIVEN_UP.store(true, Ordering::Relaxed);
}

fn is_writable(wait: Duration) -> bool {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    let wait = Timespec::try_from(wait).ok();
    // An error of `poll` says nothing about the reader.
    !GIVEN_UP.load(Ordering::Relaxed) && poll(&mut fds, wait.as_ref()).map_or(true, |ready| ready > 0)
}

/// Returns whether a service manager reads standard error and adds the time to each line, as systemd.exec(5) describes:
/// `JOURNAL_STREAM` has device and inode of the stream.
pub(crate) fn is_stamped() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
