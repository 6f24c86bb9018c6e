//! The lock that gives the lines of several processes one order.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::files;
use super::folder::{Folder, id};

/// How long another process may hold the lock: a signature in a slow token takes part of it.
const TIMEOUT: Duration = Duration::from_secs(15);
const FIRST_WAIT: Duration = Duration::from_micros(50);
const LONGEST_WAIT: Duration = Duration::from_millis(5);

/// A lock file beside the log. It is never renamed, unlike the file of the log.
#[derive(Debug)]
pub(super) struct LockFile {
    name: OsString,
    file: Option<File>,
}

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(super) struct Locked<'l>(&'l File);

impl LockFile {
    pub(super) fn of(folder: &Folder) -> Self {
        Self { name: files::with_suffix(folder.log(), "lock"), file: None }
    }

    /// Waits for the lock.
    pub(super) fn lock(&mut self, folder: &Folder) -> io::Result<Locked<'_>> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let file = match self.file.take() {
                Some(file) => file,
                None => folder.open_or_create(&self.name)?,
            };
            wait(&file, deadline)?;
            // A lock on a file that was deleted excludes no other process.
            if folder.find(&self.name)? == Some(id(&file)?) {
                return Ok(Locked(self.file.insert(file)));
            }
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Closing the file would release it as well.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

fn wait(file: &File, deadline: Instant) -> io::Result<()> {
    let mut pause = FIRST_WAIT;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if Instant::now() < deadline => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let message = format!("another process has held its lock for {} s", TIMEOUT.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            Err(error) => return Err(error.into()),
        }
        sleep(pause);
        pause = (pause * 2).min(LONGEST_WAIT);
    }
}
