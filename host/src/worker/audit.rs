//! The first and the last line of a worker in the audit log of its host.

use std::sync::Arc;

use super::Tally;
use super::event::Event;
use super::settings::WorkerSettings;
use super::shared::Shared;
use crate::audit::{AuditEvent, Recorder};
use crate::config::Config;
use crate::file_error::FileError;
use crate::keys::Keyring;
use crate::policy::PolicySet;
use crate::telemetry;

/// Opens the audit log of a configuration, if it has one, and records that the worker starts, with the keyset and the policy that it
/// has loaded: files may have changed since.
///
/// # Errors
/// [`FileError`] if the log is required and cannot be written.
pub(super) fn start(
    config: &Config,
    settings: &WorkerSettings,
    keyring: &Keyring,
) -> Result<Option<Recorder>, FileError> {
    let Some(audit) = &config.audit else { return Ok(None) };
    let policy = PolicySet::new(settings.policy.clone(), settings.rules.clone());
    let started = AuditEvent::WorkerStarted {
        worker: settings.id.clone(),
        queues: settings.queues.iter().map(|queue| queue.name.as_str().to_owned()).collect(),
        keyset: keyring.fingerprint(),
        sequence: keyring.head().map(|head| head.sequence),
        policy: policy.fingerprint().to_string(),
    };
    let opened = config.open_audit().and_then(|log| {
        let Some(log) = log else { return Ok(None) };
        let recorded = log.record(started.clone());
        recorded.map(|()| Some(log))
    });
    let log = match opened {
        Ok(log) => log,
        Err(error) if audit.required => return Err(error),
        Err(error) => {
            telemetry::observe(&Event::AuditFailed { error: error.to_string() });
            // The line waits, unless the log cannot be opened at all.
            let Ok(Some(log)) = config.open_audit() else { return Ok(None) };
            let recorder = recorder(log, config)?;
            if let Some(recorder) = &recorder {
                recorder.record(started);
            }
            return Ok(recorder);
        }
    };
    log.map_or(Ok(None), |log| recorder(log, config))
}

fn recorder(log: crate::audit::AuditLog, config: &Config) -> Result<Option<Recorder>, FileError> {
    let Some(audit) = &config.audit else { return Ok(None) };
    let started = Recorder::start(log, audit);
    started.map(Some).map_err(|error| FileError::io(&audit.file, "no thread writes the audit log", &error))
}

/// Records that a worker has drained, and waits until its lines are written.
pub(super) async fn finish(shared: &Arc<Shared>, tally: &Tally) {
    if shared.audit.is_none() {
        return;
    }
    let stopped = AuditEvent::WorkerStopped {
        worker: shared.settings.id.clone(),
        succeeded: tally.succeeded,
        refused: tally.refused_total(),
    };
    let finish = |shared: &Shared| {
        if let Some(audit) = &shared.audit {
            audit.finish(stopped);
        }
    };
    // A panic was printed.
    let _ = shared.run_blocking(finish).await;
}
