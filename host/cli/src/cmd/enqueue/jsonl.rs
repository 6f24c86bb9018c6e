//! Many tasks from JSON lines, in batches: an id is printed once its task is enqueued, and memory use is bounded.

mod line;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use taskseal::file_error::FileError;
use taskseal::wiped_buffer::WipedBuffer;
use taskseal::{Client, Task};

use self::line::MAX_LINE;
use super::args::Args;
use crate::failure::{Exit, Failure};
use crate::file_arg;
use crate::global::Global;
use crate::session::Session;
use crate::ui::Ui;

/// Maximum number of tasks in a batch.
const BATCH: usize = 128;
/// Size of the lines of a batch, in bytes, from which on it is complete.
const BATCH_BYTES: usize = 8 << 20;

pub(super) fn run(args: &Args, file: &Path, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let session = Session::open(global)?;
    let client = super::open_client(&session, ui)?;
    let unreadable =
        |error: io::Error| Failure::new(FileError::io(file, "cannot be read", &error).to_string());
    let (mut source, len) = open(file).map_err(unreadable)?;
    session.check_broker()?;
    let bar = ui.progress(len, "{msg} tasks enqueued");
    let mut batch = Batch { session: &session, client: &client, ui, tasks: Vec::new(), bytes: 0, stored: 0 };
    let mut line = WipedBuffer::default();
    let mut number = 0;
    loop {
        line.clear();
        let len = line.read_line(&mut source, MAX_LINE + 1).map_err(unreadable)?;
        if len == 0 {
            break;
        }
        number += 1;
        let text = if number == 1 { line::without_mark(line.as_bytes()) } else { Ok(line.as_bytes()) };
        let task = text
            .and_then(|text| line::parse(text, args))
            .map_err(|message| batch.failure(&format!("{}:{number}: {message}", file.display())))?;
        if let Some(task) = task {
            batch.add(task, len, number)?;
        }
        bar.inc(len as u64);
        bar.set_message(batch.stored.to_string());
    }
    batch.store(number)?;
    bar.finish_and_clear();
    Ok(())
}

/// Opens the input and returns its length, if it is a file.
fn open(file: &Path) -> io::Result<(Box<dyn BufRead>, Option<u64>)> {
    if file_arg::is_standard(file) {
        return Ok((Box::new(BufReader::new(io::stdin())), None));
    }
    let file = File::open(file)?;
    let len = file.metadata().ok().map(|metadata| metadata.len());
    Ok((Box::new(BufReader::new(file)), len))
}

/// Tasks that are not enqueued yet.
struct Batch<'s> {
    session: &'s Session,
    client: &'s Client,
    ui: &'s Ui,
    tasks: Vec<Task>,
    bytes: usize,
    /// Number of tasks that are enqueued. Their ids are printed.
    stored: usize,
}

impl Batch<'_> {
    fn add(&mut self, task: Task, bytes: usize, number: usize) -> Result<(), Failure> {
        self.tasks.push(task);
        self.bytes += bytes;
        if self.tasks.len() == BATCH || self.bytes >= BATCH_BYTES { self.store(number) } else { Ok(()) }
    }

    /// Enqueues the tasks up to line `number` and prints their ids.
    fn store(&mut self, number: usize) -> Result<(), Failure> {
        let tasks = std::mem::take(&mut self.tasks);
        let count = tasks.len();
        self.bytes = 0;
        let receipts = self.session.runtime.block_on(self.client.enqueue_all(tasks));
        let receipts = receipts.map_err(|error| {
            self.ui.warn(&format!(
                "{} tasks are enqueued and their ids printed; of the last {count}, up to line {number}, some may be \
                 enqueued",
                self.stored
            ));
            self.session.client_failure(&error)
        })?;
        self.stored += receipts.len();
        let printed = receipts.iter().try_for_each(|receipt| super::print(receipt, self.ui));
        printed.map_err(|failure| self.not_printed(failure))
    }

    /// Returns the failure for ids that cannot be printed. Their tasks are stored, so that a reader of standard output that
    /// is gone is an error here.
    fn not_printed(&self, failure: Failure) -> Failure {
        let message = match failure.exit {
            Exit::Silent => "the reader of standard output has closed it".to_owned(),
            _ => failure.into_message(),
        };
        Failure::new(format!("{message}: stopped after {} tasks were enqueued", self.stored))
            .hint("not all of their ids are printed; `taskseal task ls` lists the tasks")
    }

    /// Returns the failure for an invalid line. The tasks before it in the same batch are not enqueued either.
    fn failure(&self, message: &str) -> Failure {
        Failure::usage(message).hint(match self.stored {
            0 => "nothing was enqueued: correct the line and try again".to_owned(),
            stored => {
                format!("the first {stored} tasks are enqueued and their ids printed: continue after them")
            }
        })
    }
}
