//! Rust functions as handlers.

use std::fmt;
use std::future::Future;

use async_trait::async_trait;

use super::{Failure, Handler, OpenedTask, Output};

/// A handler that calls an async function.
pub struct Function<F>(F);

impl<F, R> Function<F>
where
    F: Fn(OpenedTask) -> R + Send + Sync,
    R: Future<Output = Result<Output, Failure>> + Send,
{
    /// Creates a handler from a function.
    pub const fn new(function: F) -> Self {
        Self(function)
    }
}

#[async_trait]
impl<F, R> Handler for Function<F>
where
    F: Fn(OpenedTask) -> R + Send + Sync,
    R: Future<Output = Result<Output, Failure>> + Send,
{
    async fn run(&self, task: OpenedTask) -> Result<Output, Failure> {
        (self.0)(task).await
    }
}

impl<F> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Function").finish_non_exhaustive()
    }
}
