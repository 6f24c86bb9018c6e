//! The lines that wait for the thread that writes the log.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::line::Line;

/// A queue with a limit, which is closed when the log ends.
#[derive(Debug)]
pub(super) struct LineQueue {
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Line>,
    is_closed: bool,
    /// Whether the reader has ended.
    is_ended: bool,
}

impl LineQueue {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Appends a line. Returns whether it is in the queue, which drops lines over its limit.
    pub(super) fn push(&self, line: Line) -> bool {
        let mut state = self.lock();
        let has_room = state.lines.len() < self.limit && !state.is_ended;
        if has_room {
            state.lines.push_back(line);
            self.changed.notify_all();
        }
        has_room
    }

    /// Ends the queue after the lines that are in it.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits until the reader has ended, and returns whether it has.
    pub(super) fn wait_for_end(&self, timeout: Duration) -> bool {
        let ended = self.changed.wait_timeout_while(self.lock(), timeout, |state| !state.is_ended);
        ended.unwrap_or_else(PoisonError::into_inner).0.is_ended
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reader of a queue.
pub(super) struct LineReader(pub(super) Arc<LineQueue>);

/// What is next in a queue.
pub(super) enum Next {
    Line(Line),
    /// There was no line in time.
    Nothing,
    /// All lines are read.
    End,
}

impl LineReader {
    /// Removes the first line, and waits for it if there is none.
    pub(super) fn next(&self, timeout: Duration) -> Next {
        let is_empty = |state: &mut State| state.lines.is_empty() && !state.is_closed;
        let found = self.0.changed.wait_timeout_while(self.0.lock(), timeout, is_empty);
        let (mut state, _) = found.unwrap_or_else(PoisonError::into_inner);
        match state.lines.pop_front() {
            Some(line) => Next::Line(line),
            None if state.is_closed => Next::End,
            None => Next::Nothing,
        }
    }
}

impl Drop for LineReader {
    fn drop(&mut self) {
        self.0.lock().is_ended = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> Line {
        Line::with("started", message)
    }

    #[test]
    fn line_over_the_limit_is_dropped() {
        let queue = LineQueue::new(2);
        assert!(queue.push(line("1")) && queue.push(line("2")));
        assert!(!queue.push(line("3")));
    }

    #[test]
    fn closed_queue_ends_after_the_lines_that_are_in_it() {
        let queue = LineQueue::new(2);
        let reader = LineReader(Arc::clone(&queue));
        assert!(queue.push(line("last")));
        queue.close();
        assert!(matches!(reader.next(Duration::MAX), Next::Line(line) if line.message == "last"));
        assert!(matches!(reader.next(Duration::MAX), Next::End));
    }

    #[test]
    fn queue_without_a_reader_takes_no_lines_and_has_ended() {
        let queue = LineQueue::new(2);
        assert!(!queue.wait_for_end(Duration::ZERO));
        drop(LineReader(Arc::clone(&queue)));
        assert!(queue.wait_for_end(Duration::MAX) && !queue.push(line("lost")));
    }
}
