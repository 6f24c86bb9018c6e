//! When keys are loaded again, and what is reported about it. The caller calls [`Reloader::poll`] at the intervals it returns.

use std::fmt;
use std::future::Future;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use taskseal_core::KeyId;

use super::age::Age;
use super::ends::EndReports;
use super::{Live, Loaded};
use crate::file_error::FileError;
use crate::file_watch::{FileVersions, recorded};
use crate::keys::error::KeyringError;
use crate::keys::keyring::Keyring;
use crate::lock::lock;
use crate::retry::{Backoff, with_jitter};
use crate::telemetry;
use crate::time::unix_seconds;
use crate::worker::event::Event;

#[cfg(test)]
mod tests;

/// Delay between two comparisons of the files.
pub(crate) const POLL: Duration = Duration::from_secs(1);
/// Files that change are loaded once they have not changed for this time: they may be half-written.
const SETTLE: Duration = Duration::from_millis(200);
/// Number of comparisons after which files that keep changing are loaded all the same.
const MAX_ROUNDS: u32 = 25;
/// Delay after the first failure; it doubles up to the refresh interval.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// Why keys may be loaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// The time of the next comparison has come.
    Timer,
    /// An operator or the application requires it.
    Request,
}

/// What the keys of a client and of a worker have in common.
pub(crate) trait KeyGeneration {
    /// Returns the keyset.
    fn keyring(&self) -> &Keyring;
    /// Returns the key that seals, and the Unix time in seconds from which it does not; `u64::MAX` if it has none.
    fn sealing_end(&self) -> Option<(KeyId, u64)>;

    /// Returns how the policy differs from a former one.
    fn policy_change(&self, _former: &Self) -> Option<String> {
        None
    }

    /// Returns why the policy is not the one of its file.
    fn policy_fault(&self) -> Option<&FileError> {
        None
    }
}

type Load<T> = Box<dyn Fn(&T) -> Result<Loaded<T>, KeyringError> + Send + Sync>;

/// Loads keys again when their files change, at intervals, and on request.
pub(crate) struct Reloader<T> {
    load: Load<T>,
    refresh: Duration,
    /// Not in the state, which a load holds until it returns.
    age: Age,
    /// Returns the time of this host, in seconds of Unix time.
    clock: fn() -> u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The files of the last attempt, in the versions that it read.
    files: FileVersions,
    /// Versions that were found later, and the number of comparisons since.
    unsettled: Option<(FileVersions, u32)>,
    next_refresh: Instant,
    /// Unix time of the last attempt, in seconds.
    chosen_at: u64,
    failures: u32,
    /// The failure that was reported last, until a success.
    reported: Option<String>,
    /// The failure to load the policy that was reported last, until a success.
    policy_reported: Option<String>,
    policy_failures: u32,
    ends: EndReports,
}

impl<T: KeyGeneration> Reloader<T> {
    /// Creates the reloader of keys that were just read from `files`.
    pub(crate) fn new(
        files: FileVersions,
        (refresh, max_stale): (Duration, Duration),
        load: impl Fn(&T) -> Result<Loaded<T>, KeyringError> + Send + Sync + 'static,
    ) -> Self {
        let now = Instant::now();
        telemetry::keys_loaded();
        let state = State {
            next_refresh: next_refresh(&files, refresh, now),
            files,
            unsettled: None,
            chosen_at: unix_seconds(),
            failures: 0,
            reported: None,
            policy_reported: None,
            policy_failures: 0,
            ends: EndReports::default(),
        };
        Self {
            load: Box::new(load),
            refresh,
            age: Age::new(max_stale),
            clock: unix_seconds,
            state: Mutex::new(state),
        }
    }

    /// Waits for a call that loads keys, and reports meanwhile when the keys become stale: a source may never answer.
    pub(crate) async fn watch<F: Future>(&self, loading: F, observe: impl Fn(&Event)) -> F::Output {
        self.age.watch(loading, observe).await
    }

    /// Loads the keys again if it is time to, and replaces those of `live` if that succeeds. Returns the delay until the next
    /// call. Blocks.
    pub(crate) fn poll(&self, live: &Live<T>, trigger: Trigger, observe: &dyn Fn(&Event)) -> Duration {
        let state = &mut *lock(&self.state);
        let (now, files) = (Instant::now(), state.files.now());
        let is_request = trigger == Trigger::Request;
        let has_changed = files != state.files;
        let is_due = is_request
            || now >= state.next_refresh
            || live.snapshot().keyring().allows_others_since(state.chosen_at, (self.clock)());
        if !is_due && !has_changed {
            state.unsettled = None;
        } else if !is_request && has_changed && !state.has_settled(&files) {
            // Also if it is time to load: half of a policy file may have a stricter mode, which is recorded.
            return SETTLE;
        } else {
            let is_change = is_request || has_changed;
            state.unsettled = None;
            self.reload(state, live, files, is_change, observe);
        }
        let keys = live.snapshot();
        state.ends.check(keys.sealing_end(), keys.keyring().head(), (self.clock)(), observe);
        POLL
    }

    fn reload(
        &self,
        state: &mut State,
        live: &Live<T>,
        before: FileVersions,
        is_change: bool,
        observe: &dyn Fn(&Event),
    ) {
        let previous = live.snapshot();
        state.chosen_at = (self.clock)();
        let (loaded, read) = recorded(|| (self.load)(&previous));
        let (error, keyset_loaded) = match loaded {
            Ok(Loaded { keys, fault, keyset_loaded }) => {
                let mut changes = changes(&keys, &previous);
                let kid = |keys: &T| keys.sealing_end().map(|(kid, _)| kid);
                let chosen = kid(&keys).filter(|chosen| Some(*chosen) != kid(&previous));
                changes.extend(chosen.map(|kid| format!("key {kid} seals")));
                let has_changed = is_change || !keys.keyring().has_records_of(previous.keyring());
                let is_back = state.reported.is_some() && fault.is_none();
                let count = keys.keyring().known_kids().count();
                let policy_fault = keys.policy_fault().map(ToString::to_string);
                live.replace(keys);
                if keyset_loaded {
                    state.files = read;
                } else {
                    // Also the files that this attempt did not reach.
                    state.files = before;
                    state.files.extend(read);
                }
                if !changes.is_empty() || (keyset_loaded && (has_changed || is_back)) {
                    observe(&Event::KeysReloaded { count, changes });
                }
                state.report_policy(policy_fault, observe);
                (fault, keyset_loaded)
            }
            Err(error) => {
                state.files = before;
                state.files.extend(read);
                (Some(error), false)
            }
        };
        match error {
            None => {
                state.succeeded(self.refresh);
                self.age.renew();
            }
            Some(error) => state.failed(&error, keyset_loaded, self.refresh, observe),
        }
        if state.policy_failures > 0 {
            state.next_refresh = state.next_refresh.min(state.retry_at(state.policy_failures, self.refresh));
        }
    }
}

/// Returns how keys and policy differ from former ones.
fn changes<T: KeyGeneration>(current: &T, former: &T) -> Vec<String> {
    let keys = current.keyring().changes_since(former.keyring());
    keys.iter().map(ToString::to_string).chain(current.policy_change(former)).collect()
}

impl State {
    /// Counts a failure to load the policy, and reports it unless it is the one that was reported last.
    fn report_policy(&mut self, fault: Option<String>, observe: &dyn Fn(&Event)) {
        if let Some(error) = &fault
            && self.policy_reported.as_ref() != Some(error)
        {
            observe(&Event::PolicyReloadFailed { error: error.clone() });
        }
        self.policy_failures = if fault.is_some() { self.policy_failures.saturating_add(1) } else { 0 };
        self.policy_reported = fault;
    }

    /// Returns when keys and policy are loaded again after consecutive failures.
    fn retry_at(&self, failures: u32, refresh: Duration) -> Instant {
        let (now, first) = (Instant::now(), FIRST_RETRY.min(refresh));
        let at = now + Backoff::new(first, refresh).delay(failures);
        // Another source may have stated that its secret ends earlier.
        let fetch_again = self.files.fetch_again().filter(|fetch_again| *fetch_again > now);
        fetch_again.map_or(at, |fetch_again| fetch_again.max(now + first).min(at))
    }

    /// Returns whether changed files are the same as at the comparison before.
    fn has_settled(&mut self, files: &FileVersions) -> bool {
        let rounds = match &self.unsettled {
            Some((former, _)) if former == files => return true,
            Some((_, rounds)) => rounds + 1,
            None => 0,
        };
        self.unsettled = Some((files.clone(), rounds));
        rounds >= MAX_ROUNDS
    }

    fn succeeded(&mut self, refresh: Duration) {
        telemetry::keys_loaded();
        self.next_refresh = next_refresh(&self.files, refresh, Instant::now());
        (self.failures, self.reported) = (0, None);
    }

    /// Counts a failure, and reports it unless it is the one that was reported last.
    fn failed(
        &mut self,
        error: &KeyringError,
        keyset_loaded: bool,
        refresh: Duration,
        observe: &dyn Fn(&Event),
    ) {
        self.failures = self.failures.saturating_add(1);
        self.next_refresh = self.retry_at(self.failures, refresh);
        telemetry::keys_reload_failed();
        let message = error.to_string();
        if self.reported.as_deref() != Some(&message) {
            observe(&Event::KeysReloadFailed { error: message.clone(), keyset_loaded });
            self.reported = Some(message);
        }
    }
}

/// Returns when keys are loaded again: after the refresh interval, or before a secret of theirs ends.
fn next_refresh(files: &FileVersions, refresh: Duration, now: Instant) -> Instant {
    let at = now + with_jitter(refresh);
    files.fetch_again().map_or(at, |fetch_again| fetch_again.min(at))
}

impl<T> fmt::Debug for Reloader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("state", &self.state).finish_non_exhaustive()
    }
}
