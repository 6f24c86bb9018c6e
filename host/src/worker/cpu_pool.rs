//! The threads that verify and decrypt large batches in parallel.

use std::num::NonZero;
use std::sync::OnceLock;
use std::thread;

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuilder};

#[cfg(test)]
mod tests;

/// Minimum number of items for each thread. Smaller batches are mapped on the calling thread.
const ITEMS_PER_THREAD: usize = 4;

/// A fixed pool of threads, one for each processor, started with the first large batch.
#[derive(Debug, Default)]
pub(super) struct CpuPool {
    /// `None` if the host has one processor, or if the threads could not be started.
    pool: OnceLock<Option<ThreadPool>>,
}

impl CpuPool {
    /// Maps `items` in their order. Blocks until all are mapped.
    ///
    /// # Panics
    /// If `map` panics.
    pub(super) fn par_map<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        map: impl Fn(T) -> R + Send + Sync,
    ) -> Vec<R> {
        match self.pool_for(items.len()) {
            Some(pool) => {
                pool.install(|| items.into_par_iter().with_min_len(ITEMS_PER_THREAD).map(map).collect())
            }
            None => items.into_iter().map(map).collect(),
        }
    }

    fn pool_for(&self, items: usize) -> Option<&ThreadPool> {
        if items < 2 * ITEMS_PER_THREAD {
            return None;
        }
        self.pool.get_or_init(|| start(thread::available_parallelism().map_or(1, NonZero::get))).as_ref()
    }
}

/// Starts a pool. Returns `None` if the threads cannot be started: batches are mapped on the calling thread then.
fn start(threads: usize) -> Option<ThreadPool> {
    if threads < 2 {
        return None;
    }
    let pool =
        ThreadPoolBuilder::new().num_threads(threads).thread_name(|number| format!("taskseal-cpu-{number}"));
    pool.build().map_err(|error| tracing::warn!(%error, "cannot start threads for batches")).ok()
}
