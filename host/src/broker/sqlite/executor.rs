//! The threads that own the connections: one that writes, one that reads.
//!
//! There is a dedicated writer, instead of `spawn_blocking` with a pool of connections, for two reasons: calls of one process
//! do not compete for the file's only write lock, and calls that arrive while a commit waits for the disk share the next
//! commit. The reader has a separate connection, so in write-ahead mode it never waits for the writer.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::error;
use crate::broker::BrokerError;
use crate::runtime::{AnyResult, downcast, spawn_thread};
use crate::sqlite::{self, Location};
use crate::time::UnixMillis;

/// The source of the time.
pub(super) type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// Maximum number of calls that share one commit: limits how long each waits for the others.
const MAX_SHARED: usize = 32;

/// How often free pages are returned to the file system, and how many at a time: 16 MiB.
const GIVE_BACK: (Duration, u32) = (Duration::from_secs(1), 4096);

/// A handle to both threads, which end when it is dropped.
///
/// Dropped in this order: of two connections that close at the same time, each finds the other one open, and neither folds the
/// log in.
pub(super) struct Executor {
    reader: ConnectionThread,
    writer: ConnectionThread,
}

/// A thread that owns a connection.
struct ConnectionThread {
    /// `None` ends the thread.
    calls: Option<UnboundedSender<Call>>,
    handle: Option<JoinHandle<()>>,
}

/// One connection with what its thread needs.
struct Thread {
    connection: Connection,
    location: Location,
    clock: Clock,
}

impl Executor {
    /// Starts the threads.
    pub(super) fn start(
        writer: Connection,
        reader: Connection,
        location: &Location,
        clock: &Clock,
    ) -> std::io::Result<Self> {
        let with = |connection| Thread { connection, location: location.clone(), clock: Arc::clone(clock) };
        let (reader, writer) = (with(reader), with(writer));
        Ok(Self {
            reader: ConnectionThread::start("taskseal-read", move |calls| read_all(&reader, calls))?,
            writer: ConnectionThread::start("taskseal-write", move |calls| write_all(&writer, calls))?,
        })
    }

    /// Runs `run` in a transaction and returns once it is on disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Connection, UnixMillis) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        self.call(&self.writer, None, boxed_work(run)).await.map(downcast)
    }

    /// Runs `run` like [`write`](Self::write) if `has_work` returns true; otherwise takes no lock and returns the default.
    pub(super) async fn write_if<T: Default + Send + 'static>(
        &self,
        has_work: impl FnOnce(&Connection, UnixMillis) -> rusqlite::Result<bool> + Send + 'static,
        run: impl FnOnce(&Connection, UnixMillis) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let idle: Work<Option<AnyResult>> = Box::new(|connection, now| {
            let found = has_work(connection, now)?;
            Ok((!found).then(|| Box::new(T::default()) as AnyResult))
        });
        self.call(&self.writer, Some(idle), boxed_work(run)).await.map(downcast)
    }

    /// Runs `run` on one snapshot of the file.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Connection, UnixMillis) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        self.call(&self.reader, None, boxed_work(run)).await.map(downcast)
    }

    async fn call(
        &self,
        thread: &ConnectionThread,
        idle: Option<Work<Option<AnyResult>>>,
        run: Work<AnyResult>,
    ) -> Result<AnyResult, BrokerError> {
        let (reply, answer) = oneshot::channel();
        let call = Call { idle, run: Some(run), value: None, reply };
        if thread.calls.as_ref().is_none_or(|calls| calls.send(call).is_err()) {
            return Err(BrokerError::Unavailable("the thread of this queue file has ended".into()));
        }
        answer
            .await
            .unwrap_or_else(|_| Err(BrokerError::Ambiguous("the thread of this queue file has ended".into())))
    }
}

impl ConnectionThread {
    fn start(
        name: &str,
        run: impl FnOnce(UnboundedReceiver<Call>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (calls, received) = mpsc::unbounded_channel();
        let handle = spawn_thread(name, move || run(received))?;
        Ok(Self { calls: Some(calls), handle: Some(handle) })
    }
}

impl Drop for ConnectionThread {
    /// Waits until the connection is closed: the last process that closes the file folds its log in, so that a copy of the
    /// file alone is complete.
    fn drop(&mut self) {
        self.calls = None;
        // A thread that panicked has closed its connection too.
        let _ = self.handle.take().map(JoinHandle::join);
    }
}

/// What a thread does with its connection.
type Work<T> = Box<dyn FnOnce(&Connection, UnixMillis) -> rusqlite::Result<T> + Send>;

fn boxed_work<T: Send + 'static>(
    run: impl FnOnce(&Connection, UnixMillis) -> rusqlite::Result<T> + Send + 'static,
) -> Work<AnyResult> {
    Box::new(|connection, now| Ok(Box::new(run(connection, now)?)))
}

/// One call queued for a thread.
struct Call {
    /// Checks for work before a transaction begins; returns the reply if there is none.
    idle: Option<Work<Option<AnyResult>>>,
    run: Option<Work<AnyResult>>,
    value: Option<AnyResult>,
    reply: oneshot::Sender<Result<AnyResult, BrokerError>>,
}

impl Call {
    /// Returns whether the caller was dropped, so that the call must not begin.
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Returns whether there is nothing to do; the reply is then known.
    fn is_idle(&mut self, connection: &Connection, now: UnixMillis) -> rusqlite::Result<bool> {
        if let Some(idle) = self.idle.take() {
            self.value = idle(connection, now)?;
        }
        Ok(self.value.is_some())
    }

    fn run(&mut self, connection: &Connection, now: UnixMillis) -> rusqlite::Result<()> {
        if let Some(run) = self.run.take() {
            self.value = Some(run(connection, now)?);
        }
        Ok(())
    }

    /// Sends the reply to the caller.
    fn answer(self, outcome: Result<(), BrokerError>) {
        let Self { value, reply, .. } = self;
        let answer = outcome.map(|()| value.expect("a call that succeeded has a value"));
        // The caller may have been dropped; the change stays.
        let _ = reply.send(answer);
    }
}

fn read_all(thread: &Thread, mut calls: UnboundedReceiver<Call>) {
    let Thread { connection, clock, .. } = thread;
    while let Some(mut call) = calls.blocking_recv() {
        if call.is_abandoned() {
            continue;
        }
        if let Err(error) = thread.location.check() {
            call.answer(Err(BrokerError::Unavailable(error.into())));
            continue;
        }
        let outcome = connection.unchecked_transaction().and_then(|_snapshot| call.run(connection, clock()));
        call.answer(outcome.map_err(error::before_commit));
    }
}

fn write_all(thread: &Thread, mut calls: UnboundedReceiver<Call>) {
    let Thread { connection, clock, .. } = thread;
    let mut given_back_at = Instant::now();
    while let Some(mut first) = calls.blocking_recv() {
        if first.is_abandoned() {
            continue;
        }
        if let Err(error) = thread.location.check() {
            first.answer(Err(BrokerError::Unavailable(error.into())));
            continue;
        }
        match first.is_idle(connection, clock()) {
            Ok(true) => first.answer(Ok(())),
            Ok(false) => commit_together(thread, first, &mut calls),
            Err(error) => first.answer(Err(error::before_commit(error))),
        }
        if given_back_at.elapsed() >= GIVE_BACK.0 {
            give_back_pages(thread, GIVE_BACK.1);
            given_back_at = Instant::now();
        }
    }
    give_back_pages(thread, u32::MAX >> 1);
}

/// Returns free pages to the file system. A failure leaves them in the file, where new tasks use them.
fn give_back_pages(thread: &Thread, most: u32) {
    if thread.location.check().is_ok() {
        let _ = sqlite::give_back_pages(&thread.connection, most);
    }
}

/// Runs `first` and the calls that have arrived meanwhile in one transaction, commits, and replies to all.
fn commit_together(thread: &Thread, first: Call, calls: &mut UnboundedReceiver<Call>) {
    let Thread { connection, clock, location } = thread;
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        return first.answer(Err(error::before_commit(error)));
    }
    let mut done = Vec::new();
    let mut next = Some(first);
    while let Some(mut call) = next {
        // The first call of a transaction needs no savepoint.
        match in_savepoint(connection, !done.is_empty(), || call.run(connection, clock())) {
            Ok(()) => done.push(call),
            Err(error) => call.answer(Err(error::before_commit(error))),
        }
        if connection.is_autocommit() {
            break;
        }
        next = if done.is_empty() || done.len() >= MAX_SHARED { None } else { calls.try_recv().ok() };
        next = next.filter(|call| !call.is_abandoned());
    }

    // SQLite rolls back the whole transaction after some errors, such as a full disk.
    if connection.is_autocommit() {
        for call in done {
            call.answer(Err(BrokerError::Unavailable("a call that shared the transaction failed".into())));
        }
        return;
    }
    if done.is_empty() {
        let _ = connection.execute_batch("ROLLBACK");
        return;
    }
    let outcome = connection.execute_batch("COMMIT").map_err(|error| {
        let rolled_back = !connection.is_autocommit() && connection.execute_batch("ROLLBACK").is_ok();
        if sqlite::is_full(&error) {
            sqlite::fold_in_log(connection);
        }
        (error, rolled_back)
    });
    // A change in a file without a name is lost: it must not be reported as stored.
    let moved = location.check().err();
    for call in done {
        call.answer(match (&outcome, &moved) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(moved)) => Err(BrokerError::Ambiguous(moved.clone().into())),
            (Err((error, rolled_back)), _) => Err(error::at_commit(error, *rolled_back)),
        });
    }
}

/// Runs `run` and rolls back its changes, and no others, if it fails.
fn in_savepoint(
    connection: &Connection,
    shared: bool,
    run: impl FnOnce() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    if !shared {
        return run();
    }
    connection.execute_batch("SAVEPOINT call")?;
    let outcome = run();
    if !connection.is_autocommit() {
        if outcome.is_err() {
            connection.execute_batch("ROLLBACK TO call")?;
        }
        connection.execute_batch("RELEASE call")?;
    }
    outcome
}

#[cfg(test)]
mod tests;
