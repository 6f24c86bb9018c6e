//! What runs a task: a Rust function or a program, chosen by the sealed task type.

mod configured;
mod function;
mod program;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use taskseal_core::{ContentType, NameSet, TaskId};
use zeroize::Zeroizing;

pub use self::function::Function;
pub use self::program::{Program, ProgramLimits};

use crate::queue::QueueName;

/// Runs tasks of one type.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Runs one task. May be dropped at any `await`: at the time limit, when the lease is lost, or at the end of
    /// the drain. One that blocks its thread cannot be stopped, and the drain waits for it: blocking work belongs
    /// into a program or on `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    /// [`Failure`]: whether the task is tried again or given up.
    async fn run(&self, task: OpenedTask) -> Result<Output, Failure>;
}

/// A task that was verified, admitted and decrypted. The body is wiped on drop.
pub struct OpenedTask {
    /// Task id.
    pub id: TaskId,
    /// Who made it.
    pub issuer: String,
    /// What kind of task it is.
    pub task_type: String,
    /// The queue it was taken from.
    pub queue: QueueName,
    /// Media type of the body.
    pub content_type: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Time limit of this attempt.
    pub timeout: Duration,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl OpenedTask {
    /// The body as JSON.
    ///
    /// # Errors
    /// [`Failure::GiveUp`]: the body will not become another one by trying again.
    ///
    /// # Security
    /// What is returned is a copy, for the handler to wipe. A string with escapes leaves another one in memory that was
    /// freed: a body that must not leave one is read from [`body`](Self::body).
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| Failure::GiveUp(format!("body: {error}")))
    }
}

impl fmt::Debug for OpenedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedTask")
            .field("id", &self.id)
            .field("task_type", &self.task_type)
            .finish_non_exhaustive()
    }
}

/// What a task gave. Wiped on drop, sealed before it leaves the worker.
pub struct Output {
    /// Media type of the body.
    pub content_type: String,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl Output {
    /// Bytes of a media type.
    #[must_use]
    pub fn new(content_type: ContentType<'_>, body: Vec<u8>) -> Self {
        Self { content_type: content_type.as_str().to_owned(), body: Zeroizing::new(body) }
    }

    /// No body.
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

/// Why a task did not succeed. The text stays on the worker's host; the queue sees only that it failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// May succeed another time.
    #[error("{0}")]
    TryAgain(String),
    /// Will never succeed.
    #[error("{0}")]
    GiveUp(String),
}

/// Handlers by task type.
#[derive(Clone, Default)]
pub struct Handlers {
    exact: BTreeMap<String, Arc<dyn Handler>>,
    by_beginning: BTreeMap<String, Arc<dyn Handler>>,
}

impl Handlers {
    /// Adds a handler for a pattern: a task type, or a beginning followed by `*`. A whole type goes before a
    /// beginning, a longer beginning before a shorter one.
    pub fn insert(&mut self, pattern: &str, handler: Arc<dyn Handler>) {
        match pattern.strip_suffix('*') {
            Some(beginning) => self.by_beginning.insert(beginning.to_owned(), handler),
            None => self.exact.insert(pattern.to_owned(), handler),
        };
    }

    /// The handler of a type.
    #[must_use]
    pub fn find(&self, task_type: &str) -> Option<Arc<dyn Handler>> {
        let by_beginning = || {
            let fits = |(beginning, _): &(&String, _)| task_type.starts_with(beginning.as_str());
            self.by_beginning.iter().filter(fits).max_by_key(|(beginning, _)| beginning.len())
        };
        self.exact.get(task_type).or_else(|| by_beginning().map(|(_, handler)| handler)).cloned()
    }

    /// The patterns, separated by spaces: a [`NameSet`].
    #[must_use]
    pub fn patterns(&self) -> String {
        let beginnings = self.by_beginning.keys().map(|beginning| format!("{beginning}*"));
        self.exact.keys().cloned().chain(beginnings).collect::<Vec<_>>().join(" ")
    }

    /// Whether there is no handler at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.by_beginning.is_empty()
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
