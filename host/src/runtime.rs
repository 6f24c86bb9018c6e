//! Tasks, blocking calls and threads, in boxes: the runtime's part of each, which is large, is compiled once for each
//! type of result instead of once for each call.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::{io, thread};

use tokio::task::JoinError;

/// A future in a box.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The result of a call whose type is known to the caller alone.
pub(crate) type AnyResult = Box<dyn Any + Send>;

/// Boxes a future.
pub(crate) fn boxed<'a, T>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(future)
}

/// Returns the result of a call that returns a `T`.
///
/// # Panics
/// If it has another type.
pub(crate) fn downcast<T: 'static>(result: AnyResult) -> T {
    *result.downcast().expect("the caller knows the type of its result")
}

/// Starts a thread.
///
/// # Errors
/// [`io::Error`] if the system starts no more.
pub(crate) fn spawn_thread(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let work: Box<dyn FnOnce() + Send> = Box::new(work);
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Runs `work` on a thread of the runtime that may block. Once started, it runs to its end even if the caller is dropped.
///
/// # Errors
/// [`JoinError`] if `work` panicked, or the runtime is shutting down.
///
/// # Security
/// A secret in the result must have an allocation that it wipes: the box of the result is freed as it is.
pub(crate) fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, JoinError>> + Send {
    let work: Box<dyn FnOnce() -> AnyResult + Send> = Box::new(move || Box::new(work()));
    let running = tokio::task::spawn_blocking(work);
    async { running.await.map(downcast) }
}
