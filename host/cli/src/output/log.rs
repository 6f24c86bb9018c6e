//! The log: `tracing` events as lines on standard error.
//!
//! Every command logs the warnings of the library. `taskseal worker` also logs the events of its worker, through a
//! thread, so that a slow reader of standard error does not slow the worker down.

mod line;
mod queue;
mod refusals;
mod repeats;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use taskseal::telemetry::WORKER_TARGET;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use self::line::Line;
use self::queue::LineQueue;
use self::refusals::Refusals;
pub(crate) use self::repeats::Repeats;
use self::writer::Writer;
use crate::ui::Ui;

/// Logs the warnings of the library at once, without the events of workers.
pub(crate) fn show_warnings(ui: Ui) {
    let sink = LogSink::Direct(ui);
    install(LogSubscriber {
        sink,
        repeats: Arc::default(),
        refusals: Arc::default(),
        worker_level: LevelFilter::OFF,
    });
}

fn install(subscriber: LogSubscriber) {
    // Fails only if a subscriber is installed already; a process runs one command.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The log of a worker. Dropping it writes the lines that wait, if they are read in time.
pub(crate) struct Log {
    repeats: Arc<Repeats>,
    dropped: Arc<AtomicU64>,
    writer: Writer,
    ui: Ui,
}

impl Log {
    /// Logs the events of workers and the warnings of the library from now on.
    pub(crate) fn start(ui: Ui) -> Self {
        let (dropped, repeats) = (Arc::<AtomicU64>::default(), Arc::<Repeats>::default());
        let refusals = Arc::<Refusals>::default();
        let writer = Writer::start(ui, Arc::clone(&refusals));
        let sink = LogSink::Queue { lines: writer.lines(), dropped: Arc::clone(&dropped) };
        let worker_level = if ui.quiet() { LevelFilter::WARN } else { LevelFilter::INFO };
        install(LogSubscriber { sink, repeats: Arc::clone(&repeats), refusals, worker_level });
        Self { repeats, dropped, writer, ui }
    }

    /// Returns what the log knows of failures that last.
    pub(crate) fn repeats(&self) -> Arc<Repeats> {
        Arc::clone(&self.repeats)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.writer.finish();
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            self.ui.warn(&format!("{dropped} lines of the log were dropped: its reader is too slow"));
        }
    }
}

/// Where lines go.
enum LogSink {
    Direct(Ui),
    Queue { lines: Arc<LineQueue>, dropped: Arc<AtomicU64> },
}

impl LogSink {
    fn put(&self, line: Line) {
        match self {
            Self::Direct(ui) => line.print(*ui, false),
            Self::Queue { lines, dropped } => {
                if !lines.push(line) {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Turns events into lines: warnings of the library, and the events of workers from a level on.
struct LogSubscriber {
    sink: LogSink,
    repeats: Arc<Repeats>,
    refusals: Arc<Refusals>,
    worker_level: LevelFilter,
}

impl Subscriber for LogSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = match metadata.target() {
            target if target.starts_with(WORKER_TARGET) => self.worker_level,
            target if target.starts_with("taskseal") => LevelFilter::WARN,
            _ => LevelFilter::OFF,
        };
        metadata.is_event() && *metadata.level() <= level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.worker_level.max(LevelFilter::WARN))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::new(event);
        if let Some(recovery) = self.repeats.recovery(&line) {
            self.sink.put(recovery);
        }
        if self.repeats.is_news(&mut line) && self.refusals.is_logged(&line, Instant::now()) {
            self.sink.put(line);
        }
    }

    /// Spans are not enabled: the methods about them are not called.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::queue::{LineReader, Next};
    use super::*;

    /// Returns the lines that `emit` causes, with the events of workers from `INFO` on.
    fn lines(emit: impl FnOnce()) -> Vec<Line> {
        let queue = LineQueue::new(16);
        let sink = LogSink::Queue { lines: Arc::clone(&queue), dropped: Arc::default() };
        let (repeats, refusals) = (Arc::default(), Arc::default());
        let subscriber = LogSubscriber { sink, repeats, refusals, worker_level: LevelFilter::INFO };
        tracing::subscriber::with_default(subscriber, emit);
        let reader = LineReader(queue);
        let next = || match reader.next(Duration::ZERO) {
            Next::Line(line) => Some(line),
            Next::Nothing | Next::End => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn event_of_a_worker_becomes_a_line_with_its_name_message_and_members() {
        let lines = lines(|| {
            let (id, attempt) = ("0193", 2);
            tracing::info!(target: WORKER_TARGET, event = "started", id, attempt, "started {id}");
            tracing::debug!(target: WORKER_TARGET, event = "started", "not logged");
        });
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((line.event.as_str(), line.message.as_str()), ("started", "started 0193"));
        assert_eq!(line.text("id"), "0193");
    }

    #[test]
    fn warning_of_the_library_is_logged_with_its_fields_and_once_while_it_lasts() {
        let lines = lines(|| {
            for error in ["refused", "refused again"] {
                tracing::warn!(target: "taskseal::broker", error, "cannot subscribe");
            }
            tracing::info!(target: "taskseal::broker", "not logged");
            tracing::warn!(target: "elsewhere", "not logged");
        });
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(
            (line.event.as_str(), line.message.as_str()),
            ("warning", "cannot subscribe; error: refused")
        );
        assert_eq!(line.text("message"), "cannot subscribe");
    }
}
