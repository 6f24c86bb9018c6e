//! Tasks of some lines of the input, which are sealed, verified and stored together.

use std::path::Path;
use std::sync::Arc;

use taskseal::client::SealedTask;
use taskseal::{Client, Task};
use taskseal_core::Refusal;

use super::source::Stop;
use crate::cmd::enqueue::receipt;
use crate::cmd::enqueue::verdict::{self, Verdict, Verifier, describe};
use crate::failure::Failure;
use crate::refusal_counts::RefusalCounts;
use crate::session::Session;
use crate::ui::Ui;

/// Maximum number of tasks in a batch.
const BATCH: usize = 128;
/// Size of the lines of a batch, in bytes, from which on it is complete.
const BATCH_BYTES: usize = 8 << 20;

/// Tasks that are not enqueued yet, and what became of those before.
pub(super) struct Batch<'s> {
    pub(super) session: &'s Session,
    pub(super) client: &'s Client,
    pub(super) verifier: Verifier<'s>,
    pub(super) stop: Arc<Stop>,
    pub(super) file: &'s Path,
    pub(super) force: bool,
    pub(super) ui: &'s Ui,
    /// Each with the number of its line.
    pub(super) tasks: Vec<(usize, Task)>,
    pub(super) bytes: usize,
    pub(super) done: Done,
}

/// What became of the lines before.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Number of the last line whose task is enqueued or refused.
    pub(super) line: usize,
    /// Number of tasks that are enqueued. Their ids are printed.
    pub(super) stored: usize,
    /// Number of tasks that are not enqueued, by reason.
    pub(super) refused: RefusalCounts,
    /// Number of enqueued tasks that no handler of this configuration runs.
    pub(super) postponed: usize,
    /// Number of tasks that were enqueued although a worker with this configuration would refuse them.
    pub(super) forced: usize,
}

impl Batch<'_> {
    pub(super) const fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Adds the task of a line, and stores the batch if it is complete.
    pub(super) fn add(&mut self, task: Task, bytes: usize, line: usize) -> Result<(), Failure> {
        self.tasks.push((line, task));
        self.bytes += bytes;
        if self.tasks.len() == BATCH || self.bytes >= BATCH_BYTES { self.store(line) } else { Ok(()) }
    }

    /// Enqueues the tasks up to this line and prints their ids.
    pub(super) fn store(&mut self, line: usize) -> Result<(), Failure> {
        self.bytes = 0;
        let (lines, tasks): (Vec<usize>, Vec<Task>) = std::mem::take(&mut self.tasks).into_iter().unzip();
        let sealed = self.block_on(self.client.seal_all(tasks))?;
        let sealed = sealed.into_iter().collect::<Result<Vec<_>, _>>();
        let sealed = sealed.map_err(|error| self.session.client_failure(&error))?;
        let accepted = self.accepted(lines.into_iter().zip(sealed))?;
        let receipts: Vec<_> = accepted.iter().map(|(line, task)| (*line, task.receipt.clone())).collect();
        let tasks = accepted.into_iter().map(|(_, task)| task).collect();
        let stored = self.block_on(self.client.enqueue_all_sealed(tasks));
        let stored = stored.and_then(|stored| stored.map_err(|error| self.session.client_failure(&error)));
        stored.inspect_err(|_| self.warn_of_unknown(receipts.len(), line))?;
        self.done.stored += receipts.len();
        self.done.line = line;
        let print = |(line, receipt): &(usize, _)| receipt::print_of_line(receipt, Some(*line), self.ui);
        receipts.iter().try_for_each(print).map_err(|failure| self.not_printed(failure))
    }

    /// Waits for a result, at most until the second signal.
    fn block_on<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        self.session.block_on(async {
            tokio::select! {
                result = work => Ok(result),
                () = self.stop.second() => Err(Failure::new("stopped by a second signal")),
            }
        })
    }

    /// Returns the tasks that are to be enqueued, and prints the lines of the others.
    fn accepted(
        &mut self,
        sealed: impl Iterator<Item = (usize, SealedTask)>,
    ) -> Result<Vec<(usize, SealedTask)>, Failure> {
        let mut accepted = Vec::with_capacity(BATCH);
        for (line, task) in sealed {
            match self.verifier.of_own(&task)? {
                Verdict::Refused(refusal) if !self.force => {
                    let described = describe(refusal);
                    self.ui.warn(&format!("{}:{line}: not enqueued: {described}", self.file.display()));
                    self.done.refused.add(refusal);
                    continue;
                }
                Verdict::Refused(_) => self.done.forced += 1,
                Verdict::Postponed => self.done.postponed += 1,
                Verdict::Accepted => {}
            }
            self.verifier.note_timeout(&task, self.ui);
            accepted.push((line, task));
        }
        Ok(accepted)
    }

    fn warn_of_unknown(&self, count: usize, line: usize) {
        self.ui.warn(&format!(
            "{} tasks are enqueued and their ids printed; of the last {count}, up to line {line}, some may be enqueued",
            self.done.stored
        ));
    }

    /// Returns the failure for ids that cannot be printed. Their tasks are stored, so that a reader of standard output that
    /// is gone is an error here.
    fn not_printed(&self, failure: Failure) -> Failure {
        let reason = receipt::reason(failure);
        Failure::new(format!("{reason}: stopped after {} tasks were enqueued", self.done.stored))
            .hint("not all of their ids are printed; `taskseal task ls --queue NAME` lists the tasks")
    }
}

impl Done {
    /// Returns the failure for an invalid line. The tasks before it in the same batch are not enqueued either.
    pub(super) fn invalid_line(&self, message: &str) -> Failure {
        Failure::usage(message).hint(match self.line {
            0 => "nothing was enqueued: correct the line and try again".to_owned(),
            line => format!(
                "{} tasks up to line {line} are enqueued and their ids printed: continue after that line",
                self.stored
            ),
        })
    }

    /// Warns about tasks that no worker with this configuration runs, and fails if the input was not read to its end or tasks are refused.
    pub(super) fn finish(&self, is_complete: bool, ui: &Ui) -> Result<(), Failure> {
        self.warn_of_kept(ui);
        let summary = self.summary();
        if !is_complete {
            let line = self.line;
            return Err(Failure::new(format!("stopped by a signal after line {line}: {summary}"))
                .hint(format!("continue after line {line}")));
        }
        let refused = self.refused.counts().first();
        refused.map_or(Ok(()), |(refusal, _)| Err(verdict::failure(summary, *refusal)))
    }

    fn summary(&self) -> String {
        let enqueued = format!("{} tasks are enqueued", self.stored);
        let refused = self.refused.counts();
        if refused.is_empty() {
            return enqueued;
        }
        let by_code = refused.iter().map(|(refusal, count)| format!("{count} {}", refusal.code()));
        let by_code = by_code.collect::<Vec<_>>().join(", ");
        format!(
            "{enqueued}; not enqueued because a worker with this configuration would refuse them: {by_code}"
        )
    }

    /// Warns about tasks that are enqueued although a worker with this configuration would not run them.
    fn warn_of_kept(&self, ui: &Ui) {
        if self.postponed > 0 {
            let code = Refusal::TypeNotHandled.code();
            let count = self.postponed;
            ui.warn(&format!("{count} tasks wait until a worker has a handler for their type ({code})"));
        }
        if self.forced > 0 {
            let count = self.forced;
            ui.warn(&format!("a worker with this configuration would refuse {count} of the enqueued tasks"));
        }
    }
}
