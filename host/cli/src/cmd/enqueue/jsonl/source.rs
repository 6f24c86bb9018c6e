//! The input of `taskseal enqueue --jsonl`: a file or standard input, whose reading a signal ends.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::file_arg;
use crate::runtime::spawn;

/// An input whose reading ends with an error once a signal has arrived.
pub(super) struct Source {
    input: File,
    stop: Arc<Stop>,
}

impl Source {
    /// Opens the input and returns its length, if it is a file.
    pub(super) fn open(file: &Path, stop: Arc<Stop>) -> io::Result<(Self, Option<u64>)> {
        if file_arg::is_standard(file) {
            // Not `io::stdin`: a wait for the descriptor does not see what its buffer holds.
            let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
            return Ok((Self { input, stop }, None));
        }
        let input = File::open(file)?;
        let len = input.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
        Ok((Self { input, stop }, len))
    }
}

/// Returns whether the next line has not arrived yet: its reader would have to wait for it.
pub(super) fn pauses(reader: &BufReader<Source>) -> io::Result<bool> {
    Ok(!reader.buffer().contains(&b'\n') && !reader.get_ref().has_more()?)
}

impl Source {
    /// Returns whether bytes, or the end of the input, can be read without waiting.
    fn has_more(&self) -> io::Result<bool> {
        let mut waits = [PollFd::new(&self.input, PollFlags::IN)];
        Ok(poll(&mut waits, Some(&Timespec::default()))? > 0)
    }
}

impl Read for Source {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut waits =
            [PollFd::new(&self.input, PollFlags::IN), PollFd::new(&self.stop.receiver, PollFlags::IN)];
        poll(&mut waits, None)?;
        if self.stop.is_requested() {
            return Err(io::Error::other("stopped by a signal"));
        }
        self.input.read(bytes)
    }
}

/// Whether SIGTERM or SIGINT has arrived.
pub(super) struct Stop {
    is_requested: AtomicBool,
    /// Its peer is closed at the first signal.
    receiver: UnixStream,
    /// Notified at the second signal.
    second: Notify,
}

impl Stop {
    /// Handles the signals from now on.
    pub(super) fn listen(runtime: &Runtime) -> io::Result<Arc<Self>> {
        let (receiver, sender) = UnixStream::pair()?;
        let stop = Arc::new(Self { is_requested: AtomicBool::new(false), receiver, second: Notify::new() });
        let _entered = runtime.enter();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shared = Arc::clone(&stop);
        spawn(runtime.handle(), async move {
            either(&mut terminate, &mut interrupt).await;
            shared.is_requested.store(true, Ordering::Release);
            drop(sender);
            either(&mut terminate, &mut interrupt).await;
            shared.second.notify_one();
        });
        Ok(stop)
    }

    /// Returns whether a signal has arrived.
    pub(super) fn is_requested(&self) -> bool {
        self.is_requested.load(Ordering::Acquire)
    }

    /// Waits for the second signal.
    pub(super) async fn second(&self) {
        self.second.notified().await;
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
