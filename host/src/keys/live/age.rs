//! How old the keys are, and the report that they are stale.

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::POLL;
use crate::lock::lock;
use crate::worker::event::Event;

/// When the keys were last loaded. No load holds it, so it can be read during one that does not return.
#[derive(Debug)]
pub(super) struct Age {
    max_stale: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    loaded_at: Instant,
    is_reported: bool,
}

impl State {
    fn fresh() -> Self {
        Self { loaded_at: Instant::now(), is_reported: false }
    }
}

impl Age {
    /// Creates the age of keys that were loaded now and are stale after `max_stale`.
    pub(super) fn new(max_stale: Duration) -> Self {
        Self { max_stale, state: Mutex::new(State::fresh()) }
    }

    /// Records that the keys were loaded now.
    pub(super) fn renew(&self) {
        *lock(&self.state) = State::fresh();
    }

    /// Waits for a load, and checks at intervals until it returns.
    pub(super) async fn watch<F: Future>(&self, loading: F, observe: impl Fn(&Event)) -> F::Output {
        let mut loading = pin!(loading);
        loop {
            let loaded = tokio::select! {
                biased;
                loaded = &mut loading => Some(loaded),
                () = tokio::time::sleep(POLL) => None,
            };
            self.check(&observe);
            if let Some(loaded) = loaded {
                return loaded;
            }
        }
    }

    /// Reports once that no load has succeeded for too long.
    fn check(&self, observe: impl Fn(&Event)) {
        let mut state = lock(&self.state);
        let age = state.loaded_at.elapsed();
        let is_news =
            age >= self.max_stale && !std::mem::replace(&mut state.is_reported, age >= self.max_stale);
        drop(state);
        if is_news {
            observe(&Event::KeysStale { age });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const MAX_STALE: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn load_that_never_returns_is_reported_once_as_stale() {
        let (age, reports) = (Age::new(MAX_STALE), AtomicUsize::new(0));
        let note = |event: &Event| {
            assert!(matches!(event, Event::KeysStale { age } if *age >= MAX_STALE), "{event}");
            reports.fetch_add(1, Ordering::Relaxed);
        };
        let hanging = age.watch(std::future::pending::<()>(), note);
        tokio::time::timeout(MAX_STALE - POLL, hanging).await.unwrap_err();
        assert_eq!(reports.load(Ordering::Relaxed), 0);
        let hanging = age.watch(std::future::pending::<()>(), note);
        tokio::time::timeout(2 * MAX_STALE, hanging).await.unwrap_err();
        assert_eq!(reports.load(Ordering::Relaxed), 1);

        age.renew();
        let hanging = age.watch(std::future::pending::<()>(), note);
        tokio::time::timeout(2 * MAX_STALE, hanging).await.unwrap_err();
        assert_eq!(reports.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn load_that_fails_at_once_is_reported_as_stale_too() {
        let (age, reports) = (Age::new(Duration::ZERO), AtomicUsize::new(0));
        let note = |_: &Event| {
            reports.fetch_add(1, Ordering::Relaxed);
        };
        age.watch(std::future::ready(()), note).await;
        assert_eq!(reports.load(Ordering::Relaxed), 1);
    }
}
