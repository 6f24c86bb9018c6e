//! The lock that gives the lines of several processes one order.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

/// How long another process may hold the lock: a signature in a slow token takes part of it.
const TIMEOUT: Duration = Duration::from_secs(15);
const FIRST_WAIT: Duration = Duration::from_micros(50);
const LONGEST_WAIT: Duration = Duration::from_millis(5);

/// A lock file beside the log. It is never renamed, unlike the file of the log.
#[derive(Debug)]
pub(super) struct LockFile {
    path: PathBuf,
    file: Option<File>,
}

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(super) struct Locked<'l>(&'l File);

impl LockFile {
    pub(super) fn beside(log: &Path) -> Self {
        Self { path: super::files::with_suffix(log, "lock"), file: None }
    }

    /// Waits for the lock.
    pub(super) fn lock(&mut self) -> io::Result<Locked<'_>> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let file = match self.file.take() {
                Some(file) => file,
                None => open(&self.path)?,
            };
            wait(&file, deadline)?;
            // A lock on a file that was deleted excludes no other process.
            if is_at(&file, &self.path)? {
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

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    super::files::give_to_owner_of_folder(&file, path)?;
    Ok(file)
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
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
