//! Reads the policy file of a worker, at its start and again while it runs, and records the modes of the task types. A mode that is
//! looser than one that this host has used is an error: at the start the worker does not start, later it keeps its policy.

use crate::config::{Config, SetupError};
use crate::file_error::FileError;
use crate::handler::Handlers;
use crate::policy::{Mode, PolicySet};
use crate::quarantine::Limits;
use crate::rollout::{Loosened, Rollout};
use crate::time::UnixMillis;

type Modes = Vec<(String, Mode)>;

/// What decides whether a policy may be used.
#[derive(Debug)]
pub(super) struct PolicyGuard<'a> {
    pub(super) config: &'a Config,
    pub(super) rollout: &'a Rollout,
    /// Patterns of the handled task types, separated by spaces.
    pub(super) handled: &'a str,
}

impl Config {
    /// Checks that a worker with the programs of this configuration may start with the modes of its policy file. It records nothing and
    /// creates no file. Returns `false` if there is nothing to compare: no policy file, or no worker has started.
    ///
    /// # Errors
    /// [`SetupError`] if a mode is looser than one that this host has used, or if the record cannot be read.
    #[doc(hidden)]
    pub fn check_modes(&self) -> Result<bool, SetupError> {
        let worker = self.worker()?;
        let file = self.state_dir.join("rollout.db");
        if worker.policy.file.is_none() {
            return Ok(false);
        }
        let (rollout, handlers) = (Rollout::open_existing(&file)?, Handlers::of_programs(self)?);
        if !rollout.knows_modes() {
            return Ok(false);
        }
        let policy = PolicySet::new(worker.policy.clone(), worker.rules.clone());
        PolicyGuard { config: self, rollout: &rollout, handled: &handlers.patterns() }.check(&policy)?;
        Ok(true)
    }
}

impl PolicyGuard<'_> {
    /// Records the modes of the first policy of a worker.
    ///
    /// # Errors
    /// [`SetupError`] if one is looser than recorded, or cannot be recorded.
    pub(super) fn adopt(&self, policy: &PolicySet) -> Result<(), SetupError> {
        let loosened = self.rollout.adopt(&self.all_modes(policy))?;
        self.first_loosened(policy, &loosened)
    }

    /// Checks the modes of the first policy of a worker as [`adopt`](Self::adopt) does.
    fn check(&self, policy: &PolicySet) -> Result<(), SetupError> {
        let loosened = self.rollout.looser(&self.all_modes(policy));
        self.first_loosened(policy, &loosened)
    }

    fn all_modes(&self, policy: &PolicySet) -> Modes {
        let (mut modes, without_rule) = self.modes(policy);
        modes.extend(without_rule);
        modes
    }

    fn first_loosened(&self, policy: &PolicySet, loosened: &[Loosened]) -> Result<(), SetupError> {
        match loosened.first() {
            None => Ok(()),
            Some(loosened) => {
                let step = "raise the mode, or allow it with";
                Err(self.loosened(policy, loosened, step).into())
            }
        }
    }

    /// Reads the policy file again, and records its modes.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be used, or if a mode is looser than one that this host has used.
    pub(super) fn reload(&self, former: &PolicySet) -> Result<PolicySet, FileError> {
        let policy = former.reload()?;
        if policy.fingerprint() == former.fingerprint() {
            // The lines of its rules may differ.
            return Ok(policy);
        }
        self.check_size(&policy)?;
        let (modes, without_rule) = self.modes(&policy);
        let loosened = self.rollout.adopt_live(&modes, &without_rule).map_err(|error| {
            FileError::new(self.file(&policy), format!("cannot record the modes of the policy: {error}"))
        })?;
        match loosened.first() {
            None => Ok(policy),
            Some(loosened) => {
                let step = "raise the mode; to allow it, restart the worker after";
                Err(self.loosened(&policy, loosened, step))
            }
        }
    }

    /// Checks that a task of the largest body fits into the quarantine.
    fn check_size(&self, policy: &PolicySet) -> Result<(), FileError> {
        let largest = policy.largest_body();
        if self.config.quarantine.bytes >= Limits::least_bytes(largest) {
            return Ok(());
        }
        let message = format!("the quarantine is too small for a `max_body` of {largest} bytes");
        let hint = "lower `max_body`, or raise `quarantine_bytes` in [state] and restart the worker";
        Err(FileError::new(self.file(policy), message).hint(hint))
    }

    /// Returns the modes of the rules, and those of the handled types that have none.
    fn modes(&self, policy: &PolicySet) -> (Modes, Modes) {
        let rules = policy.rules();
        let handled = self.handled.split(' ');
        let without_rule = handled.filter(|pattern| rules.choose(pattern.trim_end_matches('*')).is_none());
        let strict = without_rule.map(|pattern| (pattern.to_owned(), Mode::Enforce));
        (rules.modes_at(UnixMillis::now()), strict.collect())
    }

    fn file<'f>(&'f self, policy: &'f PolicySet) -> &'f std::path::Path {
        policy.rules().file().unwrap_or(&self.config.file)
    }

    fn loosened(&self, policy: &PolicySet, loosened: &Loosened, step: &str) -> FileError {
        let Loosened { pattern, mode, recorded_pattern, strictest } = loosened;
        let message = format!(
            "the mode of type `{pattern}` is \"{mode}\", and workers of this host have used \"{strictest}\" for \
             `{recorded_pattern}`"
        );
        FileError::new(self.file(policy), message)
            .hint(format!("{step} `taskseal rollout loosen '{pattern}'`"))
    }
}
