//! Settings of the audit log: section `[audit]`.

use std::path::PathBuf;
use std::time::Duration;

use taskseal_core::keys::VerifyingKey;

use crate::keys::KeyRef;

/// Settings of the audit log of a host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditSettings {
    /// The current file. Rotated files have the same name with a number.
    pub file: PathBuf,
    /// Start of the name of a log that is created: the deployment.
    pub deployment: String,
    /// Whether operators' commands and the start of a worker fail if the log cannot be written.
    pub required: bool,
    /// The ES256 key that signs checkpoints.
    pub key: Option<KeyRef>,
    /// The public keys whose checkpoints are accepted.
    pub public: Vec<VerifyingKey>,
    /// Number of lines after which a checkpoint is signed.
    pub checkpoint_lines: u64,
    /// Time after which a checkpoint is signed if there are new lines.
    pub checkpoint_every: Duration,
    /// Size after which the file is rotated, in bytes.
    pub max_size: u64,
    /// Number of rotated files that are kept.
    pub keep: usize,
    /// Number of lines a minute for refusals of one code and issuer; the others are counted.
    pub refusals_per_minute: u32,
}

impl AuditSettings {
    /// Creates the default settings of a log in `file`.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>, deployment: &str) -> Self {
        Self {
            file: file.into(),
            deployment: deployment.to_owned(),
            required: true,
            key: None,
            public: Vec::new(),
            checkpoint_lines: 1000,
            checkpoint_every: Duration::from_secs(600),
            max_size: 64 << 20,
            keep: 16,
            refusals_per_minute: 60,
        }
    }
}
