//! The metrics file of a worker, in the text format of Prometheus: for a collector that reads files, such as
//! node_exporter. The worker accepts no connections.

mod recorder;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use taskseal::file_error::FileError;
use taskseal::file_security;
use taskseal::keys::pkcs11;
use taskseal::telemetry::{self, WORKER_TARGET};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use self::recorder::Recorder;
use crate::failure::Failure;
use crate::runtime::{block_on, spawn};

/// How often the file is written.
const INTERVAL: Duration = Duration::from_secs(10);

/// A file with the metrics of this process.
pub(crate) struct MetricsFile {
    path: PathBuf,
    recorder: Recorder,
}

/// A metrics file that is written at intervals.
pub(crate) struct MetricsWriter {
    file: Arc<MetricsFile>,
    task: JoinHandle<()>,
}

impl MetricsFile {
    /// Installs the recorder and writes the file with every counter at zero. A file that cannot be written now is
    /// probably misnamed; later failures are warnings. A symbolic link is refused, as a device is: what it points to
    /// is not what would be replaced.
    ///
    /// # Errors
    /// Exit code 2.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let recorder = Recorder::default();
        metrics::set_global_recorder(recorder.clone())
            .map_err(|error| Failure::new(format!("cannot record metrics: {error}")))?;
        telemetry::register_metrics();
        let file = Self { path: path.to_owned(), recorder };
        file.replace().map_err(|error| {
            let error = FileError::io(path, "metrics cannot be written", &error);
            Failure::config(
                error.hint(
                    "--metrics must name a regular file, or a new one, in an existing and writable folder",
                ),
            )
        })?;
        Ok(file)
    }

    /// Writes the file at intervals from now on.
    pub(crate) fn write_at_intervals(self, runtime: &Runtime) -> MetricsWriter {
        let file = Arc::new(self);
        let written = Arc::clone(&file);
        let task = spawn(runtime.handle(), async move {
            let mut interval = tokio::time::interval(INTERVAL);
            let mut failed = false;
            loop {
                interval.tick().await;
                failed = written.write(failed);
            }
        });
        MetricsWriter { file, task }
    }

    /// Writes the file and returns whether that failed. A failure that lasts is logged once.
    fn write(&self, failed_before: bool) -> bool {
        let written = self.replace();
        if let (Err(error), false) = (&written, failed_before) {
            let path = self.path.display().to_string();
            tracing::warn!(
                target: WORKER_TARGET, event = "metrics-failed", file = path, %error,
                "cannot write metrics to {path}: {error}"
            );
        }
        written.is_err()
    }

    /// Replaces the file atomically, so that a collector never reads a part of it.
    fn replace(&self) -> io::Result<()> {
        let mut text = self.recorder.render().map_err(io::Error::other)?;
        text.push_str(&pkcs11::metrics());
        // The collector may run as another user.
        file_security::replace(&self.path, text.as_bytes(), 0o644)
    }
}

impl MetricsWriter {
    /// Writes the final values.
    pub(crate) fn finish(self, runtime: &Runtime) {
        self.task.abort();
        // A write that has started ends first.
        let _ = block_on(runtime, self.task);
        self.file.write(false);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use taskseal_core::Refusal;

    use super::*;

    #[test]
    fn every_metric_has_a_type_a_description_and_a_value_from_the_start() {
        let recorder = Recorder::default();
        metrics::with_local_recorder(&recorder, telemetry::register_metrics);

        let text = recorder.render().unwrap();

        let samples: BTreeSet<&str> =
            text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let outcomes = ["succeeded", "retried", "archived", "given_back", "settled_again"];
        let mut expected: BTreeSet<String> = outcomes
            .iter()
            .map(|outcome| format!("taskseal_tasks_total{{outcome=\"{outcome}\"}} 0"))
            .collect();
        let codes = Refusal::ALL.iter().map(|refusal| refusal.code());
        expected.extend(codes.map(|code| format!("taskseal_refused_total{{reason=\"{code}\"}} 0")));
        let codes =
            ["suite-not-allowed", "unknown-key", "type-not-handled", "issued-in-future", "no-decryption-key"];
        let codes = codes.iter().chain(&["type-not-allowed", "issuer-not-allowed", "audience-not-allowed"]);
        expected.extend(codes.map(|code| format!("taskseal_postponed_total{{reason=\"{code}\"}} 0")));
        let names = ["attempts_total", "lease_lost_total", "lock_lost_total", "recovered_total"];
        let failures = ["broker_failures_total", "state_failures_total", "key_unavailable_total"];
        let keys = ["keys_reload_failed_total", "keyset_not_in_force_total", "keys_loaded_timestamp_seconds"];
        let rules = ["policy_reload_failed_total", "quota_used_total", "result_not_allowed_total"];
        let archive = ["archive_trimmed_total", "quarantine_evicted_total", "audit_failures_total"];
        let sizes = ["quarantine_entries", "quarantine_bytes", "results_waiting"];
        let names = names.iter().chain(&failures).chain(&keys).chain(&rules).chain(&archive).chain(&sizes);
        expected.extend(names.clone().map(|name| format!("taskseal_{name} 0")));
        assert_eq!(samples, expected.iter().map(String::as_str).collect());
        for name in names.chain(&["tasks_total", "refused_total", "postponed_total"]) {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            assert!(text.contains(&format!("\n# TYPE taskseal_{name} {kind}\n")), "{name}: {text}");
            assert!(text.contains(&format!("# HELP taskseal_{name} ")), "{name}: {text}");
        }
    }
}
