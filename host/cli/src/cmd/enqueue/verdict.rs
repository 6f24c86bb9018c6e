//! What a worker with this configuration would decide about a task, without its keys: this host may not have them.

use taskseal::client::SealedTask;
use taskseal::config::Config;
use taskseal::handler::Handlers;
use taskseal::keys::Keyring;
use taskseal::policy::{PolicySet, TypeRule};
use taskseal::time::{UnixMillis, unix_seconds};
use taskseal::{QueueName, WorkerSettings};
use taskseal_core::batch::BatchRootCache;
use taskseal_core::{NameSet, OpenError, Refusal, Software, Unverified};

use crate::failure::Failure;
use crate::project;
use crate::refusal_hint::refusal_hint;
use crate::ui::Ui;

/// What a worker with this configuration would do with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cmd) enum Verdict {
    /// It would run it, or this host cannot know.
    Accepted,
    /// It would keep it until a worker has a handler for its type.
    Postponed,
    Refused(Refusal),
}

/// Verifies tasks as a worker with this configuration does before it decrypts them.
pub(in crate::cmd) struct Verifier<'c> {
    config: &'c Config,
    keyring: Keyring,
    policy: PolicySet,
    /// Patterns of the task types that have a handler; empty if the configuration has no handlers.
    handled: String,
    /// So that the signature of a batch is verified once.
    roots: BatchRootCache<8>,
    max_timeout: u64,
    has_noted_timeout: bool,
}

impl<'c> Verifier<'c> {
    pub(in crate::cmd) fn new(config: &'c Config) -> Result<Self, Failure> {
        let keyring = project::keyset(config)?;
        let handled = Handlers::of_programs(config).map_err(Failure::config)?.patterns();
        let worker = config.worker.as_ref();
        let max_timeout =
            worker.map_or(WorkerSettings::DEFAULT_MAX_TIMEOUT, |worker| worker.max_timeout).as_secs();
        let roots = BatchRootCache::new();
        let policy = config.policy_set();
        Ok(Self { config, keyring, policy, handled, roots, max_timeout, has_noted_timeout: false })
    }

    /// Returns the verdict about a task that this host has sealed.
    pub(super) fn of_own(&mut self, task: &SealedTask) -> Result<Verdict, Failure> {
        let parsed = parse(task);
        match self.of_parsed(&task.receipt.queue, parsed)? {
            // The key was found in the keyset when it was opened: its secret is in a token, and only a worker has it.
            Verdict::Refused(Refusal::UnknownKey) => Ok(Verdict::Accepted),
            verdict => Ok(verdict),
        }
    }

    /// Returns the verdict about an envelope for a queue.
    pub(in crate::cmd) fn of_envelope(
        &mut self,
        queue: &QueueName,
        envelope: &[u8],
    ) -> Result<Verdict, Failure> {
        self.of_parsed(queue, Unverified::parse(envelope))
    }

    fn of_parsed(
        &mut self,
        queue: &QueueName,
        parsed: Result<Unverified<'_>, OpenError>,
    ) -> Result<Verdict, Failure> {
        let audience = self.config.audience(queue);
        let types = if self.handled.is_empty() { NameSet::ANY } else { NameSet::new(&self.handled) };
        let (keyring, roots, clock) = (&self.keyring, &mut self.roots, &mut taskseal::time::clock());
        let set = &self.policy;
        let verified = parsed.and_then(|unverified| {
            let task_type = unverified.danger_claims_unverified().task_type;
            let audience = project::audience(&audience);
            let policy = if unverified.is_detached() {
                let mode_of = |rule: &TypeRule| rule.mode_at(UnixMillis::now());
                set.for_detached_task(task_type.as_str(), audience, types, mode_of)
            } else {
                set.for_task(task_type.as_str(), audience, types)
            };
            unverified.verify_with(&Software, roots, keyring, &policy, clock)
        });
        match verified {
            Ok(verified) => match set.check(verified.claims(), verified.kid(), queue, unix_seconds()) {
                Ok(()) => Ok(Verdict::Accepted),
                Err(violation) => Ok(Verdict::Refused(violation.refusal)),
            },
            // The queue holds such a task back, and a worker that gets it early postpones it.
            Err(OpenError::Refused(Refusal::NotYetValid)) => Ok(Verdict::Accepted),
            Err(OpenError::Refused(Refusal::TypeNotHandled)) => Ok(Verdict::Postponed),
            Err(OpenError::Refused(refusal)) => Ok(Verdict::Refused(refusal)),
            Err(error) => Err(Failure::new(error.to_string())),
        }
    }

    /// Prints a note, once, if a worker limits the time of an attempt to less than the task asks for.
    pub(super) fn note_timeout(&mut self, task: &SealedTask, ui: &Ui) {
        self.note_timeout_of(&parse(task), ui);
    }

    /// As [`note_timeout`](Self::note_timeout), for an envelope that was decoded.
    pub(super) fn note_timeout_of(&mut self, parsed: &Result<Unverified<'_>, OpenError>, ui: &Ui) {
        let Ok(unverified) = parsed else { return };
        let timeout = unverified.danger_claims_unverified().timeout.map_or(0, u64::from);
        if timeout <= self.max_timeout || self.has_noted_timeout {
            return;
        }
        self.has_noted_timeout = true;
        let limit = self.max_timeout;
        ui.note(&match self.config.worker {
            Some(_) => format!(
                "the worker of {} ends an attempt after {limit} s, its `max_timeout`, not after {timeout} s",
                self.config.file.display()
            ),
            None => format!(
                "a worker ends an attempt after its `max_timeout`, {limit} s unless it is raised, not after {timeout} s"
            ),
        });
    }
}

fn parse(task: &SealedTask) -> Result<Unverified<'_>, OpenError> {
    match &task.clear_body {
        Some(body) => Unverified::parse_detached(&task.envelope, body),
        None => Unverified::parse(&task.envelope),
    }
}

/// Returns what a refusal is called in messages.
pub(super) fn describe(refusal: Refusal) -> String {
    format!("{refusal} ({})", refusal.code())
}

/// Returns the failure for tasks that were not enqueued, because a worker would refuse them.
pub(super) fn failure(message: impl Into<String>, refusal: Refusal) -> Failure {
    Failure::refused(message).hint(format!(
        "{}; --force enqueues it for workers with another configuration",
        refusal_hint(refusal)
    ))
}

/// Warns about a task that is enqueued although a worker with this configuration would not run it.
pub(super) fn warn(verdict: Verdict, ui: &Ui) {
    match verdict {
        Verdict::Accepted => {}
        Verdict::Postponed => {
            let (refusal, hint) = (describe(Refusal::TypeNotHandled), refusal_hint(Refusal::TypeNotHandled));
            ui.warn(&format!("a worker with this configuration would postpone it: {refusal}; {hint}"));
        }
        Verdict::Refused(refusal) => {
            let (described, hint) = (describe(refusal), refusal_hint(refusal));
            ui.warn(&format!("a worker with this configuration would refuse it: {described}; {hint}"));
        }
    }
}
