//! AWS: KMS and Secrets Manager.

mod kms_emulator;
mod kms_faults;
mod kms_keys;
mod kms_server;
mod ministack;
mod secrets;

use std::path::Path;

use aws_config::Region;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, SharedCredentialsProvider};
use taskseal::keys::{KeyError, KeyHandle, KeyStores, KeyUsage, RemoteAgreement, RemoteSigner};
use taskseal_cloud::Timeouts;
use taskseal_cloud::aws::{AwsKms, SdkConfig};

fn config() -> SdkConfig {
    let credentials = Credentials::new("AKIATEST", "secret77", Some("token77".to_owned()), None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(Region::new("eu-central-1"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

fn open_with(store: AwsKms, uri: &str, usage: KeyUsage) -> Result<KeyHandle, KeyError> {
    let stores = KeyStores::default().with(store);
    let key = stores.parse(uri, Path::new("taskseal.toml")).expect("a valid URI");
    stores.open(&key, usage)
}

fn open(uri: &str, usage: KeyUsage, timeouts: Timeouts) -> Result<KeyHandle, KeyError> {
    open_with(AwsKms::with_config(config()).timeouts(timeouts), uri, usage)
}

fn open_signer(uri: &str, timeouts: Timeouts) -> Result<std::sync::Arc<dyn RemoteSigner>, KeyError> {
    match open(uri, KeyUsage::Sign, timeouts)? {
        KeyHandle::Signer(key) => Ok(key),
        other => panic!("{other:?} does not sign"),
    }
}

fn open_agreement(uri: &str, timeouts: Timeouts) -> Result<std::sync::Arc<dyn RemoteAgreement>, KeyError> {
    match open(uri, KeyUsage::Decrypt, timeouts)? {
        KeyHandle::Agreement(key) => Ok(key),
        other => panic!("{other:?} does not decrypt"),
    }
}
