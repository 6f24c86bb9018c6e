//! What a change of a key has to wait for, unless it is forced.

use taskseal::escape::Escaped;
use taskseal_core::KeyId;
use taskseal_core::keyset::signed::KeyState;

use super::ChangeArgs;
use crate::cmd::keyset::draft::{Draft, Signed, entry};
use crate::cmd::keyset::signed::shown;
use crate::failure::Failure;
use crate::ui::Ui;

/// A reason to wait, and what to do.
pub(super) struct Obstacle {
    message: String,
    hint: String,
}

impl Obstacle {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// Collects what a change has to wait for.
pub(in crate::cmd::keyset) struct Waiting<'d> {
    pub(super) draft: &'d Draft,
    pub(super) signed: &'d Signed<'d>,
    obstacles: Vec<Obstacle>,
}

impl<'d> Waiting<'d> {
    pub(in crate::cmd::keyset) fn new(draft: &'d Draft, signed: &'d Signed<'d>) -> Self {
        Self { draft, signed, obstacles: Vec::new() }
    }

    /// Waits until the signed keyset has the key in one of these states. Without roots, nothing is signed.
    pub(in crate::cmd::keyset) fn until_signed(&mut self, kid: KeyId, states: &[KeyState]) {
        let is_signed = entry(self.signed, kid).is_some_and(|entry| states.contains(&entry.state));
        if self.draft.file.settings().is_some() && !is_signed {
            let state = states.first().map_or("", |state| state.name());
            self.obstacles.push(Obstacle::new(
                format!("the signed keyset does not have key {kid} as {state}"),
                "`taskseal keyset sign`, then publish it, and wait until every host has fetched it",
            ));
        }
    }

    /// Waits until every verifier knows what happened at `at`, in seconds of Unix time. `None` if that is unknown.
    pub(super) fn until_distributed(&mut self, kid: KeyId, at: Option<u64>) {
        let (distribution, now) = (self.draft.distribution(), self.draft.now);
        // An entry of which the draft has no time is as old as the signed keyset that has it.
        let signed_at = self.signed.as_ref().map(|keyset| keyset.issued_at());
        let Some(at) = at.or(signed_at) else {
            self.obstacles.push(Obstacle::new(
                format!("since when key {kid} has its state is unknown"),
                format!(
                    "write the time as `since` into its entry, or wait {distribution} s, then use --force"
                ),
            ));
            return;
        };
        let ready = at.saturating_add(distribution);
        if now < ready {
            self.obstacles.push(Obstacle::new(
                format!("until {} not every host may have the present state of key {kid}", shown(ready)),
                "wait until then; `distribution` in [keyset] is the time in which every host has fetched a keyset",
            ));
        }
    }

    /// Waits for processes that are known to use an older keyset.
    pub(super) fn until_fetched(&mut self) {
        let sequence = self.signed.as_ref().map_or(0, |keyset| keyset.sequence());
        let lag = self.draft.fleet.iter().filter(|process| process.sequence < sequence);
        let names: Vec<_> =
            lag.map(|process| format!("{} ({})", Escaped::new(&process.name), process.sequence)).collect();
        if !names.is_empty() {
            self.obstacles.push(Obstacle::new(
                format!("processes use a keyset before {sequence}: {}", names.join(", ")),
                "wait until they have fetched it, or stop them",
            ));
        }
    }

    /// Waits until nothing arrives that a retiring key sealed.
    pub(in crate::cmd::keyset) fn until_arrived(&mut self, accept_until: Option<u64>) {
        let Some(until) = accept_until else {
            self.obstacles.push(Obstacle::new(
                "tasks that it sealed can arrive at any time: it has no `accept_until`",
                "write the time of its last task as `accept_until` into its entry; --force refuses them",
            ));
            return;
        };
        let end = until.saturating_add(self.draft.distribution());
        if self.draft.now < end {
            self.obstacles.push(Obstacle::new(
                format!("until {} tasks can arrive that it sealed", shown(end)),
                "wait until then; --force refuses them, and `taskseal keyset revoke` ends a stolen key",
            ));
        }
    }

    /// Waits until a primary key is retired, unless it has ended by itself.
    pub(super) fn until_retired(&mut self, kid: KeyId, accept_until: Option<u64>) {
        if accept_until.is_none_or(|until| self.draft.now < until) {
            self.obstacles.push(Obstacle::new(
                format!("key {kid} is primary: tasks that it sealed are in transit"),
                format!(
                    "`taskseal keyset activate` with its successor or `taskseal keyset retire {kid}` comes first; --force refuses those tasks, and \
                     `taskseal keyset revoke {kid}` ends a stolen key"
                ),
            ));
        }
    }

    /// Returns the first reason to wait.
    pub(in crate::cmd::keyset) fn reason(self) -> Option<String> {
        self.obstacles.into_iter().next().map(|obstacle| obstacle.message)
    }

    /// Fails with the first reason to wait. `--force` prints all of them instead.
    pub(super) fn check(self, args: &ChangeArgs, ui: &Ui) -> Result<(), Failure> {
        if args.force {
            self.obstacles.iter().for_each(|obstacle| ui.warn(&format!("overridden: {}", obstacle.message)));
            return Ok(());
        }
        match self.obstacles.into_iter().next() {
            Some(Obstacle { message, hint }) => Err(Failure::not_yet(message).hint(hint)),
            None => Ok(()),
        }
    }
}
