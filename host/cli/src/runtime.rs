//! The async runtime. All futures and tasks have one type for it, because its generic code is large.

use std::pin::{Pin, pin};

use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

use crate::failure::Failure;

/// Starts the runtime.
pub(crate) fn start() -> Result<Runtime, Failure> {
    Runtime::new().map_err(|error| Failure::new(format!("cannot start the async runtime: {error}")))
}

/// Runs a future to its end.
pub(crate) fn block_on<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    let mut output = None;
    runtime.block_on(pin!(async { output = Some(work.await) }) as Pin<&mut dyn Future<Output = ()>>);
    output.expect("the future has ended")
}

/// Starts a task.
pub(crate) fn spawn(runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(work);
    runtime.spawn(work)
}
