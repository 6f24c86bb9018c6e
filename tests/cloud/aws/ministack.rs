//! The emulator of AWS, with clients to prepare it.

use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use tokio::runtime::Runtime;

use super::config;

/// A running emulator.
pub(super) struct Ministack {
    emulator: taskseal_tests::ministack::Ministack,
    pub(super) runtime: Runtime,
}

impl Ministack {
    /// Starts an emulator, or prints why the calling test is skipped.
    pub(super) fn start_or_skip() -> Option<Self> {
        let emulator = taskseal_tests::ministack::Ministack::start_or_skip()?;
        Some(Self { emulator, runtime: Runtime::new().unwrap() })
    }

    pub(super) fn address(&self) -> &str {
        self.emulator.address()
    }

    /// Returns the URI of a key by its id, ARN or alias.
    pub(super) fn uri(&self, key: &str) -> String {
        format!("awskms://{}/{key}", self.address())
    }

    /// Returns a client of KMS, to do what an operator does.
    pub(super) fn kms(&self) -> aws_sdk_kms::Client {
        let endpoint = format!("http://{}", self.address());
        aws_sdk_kms::Client::new(&config().into_builder().endpoint_url(endpoint).build())
    }

    /// Creates a key and returns its id and its ARN.
    pub(super) fn create_key(&self, spec: KeySpec, usage: KeyUsageType) -> (String, String) {
        let call = self.kms().create_key().key_spec(spec).key_usage(usage).send();
        let key = self.runtime.block_on(call).unwrap().key_metadata.unwrap();
        (key.key_id, key.arn.unwrap())
    }
}
