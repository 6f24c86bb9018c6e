//! Many tasks from JSON lines, in batches: an id is printed once its task is enqueued, and memory use is bounded.
//!
//! A batch is stored when it is full, and when its input pauses: a task never waits for the next line.

mod batch;
mod line;
mod source;

use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;

use indicatif::ProgressBar;
use taskseal::file_error::FileError;
use taskseal::wiped_buffer::WipedBuffer;

use self::batch::{Batch, Done};
use self::line::MAX_LINE;
use self::source::{Source, Stop};
use super::args::Args;
use super::verdict::Verifier;
use crate::failure::Failure;
use crate::global::Global;
use crate::session::Session;
use crate::ui::Ui;

pub(super) fn run(args: &Args, file: &Path, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let session = Session::open(global)?;
    let client = super::open_client(&session, ui)?;
    let stop = Stop::listen(&session.runtime)
        .map_err(|error| Failure::new(format!("cannot handle signals: {error}")))?;
    let (source, len) = Source::open(file, Arc::clone(&stop)).map_err(|error| unreadable(file, &error))?;
    session.check_broker()?;
    let bar = ui.progress(len, "{msg} tasks enqueued");
    let mut batch = Batch {
        session: &session,
        client: &client,
        verifier: Verifier::new(&session.config)?,
        stop: Arc::clone(&stop),
        file,
        force: args.force,
        ui,
        tasks: Vec::new(),
        bytes: 0,
        done: Done::default(),
    };
    let is_complete = enqueue_lines(BufReader::new(source), args, &mut batch, &bar)?;
    bar.finish_and_clear();
    batch.done.finish(is_complete, ui)
}

/// Enqueues the tasks of the lines. Returns `false` if a signal came before their end.
fn enqueue_lines(
    mut source: BufReader<Source>,
    args: &Args,
    batch: &mut Batch<'_>,
    bar: &ProgressBar,
) -> Result<bool, Failure> {
    let mut line = WipedBuffer::default();
    let mut number = 0;
    let is_complete = loop {
        if !batch.is_empty() && source::pauses(&source).map_err(|error| unreadable(batch.file, &error))? {
            batch.store(number)?;
            bar.set_message(batch.done.stored.to_string());
        }
        line.clear();
        let len = match line.read_line(&mut source, MAX_LINE + 1) {
            Ok(0) => break true,
            _ if batch.stop.is_requested() => break false,
            Ok(len) => len,
            Err(error) => return Err(unreadable(batch.file, &error)),
        };
        number += 1;
        let text = if number == 1 { line::without_mark(line.as_bytes()) } else { Ok(line.as_bytes()) };
        let task = text.and_then(|text| line::parse(text, args)).map_err(|message| {
            batch.done.invalid_line(&format!("{}:{number}: {message}", batch.file.display()))
        })?;
        if let Some(task) = task {
            batch.add(task, len, number)?;
        }
        bar.inc(len as u64);
        bar.set_message(batch.done.stored.to_string());
    };
    batch.store(number)?;
    Ok(is_complete)
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::new(FileError::io(file, "cannot be read", error).to_string())
}
