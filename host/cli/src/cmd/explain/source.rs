//! The task to explain: an envelope file, an entry of the quarantine, or a task of a queue.

use std::path::Path;

use taskseal::QueueName;
use taskseal::broker::{TaskInfo, TaskRecord, TaskState};
use taskseal::config::{Config, SetupError};
use taskseal::quarantine::EntryId;
use taskseal::time::UnixMillis;
use taskseal_core::{OpenError, Unverified};

use crate::failure::Failure;
use crate::file_arg;
use crate::global::Global;
use crate::session::{Session, setup_failure};

/// The bytes of a task, and where they were.
pub(super) struct Source {
    pub(super) queue: QueueName,
    pub(super) bytes: Vec<u8>,
    /// What the queue states. `None` for a file.
    pub(super) record: Option<TaskRecord>,
    location: Location,
}

enum Location {
    File,
    Entry { number: i64, task_type: Option<String> },
    Queue(Box<TaskInfo>),
}

impl Source {
    /// Decodes the envelope; with a detached one, the bytes are its body.
    pub(super) fn envelope(&self) -> Result<Unverified<'_>, OpenError> {
        self.record.as_ref().map_or_else(|| Unverified::parse(&self.bytes), TaskRecord::parse)
    }

    /// Returns the bytes of the envelope.
    pub(super) fn seal(&self) -> &[u8] {
        self.record.as_ref().map_or(&self.bytes, |record| record.seal())
    }

    pub(super) fn is_detached(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.detached.is_some())
    }

    pub(super) fn find(
        config: &Config,
        global: &Global,
        task: &Path,
        queue: Option<&QueueName>,
    ) -> Result<Self, Failure> {
        if file_arg::is_standard(task) || task.is_file() {
            return Self::file(config, task, queue);
        }
        let name = task.to_string_lossy();
        match name.parse() {
            Ok(number) => Self::entry(config, number, queue),
            Err(_) => Self::queued(global, &name, queue),
        }
    }

    fn file(config: &Config, file: &Path, queue: Option<&QueueName>) -> Result<Self, Failure> {
        let first = || config.worker.as_ref().and_then(|worker| worker.queues.first());
        let queue = queue.or_else(|| first().map(|queue| &queue.name));
        let queue = queue.ok_or_else(|| {
            Failure::usage("no queue").hint("name the queue that the envelope was taken from with --queue")
        })?;
        let bytes = file_arg::read(file, file_arg::MAX_ENVELOPE)?.to_vec();
        Ok(Self { queue: queue.clone(), bytes, record: None, location: Location::File })
    }

    fn entry(config: &Config, number: i64, queue: Option<&QueueName>) -> Result<Self, Failure> {
        let quarantine = config.existing_quarantine().map_err(|error| setup_failure(config, error))?;
        let found = quarantine.map(|quarantine| quarantine.find(EntryId(number))).transpose();
        let found = found.map_err(|error| setup_failure(config, SetupError::State(error)))?.flatten();
        let (entry, bytes) = found.ok_or_else(|| {
            Failure::not_found(format!("entry {number} not found"))
                .hint("`taskseal quarantine ls` lists the entries")
        })?;
        let stored = QueueName::parse(&entry.queue).ok();
        let queue = queue
            .cloned()
            .or(stored)
            .ok_or_else(|| Failure::usage("the entry names no valid queue").hint("name it with --queue"))?;
        Ok(Self {
            queue,
            bytes,
            record: None,
            location: Location::Entry { number, task_type: entry.unverified_type },
        })
    }

    fn queued(global: &Global, id: &str, queue: Option<&QueueName>) -> Result<Self, Failure> {
        let session = Session::connect(global)?;
        session.block_on(async {
            for queue in session.queues_or(queue).await? {
                let found = session.broker.find(&queue, id).await;
                let found = found.map_err(|error| session.broker_failure(&error))?;
                if let Some(mut info) = found
                    && let Some(record) = info.record.take()
                {
                    let (bytes, location) = (record.envelope.to_vec(), Location::Queue(Box::new(info)));
                    return Ok(Self { queue, bytes, record: Some(record), location });
                }
            }
            Err(Failure::not_found(format!("no file and no task `{id}`"))
                .hint("`taskseal task ls --queue NAME` lists tasks, `taskseal quarantine ls` refused ones"))
        })
    }

    /// Returns the task type that the queue states or stated, which decides about an unsealed task. `None` for a file.
    pub(super) fn stated_type(&self) -> Option<&str> {
        match (&self.record, &self.location) {
            (Some(record), _) => Some(&record.task_type),
            (None, Location::Entry { task_type, .. }) => task_type.as_deref(),
            (None, _) => None,
        }
    }

    /// Returns when the task succeeded, according to its queue: `None` if it has not, `Some(None)` if the queue does not know when.
    #[expect(clippy::option_option, reason = "whether and when are two questions")]
    pub(super) fn completed(&self) -> Option<Option<UnixMillis>> {
        match &self.location {
            Location::Queue(info) if info.state == TaskState::Completed => Some(info.completed_at),
            _ => None,
        }
    }

    /// Returns what to do with a task that a worker would run.
    pub(super) fn next_step(&self) -> String {
        match &self.location {
            Location::File => "`taskseal enqueue --sealed FILE` enqueues it".to_owned(),
            Location::Entry { number, .. } => format!("`taskseal quarantine release {number}` releases it"),
            Location::Queue(info) => match info.state {
                TaskState::Archived | TaskState::Retry | TaskState::Scheduled => {
                    format!("`taskseal task run {}` makes it pending", info.id)
                }
                state => format!("it is {}", state.as_str()),
            },
        }
    }
}
