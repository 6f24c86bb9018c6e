//! The standard error of a program: its lines are logged as they come, and its end explains a failure.

use std::sync::Mutex;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::handler::OpenedTask;
use crate::lock::lock;
use crate::telemetry::WORKER_TARGET;

/// Maximum length of a logged line, in bytes. A longer one is logged in parts.
const MAX_LINE: usize = 1024;
/// Maximum number of lines that are logged for one attempt.
const MAX_LINES: usize = 1000;

/// What a program has written to its standard error.
pub(super) struct Stderr {
    id: String,
    task_type: String,
    logs: bool,
    /// Maximum length of `tail`, in bytes.
    limit: usize,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    tail: Vec<u8>,
    /// The line that has no end yet.
    line: Vec<u8>,
    lines: usize,
}

impl Stderr {
    pub(super) fn new(task: &OpenedTask, limit: usize, logs: bool) -> Self {
        Self {
            id: task.id.to_string(),
            task_type: task.task_type.clone(),
            logs,
            limit,
            written: Mutex::default(),
        }
    }

    /// Reads to the end.
    pub(super) async fn read(&self, source: Option<impl AsyncRead + Unpin>) {
        let Some(mut source) = source else { return };
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = source.read(&mut chunk).await {
            self.add(chunk.get(..read).unwrap_or_default());
        }
        let rest = std::mem::take(&mut lock(&self.written).line);
        if !rest.is_empty() {
            self.log(&rest);
        }
    }

    fn add(&self, bytes: &[u8]) {
        let mut written = lock(&self.written);
        written.tail.extend_from_slice(bytes);
        let excess = written.tail.len().saturating_sub(self.limit);
        written.tail.drain(..excess);
        let mut complete = Vec::new();
        for byte in bytes {
            if *byte == b'\n' || written.line.len() >= MAX_LINE {
                complete.push(std::mem::take(&mut written.line));
            }
            if *byte != b'\n' {
                written.line.push(*byte);
            }
        }
        drop(written);
        complete.iter().for_each(|line| self.log(line));
    }

    fn log(&self, line: &[u8]) {
        if !self.logs {
            return;
        }
        let number = {
            let mut written = lock(&self.written);
            written.lines += 1;
            written.lines
        };
        let (id, task_type) = (&self.id, &self.task_type);
        if number <= MAX_LINES {
            let line = String::from_utf8_lossy(line);
            tracing::info!(target: WORKER_TARGET, event = "stderr", id, task_type, line = &*line, "{id} {task_type}: {line}");
        } else if number == MAX_LINES + 1 {
            tracing::info!(target: WORKER_TARGET, event = "stderr", id, task_type, "{id} {task_type}: further lines are not logged");
        }
    }

    /// Returns `reason`, followed by the end of what was written, if anything was.
    pub(super) fn after(&self, reason: &str) -> String {
        let written = lock(&self.written);
        match String::from_utf8_lossy(&written.tail).trim_end() {
            "" => reason.to_owned(),
            tail => format!("{reason}: {tail}"),
        }
    }
}
