//! The thread that writes the log of a worker, so that a slow reader of standard error does not slow the worker down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::{LineQueue, LineReader, Next};
use super::refusals::Refusals;
use crate::output::stderr;
use crate::ui::Ui;

/// Maximum number of lines that wait for the reader; further lines are dropped and counted.
const QUEUE_LEN: usize = 4096;

/// How long the end of the worker waits for the reader.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The thread and the queue of its lines.
pub(super) struct Writer {
    lines: Arc<LineQueue>,
}

impl Writer {
    pub(super) fn start(ui: Ui, refusals: Arc<Refusals>) -> Self {
        let lines = LineQueue::new(QUEUE_LEN);
        let queue = LineReader(Arc::clone(&lines));
        let with_time = !stderr::is_stamped();
        std::thread::spawn(move || write(&queue, &refusals, ui, with_time));
        Self { lines }
    }

    pub(super) fn lines(&self) -> Arc<LineQueue> {
        Arc::clone(&self.lines)
    }

    /// Writes the lines that wait. If they are not read in time, nothing more is printed on standard error: a worker must end
    /// even if its log is not read.
    pub(super) fn finish(&self) {
        self.lines.close();
        if self.lines.wait_for_end(LONGEST_WAIT) {
            stderr::limit_wait(LONGEST_WAIT);
        } else {
            stderr::give_up();
        }
    }
}

fn write(queue: &LineReader, refusals: &Refusals, ui: Ui, with_time: bool) {
    loop {
        match queue.next(refusals.next_report(Instant::now())) {
            Next::Line(line) => line.print(ui, with_time),
            Next::Nothing => {}
            Next::End => break,
        }
        refusals.due(Instant::now()).into_iter().for_each(|line| line.print(ui, with_time));
    }
    refusals.rest().into_iter().for_each(|line| line.print(ui, with_time));
}
