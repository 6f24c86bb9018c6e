//! Writes what a worker records, on a thread: the disk and a token that signs checkpoints may be slow.
//!
//! If the log cannot be written, the worker goes on. Lines wait in memory and are written when they can; refusals beyond that are
//! counted. Refused tasks are in the quarantine as well, and a worker that stopped would let a sender of forged tasks who fills the
//! disk stop the deployment.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::AuditLog;
use super::event::AuditEvent;
use super::refusals::{Refusals, RefusedTask};
use super::settings::AuditSettings;
use crate::lock::lock;
use crate::telemetry;
use crate::time::UnixMillis;
use crate::worker::event::Event;

#[cfg(test)]
mod tests;

/// Maximum number of lines that wait.
const MAX_WAITING: usize = 10_000;
/// Maximum number of lines in one call.
const BATCH: usize = 500;
/// Delay after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How long a failure that lasts is not reported again.
const REMINDER: Duration = Duration::from_secs(60);

/// Records what a worker does.
#[derive(Debug)]
pub(crate) struct Recorder {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    log: AuditLog,
    checkpoint_every: Duration,
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Debug)]
struct Waiting {
    lines: VecDeque<(UnixMillis, AuditEvent)>,
    refusals: Refusals,
    lost: u64,
    is_ending: bool,
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// The error of the operating system if it starts no thread.
    pub(crate) fn start(log: AuditLog, settings: &AuditSettings) -> std::io::Result<Self> {
        let refusals = Refusals::new(settings.refusals_per_minute);
        let waiting = Waiting { lines: VecDeque::new(), refusals, lost: 0, is_ending: false };
        let shared = Arc::new(Shared {
            log,
            checkpoint_every: settings.checkpoint_every,
            waiting: Mutex::new(waiting),
            wake: Condvar::new(),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("audit".to_owned()).spawn(move || shared.run())?
        };
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Records an event. It does not block.
    pub(crate) fn record(&self, event: AuditEvent) {
        let mut waiting = lock(&self.shared.waiting);
        waiting.push(event);
        self.shared.wake.notify_one();
    }

    /// Records what an event of the worker means for the log. It does not block.
    pub(crate) fn observe(&self, event: &Event) {
        let (id, queue, refusal, issuer, kid) = match event {
            Event::Refused { id, queue, refusal, issuer, kid, .. } => (id, queue, refusal, issuer, kid),
            Event::KeysReloaded { count, changes } => {
                let (keys, changes) = (*count as u64, changes.clone());
                return self.record(AuditEvent::KeysLoaded { keys, changes });
            }
            Event::KeysReloadFailed { error, .. } => {
                return self.record(AuditEvent::KeysNotLoaded { reason: error.clone() });
            }
            Event::PolicyReloadFailed { error } => {
                return self.record(AuditEvent::PolicyNotLoaded { reason: error.clone() });
            }
            _ => return,
        };
        let task = RefusedTask {
            queue: queue.as_str().to_owned(),
            code: refusal.code(),
            issuer: issuer.clone(),
            kid: kid.map(|kid| kid.to_string()),
            id: id.clone(),
        };
        let mut waiting = lock(&self.shared.waiting);
        let is_room = waiting.lines.len() < MAX_WAITING;
        if let Some(line) = waiting.refusals.add(task, is_room, Instant::now()) {
            waiting.push(line);
        }
        self.shared.wake.notify_one();
    }

    /// Writes what waits, the counts of refusals and then `last`, and signs a checkpoint. It blocks.
    pub(crate) fn finish(&self, last: AuditEvent) {
        {
            let mut waiting = lock(&self.shared.waiting);
            waiting.is_ending = true;
            waiting.collect(Instant::now());
            waiting.lines.push_back((UnixMillis::now(), last));
        }
        self.shared.wake.notify_one();
        if let Some(thread) = lock(&self.thread).take() {
            // A panic of the thread was printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Waiting {
    fn push(&mut self, event: AuditEvent) {
        if self.lines.len() < MAX_WAITING {
            self.lines.push_back((UnixMillis::now(), event));
        } else {
            self.lost += 1;
        }
    }

    /// Adds the counts of minutes that are over, and of lines that are lost. Returns whether there is something to do.
    fn collect(&mut self, now: Instant) -> bool {
        let counts = if self.is_ending { self.refusals.close_all() } else { self.refusals.close(now) };
        let at = UnixMillis::now();
        // There are as many as there are keys: they fit beside the lines that wait.
        self.lines.extend(counts.into_iter().map(|count| (at, count)));
        if self.lost > 0 && self.lines.len() < MAX_WAITING {
            let count = std::mem::take(&mut self.lost);
            self.lines.push_back((at, AuditEvent::LinesLost { count }));
        }
        self.is_ending || !self.lines.is_empty()
    }
}

impl Shared {
    fn end(&self) {
        lock(&self.waiting).is_ending = true;
        self.wake.notify_one();
    }

    fn run(&self) {
        let mut failure = Failure::default();
        loop {
            let is_ending = self.wait();
            let written = self.write_waiting(&mut failure);
            if is_ending {
                // A failure is final: the process ends.
                if written {
                    failure.report(self.log.checkpoint(true).err());
                }
                return;
            }
            if written {
                failure.report(self.log.checkpoint(false).err());
            } else {
                self.pause();
            }
        }
    }

    /// Waits until there is something to write, or a checkpoint may be due. Returns whether the worker has ended.
    fn wait(&self) -> bool {
        let checkpoint_at = Instant::now() + self.checkpoint_every;
        let mut waiting = lock(&self.waiting);
        loop {
            let now = Instant::now();
            if waiting.collect(now) || now >= checkpoint_at {
                return waiting.is_ending;
            }
            let until = waiting.refusals.next_end().map_or(checkpoint_at, |end| end.min(checkpoint_at));
            let waited = self.wake.wait_timeout(waiting, until.saturating_duration_since(now));
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits before the next attempt, unless the worker ends.
    fn pause(&self) {
        let waiting = lock(&self.waiting);
        let is_running = |waiting: &mut Waiting| !waiting.is_ending;
        drop(self.wake.wait_timeout_while(waiting, RETRY, is_running));
    }

    /// Writes the lines that wait. Returns `false` if the log cannot be written: they wait on.
    fn write_waiting(&self, failure: &mut Failure) -> bool {
        loop {
            let batch: Vec<_> = {
                let mut waiting = lock(&self.waiting);
                let count = waiting.lines.len().min(BATCH);
                waiting.lines.drain(..count).collect()
            };
            if batch.is_empty() {
                return true;
            }
            let (written, appended) = self.log.append_counted(&batch);
            let is_written = appended.is_ok();
            failure.report(appended.err());
            if !is_written {
                let mut waiting = lock(&self.waiting);
                batch.into_iter().skip(written).rev().for_each(|line| waiting.lines.push_front(line));
                return false;
            }
        }
    }
}

/// The failure that lasts, if there is one.
#[derive(Debug, Default)]
struct Failure {
    reported_at: Option<Instant>,
}

impl Failure {
    /// Reports a failure when it begins and at intervals, and its end.
    fn report(&mut self, error: Option<crate::file_error::FileError>) {
        match error {
            Some(error) if self.reported_at.is_none_or(|at| at.elapsed() >= REMINDER) => {
                self.reported_at = Some(Instant::now());
                telemetry::observe(&Event::AuditFailed { error: error.to_string() });
            }
            Some(_) => {}
            None if self.reported_at.take().is_some() => telemetry::observe(&Event::AuditBack),
            None => {}
        }
    }
}
