//! Many tasks from JSON lines, a batch at a time: what is printed is enqueued, and memory stays flat.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use base64ct::{Base64, Encoding};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use taskseal::file_error::FileError;
use taskseal::time::UnixMillis;
use taskseal::wiped_buffer::WipedBuffer;
use taskseal::{Client, QueueName, Task};
use taskseal_core::{ContentType, MAX_BODY, TaskId};
use zeroize::Zeroizing;

use super::Args;
use crate::cli::Global;
use crate::cmd::moment;
use crate::cmd::session::Session;
use crate::ui::{Failure, Ui};

/// Most tasks of a batch.
const BATCH: usize = 128;
/// Bytes of lines past which a batch is full.
const BATCH_BYTES: usize = 8 << 20;
/// Most bytes of a line: the longest body in base64 and all that stands around it.
const MAX_LINE: usize = MAX_BODY / 3 * 4 + (64 << 10);

/// One task.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'l> {
    r#type: Option<String>,
    queue: Option<String>,
    /// Goes as it is written, not as a parser would write it again.
    #[serde(borrow, default, deserialize_with = "given")]
    body: Option<&'l RawValue>,
    body_base64: Option<String>,
    content_type: Option<String>,
    id: Option<String>,
    at: Option<String>,
    r#in: Option<String>,
    attempts: Option<u16>,
    timeout: Option<String>,
    retention: Option<String>,
    lifetime: Option<String>,
}

/// `null` is a body too.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Line<'_> {
    fn task(self, args: &Args) -> Result<Task, String> {
        let task_type = self.r#type.as_deref().or(args.task_type.as_deref());
        let task_type = task_type.ok_or("no \"type\" and no --type")?;
        let (body, usual) = match (self.body, self.body_base64) {
            (Some(body), None) => (body.get().as_bytes().to_vec(), ContentType::JSON),
            (None, Some(text)) => {
                let text = Zeroizing::new(text);
                let body = Base64::decode_vec(&text).map_err(|_| "\"body_base64\" is not base64")?;
                (body, ContentType::OCTETS)
            }
            _ => return Err("one of \"body\" and \"body_base64\" is needed".to_owned()),
        };
        let named = self.content_type.as_deref().or(args.content_type.as_deref());
        let content_type = match named {
            Some(named) => ContentType::new(named).map_err(|_| format!("`{named}` is not a media type"))?,
            None => usual,
        };
        let task = Task::from_bytes(task_type, content_type, body).map_err(|error| error.to_string())?;
        let mut task = args.settings(task);
        match self.queue {
            Some(queue) => {
                task = task.queue(QueueName::parse(&queue).map_err(|error| error.to_string())?);
            }
            None if args.queue.is_none() => return Err("no \"queue\" and no --queue".to_owned()),
            None => {}
        }
        match (self.at.as_deref(), self.r#in.as_deref()) {
            (Some(at), None) => task = task.process_at(moment::instant(at)?),
            (None, Some(delay)) => {
                task = task.process_at(UnixMillis::now().plus(moment::duration(delay)?));
            }
            (None, None) => {}
            (Some(_), Some(_)) => return Err("\"at\" and \"in\" exclude each other".to_owned()),
        }
        if let Some(id) = self.id {
            let parsed = TaskId::parse(&id);
            task = task.id(parsed.ok_or_else(|| format!("`{id}` is not a UUID in lower case"))?);
        }
        match self.attempts {
            Some(0) => return Err("\"attempts\" is at least 1".to_owned()),
            Some(most) => task = task.attempts(most),
            None => {}
        }
        if let Some(limit) = self.timeout {
            task = task.timeout(moment::duration(&limit)?);
        }
        if let Some(keep) = self.retention {
            task = task.retention(moment::duration(&keep)?);
        }
        if let Some(lifetime) = self.lifetime {
            task = task.within(moment::duration(&lifetime)?);
        }
        Ok(task)
    }
}

pub(super) fn run(args: &Args, file: &Path, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let session = Session::open(global)?;
    let client = super::client(&session, ui)?;
    let unreadable =
        |error: io::Error| Failure::new(FileError::io(file, "cannot be read", &error).to_string());
    let (mut source, len): (Box<dyn BufRead>, Option<u64>) = if file == Path::new("-") {
        (Box::new(BufReader::new(io::stdin())), None)
    } else {
        let opened = File::open(file).map_err(unreadable)?;
        let len = opened.metadata().ok().map(|metadata| metadata.len());
        (Box::new(BufReader::new(opened)), len)
    };
    session.answers()?;
    let bar = progress(len, ui);
    let mut batch = Batch { session: &session, client: &client, ui, tasks: Vec::new(), bytes: 0, stored: 0 };
    let mut line = WipedBuffer::default();
    let mut number = 0;
    loop {
        line.clear();
        let read = line.read_line(&mut source, MAX_LINE + 1).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        number += 1;
        let task = parse(line.as_bytes(), args)
            .map_err(|message| batch.wrong(&format!("{}:{number}: {message}", file.display())))?;
        if let Some(task) = task {
            batch.add(task, read, number)?;
        }
        bar.inc(read as u64);
        bar.set_message(batch.stored.to_string());
    }
    batch.store(number)?;
    bar.finish_and_clear();
    Ok(())
}

/// The task of a line; an empty line has none.
fn parse(line: &[u8], args: &Args) -> Result<Option<Task>, String> {
    if line.len() > MAX_LINE {
        return Err(format!("longer than {MAX_LINE} bytes"));
    }
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let parsed: Result<Line<'_>, _> = serde_json::from_slice(line);
    let parsed = parsed.map_err(|error| {
        let text = error.to_string();
        // Within one line the column is all there is to say.
        let end = text.rfind(" at line ").unwrap_or(text.len());
        format!("{}: {}", error.column(), text.get(..end).unwrap_or_default())
    })?;
    parsed.task(args).map(Some)
}

/// Tasks on their way into the queue.
struct Batch<'s> {
    session: &'s Session,
    client: &'s Client,
    ui: &'s Ui,
    tasks: Vec<Task>,
    bytes: usize,
    /// Tasks that are in the queue and printed.
    stored: usize,
}

impl Batch<'_> {
    fn add(&mut self, task: Task, bytes: usize, number: usize) -> Result<(), Failure> {
        self.tasks.push(task);
        self.bytes += bytes;
        if self.tasks.len() == BATCH || self.bytes >= BATCH_BYTES { self.store(number) } else { Ok(()) }
    }

    /// Enqueues what was read up to line `number` and prints the ids.
    fn store(&mut self, number: usize) -> Result<(), Failure> {
        let tasks = std::mem::take(&mut self.tasks);
        let count = tasks.len();
        self.bytes = 0;
        let receipts = self.session.runtime.block_on(self.client.enqueue_all(tasks));
        let receipts = receipts.map_err(|error| {
            self.ui.warn(&format!(
                "{} tasks are enqueued and printed; of the {count} up to line {number} some may be enqueued",
                self.stored
            ));
            self.session.failed_client(&error)
        })?;
        for receipt in &receipts {
            super::print(receipt, self.ui)?;
        }
        self.stored += receipts.len();
        Ok(())
    }

    /// A line that is no task. Those before it in the same batch are not enqueued either.
    fn wrong(&self, message: &str) -> Failure {
        Failure::usage(message).hint(match self.stored {
            0 => "nothing was enqueued: mend the line and try again".to_owned(),
            stored => {
                format!("the first {stored} tasks are enqueued and their ids printed: go on behind them")
            }
        })
    }
}

fn progress(len: Option<u64>, ui: &Ui) -> ProgressBar {
    let target = if ui.quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(len, target);
    let style = ProgressStyle::with_template("taskseal: {msg} tasks enqueued {wide_bar} {elapsed}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
