//! The audit log: every change of its files is found, and it survives crashes and full disks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};

use taskseal::audit::{
    self, AuditEvent, AuditLog, AuditSettings, LogFiles, OperatorAction, QueueChange, Report, Step,
};
use taskseal::keys::{Algorithm, KeyStores, SecretKey};
use taskseal_core::keys::VerifyingKey;

mod crash;
mod missing;
mod owners;
mod reading;
mod tampering;

/// A log in a temporary folder, with the key of its checkpoints.
struct TestLog {
    dir: tempfile::TempDir,
    settings: AuditSettings,
    public: VerifyingKey,
}

impl TestLog {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("audit.key");
        let SecretKey::Sign(secret) = SecretKey::create(&key, Algorithm::Es256, "a test").unwrap() else {
            panic!("an ES256 key")
        };
        let mut settings = AuditSettings::new(dir.path().join("audit.jsonl"), "test");
        settings.key = Some(key.into());
        Self { dir, settings, public: secret.verifying_key() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self) -> AuditLog {
        AuditLog::open(&self.settings, &KeyStores::default(), "a test").unwrap()
    }

    /// A log of `lines` events, a checkpoint after the first one, and one at its end.
    fn with_lines(lines: usize) -> Self {
        let log = Self::new();
        log.fill(lines);
        log
    }

    fn fill(&self, lines: usize) {
        let open = self.open();
        (0..lines).for_each(|number| open.record(event(number)).unwrap());
        // Fails if the key cannot be used.
        let _ = open.checkpoint(true);
    }

    fn verify(&self) -> Report {
        audit::verify(&self.files(), &[self.public]).unwrap()
    }

    fn files(&self) -> LogFiles {
        LogFiles::of(&self.settings.file).unwrap()
    }

    /// Codes of what is wrong, each with the number of its line in its file.
    fn faults(&self) -> Vec<(&'static str, u64)> {
        self.verify().faults.iter().map(|fault| (fault.kind.code(), fault.line)).collect()
    }

    fn edit(&self, change: impl FnOnce(&mut Vec<String>)) {
        edit(&self.settings.file, change);
    }
}

fn event(number: usize) -> AuditEvent {
    let action = OperatorAction::Queue { change: QueueChange::Pause, queue: Some(format!("queue-{number}")) };
    AuditEvent::Operator { action, step: Step::Requested, changed: None }
}

/// Changes the lines of a file. Each has its end.
fn edit(file: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(file).unwrap();
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    change(&mut lines);
    fs::write(file, lines.concat()).unwrap();
}
