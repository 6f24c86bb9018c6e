use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::file_watch;
use crate::keys::Algorithm;
use crate::keys::testing::{Folder, RIGHTS, entry};

thread_local! {
    static CLOCK: Cell<u64> = const { Cell::new(0) };
}

/// A keyset alone.
struct Generation(Keyring);

impl KeyGeneration for Generation {
    fn keyring(&self) -> &Keyring {
        &self.0
    }

    fn sealing_end(&self) -> Option<(KeyId, u64)> {
        None
    }
}

/// The times of the key in the tests, in seconds of Unix time.
const USE_FROM: u64 = 946_684_800;
const SIGN_UNTIL: u64 = 978_307_200;

/// Returns the keyset of one key with these times.
fn keyring(times: &str) -> Keyring {
    let folder = Folder::new();
    let key = folder.key("a.key", Algorithm::Es256);
    folder.keyset(&entry(&key, &format!("use = \"task\"\n{times}{RIGHTS}")))
}

/// Keys that are loaded again, with a clock of the test.
struct Timed {
    reloader: Reloader<Generation>,
    live: Live<Generation>,
    loads: Arc<AtomicUsize>,
}

impl Timed {
    /// Creates the reloader of a key with times, whose keys were loaded at `start`.
    fn new(start: u64) -> Self {
        let times = "use_from = \"2000-01-01T00:00:00Z\"\nsign_until = \"2001-01-01T00:00:00Z\"\n";
        let keyring = keyring(times);
        let loads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&loads);
        let hour = Duration::from_secs(3600);
        let mut reloader = Reloader::new(FileVersions::default(), (hour, hour), move |keys: &Generation| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Loaded { keys: Generation(keys.0.clone()), fault: None, keyset_loaded: true })
        });
        reloader.clock = || CLOCK.get();
        lock(&reloader.state).chosen_at = start;
        Self { reloader, live: Live::new(Generation(keyring)), loads }
    }

    /// Returns the number of loads after a comparison at `now`.
    fn loads_at(&self, now: u64) -> usize {
        CLOCK.set(now);
        self.reloader.poll(&self.live, Trigger::Timer, &|_| ());
        self.loads.load(Ordering::Relaxed)
    }
}

#[test]
fn keys_are_loaded_again_when_the_time_of_a_key_begins_and_when_it_ends() {
    let timed = Timed::new(USE_FROM - 10);
    assert_eq!(timed.loads_at(USE_FROM - 1), 0);
    assert_eq!(timed.loads_at(USE_FROM), 1);
    assert_eq!(timed.loads_at(USE_FROM + 1), 1);
    assert_eq!(timed.loads_at(SIGN_UNTIL + 5), 2);
    assert_eq!(timed.loads_at(SIGN_UNTIL + 6), 2);
}

#[test]
fn keys_are_loaded_again_when_the_clock_is_set_back() {
    let timed = Timed::new(USE_FROM + 10);
    assert_eq!(timed.loads_at(USE_FROM - 10), 1);
    assert_eq!(timed.loads_at(USE_FROM - 9), 1);
    assert_eq!(timed.loads_at(USE_FROM), 2);
}

#[test]
fn secret_that_ends_is_fetched_again_in_time_although_another_source_fails() {
    let day = Duration::from_secs(86_400);
    let keyring = keyring("");
    for (ends_after, earliest, latest) in [(600, 500, 600), (1, 2, 5)] {
        let fails = move |keys: &Generation| {
            file_watch::record_fetch_again(Duration::from_secs(ends_after));
            let fault = Some(FileError::new(Path::new("keyset.cose"), "not a keyset").into());
            Ok(Loaded { keys: Generation(keys.0.clone()), fault, keyset_loaded: true })
        };
        let reloader = Reloader::new(FileVersions::default(), (day, day), fails);
        let live = Live::new(Generation(keyring.clone()));
        // So many that the delay has grown to the refresh interval.
        for _ in 0..30 {
            reloader.poll(&live, Trigger::Request, &|_| ());
        }
        let delay = lock(&reloader.state).next_refresh.saturating_duration_since(Instant::now()).as_secs();
        assert!((earliest..=latest).contains(&delay), "{ends_after} s: {delay} s");
    }
}

#[test]
fn files_that_are_being_written_are_not_loaded_although_it_is_time_to_load() {
    let timed = Timed::new(USE_FROM);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, "").unwrap();
    let ((), read) = recorded(|| file_watch::record(&file, None));
    {
        let state = &mut *lock(&timed.reloader.state);
        state.files = read;
        state.next_refresh = Instant::now();
    }
    let poll = || {
        let delay = timed.reloader.poll(&timed.live, Trigger::Timer, &|_| ());
        (delay, timed.loads.load(Ordering::Relaxed))
    };
    CLOCK.set(USE_FROM);
    for length in 1..10 {
        std::fs::write(&file, "#".repeat(length)).unwrap();
        assert_eq!(poll(), (SETTLE, 0));
    }
    assert_eq!(poll(), (POLL, 1));
    // An operator who requires it does not wait.
    lock(&timed.reloader.state).files = recorded(|| file_watch::record(&file, None)).1;
    std::fs::write(&file, "").unwrap();
    timed.reloader.poll(&timed.live, Trigger::Request, &|_| ());
    assert_eq!(poll().1, 2);
}
