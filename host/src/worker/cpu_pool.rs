//! The threads that verify and decrypt large batches in parallel.

use std::num::NonZero;
use std::sync::OnceLock;
use std::thread;

use rayon_core::{ThreadPool, ThreadPoolBuilder};

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
            Some(pool) => map_on(pool, items, &map),
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

fn map_on<T: Send, R: Send>(pool: &ThreadPool, items: Vec<T>, map: &(impl Fn(T) -> R + Sync)) -> Vec<R> {
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    let mut mapped: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let parts = items.chunks_mut(ITEMS_PER_THREAD).zip(mapped.chunks_mut(ITEMS_PER_THREAD));
    pool.scope(|scope| {
        for (items, mapped) in parts {
            scope.spawn(move |_| {
                for (item, mapped) in items.iter_mut().zip(mapped) {
                    *mapped = item.take().map(map);
                }
            });
        }
    });
    mapped.into_iter().flatten().collect()
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
