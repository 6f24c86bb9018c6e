//! Handlers: run tasks, each with a Rust function or a program, chosen by the signed task type.

mod body_file;
mod configured;
mod function;
mod program;
pub(crate) mod run_guard;
pub(crate) mod supervisor;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use taskseal_core::{ContentType, KeyId, NameSet, TaskId};
use zeroize::Zeroizing;

#[doc(hidden)]
pub use self::function::Function;
pub use self::program::Program;
#[doc(hidden)]
pub use self::program::ProgramLimits;
pub(crate) use self::program::check_executable;

pub use self::supervisor::supervise;

use crate::queue::QueueName;
use crate::retry::Backoff;
use crate::small_map::SmallMap;
use crate::wiped_buffer::WipedBuffer;

/// Runs tasks of one type.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Runs one task. The future may be dropped at any `await`: at the time limit, when the worker can no longer hold the
    /// task's lock, or at the end of the drain time. A handler that blocks its thread cannot be cancelled, and the drain waits for it. Run blocking
    /// work in a program or with `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    /// [`Failure`], which decides whether the task is retried.
    async fn run(&self, task: OpenedTask) -> Result<Output, Failure>;

    /// Returns the delays between attempts. `None` stands for those of the worker.
    fn backoff(&self) -> Option<Backoff> {
        None
    }

    /// Returns whether the handler ends by itself when [`OpenedTask::timeout`] has passed, and returns a failure then.
    #[doc(hidden)]
    fn keeps_time_limit(&self) -> bool {
        false
    }
}

/// A task that was admitted, and, unless it is not sealed, verified and decrypted. The body is wiped on drop.
///
/// # Security
/// If [`sealed_by`](Self::sealed_by) is `None`, nothing about the task is verified: a writer of the queue chose its id, its type and
/// its body. The policy of its type allows such tasks (modes `off`, `observe` and `prefer`). Its id may be that of a sealed task.
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct OpenedTask {
    /// Task id. It is chosen by the writer of the queue if the task is not sealed.
    pub id: TaskId,
    /// Key that sealed it; `None` for a task that is not sealed.
    pub sealed_by: Option<KeyId>,
    /// Issuer that sealed it; empty for a task that is not sealed.
    pub issuer: String,
    /// Task type.
    pub task_type: String,
    /// Queue it was fetched from.
    pub queue: QueueName,
    /// Media type of the body.
    pub content_type: String,
    /// Number of this attempt, 1 for the first.
    pub attempt: u32,
    /// Time limit of this attempt.
    pub timeout: Duration,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl OpenedTask {
    /// Deserialises the body as JSON.
    ///
    /// # Errors
    /// [`Failure::GiveUp`]: a retry would find the same body.
    ///
    /// # Security
    /// The returned value is a copy, which the handler has to wipe. A string with escapes leaves another copy in freed
    /// memory. Read [`body`](Self::body) if no copy may be left.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| Failure::GiveUp(format!("body: {error}")))
    }
}

impl fmt::Debug for OpenedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedTask")
            .field("id", &self.id)
            .field("task_type", &self.task_type)
            .field("sealed_by", &self.sealed_by)
            .finish_non_exhaustive()
    }
}

/// The output of a task. The body is wiped on drop, and sealed before it leaves the worker.
#[non_exhaustive]
pub struct Output {
    /// Media type of the body.
    pub content_type: String,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl Output {
    /// Creates an output with a body of a media type.
    #[must_use]
    pub fn new(content_type: ContentType<'_>, body: Vec<u8>) -> Self {
        Self { content_type: content_type.as_str().to_owned(), body: Zeroizing::new(body) }
    }

    /// Creates an output with `body` as JSON.
    ///
    /// # Errors
    /// [`Failure::GiveUp`] if the body cannot be serialised: a retry would fail as well.
    pub fn json(body: &impl Serialize) -> Result<Self, Failure> {
        let json = WipedBuffer::json(body)
            .map_err(|error| Failure::GiveUp(format!("the output cannot be written as json: {error}")))?;
        Ok(Self { content_type: ContentType::JSON.as_str().to_owned(), body: json })
    }

    /// Creates an output without a body.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(ContentType::OCTETS, Vec::new())
    }
}

/// A task without a result.
impl From<()> for Output {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("content_type", &self.content_type).finish_non_exhaustive()
    }
}

/// Why a task did not succeed. The text stays on the worker's host; the queue only learns that the task failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A retry may succeed.
    #[error("{0}")]
    TryAgain(String),
    /// No retry can succeed.
    #[error("{0}")]
    GiveUp(String),
    /// The handler could not be started, for a reason of this host, such as a missing program or no free file descriptor. The
    /// task is put off; no attempt is counted.
    #[error("{0}")]
    NotStarted(String),
    /// A signal that ends a service ended the handler. If the worker is stopping as well, the task is given back;
    /// otherwise as [`TryAgain`](Self::TryAgain).
    #[error("{0}")]
    Terminated(String),
}

/// Handlers by task type.
#[doc(hidden)]
#[derive(Clone, Default)]
pub struct Handlers {
    exact: ByName,
    by_prefix: ByName,
}

/// Handlers by their names or prefixes.
type ByName = SmallMap<String, Arc<dyn Handler>>;

impl Handlers {
    /// Adds a handler for a pattern: a task type, or a prefix followed by `*`. A whole type takes precedence over a prefix,
    /// and a longer prefix over a shorter one.
    pub fn insert(&mut self, pattern: &str, handler: Arc<dyn Handler>) {
        match pattern.strip_suffix('*') {
            Some(prefix) => self.by_prefix.insert(prefix, handler),
            None => self.exact.insert(pattern, handler),
        }
    }

    /// Sets the delays between attempts of the tasks of a pattern that was inserted. Returns whether it was.
    pub fn set_backoff(&mut self, pattern: &str, backoff: Backoff) -> bool {
        let found = match pattern.strip_suffix('*') {
            Some(prefix) => self.by_prefix.get(prefix),
            None => self.exact.get(pattern),
        };
        let Some(handler) = found.cloned() else { return false };
        self.insert(pattern, Arc::new(WithBackoff { handler, backoff }));
        true
    }

    /// Returns the handler of a task type.
    #[must_use]
    pub fn find(&self, task_type: &str) -> Option<Arc<dyn Handler>> {
        // Of two prefixes of one type, the longer one is later in the order.
        let by_prefix =
            || self.by_prefix.entries().iter().rev().find(|(prefix, _)| task_type.starts_with(prefix));
        self.exact.get(task_type).or_else(|| by_prefix().map(|(_, handler)| handler)).cloned()
    }

    /// Returns the patterns, separated by spaces, in the form of a [`NameSet`].
    #[must_use]
    pub fn patterns(&self) -> String {
        let mut patterns: Vec<String> = self.exact.entries().iter().map(|(name, _)| name.clone()).collect();
        patterns.extend(self.by_prefix.entries().iter().map(|(prefix, _)| format!("{prefix}*")));
        patterns.join(" ")
    }

    /// Returns whether there are no handlers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.entries().is_empty() && self.by_prefix.entries().is_empty()
    }
}

/// A handler with other delays between attempts.
struct WithBackoff {
    handler: Arc<dyn Handler>,
    backoff: Backoff,
}

#[async_trait]
impl Handler for WithBackoff {
    async fn run(&self, task: OpenedTask) -> Result<Output, Failure> {
        self.handler.run(task).await
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(self.backoff)
    }

    fn keeps_time_limit(&self) -> bool {
        self.handler.keeps_time_limit()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.patterns();
        f.debug_set().entries(NameSet::new(&patterns).patterns()).finish()
    }
}

#[cfg(test)]
mod tests;
