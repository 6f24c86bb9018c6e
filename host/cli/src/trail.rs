//! The audit log of a command: one line before an operator's action, and one after it.

use taskseal::audit::{AuditEvent, AuditLog, KeyChange, OperatorAction, Step};
use taskseal::config::Config;
use taskseal::file_error::FileError;
use taskseal::time::UnixMillis;

use crate::failure::Failure;
use crate::global::Global;
use crate::key_summary::KeySummary;
use crate::project;
use crate::ui::Ui;

/// Records what an operator does. Without an audit log it records nothing.
#[derive(Debug)]
pub(crate) struct Trail {
    log: Option<AuditLog>,
    required: bool,
    ui: Ui,
}

impl Trail {
    /// Opens the audit log of a configuration.
    pub(crate) fn open(config: &Config, ui: &Ui) -> Result<Self, Failure> {
        let required = config.audit.as_ref().is_some_and(|audit| audit.required);
        let mut trail = Self { log: None, required, ui: *ui };
        match config.open_audit() {
            Ok(log) => trail.log = log,
            Err(error) => trail.not_recorded(error)?,
        }
        Ok(trail)
    }

    /// Creates a trail that records nothing, for a command that changes nothing.
    pub(crate) const fn none(ui: &Ui) -> Self {
        Self { log: None, required: false, ui: *ui }
    }

    /// Opens the audit log of a command that needs no configuration: that of the configuration, if there is one. A configuration that
    /// is named or exists must be valid: it may require that the command is recorded.
    pub(crate) fn of_command(global: &Global, ui: &Ui) -> Result<Self, Failure> {
        let is_named = std::env::var_os("TASKSEAL_CONFIG").is_some_and(|path| !path.is_empty());
        let exists = Config::locate(global.config.as_deref()).try_exists().unwrap_or(true);
        if global.config.is_none() && !is_named && !exists {
            return Ok(Self::none(ui));
        }
        Self::open(&project::config(global)?, ui)
    }

    /// Records that an action is about to begin. If this fails and the log is required, the action must not begin.
    pub(crate) fn begin(&self, action: OperatorAction) -> Result<Action<'_>, Failure> {
        self.requested(std::slice::from_ref(&action))?;
        Ok(Action { trail: self, action: action.summary(), changed: None })
    }

    /// Records that several actions are about to begin, and then that all of them have ended as `work` has.
    pub(crate) fn all<T>(
        &self,
        actions: Vec<OperatorAction>,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.requested(&actions)?;
        let begun =
            actions.into_iter().map(|action| Action { trail: self, action: action.summary(), changed: None });
        begun.fold(work(), |result, action| action.end(result))
    }

    fn requested(&self, actions: &[OperatorAction]) -> Result<(), Failure> {
        let now = UnixMillis::now();
        let requested = |action| (now, AuditEvent::Operator { action, step: Step::Requested, changed: None });
        let events: Vec<_> = actions.iter().flat_map(OperatorAction::split).map(requested).collect();
        if events.is_empty() { Ok(()) } else { self.append(&events) }
    }

    /// Records what `work` does with a key.
    pub(crate) fn key(
        &self,
        change: KeyChange,
        place: String,
        work: impl FnOnce() -> Result<KeySummary, Failure>,
    ) -> Result<KeySummary, Failure> {
        let mut action = self.begin(OperatorAction::Key { change, kid: None, place: place.clone() })?;
        let key = work();
        if let Ok(key) = &key {
            action.action = OperatorAction::Key { change, kid: Some(key.kid.to_string()), place };
        }
        action.end(key)
    }

    fn append(&self, events: &[(UnixMillis, AuditEvent)]) -> Result<(), Failure> {
        let Some(log) = &self.log else { return Ok(()) };
        log.append(events).or_else(|error| self.not_recorded(error))
    }

    fn not_recorded(&self, error: FileError) -> Result<(), Failure> {
        if !self.required {
            self.ui.warn(&format!("not recorded in the audit log: {error}"));
            return Ok(());
        }
        let hint = error.hint.clone().unwrap_or_else(|| {
            "nothing was changed: make room for the audit log, or set `required = false` in [audit]"
                .to_owned()
        });
        Err(Failure::unavailable(error.to_string()).hint(hint))
    }
}

/// An action that has begun.
#[derive(Debug)]
pub(crate) struct Action<'t> {
    trail: &'t Trail,
    action: OperatorAction,
    changed: Option<u64>,
}

impl Action<'_> {
    /// Adds to the number of tasks or entries that have changed.
    pub(crate) fn count(&mut self, changed: usize) {
        self.changed = Some(self.changed.unwrap_or(0) + changed as u64);
    }

    /// Records how the action has ended, and returns its result. A log that cannot be written gives a warning: the action is over.
    pub(crate) fn end<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        let Some(log) = &self.trail.log else { return result };
        let step = match &result {
            Ok(_) => Step::Done,
            Err(failure) => Step::Failed { reason: failure.message.clone() },
        };
        let event = AuditEvent::Operator { action: self.action, step, changed: self.changed };
        if let Err(error) = log.record(event) {
            self.trail.ui.warn(&format!("the end is not recorded in the audit log: {error}"));
        }
        result
    }
}
