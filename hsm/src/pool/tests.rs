//! Abandoned threads are counted exactly once, and a closed pool waits for its threads.

use std::cell::RefCell;
use std::sync::{Barrier, mpsc};

use super::*;

#[test]
fn a_thread_is_not_abandoned_before_it_can_be_counted() {
    let pool = Pool::<()>::new(4);
    lock(&pool.state).live = 1;
    let call = PendingCall::new(Duration::ZERO);
    call.enter_library().unwrap();
    let (begins, begun) = mpsc::channel();

    let counted = lock(&pool.state);
    let (returned_in_time, abandoned) = thread::scope(|scope| {
        let abandoning = scope.spawn(|| {
            begins.send(()).unwrap();
            pool.abandon(&call)
        });
        begun.recv().unwrap();
        // Long enough for an implementation that does not wait for the lock.
        (0..10_000).for_each(|_| thread::yield_now());
        let returned_in_time = call.leave_library().is_ok();
        drop(counted);
        (returned_in_time, abandoning.join().unwrap())
    });

    assert!(returned_in_time && !abandoned, "it was abandoned and not counted");
    let state = lock(&pool.state);
    assert_eq!((state.live, state.abandoned), (1, 0));
}

#[test]
fn a_thread_that_returns_while_it_is_abandoned_is_counted_once() {
    let pool = Pool::<()>::new(4);
    for _ in 0..2_000 {
        lock(&pool.state).live = 1;
        let call = PendingCall::new(Duration::ZERO);
        call.enter_library().unwrap();
        let both = Barrier::new(2);

        let abandoned = thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                if !pool.finish(&call) {
                    pool.abandoned_thread_ended(1);
                }
            });
            both.wait();
            pool.abandon(&call)
        });

        let state = lock(&pool.state);
        assert_eq!((state.live, state.abandoned), (usize::from(!abandoned), 0));
    }
}

/// Destroyed when its thread exits, slower than a thread that does not wait for the exit.
struct SlowExit(mpsc::Sender<()>);

impl Drop for SlowExit {
    fn drop(&mut self) {
        (0..10_000).for_each(|_| thread::yield_now());
        self.0.send(()).unwrap();
    }
}

thread_local! {
    static OF_THREAD: RefCell<Option<SlowExit>> = const { RefCell::new(None) };
}

#[test]
fn a_closed_pool_waits_until_its_threads_have_exited() {
    let pool = Arc::new(Pool::<()>::new(4));
    pool.set_limit(1);
    let (exits, exited) = mpsc::channel();
    let minute = Duration::from_secs(60);
    let call = pool.call(minute, Dispatch::Queue, move |(), _| {
        OF_THREAD.set(Some(SlowExit(exits)));
        Ok(())
    });
    call.map_err(|_| "the call failed").unwrap();

    pool.close();
    pool.wait_ended(Instant::now() + minute);

    assert_eq!(exited.try_recv(), Ok(()), "the thread still runs");
}
