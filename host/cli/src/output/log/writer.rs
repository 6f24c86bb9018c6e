//! The thread that writes the log of a worker, so that a slow reader of standard error does not slow the worker down.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::line::Line;
use super::refusals::Refusals;
use crate::output::stderr;
use crate::ui::Ui;

/// Maximum number of lines that wait for the reader; further lines are dropped and counted.
const QUEUE_LEN: usize = 4096;

/// How long the end of the worker waits for the reader.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The thread and the queue of its lines. `None` in the queue ends the thread.
pub(super) struct Writer {
    lines: SyncSender<Option<Line>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(ui: Ui, refusals: Arc<Refusals>) -> Self {
        let (lines, queue) = sync_channel(QUEUE_LEN);
        let with_time = !stderr::is_stamped();
        let thread = std::thread::spawn(move || write(&queue, &refusals, ui, with_time));
        Self { lines, thread: Some(thread) }
    }

    pub(super) fn lines(&self) -> SyncSender<Option<Line>> {
        self.lines.clone()
    }

    /// Writes the lines that wait. If they are not read in time, nothing more is printed on standard error: a worker must end
    /// even if its log is not read.
    pub(super) fn finish(&mut self) {
        let (ended, end) = sync_channel(1);
        let (lines, thread) = (self.lines.clone(), self.thread.take());
        // Both calls block while the queue is full and its thread cannot write.
        std::thread::spawn(move || {
            // Fails only if the writer has panicked; then no line is left to write.
            let _ = lines.send(None);
            let _ = thread.map(JoinHandle::join);
            let _ = ended.send(());
        });
        match end.recv_timeout(LONGEST_WAIT) {
            Err(RecvTimeoutError::Timeout) => stderr::give_up(),
            _ => stderr::limit_wait(LONGEST_WAIT),
        }
    }
}

fn write(queue: &Receiver<Option<Line>>, refusals: &Refusals, ui: Ui, with_time: bool) {
    loop {
        match queue.recv_timeout(refusals.next_report(Instant::now())) {
            Ok(Some(line)) => line.print(ui, with_time),
            Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        refusals.due(Instant::now()).into_iter().for_each(|line| line.print(ui, with_time));
    }
    refusals.rest().into_iter().for_each(|line| line.print(ui, with_time));
}
