use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread::ThreadId;

use super::*;

/// A pool of four threads, on every host.
fn pool() -> CpuPool {
    CpuPool { pool: OnceLock::from(start(4)) }
}

#[test]
fn results_are_in_the_order_of_the_items() {
    for count in [0, 1, 7, 8, 9, 64, 1000] {
        let expected: Vec<usize> = (0..count).map(|item| item * 3).collect();
        assert_eq!(pool().par_map((0..count).collect(), |item| item * 3), expected);
    }
}

#[test]
fn batches_start_no_threads_once_the_pool_is_running() {
    let (pool, seen) = (pool(), Mutex::new(HashSet::<ThreadId>::new()));
    // The id of a thread is never used again in a process, so each thread that was ever started would be counted.
    for _ in 0..200 {
        pool.par_map((0..64).collect(), |_: i32| seen.lock().unwrap().insert(thread::current().id()));
    }
    let seen = seen.into_inner().unwrap();
    assert!((1..=4).contains(&seen.len()), "{} threads", seen.len());
    assert!(!seen.contains(&thread::current().id()));
}

#[test]
fn small_batches_run_on_the_calling_thread() {
    let threads = pool().par_map((0..7).collect(), |_: i32| thread::current().id());
    assert!(threads.iter().all(|id| *id == thread::current().id()));
}

#[test]
fn pool_without_threads_runs_on_the_calling_thread() {
    let pool = CpuPool { pool: OnceLock::from(start(1)) };
    let threads = pool.par_map((0..64).collect(), |_: i32| thread::current().id());
    assert!(threads.iter().all(|id| *id == thread::current().id()));
}

#[test]
fn panic_reaches_the_caller_and_leaves_the_pool_usable() {
    let pool = pool();
    let panics = |item: i32| assert!(item != 40, "item 40");
    let panic = catch_unwind(AssertUnwindSafe(|| pool.par_map((0..64).collect(), panics))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"item 40"));
    assert_eq!(pool.par_map((0..64).collect(), |item: usize| item).len(), 64);
}
